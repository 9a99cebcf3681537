//! Secrets, and their removal from errors, logs and recordings.

mod address;
mod forms;
mod live;
mod names;

use std::fmt;
use std::sync::Arc;

pub(crate) use address::deployment;
#[cfg(feature = "http")]
pub(crate) use address::mark;
pub use address::public_url;
use forms::Found;
pub use live::hide_live;
pub(crate) use live::hide_live_in;
pub(crate) use names::path_parts;
#[cfg(feature = "http")]
pub(crate) use names::{Header, header_kind, looks_like_a_key};

/// A key or token. It is sent to the endpoint and never shown: `Debug` prints `***`.
///
/// ```
/// use dspy_lm::Secret;
/// assert_eq!(format!("{:?}", Secret::from("sk-very-private")), "***");
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Arc<str>);

impl Secret {
    /// Returns the secret itself.
    #[doc(hidden)]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl From<&str> for Secret {
    /// Creates a secret without surrounding white space, as key files tend to end in a newline.
    fn from(key: &str) -> Self {
        Secret(key.trim().into())
    }
}

impl From<String> for Secret {
    fn from(key: String) -> Self {
        key.as_str().into()
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(HIDDEN)
    }
}

/// The replacement of a secret in text.
pub(crate) const HIDDEN: &str = "***";

/// The secrets of one endpoint, which must not appear in errors and logs in any encoding.
#[derive(Default)]
pub(crate) struct Secrets {
    /// The encoded forms to search for.
    forms: Vec<Box<[u8]>>,
    /// The secrets that authenticate the caller.
    #[cfg(feature = "http")]
    credentials: Vec<Secret>,
}

impl Secrets {
    /// The minimum length of a secret; shorter values occur in ordinary text, and hiding them would garble messages.
    pub(crate) const SHORTEST: usize = 6;

    pub(crate) fn add(&mut self, secret: impl Into<Secret>) {
        let secret = secret.into();
        if secret.expose().len() < Self::SHORTEST {
            return;
        }
        for form in forms::forms(secret.expose()) {
            if !self.forms.contains(&form) {
                self.forms.push(form);
            }
        }
    }

    /// Adds a secret that authenticates the caller. Answers have no reason to contain it, so it is also hidden in
    /// stored answers.
    #[cfg(feature = "http")]
    pub(crate) fn add_credential(&mut self, secret: impl Into<Secret>) {
        let secret = secret.into();
        self.credentials.push(secret.clone());
        self.add(secret);
    }

    /// Registers the credentials, for as long as the result is held, to be hidden wherever answers are stored.
    #[cfg(feature = "http")]
    pub(crate) fn publish(&self) -> Arc<Secrets> {
        live::register(&self.credentials)
    }

    #[cfg(feature = "http")]
    fn is_empty(&self) -> bool {
        self.forms.is_empty()
    }

    /// Returns `text` with every secret replaced.
    pub(crate) fn scrub(&self, text: &str) -> String {
        self.replace(text, false)
    }

    /// Returns `text` with every secret replaced. If it was truncated (`cut`), an incomplete secret at its end is
    /// removed too.
    fn replace(&self, text: &str, cut: bool) -> String {
        let bytes = text.as_bytes();
        let mut starts = [false; 256];
        for byte in 0..=u8::MAX {
            starts[usize::from(byte)] = self.forms.iter().any(|form| forms::may_begin(byte, form[0]));
        }
        let mut out = String::with_capacity(text.len());
        let (mut done, mut at) = (0, 0);
        while at < bytes.len() {
            if !starts[usize::from(bytes[at])] {
                at += 1;
                continue;
            }
            let rest = &bytes[at..];
            let found = self.forms.iter().filter(|form| forms::may_begin(rest[0], form[0]));
            let found: Vec<Found> = found.filter_map(|form| forms::find(rest, form)).collect();
            let longest = found.iter().filter_map(|found| match found {
                Found::Whole(length) => Some(*length),
                Found::Beginning => None,
            });
            if let Some(length) = longest.max().filter(|length| text.is_char_boundary(at + length)) {
                out.push_str(&text[done..at]);
                out.push_str(HIDDEN);
                at += length;
                done = at;
            } else if cut && found.contains(&Found::Beginning) {
                out.push_str(&text[done..at]);
                return out;
            } else {
                at += 1;
            }
        }
        out.push_str(&text[done..]);
        out
    }

    /// Returns the first `limit` bytes of `bytes` as readable text, without secrets.
    #[cfg(feature = "http")]
    pub(crate) fn excerpt(&self, bytes: &[u8], limit: usize) -> String {
        let longest = self.forms.iter().map(|form| form.len()).max().unwrap_or_default();
        // The replacement may be shorter than the secret, so more than `limit` bytes are needed.
        let window = &bytes[..bytes.len().min(2 * limit + 2 * longest)];
        let mut text = self.replace(&String::from_utf8_lossy(window), window.len() < bytes.len());
        text.truncate(text.floor_char_boundary(limit));
        text
    }
}

impl fmt::Debug for Secrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(HIDDEN)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn secrets(list: &[&str]) -> Secrets {
        let mut secrets = Secrets::default();
        for secret in list {
            secrets.add(*secret);
        }
        secrets
    }

    #[test]
    fn every_occurrence_is_replaced_longer_secrets_first() {
        let secrets = secrets(&["sk-key", "sk-key-and-more"]);
        assert_eq!(secrets.scrub("a sk-key-and-more b sk-key c"), "a *** b *** c");
    }

    #[test]
    fn short_values_are_left_alone() {
        assert_eq!(secrets(&["abc"]).scrub("abc"), "abc");
    }

    #[test]
    fn every_spelling_is_found() {
        let hidden = secrets(&["pa ss/w\"or\\d+é=1"]);
        for text in [
            "pa ss/w\"or\\d+é=1",
            "PA SS/W\"OR\\D+é=1",
            "pa%20ss%2Fw%22or%5Cd%2B%C3%A9%3D1",
            "pa%20ss%2fw%22or%5cd%2b%c3%a9%3d1",
            "pa+ss%2Fw%22or%5Cd%2B%C3%A9%3D1",
            "pa%2520ss%252Fw%2522or%255Cd%252B%25C3%25A9%253D1",
            r#"pa ss\/w\"or\\d+\u00e9=1"#,
            r#"pa ss/w\"or\\d+é\u003D1"#,
            r#"pa ss\\\/w\\\"or\\\\d+\\u00E9=1"#,
            "pa ss/w&quot;or\\d+&#233;&#x3d;1",
        ] {
            assert_eq!(hidden.scrub(&format!("<{text}>")), "<***>", "{text}");
        }
        assert_eq!(hidden.scrub("pa ss/word is no secret"), "pa ss/word is no secret");
    }

    #[test]
    fn a_percent_sign_may_be_the_secrets_own() {
        let hidden = secrets(&["100%25 sure"]);
        for text in ["100%25 sure", "100%2525%20sure", "100%2525+sure"] {
            assert_eq!(hidden.scrub(text), "***", "{text}");
        }
    }

    #[test]
    fn base64_is_found_wherever_it_falls() {
        use base64::Engine as _;
        let hidden = secrets(&["sesame-open-now"]);
        for user in ["", "a", "ab", "abc", "abcd"] {
            let text =
                base64::engine::general_purpose::STANDARD.encode(format!("{user}:sesame-open-now:{user}"));
            let scrubbed = hidden.scrub(&text);
            assert!(scrubbed.contains(HIDDEN), "{text}");
            assert!(scrubbed.len() < user.len() * 4 + 12, "{scrubbed}");
        }
    }

    #[cfg(feature = "http")]
    #[test]
    fn no_part_of_a_secret_survives_at_the_cut() {
        let secrets = secrets(&["SECRETSECRETSECRET"]);
        for lead in 0..80 {
            for copies in 1..6 {
                let body = "x".repeat(lead) + &"SECRETSECRETSECRET".repeat(copies) + &"y".repeat(100);
                let excerpt = secrets.excerpt(body.as_bytes(), 32);
                assert!(!excerpt.contains('S') && excerpt.len() <= 32, "{lead} {copies}: {excerpt}");
            }
        }
    }

    #[cfg(feature = "http")]
    #[test]
    fn cuts_fall_between_characters() {
        assert_eq!(secrets(&[]).excerpt("ééé".as_bytes(), 3), "é");
    }

    /// Returns the secret with each character in one of its encodings, selected by `choices`.
    fn spelt(secret: &str, choices: &[u8]) -> String {
        use std::fmt::Write as _;
        let mut text = String::new();
        for (index, c) in secret.chars().enumerate() {
            let mut bytes = [0; 4];
            let bytes = c.encode_utf8(&mut bytes).as_bytes();
            match choices[index % choices.len()] % 7 {
                0 => bytes.iter().for_each(|byte| write!(text, "%{byte:02X}").unwrap()),
                1 => bytes.iter().for_each(|byte| write!(text, "%{byte:02x}").unwrap()),
                2 => {
                    let mut units = [0; 2];
                    c.encode_utf16(&mut units).iter().for_each(|unit| write!(text, "\\u{unit:04x}").unwrap());
                }
                3 => write!(text, "&#{};", u32::from(c)).unwrap(),
                4 => bytes.iter().for_each(|byte| write!(text, "%25{byte:02X}").unwrap()),
                _ if matches!(c, '"' | '\\' | '/') => write!(text, "\\{c}").unwrap(),
                _ => text.push(c),
            }
        }
        text
    }

    proptest! {
        #[test]
        fn no_mixture_of_spellings_gets_through(
            secret in r#"[a-zA-Z0-9 ./%&+=_"\\é😀-]{6,30}"#,
            choices in prop::collection::vec(any::<u8>(), 1..8),
        ) {
            prop_assume!(secret.trim().len() >= 6 && secret.trim() == secret);
            let text = format!("[{}]", spelt(&secret, &choices));
            let scrubbed = secrets(&[&secret]).scrub(&text);
            prop_assert!(scrubbed.contains(HIDDEN) && scrubbed.len() <= 8, "{} {}", text, scrubbed);
        }

        #[test]
        fn any_text_is_taken(text in r"[\\%&#;u0-9a-fsk -]{0,60}") {
            secrets(&["sk-abc%25\\u00", "a&b c d"]).scrub(&text);
        }
    }
}
