//! Replies as a stream of server-sent events.

use std::io::Cursor;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use futures_util::{Stream, StreamExt as _, TryStreamExt as _, stream};
use reqwest::header::CONTENT_TYPE;
use sse_stream::{Sse, SseByteStream};

use super::retry::Failed;
use super::{Answer, BODY_LIMIT, EXCERPT, FAILURE_LIMIT, Failure, Incoming, Outgoing, Transport, too_large};
use crate::{Delta, DeltaSink, LmError, LmErrorKind, Response};
use dspy_base::locks::MutexExt as _;

/// A decoder for the events of one streamed reply.
pub(crate) trait Events: Send {
    /// Decodes the data of one event and appends its content to `deltas`. Returns true for the last event.
    fn read(&mut self, data: &str, deltas: &mut Vec<Delta>) -> Result<bool, Failure>;

    /// Returns the answer after the end of the stream.
    fn finish(self, answer: &Answer) -> Result<Response, Failure>;
}

impl Transport {
    /// Posts a JSON body and decodes the answer while it arrives; retries after transient failures. The reply of a
    /// server that does not stream is decoded by `whole`.
    pub(crate) async fn stream<E: Events>(
        &self,
        outgoing: Outgoing,
        sink: &DeltaSink,
        events: impl Fn() -> E,
        whole: impl Fn(&Answer) -> Result<Response, Failure>,
    ) -> Result<Response, LmError> {
        let Outgoing { body, estimate } = outgoing;
        let (body, events, whole) = (&Bytes::from(body), &events, &whole);
        let attempt = |time: Duration| async move {
            let incoming = self.execute(self.request(&self.stream_url, body.clone()), time).await?;
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
        let kind = incoming.answer.header(&CONTENT_TYPE).unwrap_or_default();
        let is_stream = kind.trim_start().to_ascii_lowercase().starts_with("text/event-stream");
        let streamed = incoming.response.status().is_success() && is_stream;
        if !streamed || incoming.encoding.is_some() {
            self.read_body(&mut incoming).await?;
            return self.judge(incoming.answer, whole);
        }
        let Incoming { mut answer, response, .. } = incoming;
        let mut received = 0;
        let head = Head::default();
        // Some servers end without the blank line that terminates an event.
        let end = stream::once(async { Ok(Cursor::new(b"\n\n".to_vec())) });
        let idle = self.idle_timeout;
        let chunks = stream::try_unfold(response, move |mut response| async move {
            let chunk = match idle {
                None => response.chunk().await,
                // The idle time is measured by bytes: a comment keeps a stream alive before the first event.
                Some(idle) => {
                    tokio::time::timeout(idle, response.chunk()).await.map_err(|_| Broken::Idle(idle))?
                }
            };
            Ok(chunk.map_err(Broken::Exchange)?.map(|chunk| (chunk, response)))
        });
        let chunks = chunks.map(|chunk| {
            let chunk = chunk?;
            received += chunk.len();
            head.keep(&chunk);
            if received > BODY_LIMIT { Err(Broken::Large) } else { Ok(Cursor::new(chunk.to_vec())) }
        });
        let ended = read_events(SseByteStream::new(chunks.chain(end)), sink, &mut events, &head).await;
        let Start { bytes, closed } = head.0.into_inner().unwrap_or_else(PoisonError::into_inner);
        answer.body = bytes;
        let failed = match ended {
            Ok(()) if !closed && answer.is_bare() => return self.judge(answer, whole),
            Ok(()) => match events.finish(&answer) {
                Ok(response) => return Ok(response),
                Err(failure) => Broken::Failed(failure),
            },
            Err(broken) => broken,
        };
        let (failure, hopeless) = match failed {
            Broken::Exchange(error) => return Err(self.broken(&error)),
            Broken::Large => (too_large(), true),
            Broken::Failed(failure) => (failure, false),
            idle @ Broken::Idle(_) => (Failure::new(LmErrorKind::Timeout, idle.to_string()), false),
        };
        Err(Failed { error: self.error(failure, Some(&answer)).into(), hopeless })
    }
}

/// Decodes events to the end of the reply.
async fn read_events<E: Events>(
    stream: impl Stream<Item = Result<Sse, sse_stream::Error>>,
    sink: &DeltaSink,
    events: &mut E,
    head: &Head,
) -> Result<(), Broken> {
    let mut stream = std::pin::pin!(stream);
    let mut deltas = Vec::new();
    loop {
        let event = match stream.try_next().await {
            Ok(Some(event)) => event,
            Ok(None) => return Ok(()),
            Err(sse_stream::Error::Body(error)) => {
                return Err(match error.downcast::<Broken>() {
                    Ok(broken) => *broken,
                    Err(error) => Broken::Failed(Failure::new(LmErrorKind::Transport, error.to_string())),
                });
            }
            Err(error) => return Err(Broken::Failed(Failure::new(LmErrorKind::Decode, error.to_string()))),
        };
        let data = event.data.unwrap_or_default();
        // The event's name marks it as an error, regardless of its data and of the events after it.
        if event.event.as_deref().is_some_and(|name| name.trim().eq_ignore_ascii_case("error")) {
            return Err(Broken::Failed(Failure::of_event(&data)));
        }
        if data.is_empty() {
            continue;
        }
        head.close();
        let last = events.read(&data, &mut deltas).map_err(Broken::Failed)?;
        for delta in deltas.drain(..) {
            sink.send(delta).await;
        }
        if last {
            return Ok(());
        }
    }
}

/// The first bytes of a stream, for error messages. Until the first event everything is kept, because the body may
/// turn out to be a plain reply.
#[derive(Debug, Default)]
struct Head(Mutex<Start>);

#[derive(Debug, Default)]
struct Start {
    bytes: Vec<u8>,
    closed: bool,
}

impl Head {
    fn keep(&self, chunk: &[u8]) {
        let start = &mut *self.0.lock_any();
        let limit = if start.closed { EXCERPT } else { FAILURE_LIMIT };
        let room = limit.saturating_sub(start.bytes.len());
        start.bytes.extend_from_slice(&chunk[..chunk.len().min(room)]);
    }

    /// Records that an event has arrived.
    fn close(&self) {
        self.0.lock_any().closed = true;
    }
}

impl Answer {
    /// Returns whether the body is a plain reply instead of a stream of events.
    fn is_bare(&self) -> bool {
        let body = self.body.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(&self.body);
        matches!(body.trim_ascii_start().first(), Some(b'{' | b'[' | b'<'))
    }
}

/// The reason for an early end of a stream's bytes.
#[derive(Debug, thiserror::Error)]
enum Broken {
    #[error("the reply is too large")]
    Large,
    #[error("the reply stopped in the middle: not a byte for {0:?}")]
    Idle(Duration),
    #[error(transparent)]
    Exchange(reqwest::Error),
    #[error("{}", .0.message)]
    Failed(Failure),
}
