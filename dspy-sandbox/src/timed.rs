//! A limit on the time for which code runs.

use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Wake, Waker, ready};
use std::time::{Duration, Instant};

use tokio::time::Sleep;

use crate::gate::{Place, Turn};
use crate::pending::Pending;

/// The real time after which code ends in any case, as a multiple of its limit.
const MOST: u32 = 10;
/// The longest time that the timer waits at once.
const LONGEST: Duration = Duration::from_hours(24);

/// A future of code that takes turns with that of other sessions, and ends after a time: the time in which it is polled, or
/// waits for something. The time that it waits for a turn does not count, so that code which computes beside much other code
/// has as much time as alone. Its real time is limited to ten times as much.
///
/// The result is `None` if the time is over.
pub(crate) struct Timed<F> {
    inner: Pin<Box<F>>,
    /// The call of a tool that the code waits for. It has no turn.
    pending: Pending,
    limit: Duration,
    used: Duration,
    start: Instant,
    /// The time since which the code waits for something; `None` if it could go on.
    waiting: Option<Instant>,
    woken: Arc<Woken>,
    place: Place,
    /// Other tasks and the timers of the runtime have a turn before each one of code.
    others: Option<Pin<Box<dyn Future<Output = ()> + Send>>>,
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
            let mut woken = self.lock();
            woken.0.get_or_insert_with(Instant::now);
            woken.1.clone()
        };
        waker.wake();
    }
}

impl Woken {
    fn lock(&self) -> MutexGuard<'_, (Option<Instant>, Waker)> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<F: Future> Timed<F> {
    /// Limits a future. It needs a runtime with a timer.
    pub(crate) fn new(limit: Duration, pending: Pending, inner: F) -> Self {
        let start = Instant::now();
        Timed {
            inner: Box::pin(inner),
            pending,
            limit,
            used: Duration::ZERO,
            start,
            waiting: None,
            woken: Arc::new(Woken(Mutex::new((Some(start), Waker::noop().clone())))),
            place: Place::default(),
            others: None,
            timer: Box::pin(tokio::time::sleep(LONGEST)),
        }
    }

    /// Returns the real time that is left, or `None` if it is over.
    fn left(&self) -> Option<Duration> {
        let most = self.limit.saturating_mul(MOST).checked_sub(self.start.elapsed())?;
        let own = self.limit.checked_sub(self.used).filter(|left| !left.is_zero())?;
        // The wait for a turn does not count.
        let left = if self.waiting.is_some() { own.min(most) } else { most };
        Some(left).filter(|left| !left.is_zero())
    }

    /// Waits until others have had a turn and this one is granted.
    fn poll_turn(&mut self, context: &mut Context<'_>) -> Poll<Turn> {
        loop {
            if self.others.is_none() {
                ready!(self.place.poll_granted(self.used, context));
                self.others = Some(Box::pin(tokio::task::yield_now()));
            }
            if let Some(others) = &mut self.others {
                ready!(others.as_mut().poll(context));
            }
            self.others = None;
            if let Some(turn) = self.place.take() {
                return Poll::Ready(turn);
            }
        }
    }

    /// Waits for the next turn or the end of the time.
    fn sleep(&mut self, context: &mut Context<'_>) -> Poll<Option<F::Output>> {
        let Some(left) = self.left() else { return Poll::Ready(None) };
        self.timer.as_mut().reset((Instant::now() + left.min(LONGEST)).into());
        if self.timer.as_mut().poll(context).is_ready() {
            context.waker().wake_by_ref();
        }
        Poll::Pending
    }
}

impl<F: Future> Future for Timed<F> {
    type Output = Option<F::Output>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let timed = self.get_mut();
        timed.woken.lock().1.clone_from(context.waker());
        timed.pending.poll(context);
        let asked = timed.woken.lock().0;
        if let Some(since) = timed.waiting {
            let now = Instant::now();
            timed.used += asked.unwrap_or(now).saturating_duration_since(since);
            timed.waiting = asked.is_none().then_some(now);
        }
        if timed.left().is_none() {
            return Poll::Ready(None);
        }
        if timed.waiting.is_some() {
            return timed.sleep(context);
        }
        let Poll::Ready(turn) = timed.poll_turn(context) else { return timed.sleep(context) };
        timed.woken.lock().0 = None;
        let start = Instant::now();
        let waker = Waker::from(timed.woken.clone());
        let polled = timed.inner.as_mut().poll(&mut Context::from_waker(&waker));
        let end = Instant::now();
        drop(turn);
        timed.used += end - start;
        if let Poll::Ready(output) = polled {
            return Poll::Ready(Some(output));
        }
        timed.waiting = Some(end);
        // With a reply, the code is woken.
        timed.pending.poll(context);
        timed.sleep(context)
    }
}

impl<F> Drop for Timed<F> {
    fn drop(&mut self) {
        self.pending.clear();
    }
}

/// Returns whether this runs in a runtime with a timer.
pub(crate) fn has_timer() -> bool {
    tokio::runtime::Handle::try_current().is_ok()
        && std::panic::catch_unwind(|| drop(tokio::time::sleep(Duration::ZERO))).is_ok()
}
