//! Work that sends pieces of its result while it runs.

use std::fmt;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::sync::mpsc;

/// The capacity of the channel: the work waits while this many pieces are unread.
const WAITING: usize = 32;

/// A future and the pieces that it sends while it runs. It makes progress only when polled, and is cancelled
/// by dropping it.
pub struct Driven<'a, T, R> {
    pieces: mpsc::Receiver<T>,
    work: Work<'a, R>,
}

enum Work<'a, R> {
    Running(Pin<Box<dyn Future<Output = R> + Send + 'a>>),
    Done(R),
}

// No field is pinned in place.
impl<T, R> Unpin for Driven<'_, T, R> {}

impl<'a, T, R> Driven<'a, T, R> {
    /// Creates the work from the sender for its pieces.
    pub fn new<F>(start: impl FnOnce(mpsc::Sender<T>) -> F) -> Self
    where
        F: Future<Output = R> + Send + 'a,
    {
        let (sender, pieces) = mpsc::channel(WAITING);
        Driven { pieces, work: Work::Running(Box::pin(start(sender))) }
    }

    /// Polls for the next piece, as [`next`](Self::next) does, for implementations of `Stream`.
    pub fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<T>> {
        if let Poll::Ready(Some(piece)) = self.pieces.poll_recv(cx) {
            return Poll::Ready(Some(piece));
        }
        if let Work::Running(work) = &mut self.work
            && let Poll::Ready(outcome) = work.as_mut().poll(cx)
        {
            self.work = Work::Done(outcome);
        }
        // Pieces that the work has just sent are returned by this poll.
        match (self.pieces.try_recv(), &self.work) {
            (Ok(piece), _) => Poll::Ready(Some(piece)),
            (Err(_), Work::Done(_)) => Poll::Ready(None),
            (Err(_), Work::Running(_)) => Poll::Pending,
        }
    }

    /// Returns the next piece; `None` when the work is done.
    pub async fn next(&mut self) -> Option<T> {
        poll_fn(|cx| self.poll_next(cx)).await
    }

    /// Runs the work to its end and discards unread pieces.
    pub async fn finish(mut self) -> R {
        while self.next().await.is_some() {}
        match self.work {
            Work::Done(outcome) => outcome,
            Work::Running(work) => work.await,
        }
    }
}

impl<T, R> fmt::Debug for Driven<'_, T, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let done = matches!(self.work, Work::Done(_));
        f.debug_struct("Driven").field("done", &done).finish_non_exhaustive()
    }
}
