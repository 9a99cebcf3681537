//! Base64, as `data:` URIs hold it.

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// Appends `bytes` in base64 with padding.
pub(super) fn encode(out: &mut String, bytes: &[u8]) {
    out.reserve(bytes.len().div_ceil(3) * 4);
    for chunk in bytes.chunks(3) {
        let byte = |index: usize| u32::from(chunk.get(index).copied().unwrap_or_default());
        let bits = byte(0) << 16 | byte(1) << 8 | byte(2);
        for index in 0..4 {
            let sextet = (bits >> (18 - 6 * index)) & 63;
            out.push(if index <= chunk.len() { ALPHABET[sextet as usize] as char } else { '=' });
        }
    }
}

/// How many bytes the text stands for; nothing if it is not base64.
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
