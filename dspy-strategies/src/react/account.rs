//! The spending of a run: that of its turns, its summaries and of everything inside its tools.

use std::sync::{Arc, Mutex};

use dspy_base::locks::MutexExt as _;
use dspy_core::lm::{Layer, Lm, LmError, LmErrorKind, LmFuture, Next, Request, Usage};

use serde::{Deserialize, Serialize};

use super::limits::Limits;

/// The spending of a run so far, with its limits.
#[derive(Debug)]
pub(super) struct Account {
    spent: Mutex<Spent>,
    limits: Limits,
}

/// A sum of usage. Replies from a cache or a journal count as well, so that a run that is repeated from them is the same.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub(super) struct Spent {
    pub(super) usage: Usage,
    /// The cost of the calls at known prices, in US dollars.
    pub(super) known_usd: f64,
}

impl Spent {
    fn add(&mut self, usage: Usage) {
        self.usage += usage;
        self.known_usd = (self.known_usd + usage.cost_usd.unwrap_or(0.0)).min(f64::MAX);
    }
}

impl Account {
    pub(super) fn new(spent: Spent, limits: Limits) -> Arc<Self> {
        Arc::new(Account { spent: Mutex::new(spent), limits })
    }

    /// Returns what all parts of the run have spent.
    pub(super) fn spent(&self) -> Spent {
        *self.spent.lock_any()
    }

    /// Returns the layer that counts the calls of the run.
    pub(super) fn counter(self: &Arc<Self>) -> Arc<dyn Layer> {
        Arc::new(Counter(self.clone()))
    }

    /// Returns the layer that refuses calls inside tools once a limit is reached, if there is one.
    pub(super) fn guard(self: &Arc<Self>) -> Option<Arc<dyn Layer>> {
        self.limits.has_spending().then(|| Arc::new(Guard(self.clone())) as Arc<dyn Layer>)
    }
}

/// Counts what is spent.
struct Counter(Arc<Account>);

impl Layer for Counter {
    fn call<'a>(&'a self, lm: &'a Lm, request: &'a Request, next: Next<'a>) -> LmFuture<'a> {
        Box::pin(async move {
            let response = next.run(lm, request).await?;
            self.0.spent.lock_any().add(response.usage);
            Ok(response)
        })
    }
}

/// Refuses calls once a limit is reached.
struct Guard(Arc<Account>);

impl Layer for Guard {
    fn call<'a>(&'a self, lm: &'a Lm, request: &'a Request, next: Next<'a>) -> LmFuture<'a> {
        let Some(limit) = self.0.limits.spent(&self.0.spent()) else { return next.run(lm, request) };
        let message = format!("the limit `{limit}` of the agent around this call is reached");
        let error = LmError::new(LmErrorKind::Budget, lm.id(), message);
        Box::pin(async move { Err(error) })
    }
}
