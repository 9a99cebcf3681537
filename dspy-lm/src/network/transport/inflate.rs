//! Error bodies that are compressed although nobody asked for it.

use zune_inflate::{DeflateDecoder, DeflateOptions};

/// The bytes that `compressed` stands for, at most `limit`; nothing if the encoding is not known, or they are damaged.
pub(super) fn inflate(encoding: &str, compressed: &[u8], limit: usize) -> Option<Vec<u8>> {
    let options = DeflateOptions::default().set_limit(limit).set_size_hint(limit.min(4 * compressed.len()));
    let read = |bytes| DeflateDecoder::new_with_options(bytes, options);
    match encoding.to_ascii_lowercase().as_str() {
        "gzip" | "x-gzip" => read(compressed).decode_gzip().ok(),
        // Two bytes of zlib stand before it, unless a server has misunderstood the name.
        "deflate" => compressed
            .get(2..)
            .and_then(|rest| read(rest).decode_deflate().ok())
            .or_else(|| read(compressed).decode_deflate().ok()),
        _ => None,
    }
}
