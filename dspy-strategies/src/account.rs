//! The spending of a run: that of its turns and of everything inside its tools and its code.

use std::fmt;
use std::sync::{Arc, Mutex};

use dspy_base::locks::MutexExt as _;
use dspy_core::lm::{Layer, Lm, LmError, LmErrorKind, LmFuture, Next, Request, Usage};

use serde::{Deserialize, Serialize};

/// The limits of what a run may spend.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Allowance {
    pub(crate) tokens: Option<u64>,
    pub(crate) cost_usd: Option<f64>,
}

/// The part of a limit by which a sum of prices may be below it and reach it: ten times a cent is less than ten cents.
const ROUNDING: f64 = 1e-9;

impl Allowance {
    /// Returns the limit that is reached, by the name of its setting.
    fn reached(self, spent: &Spent) -> Option<Reached> {
        if self.tokens.is_some_and(|limit| spent.usage.total_tokens() >= limit) {
            Some(Reached::Tokens)
        } else if self.cost_usd.is_some_and(|limit| spent.known_usd >= limit - limit.abs() * ROUNDING) {
            Some(Reached::Cost)
        } else {
            None
        }
    }
}

/// A limit that is reached.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Reached {
    Tokens,
    Cost,
}

impl fmt::Display for Reached {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Reached::Tokens => "max_tokens",
            Reached::Cost => "max_cost",
        })
    }
}

/// The spending of a run so far, with its limits.
#[derive(Debug)]
pub(crate) struct Account {
    spent: Mutex<Spent>,
    allowance: Allowance,
}

/// A sum of usage. Replies from a cache or a journal count as well, so that a run that is repeated from them is the same.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub(crate) struct Spent {
    pub(crate) usage: Usage,
    /// The cost of the calls at known prices, in US dollars.
    pub(crate) known_usd: f64,
}

impl Spent {
    fn add(&mut self, usage: Usage) {
        self.usage += usage;
        self.known_usd = (self.known_usd + usage.cost_usd.unwrap_or(0.0)).min(f64::MAX);
    }
}

impl Account {
    pub(crate) fn new(spent: Spent, allowance: Allowance) -> Arc<Self> {
        Arc::new(Account { spent: Mutex::new(spent), allowance })
    }

    /// Returns what all parts of the run have spent.
    pub(crate) fn spent(&self) -> Spent {
        *self.spent.lock_any()
    }

    /// Returns the limit that is reached.
    pub(crate) fn reached(&self) -> Option<Reached> {
        self.allowance.reached(&self.spent())
    }

    /// Returns the layer that counts the calls of the run.
    pub(crate) fn counter(self: &Arc<Self>) -> Arc<dyn Layer> {
        Arc::new(Counter(self.clone()))
    }

    /// Returns the layer that refuses calls inside tools once a limit is reached, if there is one.
    pub(crate) fn guard(self: &Arc<Self>) -> Option<Arc<dyn Layer>> {
        let Allowance { tokens, cost_usd } = self.allowance;
        let limited = tokens.is_some() || cost_usd.is_some();
        limited.then(|| Arc::new(Guard(self.clone())) as Arc<dyn Layer>)
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
        let Some(limit) = self.0.reached() else { return next.run(lm, request) };
        let message = format!("the limit `{limit}` of the program around this call is reached");
        let error = LmError::new(LmErrorKind::Budget, lm.id(), message);
        Box::pin(async move { Err(error) })
    }
}
