//! A file as a multipart form body, sent in pieces so that it is in memory only once.

use std::convert::Infallible;
use std::sync::Arc;

use futures_util::stream;
use reqwest::Body;

use dspy_lm::internal::Payload;

/// The size of a piece in bytes.
const PIECE: usize = 64 << 10;

/// Creates a form with the purpose and the file.
pub(super) fn form(purpose: &str, name: &str, content: &Arc<[u8]>) -> Payload {
    let boundary = boundary(content);
    let head = format!(
        "--{boundary}\r\ncontent-disposition: form-data; name=\"purpose\"\r\n\r\n{purpose}\r\n\
         --{boundary}\r\ncontent-disposition: form-data; name=\"file\"; filename=\"{}\"\r\n\
         content-type: application/jsonl\r\n\r\n",
        name.replace(|c: char| c.is_control() || matches!(c, '"' | '\\'), "_"),
    );
    let tail = format!("\r\n--{boundary}--\r\n");
    let length = (head.len() + content.len() + tail.len()) as u64;
    let middle = (0..content.len().div_ceil(PIECE)).map({
        let content = content.clone();
        move |index| content[index * PIECE..((index + 1) * PIECE).min(content.len())].to_vec()
    });
    let pieces = std::iter::once(head.into_bytes()).chain(middle).chain([tail.into_bytes()]);
    let body = Body::wrap_stream(stream::iter(pieces.map(Ok::<_, Infallible>)));
    Payload { content_type: format!("multipart/form-data; boundary={boundary}"), length, body }
}

/// Returns a boundary line that does not occur in the content, because it contains a digest of it.
fn boundary(content: &[u8]) -> String {
    format!("dspy-{}", &blake3::hash(content).to_hex()[..32])
}
