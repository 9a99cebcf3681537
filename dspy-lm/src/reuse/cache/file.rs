//! The file of one answer: readable JSON, with a digest at its end by which damage is detected.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::key::Key;
use crate::Response;

/// The version of the file format. Files of other versions are not read.
const VERSION: u32 = 1;
/// The bytes before the digest.
const SEAL: &[u8] = b",\n  \"blake3\": \"";
const END: &[u8] = b"\"\n}\n";
const DIGEST: usize = 64;

/// The written members of the file.
#[derive(Debug, Serialize)]
pub(super) struct Sheet<'a> {
    dspy_cache: u32,
    key: String,
    model: &'a str,
    endpoint: &'a str,
    /// The date of the answer, for people.
    date: String,
    /// The date of the answer, in milliseconds since 1970.
    at: u64,
    /// The digest of the request.
    digest: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    request: Option<Value>,
    response: &'a Response,
}

impl<'a> Sheet<'a> {
    pub(super) fn new(
        key: Key,
        model: &'a str,
        endpoint: &'a str,
        digest: String,
        response: &'a Response,
        at: u64,
    ) -> Self {
        Sheet {
            dspy_cache: VERSION,
            key: key.to_string(),
            model,
            endpoint,
            date: date(at),
            at,
            digest,
            request: None,
            response,
        }
    }

    /// Sets the request to store with the answer.
    #[must_use]
    pub(super) fn asking(mut self, request: Option<Value>) -> Self {
        self.request = request;
        self
    }

    pub(super) fn write(&self) -> serde_json::Result<Vec<u8>> {
        let mut bytes = serde_json::to_vec_pretty(self)?;
        bytes.truncate(bytes.len() - b"\n}".len());
        let digest = blake3::hash(&bytes).to_hex();
        bytes.extend([SEAL, digest.as_bytes(), END].concat());
        Ok(bytes)
    }
}

/// The members of the file that are read.
#[derive(Debug, Deserialize)]
struct Read {
    dspy_cache: u32,
    key: String,
    at: u64,
    response: Response,
}

/// Returns the answer and its date if the file is undamaged and for this key.
pub(super) fn read(bytes: &[u8], key: Key) -> Option<(Response, u64)> {
    let sealed = bytes.strip_suffix(END)?;
    let (body, digest) = sealed.split_at_checked(sealed.len().checked_sub(DIGEST)?)?;
    let body = body.strip_suffix(SEAL)?;
    if blake3::hash(body).to_hex().as_bytes() != digest {
        return None;
    }
    let read: Read = serde_json::from_slice(bytes).ok()?;
    (read.dspy_cache == VERSION && Key::parse(&read.key) == Some(key)).then_some((read.response, read.at))
}

/// Formats a time as RFC 3339 in UTC.
fn date(ms: u64) -> String {
    let (days, second) = (ms / 86_400_000, ms / 1000 % 86_400);
    // Days are counted from the first of March of year 0, so that leap days come last.
    let days = days + 719_468;
    let (era, day) = (days / 146_097, days % 146_097);
    let year = (day - day / 1460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let (day, month) = (day - (153 * month + 2) / 5 + 1, if month < 10 { month + 3 } else { month - 9 });
    let year = era * 400 + year + u64::from(month <= 2);
    let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::{Completion, Lm, Message, Request, ToolCall, Usage};

    fn key() -> Key {
        Key::of(&Lm::builtin(), &Request::new(vec![Message::user("a")]), None)
    }

    fn response() -> Response {
        let call = ToolCall::new("f", serde_json::json!({"x": [1.5, "\u{0}é\n"]})).with_id("c1");
        let mut response =
            Response::text("first\nsecond \u{1F600}").with_usage(Usage::tokens(3, 4).at_cost(0.1));
        response.completions.push(Completion::new("").with_reasoning("why").calling([call]));
        response.model = "served".into();
        response
    }

    fn written() -> Vec<u8> {
        Sheet::new(key(), "m", "http://h/v1", "00".into(), &response(), 1_000).write().unwrap()
    }

    #[test]
    fn what_was_written_is_read() {
        assert_eq!(read(&written(), key()), Some((response(), 1_000)));
        let json: Value = serde_json::from_slice(&written()).unwrap();
        assert_eq!((&json["model"], &json["date"]), (&"m".into(), &"1970-01-01T00:00:01Z".into()));
    }

    #[test]
    fn dates() {
        for (ms, text) in [
            (0, "1970-01-01T00:00:00Z"),
            (951_782_400_000, "2000-02-29T00:00:00Z"),
            (1_764_547_199_999, "2025-11-30T23:59:59Z"),
            (4_107_542_400_000, "2100-03-01T00:00:00Z"),
        ] {
            assert_eq!(date(ms), text);
        }
    }

    #[test]
    fn another_key_or_version_is_not_read() {
        let other = Key::of(&Lm::builtin(), &Request::new(vec![Message::user("b")]), None);
        assert_eq!(read(&written(), other), None);
        let response = response();
        let mut sheet = Sheet::new(key(), "m", "", "00".into(), &response, 1);
        sheet.dspy_cache = VERSION + 1;
        assert_eq!(read(&sheet.write().unwrap(), key()), None);
    }

    #[test]
    fn every_cut_and_every_flipped_bit_is_noticed() {
        let whole = written();
        for end in 0..whole.len() {
            assert_eq!(read(&whole[..end], key()), None, "{end}");
        }
        for at in 0..whole.len() {
            let mut flipped = whole.clone();
            flipped[at] ^= 1 << (at % 8);
            assert_eq!(read(&flipped, key()), None, "{at}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_no_answer(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
            prop_assert_eq!(read(&bytes, key()), None);
            // The digest is valid, too.
            let digest = blake3::hash(&bytes).to_hex();
            prop_assert_eq!(read(&[&bytes[..], SEAL, digest.as_bytes(), END].concat(), key()), None);
        }

        #[test]
        fn any_json_is_no_answer(text in "[\\[\\]{}\",:0-9a-z \n]{0,200}") {
            let body = format!("{{\n  \"dspy_cache\": 1,\n  \"x\": {text}");
            let digest = blake3::hash(body.as_bytes()).to_hex();
            prop_assert_eq!(read(&[body.as_bytes(), SEAL, digest.as_bytes(), END].concat(), key()), None);
        }
    }
}
