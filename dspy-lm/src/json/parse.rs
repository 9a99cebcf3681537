//! Parsing of JSON that is not always valid.

use serde_json::Value;

const BOM: &[u8] = b"\xEF\xBB\xBF";

/// Parses a body or an event.
///
/// A byte order mark is skipped. If the text is invalid only because of half a surrogate pair, a raw control
/// character in a string, or a number that JSON cannot express, the half is read as U+FFFD, the character as itself,
/// and the number as `null`, so that one invalid member does not make the whole reply unreadable.
pub(crate) fn parse(bytes: &[u8]) -> serde_json::Result<Value> {
    let bytes = bytes.strip_prefix(BOM).unwrap_or(bytes);
    serde_json::from_slice(bytes).or_else(|error| {
        let repaired = repaired(bytes);
        repaired.and_then(|bytes| serde_json::from_slice(&bytes).ok()).ok_or(error)
    })
}

/// Returns the text with such parts replaced, if it has any.
fn repaired(bytes: &[u8]) -> Option<Vec<u8>> {
    let (mut out, mut at) = (Vec::with_capacity(bytes.len()), 0);
    let (mut in_string, mut changed) = (false, false);
    while let Some(&byte) = bytes.get(at) {
        let rest = &bytes[at..];
        let (length, instead) = match byte {
            b'\\' if in_string => escape(rest),
            0..0x20 if in_string => (1, Some(format!("\\u{byte:04x}"))),
            b'-' | b'0'..=b'9' | b'N' | b'I' if !in_string => number(rest),
            _ => (1, None),
        };
        in_string ^= byte == b'"';
        changed |= instead.is_some();
        out.extend_from_slice(instead.as_deref().map_or(&rest[..length], str::as_bytes));
        at += length;
    }
    changed.then_some(out)
}

/// Returns the length of the escape at the start of `text`, and the replacement for half a surrogate pair.
fn escape(text: &[u8]) -> (usize, Option<String>) {
    let unit = |at: usize| {
        let digits = text.get(at..at + 6)?.strip_prefix(b"\\u")?;
        u16::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()
    };
    match unit(0) {
        Some(0xD800..=0xDBFF) if matches!(unit(6), Some(0xDC00..=0xDFFF)) => (12, None),
        Some(0xD800..=0xDFFF) => (6, Some("\\ufffd".to_owned())),
        Some(_) => (6, None),
        None => (text.len().min(2), None),
    }
}

/// Returns the length of the number at the start of `text`, and the replacement for one that JSON cannot express.
fn number(text: &[u8]) -> (usize, Option<String>) {
    for name in [b"NaN".as_slice(), b"Infinity", b"-Infinity"] {
        if text.starts_with(name) {
            return (name.len(), Some("null".to_owned()));
        }
    }
    let of_number = |byte: &u8| matches!(byte, b'0'..=b'9' | b'+' | b'-' | b'.' | b'e' | b'E');
    let length = text.iter().position(|byte| !of_number(byte)).unwrap_or(text.len()).max(1);
    let value = std::str::from_utf8(&text[..length]).ok().and_then(|text| text.parse::<f64>().ok());
    (length, value.filter(|value| value.is_infinite()).map(|_| "null".to_owned()))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_nearly_json_is_read() {
        for (text, value) in [
            ("\u{feff}{\"a\": 1}", json!({"a": 1})),
            (
                r#"["x\ud83d", "\ude00y", "\ud83d\ude00", "\ud83dz\u0041"]"#,
                json!(["x\u{fffd}", "\u{fffd}y", "😀", "\u{fffd}zA"]),
            ),
            (r#"["\\ud83d", "\"\ud83d\""]"#, json!(["\\ud83d", "\"\u{fffd}\""])),
            ("[\"a\tb\nc\"]", json!(["a\tb\nc"])),
            (
                r#"{"a": NaN, "b": [-Infinity, Infinity], "c": 1e999, "d": -2.5e3}"#,
                json!({"a": null, "b": [null, null], "c": null, "d": -2500.0}),
            ),
            (r#"{"NaN": "NaN Infinity 1e999", "a": NaN}"#, json!({"NaN": "NaN Infinity 1e999", "a": null})),
        ] {
            assert_eq!(parse(text.as_bytes()).unwrap(), value, "{text}");
        }
    }

    #[test]
    fn what_is_no_json_stays_an_error() {
        for text in [
            "",
            "{",
            "[1,]",
            "{\"a\" 1}",
            "\"\\ud8",
            "\"\\ud83d",
            "[NaNa]",
            "{'a': NaN}",
            "nonsense",
            "[1 NaN]",
        ] {
            assert!(parse(text.as_bytes()).is_err(), "{text}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(500) })]

        /// Half a surrogate pair anywhere in a string changes only that position.
        #[test]
        fn half_a_pair_spoils_nothing_else(before in "\\PC{0,12}", half in 0xD800u16..=0xDFFF, after in "\\PC{0,12}") {
            let quoted = |text: &str| { let quoted = json!(text).to_string(); quoted[1..quoted.len() - 1].to_owned() };
            let text = format!("[\"{}\\u{half:04x}{}\"]", quoted(&before), quoted(&after));
            prop_assert_eq!(parse(text.as_bytes()).unwrap(), json!([format!("{before}\u{fffd}{after}")]));
        }

        #[test]
        fn nothing_panics(bytes in proptest::collection::vec(proptest::sample::select(b"\"\\u{}[]d8c0-1eNaInf.,:\t\xEF".as_slice()), 0..40)) {
            let _ = parse(&bytes);
        }
    }
}
