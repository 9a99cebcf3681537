//! A file as a multipart form body, sent without a copy of it.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::Frame;
use reqwest::Body;

use dspy_lm::internal::Payload;

/// A body of several pieces.
struct Pieces(std::vec::IntoIter<Bytes>);

impl http_body::Body for Pieces {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        Poll::Ready(self.0.next().map(|piece| Ok(Frame::data(piece))))
    }
}

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
    let pieces = vec![Bytes::from(head), Bytes::from_owner(content.clone()), Bytes::from(tail)];
    let body = Body::wrap(Pieces(pieces.into_iter()));
    Payload { content_type: format!("multipart/form-data; boundary={boundary}"), length, body }
}

/// Returns a boundary line that does not occur in the content, because it contains a digest of it.
fn boundary(content: &[u8]) -> String {
    format!("dspy-{}", &blake3::hash(content).to_hex()[..32])
}
