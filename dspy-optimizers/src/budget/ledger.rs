//! The account of a run: what is spent, what is set aside, what is left.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use dspy_core::lm::{Lm, Request, Response};
use tokio::sync::Notify;

use super::{Budget, Experience, Limit};
use crate::journal::Journal;
use crate::tally::Tally;

/// Lets calls through as long as they fit.
pub(crate) struct Ledger {
    budget: Budget,
    journal: Arc<Journal>,
    state: Mutex<State>,
    /// Rung whenever a call has ended.
    settled: Notify,
}

#[derive(Default)]
struct State {
    spent: Tally,
    experience: Experience,
    open: Estimate,
    closed: Option<Closed>,
    /// A model whose answers carry no price although dollars are limited.
    unpriced: Option<String>,
}

/// Why no further call is made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Closed {
    /// The budget is used up.
    Limit(Limit),
    /// Nothing would limit the run.
    UnknownPrice(String),
    /// The run ends because of an error.
    Aborted,
}

/// What calls may cost that have not ended.
#[derive(Debug, Clone, Copy, Default)]
struct Estimate {
    calls: u64,
    tokens: u64,
    usd: f64,
}

enum Verdict {
    Fits(Estimate),
    /// It would fit if the open calls cost less than was set aside for them.
    Perhaps,
    Exceeds(Limit),
}

impl Ledger {
    pub(crate) fn new(budget: Budget, journal: Arc<Journal>) -> Self {
        let experience = journal.take_experience();
        let state = State { spent: journal.total(), experience, ..State::default() };
        Ledger { budget, journal, state: Mutex::new(state), settled: Notify::new() }
    }

    /// Why no further call is made, once that is so.
    pub(crate) fn closed(&self) -> Option<Closed> {
        self.state().closed.clone()
    }

    /// Lets no further call through.
    pub(crate) fn abort(&self) {
        self.state().closed.get_or_insert(Closed::Aborted);
        self.settled.notify_waiters();
    }

    /// A model whose answers carry no price although dollars are limited.
    pub(crate) fn unpriced(&self) -> Option<String> {
        self.state().unpriced.clone()
    }

    /// Sets aside what the call may cost. Where only the calls that are under way stand against it, it waits for them.
    pub(super) async fn reserve(&self, lm: &Lm, request: &Request) -> Result<Reservation<'_>, Closed> {
        let mut settled = std::pin::pin!(self.settled.notified());
        loop {
            // Listening starts before looking, so that no ring is missed.
            settled.as_mut().enable();
            {
                let mut state = self.state();
                if let Some(closed) = &state.closed {
                    return Err(closed.clone());
                }
                match self.judge(&state, lm, request) {
                    Verdict::Fits(estimate) => {
                        state.open.calls += estimate.calls;
                        state.open.tokens += estimate.tokens;
                        state.open.usd += estimate.usd;
                        return Ok(Reservation { ledger: self, estimate });
                    }
                    Verdict::Exceeds(limit) => {
                        let closed = Closed::Limit(limit);
                        state.closed = Some(closed.clone());
                        drop(state);
                        self.settled.notify_waiters();
                        return Err(closed);
                    }
                    Verdict::Perhaps => {}
                }
            }
            settled.as_mut().await;
            settled.set(self.settled.notified());
        }
    }

    fn judge(&self, state: &State, lm: &Lm, request: &Request) -> Verdict {
        let Budget { calls, tokens, usd, wall } = self.budget;
        let (spent, open) = (&state.spent, state.open);
        let price = state.experience.price(lm);
        let estimate = state.experience.tokens(request);
        let cost = price.unwrap_or_default() * estimate as f64;
        let mut verdict = Verdict::Fits(Estimate {
            calls: 1,
            tokens: estimate,
            usd: if usd.is_some() { cost } else { 0.0 },
        });
        if wall.is_some_and(|wall| self.journal.elapsed() >= wall) {
            return Verdict::Exceeds(Limit::Wall);
        }
        if let Some(most) = calls {
            if spent.calls + 1 > most {
                return Verdict::Exceeds(Limit::Calls);
            }
            if spent.calls + open.calls + 1 > most {
                verdict = Verdict::Perhaps;
            }
        }
        if let Some(most) = tokens {
            if spent.tokens() + estimate > most {
                return Verdict::Exceeds(Limit::Tokens);
            }
            if spent.tokens() + open.tokens + estimate > most {
                verdict = Verdict::Perhaps;
            }
        }
        if let Some(most) = usd {
            // The second test is for models whose price is not known yet.
            if spent.usd() + cost > most || spent.usd() >= most {
                return Verdict::Exceeds(Limit::Usd);
            }
            // The first call of a model goes alone: only then its price is known.
            let pioneer = price.is_none() && state.unpriced.is_none() && open.calls > 0;
            if pioneer || spent.usd() + open.usd + cost > most {
                verdict = Verdict::Perhaps;
            }
        }
        verdict
    }

    fn settle(&self, estimate: Estimate, paid: Option<(&Lm, &Tally, Option<&Response>)>) {
        let mut state = self.state();
        let open = &mut state.open;
        open.calls -= estimate.calls.min(open.calls);
        open.tokens -= estimate.tokens.min(open.tokens);
        // Without open calls nothing is set aside: rounding must not add up.
        open.usd = if open.calls == 0 { 0.0 } else { open.usd - estimate.usd };
        if let Some((lm, tally, response)) = paid {
            state.spent.add(*tally);
            if let Some(response) = response {
                state.experience.learn(lm.id(), response);
                if self.budget.usd.is_some() && response.usage.cost_usd.is_none() {
                    self.miss_price(&mut state, lm);
                }
            }
        }
        drop(state);
        self.settled.notify_waiters();
    }

    fn miss_price(&self, state: &mut State, lm: &Lm) {
        let Budget { calls, tokens, wall, .. } = self.budget;
        if state.unpriced.is_none() {
            tracing::warn!(
                model = lm.id(),
                "the model reports no price: the budget of dollars is not enforced"
            );
            state.unpriced = Some(lm.id().to_owned());
        }
        if calls.is_none() && tokens.is_none() && wall.is_none() {
            state.closed.get_or_insert_with(|| Closed::UnknownPrice(lm.id().to_owned()));
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What is set aside for one call; returned when this is dropped.
pub(super) struct Reservation<'a> {
    ledger: &'a Ledger,
    estimate: Estimate,
}

impl Reservation<'_> {
    /// The call was answered: what it cost is spent.
    pub(super) fn answered(self, lm: &Lm, response: &Response) {
        let mut tally = Tally::default();
        tally.count(response);
        let answered = (!response.cached).then_some(response);
        self.end(Some((lm, &tally, answered)));
    }

    /// The call was refused: it counts, but costs nothing.
    pub(super) fn refused(self, lm: &Lm) {
        self.end(Some((lm, &Tally::refused(), None)));
    }

    fn end(mut self, paid: Option<(&Lm, &Tally, Option<&Response>)>) {
        let estimate = std::mem::take(&mut self.estimate);
        self.ledger.settle(estimate, paid);
    }
}

impl Drop for Reservation<'_> {
    fn drop(&mut self) {
        let estimate = std::mem::take(&mut self.estimate);
        if estimate.calls > 0 {
            self.ledger.settle(estimate, None);
        }
    }
}
