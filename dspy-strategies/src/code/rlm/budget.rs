//! The budget of a run: one for all depths, which the model can see.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use dspy_base::locks::MutexExt as _;
use tokio::time::Instant;

use crate::account::{Account, Allowance, Reached, Spent};

#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    pub(super) calls: u64,
    pub(super) spending: Allowance,
    pub(super) time: Option<Duration>,
}

/// The limits of a run, and its use of them.
#[derive(Debug)]
pub(super) struct Budget {
    limits: Limits,
    /// Counts what all calls of the run spend.
    pub(super) account: Arc<Account>,
    /// The end of the time, if it is limited.
    pub(super) deadline: Option<Instant>,
    calls: Mutex<u64>,
}

impl Budget {
    pub(super) fn new(limits: Limits) -> Arc<Self> {
        let account = Account::new(Spent::default(), limits.spending);
        // A time beyond what the clock can count is none.
        let deadline = limits.time.and_then(|time| Instant::now().checked_add(time));
        Arc::new(Budget { limits, account, deadline, calls: Mutex::default() })
    }

    /// Takes a number of calls, all or none, before they are made.
    pub(super) fn take(&self, calls: u64) -> Result<(), String> {
        self.check()?;
        let mut made = self.calls.lock_any();
        let left = self.limits.calls.saturating_sub(*made);
        if calls > left {
            return Err(format!("{calls} calls are more than the {left} that are left of the budget"));
        }
        *made += calls;
        Ok(())
    }

    /// Returns a call that was taken and not made.
    pub(super) fn give_back(&self) {
        let mut made = self.calls.lock_any();
        *made = made.saturating_sub(1);
    }

    /// Checks that a further call may be made, as far as tokens, money and time are concerned.
    pub(super) fn check(&self) -> Result<(), String> {
        match self.account.reached() {
            Some(Reached::Tokens) => Err("the budget of tokens is used up".to_owned()),
            Some(Reached::Cost) => Err("the budget of money is used up".to_owned()),
            None if self.deadline.is_some_and(|end| end <= Instant::now()) => {
                Err("the time is over".to_owned())
            }
            None => Ok(()),
        }
    }

    /// Describes what is left in words.
    pub(super) fn left(&self, turn: usize, turns: usize) -> String {
        let (limits, spent) = (&self.limits, self.account.spent());
        let calls = limits.calls.saturating_sub(*self.calls.lock_any());
        let mut text = format!("turn {} of {turns}; {calls} of {} model calls left", turn + 1, limits.calls);
        if let Some(limit) = limits.spending.tokens {
            let left = limit.saturating_sub(spent.usage.total_tokens());
            text.push_str(&format!("; {left} of {limit} tokens left"));
        }
        if let Some(limit) = limits.spending.cost_usd {
            text.push_str(&format!("; ${:.4} of ${limit:.4} left", (limit - spent.known_usd).max(0.0)));
        }
        if let Some(end) = self.deadline {
            let left = end.saturating_duration_since(Instant::now());
            text.push_str(&format!("; {} seconds left", left.as_secs()));
        }
        text
    }
}
