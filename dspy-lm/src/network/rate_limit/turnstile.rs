//! A queue in the order of arrival.

use std::sync::{Mutex, MutexGuard};
use std::time::Duration;

use tokio::sync::{Notify, Semaphore};
use tokio::time::Instant;

use super::Refusal;
use dspy_base::locks::MutexExt as _;

/// Lets one caller after the other at a state, in the order in which they came. Callers wait in their own futures:
/// nothing is kept for them here, and one that is dropped has left the queue.
#[derive(Debug)]
pub(super) struct Turnstile<S> {
    queue: Semaphore,
    state: Mutex<S>,
    /// Wakes the first of the queue to look again.
    changed: Notify,
}

/// What the state says to the first of the queue.
pub(super) enum Verdict<T> {
    /// It may go.
    Go(T),
    /// It may try again then.
    At(Instant),
    /// It may try again after the next change.
    Later,
    /// It will not get in.
    No(Refusal),
}

impl<S: Default> Default for Turnstile<S> {
    fn default() -> Self {
        Turnstile { queue: Semaphore::new(1), state: Mutex::default(), changed: Notify::new() }
    }
}

impl<S> Turnstile<S> {
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
        mut ask: impl FnMut(&mut S, Instant) -> Verdict<T>,
    ) -> Result<T, Refusal> {
        let _turn = match self.queue.try_acquire() {
            Ok(turn) => turn,
            // Boxed, like all that few requests need, so that the others stay small.
            Err(_) => Box::pin(tokio::time::timeout_at(end, self.queue.acquire()))
                .await
                .ok()
                .and_then(Result::ok)
                .ok_or(Refusal::TooLate(None))?,
        };
        loop {
            let now = Instant::now();
            let verdict = ask(&mut self.state(), now);
            let until = match verdict {
                Verdict::Go(leave) => return Ok(leave),
                Verdict::No(refusal) => return Err(refusal),
                Verdict::At(when) if when >= end => {
                    // A wait that outlasts the deadline is not worth starting.
                    return Err(Refusal::TooLate(Some(when.saturating_duration_since(now))));
                }
                Verdict::At(when) => when,
                Verdict::Later if now >= end => return Err(Refusal::TooLate(None)),
                Verdict::Later => end,
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
