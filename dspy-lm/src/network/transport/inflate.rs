//! Decompression of error bodies, which some servers compress although the request does not allow it.

use zune_inflate::{DeflateDecoder, DeflateOptions};

/// Decompresses at most `limit` bytes; returns nothing if the encoding is unknown or the data is damaged.
pub(super) fn inflate(encoding: &str, compressed: &[u8], limit: usize) -> Option<Vec<u8>> {
    let options = DeflateOptions::default().set_limit(limit).set_size_hint(limit.min(4 * compressed.len()));
    let read = |bytes| DeflateDecoder::new_with_options(bytes, options);
    match encoding.to_ascii_lowercase().as_str() {
        "gzip" | "x-gzip" => read(compressed).decode_gzip().ok(),
        // A zlib header of two bytes comes first, unless the server sends raw deflate data.
        "deflate" => compressed
            .get(2..)
            .and_then(|rest| read(rest).decode_deflate().ok())
            .or_else(|| read(compressed).decode_deflate().ok()),
        _ => None,
    }
}
