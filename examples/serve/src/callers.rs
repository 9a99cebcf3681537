//! The limits of the service, and those of each caller: requests in flight, and a budget of model calls.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use dspy::lm::{Budget, BudgetScope};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// The limits of the service.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// The maximum number of requests in flight of each caller.
    pub in_flight: usize,
    /// The number of model calls of each caller in the life of the service.
    pub calls: u64,
    /// The time after a stop in which requests in flight are answered.
    pub to_end: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Limits { in_flight: 8, calls: 1_000, to_end: Duration::from_secs(10) }
    }
}

/// The callers that were seen. A real service would know them from its keys, so that their number is bounded.
pub(crate) struct Callers {
    limits: Limits,
    known: Mutex<HashMap<String, Known>>,
}

#[derive(Clone)]
struct Known {
    in_flight: Arc<Semaphore>,
    budget: BudgetScope,
}

/// The right to make one request.
pub(crate) struct Pass {
    budget: BudgetScope,
    _permit: OwnedSemaphorePermit,
}

impl Callers {
    pub(crate) fn new(limits: Limits) -> Self {
        Callers { limits, known: Mutex::default() }
    }

    pub(crate) fn limits(&self) -> Limits {
        self.limits
    }

    /// Lets a caller in, unless it has too many requests in flight.
    pub(crate) fn enter(&self, name: &str) -> Option<Pass> {
        let Limits { in_flight, calls, .. } = self.limits;
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let known = known.entry(name.to_owned()).or_insert_with(|| Known {
            in_flight: Arc::new(Semaphore::new(in_flight)),
            budget: Budget::calls(calls).start(),
        });
        let permit = known.in_flight.clone().try_acquire_owned().ok()?;
        Some(Pass { budget: known.budget.clone(), _permit: permit })
    }
}

impl Pass {
    pub(crate) fn budget(&self) -> &BudgetScope {
        &self.budget
    }
}
