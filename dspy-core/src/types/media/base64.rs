//! Base64 as used in `data:` URIs.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;

/// Appends `bytes` in base64 with padding.
pub(super) fn encode(out: &mut String, bytes: &[u8]) {
    BASE64_STANDARD.encode_string(bytes, out);
}

/// Returns the number of decoded bytes, or `None` if the string is not base64.
pub(super) fn decoded_len(text: &str) -> Option<usize> {
    let body = text.trim_end_matches('=');
    let padding = text.len() - body.len();
    let whole = text.len().is_multiple_of(4) && padding <= 2;
    (whole && body.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/')))
        .then(|| text.len() / 4 * 3 - padding)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn known_texts() {
        for (plain, coded) in [
            ("", ""),
            ("f", "Zg=="),
            ("fo", "Zm8="),
            ("foo", "Zm9v"),
            ("foob", "Zm9vYg=="),
            ("\u{3ff}", "z78="),
        ] {
            let mut out = String::new();
            encode(&mut out, plain.as_bytes());
            assert_eq!(out, coded);
        }
        for bad in ["Z", "Zg=", "Zg===", "Z===", "Zm9v!", "Zm 9", "=Zg="] {
            assert_eq!(decoded_len(bad), None, "{bad}");
        }
    }

    proptest! {
        #[test]
        fn lengths_agree(bytes in prop::collection::vec(any::<u8>(), 0..40)) {
            let mut out = String::new();
            encode(&mut out, &bytes);
            prop_assert_eq!(decoded_len(&out), Some(bytes.len()));
        }
    }
}
