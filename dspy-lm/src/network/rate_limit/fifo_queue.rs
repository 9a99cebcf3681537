//! A queue in the order of arrival.

use std::sync::{Mutex, MutexGuard};
use std::time::Duration;

use tokio::sync::{Notify, Semaphore};
use tokio::time::Instant;

use super::NotAdmitted;
use dspy_base::locks::MutexExt as _;

/// Lets one caller after the other at a state, in the order in which they came. Callers wait in their own futures:
/// nothing is kept for them here, and one that is dropped has left the queue.
#[derive(Debug)]
pub(super) struct FifoQueue<S> {
    queue: Semaphore,
    state: Mutex<S>,
    /// Wakes the first of the queue to look again.
    changed: Notify,
}

/// What the state says to the first of the queue.
pub(super) enum Admission<T> {
    /// It may go.
    Go(T),
    /// It may try again then.
    At(Instant),
    /// It may try again after the next change.
    Later,
    /// It will not get in.
    No(NotAdmitted),
}

impl<S: Default> Default for FifoQueue<S> {
    fn default() -> Self {
        FifoQueue { queue: Semaphore::new(1), state: Mutex::default(), changed: Notify::new() }
    }
}

impl<S> FifoQueue<S> {
    pub(super) fn state(&self) -> MutexGuard<'_, S> {
        self.state.lock_any()
    }

    /// Has the first of the queue look again.
    pub(super) fn wake(&self) {
        self.changed.notify_one();
    }

    /// Waits for the turn and then for leave, if both come before `end`.
    pub(super) async fn pass<T>(
        &self,
        end: Instant,
        mut ask: impl FnMut(&mut S, Instant) -> Admission<T>,
    ) -> Result<T, NotAdmitted> {
        let _turn = match self.queue.try_acquire() {
            Ok(turn) => turn,
            // Boxed, like all that few requests need, so that the others stay small.
            Err(_) => Box::pin(tokio::time::timeout_at(end, self.queue.acquire()))
                .await
                .ok()
                .and_then(Result::ok)
                .ok_or(NotAdmitted::TooLate(None))?,
        };
        loop {
            let now = Instant::now();
            let verdict = ask(&mut self.state(), now);
            let until = match verdict {
                Admission::Go(leave) => return Ok(leave),
                Admission::No(refusal) => return Err(refusal),
                Admission::At(when) if when >= end => {
                    // A wait that outlasts the deadline is not worth starting.
                    return Err(NotAdmitted::TooLate(Some(when.saturating_duration_since(now))));
                }
                Admission::At(when) => when,
                Admission::Later if now >= end => return Err(NotAdmitted::TooLate(None)),
                Admission::Later => end,
            };
            // A change that comes between the question and here is not lost: the notice is kept.
            let _ = Box::pin(tokio::time::timeout_at(until, self.changed.notified())).await;
        }
    }
}

/// The end of a wait that nothing bounds.
pub(super) fn far() -> Instant {
    Instant::now() + super::FOREVER
}

/// `time` from now, or as good as never.
pub(super) fn after(now: Instant, time: Duration) -> Instant {
    now + time.min(super::FOREVER)
}
