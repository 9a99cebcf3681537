//! The account of a budget: the amounts spent and reserved, and the queue of waiting calls.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use tokio::sync::{Notify, oneshot};
use tokio::time::Instant;

use super::ask::Ask;
use super::learned::Experience;
use super::log::BudgetLog;
use super::reservation::{Claim, Reservation};
use super::verdict::{Grant, Verdict, judge};
use crate::money::tally::{Tally, dollars, picodollars};
use crate::{Budget, BudgetRefusal, Limit, OverBudget, Usage};
use dspy_base::locks::MutexExt as _;

/// An account that admits calls as long as their worst-case cost fits.
pub(super) struct Account {
    pub(super) budget: Budget,
    picodollars: Option<u64>,
    started: Instant,
    /// The end of the time limit.
    pub(super) ends: Option<Instant>,
    state: Mutex<State>,
    /// A notification for calls in flight to stop.
    pub(super) aborted: Notify,
    /// The log from which the account is restored after the process has died.
    pub(super) log: Option<Arc<dyn BudgetLog>>,
}

#[derive(Default)]
pub(super) struct State {
    pub(super) spent: Tally,
    pub(super) open: Open,
    pub(super) experience: Experience,
    /// Waiting calls, in order of arrival.
    queue: VecDeque<Waiter>,
    closed: bool,
    /// The first model whose answers report no cost although dollars are limited.
    unpriced: Option<String>,
}

/// An upper bound of the usage of calls.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Amount {
    pub(super) calls: u64,
    pub(super) tokens: u64,
    pub(super) picodollars: u64,
}

/// The amounts reserved for all calls in flight. Each amount fits a `u64`, but endpoints can report counts so
/// large that the sum does not.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Open {
    pub(super) calls: u64,
    tokens: u128,
    picodollars: u128,
}

struct Waiter {
    ask: Ask<'static>,
    answer: oneshot::Sender<Result<Reservation, Box<OverBudget>>>,
}

/// The outcome of a call that was paid for.
pub(super) enum Settlement<'a> {
    /// The call was answered; the budget truncated the reply at that many tokens, if any.
    Answered(&'a Usage, Option<u32>),
    /// The call was refused by the endpoint: it counts, but costs nothing.
    Refused,
    /// The call was not answered, but may have been charged.
    InDoubt,
    /// The call was not charged.
    Free,
}

impl Account {
    pub(super) fn new(budget: Budget, spent: &Usage, elapsed: Duration) -> Self {
        let now = Instant::now();
        let mut tally = Tally::of(spent);
        tally.calls = spent.requests;
        Account {
            budget,
            picodollars: budget.usd.map(picodollars),
            started: now.checked_sub(elapsed).unwrap_or(now),
            ends: budget.time.and_then(|wall| now.checked_add(wall.saturating_sub(elapsed))),
            state: Mutex::new(State { spent: tally, ..State::default() }),
            aborted: Notify::new(),
            log: None,
        }
    }

    pub(super) fn spent(&self) -> Usage {
        self.state().spent.usage()
    }

    /// Returns the amounts that are neither spent nor reserved.
    pub(super) fn remaining(&self) -> Budget {
        let state = self.state();
        let (spent, open) = (&state.spent, &state.open);
        let rest = |most: u64, spent: u64, open: u64| most.saturating_sub(spent).saturating_sub(open);
        Budget {
            calls: self.budget.calls.map(|most| rest(most, spent.calls, open.calls)),
            tokens: self.budget.tokens.map(|most| rest(most, spent.tokens(), open.tokens())),
            usd: self.picodollars.map(|most| dollars(rest(most, spent.picodollars, open.picodollars()))),
            time: self.budget.time.map(|wall| wall.saturating_sub(self.started.elapsed())),
        }
    }

    pub(super) fn unpriced(&self) -> Option<String> {
        self.state().unpriced.clone()
    }

    pub(super) fn learn(&self, model: &str, usage: &Usage) {
        if let Some(learned) = self.state().experience.at(model) {
            // The bound of the prompt is not known here.
            learned.learn(usage, 1, usage.prompt_tokens.saturating_mul(2));
        }
    }

    /// Admits no further calls.
    pub(super) fn close(self: &Arc<Self>) {
        self.change(|state| state.closed = true);
    }

    /// Creates the refusal of a call with the worst-case cost `asked`.
    pub(super) fn refusal(&self, why: BudgetRefusal, asked: Amount, cut: Option<u32>) -> Box<OverBudget> {
        self.refusal_in(&self.state(), why, asked, cut)
    }

    fn refusal_in(
        &self,
        state: &State,
        why: BudgetRefusal,
        asked: Amount,
        cut: Option<u32>,
    ) -> Box<OverBudget> {
        let mut usage = Usage::tokens(asked.tokens, 0);
        usage.cost_usd = self.picodollars.map(|_| dollars(asked.picodollars));
        Box::new(OverBudget { why, budget: self.budget, spent: state.spent.usage(), asked: usage, cut })
    }

    /// Reserves the worst-case cost of a call. Waits if it does not fit only because of calls in flight.
    pub(super) async fn reserve(self: &Arc<Self>, ask: &Ask<'_>) -> Result<Reservation, Box<OverBudget>> {
        let answer = {
            let mut state = self.state();
            // A new call must not overtake those that wait.
            if state.queue.is_empty() {
                match self.judge(&state, ask) {
                    Verdict::Fits(grant) => return Ok(self.reservation(&mut state, ask, grant)),
                    Verdict::Exceeds(why, asked) => {
                        return Err(self.refusal_in(&state, why, asked, ask.cut));
                    }
                    Verdict::Wait => {}
                }
            }
            let (sender, answer) = oneshot::channel();
            state.queue.push_back(Waiter { ask: ask.clone().into_owned(), answer: sender });
            answer
        };
        let mut waiting = Waiting { account: self, answer: Some(answer) };
        let answered = match &mut waiting.answer {
            Some(answer) => answer.await,
            None => return Err(self.refusal(BudgetRefusal::Closed, Amount::default(), None)),
        };
        waiting.answer = None;
        answered.unwrap_or_else(|_| Err(self.refusal(BudgetRefusal::Closed, Amount::default(), None)))
    }

    fn judge(&self, state: &State, ask: &Ask<'_>) -> Verdict {
        if state.closed {
            return Verdict::Exceeds(BudgetRefusal::Closed, Amount::default());
        }
        if self.ends.is_some_and(|ends| Instant::now() >= ends) {
            return Verdict::Exceeds(BudgetRefusal::Limit(Limit::Time), Amount::default());
        }
        judge(&self.budget, self.picodollars, state, ask)
    }

    fn reservation(self: &Arc<Self>, state: &mut State, ask: &Ask<'_>, grant: Grant) -> Reservation {
        state.open.add(grant.amount);
        Reservation::new(self.clone(), Claim { grant, prompt: ask.prompt, completions: ask.completions })
    }

    /// Returns the highest usage of a call by current estimates.
    pub(super) fn worst(&self, grant: &Grant) -> Usage {
        let mut usage = Usage::tokens(grant.amount.tokens, 0);
        let known = self.picodollars.filter(|_| !grant.pioneer);
        usage.cost_usd = known.map(|_| dollars(grant.amount.picodollars));
        usage
    }

    /// Releases a reservation, records the cost of the call and admits waiting calls. Returns the recorded
    /// cost.
    pub(super) fn settle(self: &Arc<Self>, claim: &Claim, model: &str, outcome: &Settlement<'_>) -> Tally {
        let (booked, unpriced) = self.change(|state| {
            state.open.subtract(claim.grant.amount);
            let (booked, unpriced) = match *outcome {
                Settlement::Free => (Tally::default(), false),
                Settlement::Refused => (Tally::refused(), false),
                Settlement::InDoubt => (Tally::of(&self.worst(&claim.grant)), false),
                Settlement::Answered(usage, cut) => self.learned(state, claim, model, usage, cut),
            };
            state.spent.add(booked);
            (booked, unpriced)
        });
        // Logged after the lock is released, because subscribers are not our code.
        if unpriced {
            tracing::warn!(model, "the model's price is not known: the budget of dollars is not enforced");
        }
        booked
    }

    /// Changes the state and admits the calls that then fit, even if the change panics, so that no call waits
    /// for ever.
    fn change<R>(self: &Arc<Self>, change: impl FnOnce(&mut State) -> R) -> R {
        let _admit = Admit(self);
        change(&mut self.state())
    }

    /// Returns the cost to record for an answered call, and whether it is the first answer to show that a
    /// price is unknown.
    fn learned(
        &self,
        state: &mut State,
        claim: &Claim,
        model: &str,
        usage: &Usage,
        cut: Option<u32>,
    ) -> (Tally, bool) {
        let Claim { grant: Grant { amount, pioneer, .. }, prompt, completions } = *claim;
        let mut paid = *usage;
        // An answer without usage still counts as a call.
        paid.requests = paid.requests.max(1);
        if paid.total_tokens() == 0 {
            paid.prompt_tokens = amount.tokens;
        }
        let priced = usage.cost_usd.is_some();
        if !priced && !pioneer && amount.picodollars > 0 {
            paid.cost_usd = Some(dollars(amount.picodollars));
        }
        if self.budget.counts_tokens()
            && let Some(learned) = state.experience.at(model)
        {
            learned.learn(usage, completions, prompt);
            learned.longest = learned.longest.max(cut.map_or(0, u64::from));
            learned.unpriced |= pioneer && !priced;
        }
        let first = pioneer && !priced && state.unpriced.is_none();
        if first {
            state.unpriced = Some(model.to_owned());
        }
        (Tally::of(&paid), first)
    }

    /// Admits waiting calls in order of arrival, up to the first that does not fit.
    fn admit(self: &Arc<Self>, state: &mut State) {
        while let Some(Waiter { ask, answer }) = state.queue.pop_front() {
            if answer.is_closed() {
                continue;
            }
            match self.judge(state, &ask) {
                Verdict::Fits(grant) => {
                    let reservation = self.reservation(state, &ask, grant);
                    if let Err(Ok(unwanted)) = answer.send(Ok(reservation)) {
                        // The waiting call was dropped just now. The account is locked, so the claim must not
                        // release itself.
                        unwanted.forget();
                        state.open.subtract(grant.amount);
                    }
                }
                Verdict::Exceeds(why, asked) => {
                    let _ = answer.send(Err(self.refusal_in(state, why, asked, ask.cut)));
                }
                Verdict::Wait => {
                    state.queue.push_front(Waiter { ask, answer });
                    return;
                }
            }
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock_any()
    }
}

impl Open {
    fn add(&mut self, amount: Amount) {
        self.calls = self.calls.saturating_add(amount.calls);
        self.tokens = self.tokens.saturating_add(amount.tokens.into());
        self.picodollars = self.picodollars.saturating_add(amount.picodollars.into());
    }

    fn subtract(&mut self, amount: Amount) {
        self.calls = self.calls.saturating_sub(amount.calls);
        self.tokens = self.tokens.saturating_sub(amount.tokens.into());
        self.picodollars = self.picodollars.saturating_sub(amount.picodollars.into());
    }

    pub(super) fn tokens(&self) -> u64 {
        u64::try_from(self.tokens).unwrap_or(u64::MAX)
    }

    pub(super) fn picodollars(&self) -> u64 {
        u64::try_from(self.picodollars).unwrap_or(u64::MAX)
    }
}

/// A guard that admits waiting calls when dropped.
struct Admit<'a>(&'a Arc<Account>);

impl Drop for Admit<'_> {
    fn drop(&mut self) {
        let mut state = self.0.state();
        let admitted = catch_unwind(AssertUnwindSafe(|| self.0.admit(&mut state)));
        if admitted.is_err() {
            // Waiting calls whose senders are dropped see that the account is closed.
            state.queue.clear();
        }
    }
}

/// A waiting call. Dropping it removes it from the queue.
struct Waiting<'a> {
    account: &'a Arc<Account>,
    answer: Option<oneshot::Receiver<Result<Reservation, Box<OverBudget>>>>,
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        if let Some(answer) = self.answer.take() {
            // Releases the reservation if the call was admitted but has not noticed yet.
            drop(answer);
            drop(Admit(self.account));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ask() -> Ask<'static> {
        Ask { model: "m".into(), prompt: 0, completions: 1, max_tokens: Some(0), price: None, cut: None }
    }

    #[tokio::test]
    async fn a_panic_while_settling_leaves_nobody_waiting() {
        let account = Arc::new(Account::new(Budget::calls(2), &Usage::default(), Duration::ZERO));
        let first = account.reserve(&ask()).await.unwrap();
        let second = account.reserve(&ask()).await.unwrap();
        let third = ask();
        let mut waiting = Box::pin(account.reserve(&third));
        assert!(futures_util::poll!(&mut waiting).is_pending());
        // The state after a call that panics at the worst place.
        let panicked = catch_unwind(AssertUnwindSafe(|| {
            account.change(|state| {
                state.open.subtract(Amount { calls: 1, ..Amount::default() });
                std::panic::resume_unwind(Box::new("in the middle"));
            });
        }));
        assert!(panicked.is_err());
        assert!(waiting.await.is_ok(), "it was let through");
        drop((first, second));
        assert_eq!(account.remaining().calls, Some(2));
    }

    #[tokio::test]
    async fn what_is_set_aside_never_overflows() {
        let most = Amount { calls: 1, tokens: u64::MAX, picodollars: u64::MAX };
        let mut open = Open::default();
        (0..3).for_each(|_| open.add(most));
        assert_eq!((open.tokens(), open.picodollars()), (u64::MAX, u64::MAX));
        (0..3).for_each(|_| open.subtract(most));
        assert_eq!((open.calls, open.tokens(), open.picodollars()), (0, 0, 0));
    }
}
