//! Keys, and the means to keep them out of everything that people read.

use std::fmt;
use std::sync::Arc;

/// A key or token. It is sent to the endpoint and shown nowhere: `Debug` prints `***`.
///
/// ```
/// use dspy_core::lm::Secret;
/// assert_eq!(format!("{:?}", Secret::from("sk-very-private")), "***");
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Arc<str>);

impl Secret {
    #[cfg(feature = "http")]
    pub(crate) fn expose(&self) -> &str {
        &self.0
    }
}

impl From<&str> for Secret {
    /// Takes the key without the white space around it, as key files tend to end in a newline.
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
        f.write_str("***")
    }
}

/// What must not appear in errors and logs of one endpoint.
#[cfg(feature = "http")]
#[derive(Debug, Default)]
pub(super) struct Secrets(Vec<Secret>);

#[cfg(feature = "http")]
impl Secrets {
    /// Shorter values occur in ordinary text; hiding them would only garble messages.
    const SHORTEST: usize = 6;

    pub(super) fn add(&mut self, secret: impl Into<Secret>) {
        let secret = secret.into();
        if secret.expose().len() >= Self::SHORTEST && !self.0.contains(&secret) {
            self.0.push(secret);
            // A secret that contains another one has to be replaced first.
            self.0.sort_by_key(|secret| std::cmp::Reverse(secret.expose().len()));
        }
    }

    /// `text` with every secret replaced.
    pub(super) fn scrub(&self, text: &str) -> String {
        self.0.iter().fold(text.to_owned(), |text, secret| text.replace(secret.expose(), "***"))
    }

    /// The first `limit` bytes of `bytes` as readable text, without secrets.
    pub(super) fn excerpt(&self, bytes: &[u8], limit: usize) -> String {
        let longest = self.0.first().map_or(0, |secret| secret.expose().len());
        let window = &bytes[..bytes.len().min(2 * limit + longest)];
        let mut text = self.scrub(&String::from_utf8_lossy(window));
        if window.len() < bytes.len() {
            // The end of the window may hold a part of a secret, too short to be recognised.
            let end = text.len().saturating_sub(longest);
            truncate(&mut text, end);
        }
        truncate(&mut text, limit);
        text
    }
}

/// Shortens `text` to at most `limit` bytes without splitting a character.
#[cfg(feature = "http")]
fn truncate(text: &mut String, limit: usize) {
    text.truncate(text.floor_char_boundary(limit));
}

#[cfg(all(test, feature = "http"))]
mod tests {
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

    #[test]
    fn cuts_fall_between_characters() {
        assert_eq!(secrets(&[]).excerpt("ééé".as_bytes(), 3), "é");
    }
}
