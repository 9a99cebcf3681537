//! A limit on the time for which code runs.

use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Wake, Waker};
use std::time::{Duration, Instant};

use tokio::time::Sleep;

/// The real time after which code ends in any case, as a multiple of its limit.
const MOST: u32 = 10;
/// The longest time that the timer waits at once.
const LONGEST: Duration = Duration::from_hours(24);

/// A future that ends after a time: the time in which it is polled, or waits for something. The time that it waits for a
/// turn does not count, so that code which computes beside much other code has as much time as alone. Its real time is
/// limited to ten times as much.
///
/// The result is `None` if the time is over.
pub(crate) struct Timed<F> {
    inner: Pin<Box<F>>,
    limit: Duration,
    used: Duration,
    start: Instant,
    /// The time of the last poll's end.
    waiting: Option<Instant>,
    woken: Arc<Woken>,
    timer: Pin<Box<Sleep>>,
}

/// The time at which the inner future asked for a turn.
struct Woken(Mutex<(Option<Instant>, Waker)>);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        let waker = {
            let mut woken = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            woken.0.get_or_insert_with(Instant::now);
            woken.1.clone()
        };
        waker.wake();
    }
}

impl<F: Future> Timed<F> {
    /// Limits a future. It needs a runtime with a timer.
    pub(crate) fn new(limit: Duration, inner: F) -> Self {
        Timed {
            inner: Box::pin(inner),
            limit,
            used: Duration::ZERO,
            start: Instant::now(),
            waiting: None,
            woken: Arc::new(Woken(Mutex::new((None, Waker::noop().clone())))),
            timer: Box::pin(tokio::time::sleep(LONGEST)),
        }
    }

    /// Returns the time that is left, or `None` if it is over.
    fn left(&self) -> Option<Duration> {
        let most = self.limit.saturating_mul(MOST).checked_sub(self.start.elapsed())?;
        let left = self.limit.checked_sub(self.used)?;
        Some(left.min(most)).filter(|left| !left.is_zero())
    }
}

impl<F: Future> Future for Timed<F> {
    type Output = Option<F::Output>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let timed = self.get_mut();
        let now = Instant::now();
        {
            let mut woken = timed.woken.0.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some(waiting) = timed.waiting.take() {
                timed.used += woken.0.unwrap_or(now).saturating_duration_since(waiting);
            }
            woken.0 = None;
            woken.1.clone_from(context.waker());
        }
        if timed.left().is_none() {
            return Poll::Ready(None);
        }
        let waker = Waker::from(timed.woken.clone());
        let polled = timed.inner.as_mut().poll(&mut Context::from_waker(&waker));
        let end = Instant::now();
        timed.used += end - now;
        if let Poll::Ready(output) = polled {
            return Poll::Ready(Some(output));
        }
        let Some(left) = timed.left() else { return Poll::Ready(None) };
        timed.waiting = Some(end);
        timed.timer.as_mut().reset((end + left.min(LONGEST)).into());
        if timed.timer.as_mut().poll(context).is_ready() {
            context.waker().wake_by_ref();
        }
        Poll::Pending
    }
}

/// Returns whether this runs in a runtime with a timer.
pub(crate) fn has_timer() -> bool {
    tokio::runtime::Handle::try_current().is_ok()
        && std::panic::catch_unwind(|| drop(tokio::time::sleep(Duration::ZERO))).is_ok()
}
