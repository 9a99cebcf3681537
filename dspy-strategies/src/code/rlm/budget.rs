//! The budget of a run: one for all depths, which the model can see.

use std::sync::Mutex;
use std::time::{Duration, Instant};

use dspy_base::locks::MutexExt as _;
use dspy_core::lm::Usage;

#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    pub(super) calls: u64,
    pub(super) tokens: Option<u64>,
    pub(super) cost_usd: Option<f64>,
    pub(super) time: Option<Duration>,
}

/// The limits of a run, and its use of them.
#[derive(Debug)]
pub(super) struct Budget {
    limits: Limits,
    started: Instant,
    spent: Mutex<Spent>,
}

#[derive(Debug, Default)]
struct Spent {
    calls: u64,
    usage: Usage,
}

impl Budget {
    pub(super) fn new(limits: Limits) -> Self {
        Budget { limits, started: Instant::now(), spent: Mutex::default() }
    }

    /// Takes a number of calls, all or none, before they are made.
    pub(super) fn take(&self, calls: u64) -> Result<(), String> {
        let mut spent = self.spent.lock_any();
        let left = self.limits.calls.saturating_sub(spent.calls);
        if calls > left {
            return Err(format!("{calls} calls are more than the {left} that are left of the budget"));
        }
        let tokens = spent.usage.prompt_tokens.saturating_add(spent.usage.completion_tokens);
        if self.limits.tokens.is_some_and(|limit| tokens >= limit) {
            return Err("the budget of tokens is used up".to_owned());
        }
        if self.limits.cost_usd.is_some_and(|limit| spent.usage.cost_usd.is_some_and(|cost| cost >= limit)) {
            return Err("the budget of money is used up".to_owned());
        }
        if self.time_left().is_some_and(|left| left.is_zero()) {
            return Err("the time is over".to_owned());
        }
        spent.calls += calls;
        Ok(())
    }

    /// Returns a call that was taken and not made.
    pub(super) fn give_back(&self) {
        let mut spent = self.spent.lock_any();
        spent.calls = spent.calls.saturating_sub(1);
    }

    pub(super) fn add(&self, usage: Usage) {
        self.spent.lock_any().usage += usage;
    }

    /// Returns the time that is left, if it is limited.
    pub(super) fn time_left(&self) -> Option<Duration> {
        self.limits.time.map(|limit| limit.saturating_sub(self.started.elapsed()))
    }

    /// Describes what is left in words.
    pub(super) fn left(&self, turn: usize, turns: usize) -> String {
        let spent = self.spent.lock_any();
        let calls = self.limits.calls.saturating_sub(spent.calls);
        let mut text =
            format!("turn {} of {turns}; {calls} of {} model calls left", turn + 1, self.limits.calls);
        if let Some(limit) = self.limits.tokens {
            let used = spent.usage.prompt_tokens.saturating_add(spent.usage.completion_tokens);
            text.push_str(&format!("; {} of {limit} tokens left", limit.saturating_sub(used)));
        }
        if let (Some(limit), Some(cost)) = (self.limits.cost_usd, spent.usage.cost_usd) {
            text.push_str(&format!("; ${:.4} of ${limit:.4} left", (limit - cost).max(0.0)));
        }
        if let Some(left) = self.time_left() {
            text.push_str(&format!("; {} seconds left", left.as_secs()));
        }
        text
    }
}
