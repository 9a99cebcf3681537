//! Streamed replies.

use std::fmt;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};
use std::time::Instant;

use futures_util::Stream;
use tokio::sync::mpsc;

use super::driven::Driven;
use crate::types::delta_log::DeltaLog;
use crate::{LmError, Response};

/// A piece of a streamed reply. If several completions are sampled, only the first is streamed.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Delta {
    /// More of the text.
    Text(String),
    /// More of the reasoning that the endpoint returns beside the reply.
    Reasoning(String),
    /// A restart of the reply, because the connection was lost and the request was sent again: discard all
    /// earlier pieces.
    Restart,
}

/// The receiver to which a model sends the pieces of a streamed reply.
pub struct DeltaSink {
    outlet: Outlet,
    used: AtomicBool,
    first: OnceLock<Instant>,
}

enum Outlet {
    /// One reader; the model waits for it.
    Reader(mpsc::Sender<Delta>),
    /// Any number of readers, each at its own pace.
    Log(Arc<DeltaLog>),
}

impl DeltaSink {
    pub(crate) fn new(sender: mpsc::Sender<Delta>) -> Self {
        Self::to(Outlet::Reader(sender))
    }

    pub(crate) fn to_log(log: Arc<DeltaLog>) -> Self {
        Self::to(Outlet::Log(log))
    }

    fn to(outlet: Outlet) -> Self {
        DeltaSink { outlet, used: AtomicBool::new(false), first: OnceLock::new() }
    }

    /// Sends a piece. Waits while the reader is behind; does nothing if the reader has been dropped.
    pub async fn send(&self, delta: Delta) {
        let used = !matches!(delta, Delta::Restart);
        self.used.store(used, Ordering::Relaxed);
        if used {
            self.first.get_or_init(Instant::now);
        }
        match &self.outlet {
            // An error means that the reader was dropped; the model may still finish its reply.
            Outlet::Reader(sender) => drop(sender.send(delta).await),
            Outlet::Log(log) => log.push(delta),
        }
    }

    /// Returns whether any piece was sent.
    pub(crate) fn is_used(&self) -> bool {
        self.used.load(Ordering::Relaxed)
    }

    /// Returns the time of the first piece.
    pub(crate) fn first(&self) -> Option<Instant> {
        self.first.get().copied()
    }

    /// Sends the whole reply if no piece was sent, because the model does not stream or a layer had the
    /// answer.
    pub(crate) async fn catch_up(&self, response: &Response) {
        let Some(first) = response.completions.first().filter(|_| !self.is_used()) else {
            return;
        };
        if let Some(reasoning) = &first.reasoning {
            self.send(Delta::Reasoning(reasoning.clone())).await;
        }
        if !first.text.is_empty() {
            self.send(Delta::Text(first.text.clone())).await;
        }
    }

    /// Starts a reply. If pieces of an earlier attempt were sent, sends [`Delta::Restart`].
    pub async fn begin(&self) {
        if self.is_used() {
            self.send(Delta::Restart).await;
        }
    }
}

impl fmt::Debug for DeltaSink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DeltaSink").finish_non_exhaustive()
    }
}

/// A streamed reply, created by [`Lm::stream`](crate::Lm::stream). Dropping it cancels the request.
///
/// ```
/// use dspy_lm::{Delta, Lm, Message, Request};
/// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
/// let lm = Lm::scripted(["Paris"]);
/// let mut reply = lm.stream(Request::new(vec![Message::user("Capital of France?")]));
/// while let Some(delta) = reply.next().await {
///     if let Delta::Text(text) = delta {
///         print!("{text}");
///     }
/// }
/// assert_eq!(reply.finish().await?.completions[0].text, "Paris");
/// # Ok::<(), dspy_lm::LmError>(()) }).unwrap();
/// ```
#[derive(Debug)]
pub struct LmStream<'a>(pub(crate) Driven<'a, Delta, Result<Response, LmError>>);

impl LmStream<'_> {
    /// Returns the next piece; `None` at the end of the reply and after a failure.
    pub async fn next(&mut self) -> Option<Delta> {
        self.0.next().await
    }

    /// Waits for the whole answer and returns it with its usage.
    ///
    /// # Errors
    /// The error of the model or its layers.
    pub async fn finish(self) -> Result<Response, LmError> {
        self.0.finish().await
    }
}

impl Stream for LmStream<'_> {
    type Item = Delta;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Delta>> {
        self.0.poll_next(cx)
    }
}
