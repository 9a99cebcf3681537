//! Turns of code that computes. As many sessions of a process compute at the same time as there are cores, and the others
//! wait here rather than in the queue of the runtime, where other tasks would wait behind them.
//!
//! A turn is granted to a waiting task, which takes it when it is polled. Grants that are not taken soon are revoked: the
//! owner of a future may wait for another session before it polls this one again.

use std::collections::{BTreeMap, HashMap};
use std::sync::{LazyLock, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

/// The time after which a grant that was not taken is revoked.
const TAKEN_WITHIN: Duration = Duration::from_millis(25);
/// The computing times that end a class. Those who have computed less go first, so that short code is not behind loops.
const CLASSES: [Duration; 4] = [
    Duration::from_millis(20),
    Duration::from_millis(100),
    Duration::from_millis(500),
    Duration::from_secs(2),
];

static GATE: LazyLock<Mutex<Gate>> = LazyLock::new(|| {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    Mutex::new(Gate::new(cores))
});

fn gate() -> MutexGuard<'static, Gate> {
    GATE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The order in which tasks wait: by class, then by number.
type Key = (usize, u64);

struct Gate {
    free: usize,
    last: u64,
    waiting: BTreeMap<Key, Waker>,
    /// The numbers of tasks that may take a turn, with the time of the grant.
    granted: HashMap<u64, Instant>,
}

impl Gate {
    fn new(free: usize) -> Self {
        Gate { free, last: 0, waiting: BTreeMap::new(), granted: HashMap::new() }
    }

    /// Grants what is free. Returns the tasks to wake.
    fn grant(&mut self, now: Instant) -> Vec<Waker> {
        let mut woken = Vec::new();
        while self.free > 0
            && let Some(((_, number), waker)) = self.waiting.pop_first()
        {
            self.free -= 1;
            self.granted.insert(number, now);
            woken.push(waker);
        }
        woken
    }

    fn revoke_idle(&mut self, now: Instant) -> Vec<Waker> {
        let before = self.granted.len();
        self.granted.retain(|_, since| now.saturating_duration_since(*since) < TAKEN_WITHIN);
        self.free += before - self.granted.len();
        self.grant(now)
    }
}

/// Revokes grants that were not taken.
pub(crate) fn revoke_idle() {
    wake(gate().revoke_idle(Instant::now()));
}

fn wake(woken: Vec<Waker>) {
    woken.into_iter().for_each(Waker::wake);
}

/// A place in the queue for a turn.
#[derive(Debug, Default)]
pub(crate) struct Place {
    key: Option<Key>,
}

impl Place {
    /// Waits for a grant; `used` is the time for which the code has computed. A grant remains one only for a while.
    pub(crate) fn poll_granted(&mut self, used: Duration, context: &Context<'_>) -> Poll<()> {
        let (granted, woken) = {
            let mut gate = gate();
            if self
                .key
                .is_none_or(|key| !gate.granted.contains_key(&key.1) && !gate.waiting.contains_key(&key))
            {
                gate.last += 1;
                let class = CLASSES.iter().take_while(|end| used >= **end).count();
                self.key = Some((class, gate.last));
            }
            let Some(key) = self.key else { return Poll::Pending };
            if !gate.granted.contains_key(&key.1) {
                gate.waiting.insert(key, context.waker().clone());
            }
            let woken = gate.grant(Instant::now());
            (gate.granted.contains_key(&key.1), woken)
        };
        // If it is this task, it goes on without being woken.
        let others = woken.into_iter().filter(|waker| !(granted && waker.will_wake(context.waker())));
        wake(others.collect());
        if granted { Poll::Ready(()) } else { Poll::Pending }
    }

    /// Takes the turn that was granted. `None` if the grant was revoked.
    pub(crate) fn take(&mut self) -> Option<Turn> {
        let (_, number) = self.key.take()?;
        gate().granted.remove(&number).map(|_| Turn)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let Some(key) = self.key.take() else { return };
        let woken = {
            let mut gate = gate();
            gate.waiting.remove(&key);
            if gate.granted.remove(&key.1).is_some() {
                gate.free += 1;
            }
            gate.grant(Instant::now())
        };
        wake(woken);
    }
}

/// A turn, until it is dropped.
#[derive(Debug)]
pub(crate) struct Turn;

impl Drop for Turn {
    fn drop(&mut self) {
        let woken = {
            let mut gate = gate();
            gate.free += 1;
            gate.grant(Instant::now())
        };
        wake(woken);
    }
}
