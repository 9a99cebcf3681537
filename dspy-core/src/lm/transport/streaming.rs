//! Replies as a stream of server-sent events.

use std::io::Cursor;
use std::time::Duration;

use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use reqwest::header::CONTENT_TYPE;
use sse_stream::SseByteStream;

use super::retry::Failed;
use super::{Answer, BODY_LIMIT, Failure, Incoming, Outgoing, Transport, too_large};
use crate::lm::{Delta, DeltaSink, LmError, LmErrorKind, Response};

/// Reads the events of one streamed reply.
pub(in crate::lm) trait Events: Send {
    /// Takes in the data of one event and adds what it says to `deltas`. True if it was the last one.
    fn read(&mut self, data: &str, deltas: &mut Vec<Delta>) -> Result<bool, Failure>;

    /// The answer, once the stream has ended.
    fn finish(self, answer: &Answer) -> Result<Response, Failure>;
}

impl Transport {
    /// Posts a JSON body and reads the answer while it arrives, again and again where that may help. A server that
    /// does not stream after all is read by `whole`.
    pub(in crate::lm) async fn stream<E: Events>(
        &self,
        outgoing: Outgoing,
        sink: &DeltaSink,
        events: impl Fn() -> E,
        whole: impl Fn(&Answer) -> Result<Response, Failure>,
    ) -> Result<Response, LmError> {
        let Outgoing { body, estimate } = outgoing;
        let (request, events, whole) = (&self.request(&self.stream_url, body), &events, &whole);
        let attempt = |time: Duration| async move {
            let incoming = self.send(request, time).await?;
            sink.begin().await;
            self.receive(incoming, sink, events(), whole).await
        };
        self.repeat(estimate, attempt).await
    }

    async fn receive<E: Events>(
        &self,
        mut incoming: Incoming,
        sink: &DeltaSink,
        mut events: E,
        whole: impl Fn(&Answer) -> Result<Response, Failure>,
    ) -> Result<Response, Failed> {
        let headers = incoming.response.headers();
        let kind = headers.get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
        let streamed = incoming.response.status().is_success() && kind.starts_with("text/event-stream");
        if !streamed || incoming.encoding.is_some() {
            self.read_body(&mut incoming).await?;
            return self.judge(incoming.answer, whole);
        }
        let Incoming { answer, response, .. } = incoming;
        let fail = |failure: Failure, hopeless| Failed {
            error: self.error(failure, Some(&answer)).into(),
            hopeless,
        };
        let mut received = 0;
        // Some servers end without the blank line that ends an event.
        let end = stream::once(async { Ok(Cursor::new(b"\n\n".to_vec())) });
        let idle = self.idle_timeout;
        let chunks = stream::try_unfold(response, move |mut response| async move {
            let chunk = match idle {
                None => response.chunk().await,
                // Only bytes count: a comment keeps a stream alive that has no event yet.
                Some(idle) => {
                    tokio::time::timeout(idle, response.chunk()).await.map_err(|_| Broken::Idle(idle))?
                }
            };
            Ok(chunk.map_err(Broken::Exchange)?.map(|chunk| (chunk, response)))
        });
        let chunks = chunks.map(|chunk| {
            let chunk = chunk?;
            received += chunk.len();
            if received > BODY_LIMIT { Err(Broken::Large) } else { Ok(Cursor::new(chunk.to_vec())) }
        });
        let mut stream = std::pin::pin!(SseByteStream::new(chunks.chain(end)));
        let mut deltas = Vec::new();
        loop {
            let event = match stream.try_next().await {
                Ok(Some(event)) => event,
                Ok(None) => break,
                Err(sse_stream::Error::Body(error)) => {
                    return Err(match error.downcast::<Broken>().map(|broken| *broken) {
                        Ok(Broken::Exchange(error)) => self.broken(&error),
                        Ok(Broken::Large) => fail(too_large(), true),
                        Ok(idle @ Broken::Idle(_)) => {
                            fail(Failure::new(LmErrorKind::Timeout, idle.to_string()), false)
                        }
                        Err(error) => fail(Failure::new(LmErrorKind::Transport, error.to_string()), false),
                    });
                }
                Err(error) => return Err(fail(Failure::new(LmErrorKind::Decode, error.to_string()), false)),
            };
            let Some(data) = event.data.filter(|data| !data.is_empty()) else { continue };
            let last = events.read(&data, &mut deltas).map_err(|failure| fail(failure, false))?;
            for delta in deltas.drain(..) {
                sink.send(delta).await;
            }
            if last {
                break;
            }
        }
        events.finish(&answer).map_err(|failure| fail(failure, false))
    }
}

/// Why the bytes of a stream end early.
#[derive(Debug, thiserror::Error)]
enum Broken {
    #[error("the reply is too large")]
    Large,
    #[error("the reply stopped in the middle: not a byte for {0:?}")]
    Idle(Duration),
    #[error(transparent)]
    Exchange(reqwest::Error),
}
