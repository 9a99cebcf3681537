//! Limits that an optimization keeps: calls, tokens, dollars, time.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use dspy_core::lm::{Request, Response, Usage};

/// What an optimization may spend. Unset limits do not apply.
///
/// A call is reserved before it is sent, so the number of calls is exact under any concurrency. Its tokens are
/// reserved by an estimate (a token for every four bytes of prompt, and the reply's `max_tokens` or the longest reply
/// so far) and settled by what the endpoint reports; dollars likewise by the dearest call so far. Both may therefore
/// be overshot by what calls in flight exceed their estimates.
///
/// ```
/// use dspy_optimizers::Budget;
/// let budget = Budget::calls(2_000).usd(1.50);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Budget {
    pub(crate) calls: Option<u64>,
    pub(crate) tokens: Option<u64>,
    pub(crate) usd: Option<f64>,
    pub(crate) wall: Option<Duration>,
}

impl Budget {
    /// No limits.
    pub fn unlimited() -> Self {
        Self::default()
    }

    /// At most so many requests.
    pub fn calls(calls: u64) -> Self {
        Budget { calls: Some(calls), ..Self::default() }
    }

    /// The same, and at most so many tokens, sent and generated.
    #[must_use]
    pub fn tokens(mut self, tokens: u64) -> Self {
        self.tokens = Some(tokens);
        self
    }

    /// The same, and at most so many US dollars. Calls of unknown price count as nothing.
    #[must_use]
    pub fn usd(mut self, usd: f64) -> Self {
        self.usd = Some(usd);
        self
    }

    /// The same, and no new call after so much time.
    #[must_use]
    pub fn wall(mut self, wall: Duration) -> Self {
        self.wall = Some(wall);
        self
    }
}

/// Keeps a budget. What a journal holds is counted as spent from the start.
#[derive(Debug)]
pub(crate) struct Meter {
    budget: Budget,
    started: Instant,
    spent: Mutex<Spent>,
}

#[derive(Debug, Default)]
struct Spent {
    usage: Usage,
    /// Estimates of the calls in flight.
    reserved: Estimate,
    longest_reply: u64,
    dearest: f64,
}

/// What calls in flight may cost.
#[derive(Debug, Clone, Copy, Default)]
struct Estimate {
    calls: u64,
    tokens: u64,
    usd: f64,
}

/// What one call in flight may cost; given back when dropped, so that a cancelled call costs nothing.
#[derive(Debug)]
pub(crate) struct Reservation {
    meter: Arc<Meter>,
    estimate: Estimate,
}

impl Reservation {
    /// Replaces the estimate by what the call cost.
    pub(crate) fn settle(self, response: &Response) {
        let mut usage = response.usage;
        usage.requests = usage.requests.max(1);
        let mut spent = self.meter.spent.lock().unwrap_or_else(PoisonError::into_inner);
        spent.longest_reply = spent.longest_reply.max(usage.completion_tokens);
        spent.dearest = spent.dearest.max(usage.cost_usd.unwrap_or_default());
        spent.usage += usage;
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        let mut spent = self.meter.spent.lock().unwrap_or_else(PoisonError::into_inner);
        spent.reserved.calls -= self.estimate.calls;
        spent.reserved.tokens -= self.estimate.tokens;
        spent.reserved.usd -= self.estimate.usd;
    }
}

impl Meter {
    pub(crate) fn new(budget: Budget, spent: Usage) -> Self {
        let spent = Spent { usage: spent, ..Spent::default() };
        Meter { budget, started: Instant::now(), spent: Mutex::new(spent) }
    }

    /// Sets aside what a request may cost, or says which limit it would break.
    pub(crate) fn reserve(self: &Arc<Self>, request: &Request) -> Result<Reservation, String> {
        let mut spent = self.spent.lock().unwrap_or_else(PoisonError::into_inner);
        let prompt: usize = request.messages.iter().map(|message| message.text().len()).sum();
        let reply = request.params.max_tokens.map_or(spent.longest_reply, u64::from);
        let wanted = Estimate { calls: 1, tokens: prompt as u64 / 4 + reply, usd: spent.dearest };
        let limits = self.budget;
        let calls = spent.usage.requests + spent.reserved.calls + wanted.calls;
        if let Some(limit) = limits.calls.filter(|limit| calls > *limit) {
            return Err(format!("{limit} calls"));
        }
        let tokens = spent.usage.total_tokens() + spent.reserved.tokens + wanted.tokens;
        if let Some(limit) = limits.tokens.filter(|limit| tokens > *limit) {
            return Err(format!("{limit} tokens"));
        }
        let usd = spent.usage.cost_usd.unwrap_or_default() + spent.reserved.usd + wanted.usd;
        if let Some(limit) = limits.usd.filter(|limit| usd > *limit) {
            return Err(format!("${limit}"));
        }
        if let Some(limit) = limits.wall.filter(|limit| self.started.elapsed() >= *limit) {
            return Err(format!("{limit:?}"));
        }
        spent.reserved.calls += wanted.calls;
        spent.reserved.tokens += wanted.tokens;
        spent.reserved.usd += wanted.usd;
        Ok(Reservation { meter: self.clone(), estimate: wanted })
    }

    /// What was spent, journalled calls included.
    pub(crate) fn usage(&self) -> Usage {
        self.spent.lock().unwrap_or_else(PoisonError::into_inner).usage
    }
}
