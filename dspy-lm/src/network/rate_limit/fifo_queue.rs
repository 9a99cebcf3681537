//! A first-come, first-served queue.

use std::sync::{Mutex, MutexGuard};
use std::time::Duration;

use tokio::sync::{Notify, Semaphore};
use tokio::time::Instant;

use super::NotAdmitted;
use dspy_base::locks::MutexExt as _;

/// A queue that admits callers to a shared state in the order of arrival. Callers wait in their own futures: the
/// queue stores nothing for them, and dropping a future leaves the queue.
#[derive(Debug)]
pub(super) struct FifoQueue<S> {
    queue: Semaphore,
    state: Mutex<S>,
    /// Wakes the first caller to check the state again.
    changed: Notify,
}

/// The state's decision about the first caller.
pub(super) enum Admission<T> {
    /// The caller is admitted.
    Go(T),
    /// The caller should check again at this time.
    At(Instant),
    /// The caller should check again after the next change.
    Later,
    /// The caller is refused.
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

    /// Wakes the first caller to check the state again.
    pub(super) fn wake(&self) {
        self.changed.notify_one();
    }

    /// Waits until the caller is first and then until the state admits it; fails if that is not before `end`.
    pub(super) async fn pass<T>(
        &self,
        end: Instant,
        mut ask: impl FnMut(&mut S, Instant) -> Admission<T>,
    ) -> Result<T, NotAdmitted> {
        let _turn = match self.queue.try_acquire() {
            Ok(turn) => turn,
            // Boxed because few requests need it; the future of the others stays small.
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
                    // A wait beyond the deadline is not started.
                    return Err(NotAdmitted::TooLate(Some(when.saturating_duration_since(now))));
                }
                Admission::At(when) => when,
                Admission::Later if now >= end => return Err(NotAdmitted::TooLate(None)),
                Admission::Later => end,
            };
            // A change between the check and this line is not lost: the notification is stored.
            let _ = Box::pin(tokio::time::timeout_at(until, self.changed.notified())).await;
        }
    }
}

/// Returns the end of an unbounded wait.
pub(super) fn far() -> Instant {
    Instant::now() + super::FOREVER
}

/// Returns the instant `time` from now, or a far one if that overflows.
pub(super) fn after(now: Instant, time: Duration) -> Instant {
    now + time.min(super::FOREVER)
}
