//! The account of a budget: what is spent, what is set aside, who waits.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use tokio::sync::{Notify, oneshot};
use tokio::time::Instant;

use super::ask::Ask;
use super::learned::Experience;
use super::log::BudgetLog;
use super::verdict::{Grant, Verdict, judge};
use super::{Budget, BudgetRefusal, Limit, OverBudget};
use crate::money::usage::{dollars, picodollars};
use crate::{Tally, Usage};
use dspy_base::locks::MutexExt as _;

/// Lets calls through as long as they fit.
pub(super) struct Account {
    pub(super) budget: Budget,
    picodollars: Option<u64>,
    started: Instant,
    /// When the time is over.
    pub(super) ends: Option<Instant>,
    state: Mutex<State>,
    /// Rung when calls under way are to be given up.
    pub(super) aborted: Notify,
    /// Keeps what an account has to know that is opened again after the process has died.
    pub(super) log: Option<Arc<dyn BudgetLog>>,
}

#[derive(Default)]
pub(super) struct State {
    pub(super) spent: Tally,
    pub(super) open: Open,
    pub(super) experience: Experience,
    /// Calls that wait, the first to come first.
    queue: VecDeque<Waiter>,
    closed: bool,
    /// The first model whose answers tell no cost although dollars are limited.
    unpriced: Option<String>,
}

/// What calls may cost.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Amount {
    pub(super) calls: u64,
    pub(super) tokens: u64,
    pub(super) picodollars: u64,
}

/// What is set aside for all calls in flight. Each amount fits a `u64`, but what endpoints report can make amounts so
/// large that their sum does not.
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

/// How a call that was paid for has ended.
pub(super) enum Settlement<'a> {
    /// With an answer, which the budget had cut off at so many tokens.
    Answered(&'a Usage, Option<u32>),
    /// With a refusal: it counts, but costs nothing.
    Refused,
    /// Without an answer, but it may have been charged.
    InDoubt,
    /// Nothing was charged.
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

    /// What is neither spent nor set aside.
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
            // How long the prompt was is not known any more.
            learned.learn(usage, 1, usage.prompt_tokens.saturating_mul(2));
        }
    }

    /// Lets no further call through.
    pub(super) fn close(self: &Arc<Self>) {
        self.change(|state| state.closed = true);
    }

    /// A refusal of this account for a call that would take `asked`.
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

    /// Sets aside what the call may cost. Where only calls under way stand against it, it waits for them.
    pub(super) async fn reserve(self: &Arc<Self>, ask: &Ask<'_>) -> Result<Reservation, Box<OverBudget>> {
        let answer = {
            let mut state = self.state();
            // Who comes later must not overtake those that wait.
            if state.queue.is_empty() {
                match self.judge(&state, ask) {
                    Verdict::Fits(grant) => return Ok(self.set_aside(&mut state, ask, grant)),
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

    fn set_aside(self: &Arc<Self>, state: &mut State, ask: &Ask<'_>, grant: Grant) -> Reservation {
        state.open.add(grant.amount);
        let claim = Claim { grant, prompt: ask.prompt, completions: ask.completions };
        Reservation { account: self.clone(), claim: Some(claim), logged: None }
    }

    /// What a call may cost at most, for all that is known.
    fn worst(&self, grant: &Grant) -> Usage {
        let mut usage = Usage::tokens(grant.amount.tokens, 0);
        let known = self.picodollars.filter(|_| !grant.pioneer);
        usage.cost_usd = known.map(|_| dollars(grant.amount.picodollars));
        usage
    }

    /// Gives back what was set aside, books what the call has cost and lets others through. Tells what was booked.
    fn settle(self: &Arc<Self>, claim: &Claim, model: &str, outcome: &Settlement<'_>) -> Tally {
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
        // Said when the account is free again: what listens to logs is not ours.
        if unpriced {
            tracing::warn!(model, "the model's price is not known: the budget of dollars is not enforced");
        }
        booked
    }

    /// Changes the state and lets those through that then fit, even if the change panics: whoever waits must not wait
    /// for ever.
    fn change<R>(self: &Arc<Self>, change: impl FnOnce(&mut State) -> R) -> R {
        let _admit = Admit(self);
        change(&mut self.state())
    }

    /// What an answered call is booked with, and whether it was the first that shows that a price is not known.
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
        // A model that reports nothing was still called.
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

    /// Lets those that wait through, the first to come first, until one has to go on waiting.
    fn admit(self: &Arc<Self>, state: &mut State) {
        while let Some(Waiter { ask, answer }) = state.queue.pop_front() {
            if answer.is_closed() {
                continue;
            }
            match self.judge(state, &ask) {
                Verdict::Fits(grant) => {
                    let reservation = self.set_aside(state, &ask, grant);
                    if let Err(Ok(mut unwanted)) = answer.send(Ok(reservation)) {
                        // It went away just now. The account is locked, so that this must not give itself back.
                        unwanted.claim = None;
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

/// Lets those that wait through when this is dropped.
struct Admit<'a>(&'a Arc<Account>);

impl Drop for Admit<'_> {
    fn drop(&mut self) {
        let mut state = self.0.state();
        let admitted = catch_unwind(AssertUnwindSafe(|| self.0.admit(&mut state)));
        if admitted.is_err() {
            // Those whose senders are gone hear that the account is closed.
            state.queue.clear();
        }
    }
}

/// A call that waits. If it is given up, it stands in nobody's way any more.
struct Waiting<'a> {
    account: &'a Arc<Account>,
    answer: Option<oneshot::Receiver<Result<Reservation, Box<OverBudget>>>>,
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        if let Some(answer) = self.answer.take() {
            // Gives back what it holds, if it was let through and does not know yet.
            drop(answer);
            drop(Admit(self.account));
        }
    }
}

/// What is set aside for one call; given back when this is dropped.
pub(super) struct Reservation {
    account: Arc<Account>,
    claim: Option<Claim>,
    /// Its number in the log of the account.
    logged: Option<u64>,
}

#[derive(Clone, Copy)]
struct Claim {
    grant: Grant,
    prompt: u64,
    completions: u64,
}

impl Reservation {
    /// The most tokens that a completion may have.
    pub(super) fn cap(&self) -> Option<u32> {
        self.claim.and_then(|claim| claim.grant.cap)
    }

    /// Writes down that the call is about to be made, where the account has a log.
    pub(super) fn log(&mut self) -> Result<(), String> {
        if let (Some(log), Some(claim)) = (&self.account.log, &self.claim) {
            self.logged = Some(log.reserved(&self.account.worst(&claim.grant))?);
        }
        Ok(())
    }

    /// Books what the call has cost.
    pub(super) fn settle(mut self, model: &str, outcome: &Settlement<'_>) {
        if let Some(claim) = self.claim.take() {
            let booked = self.account.settle(&claim, model, outcome);
            if let (Some(log), Some(call)) = (&self.account.log, self.logged) {
                let mut usage = booked.usage();
                usage.requests = booked.calls;
                log.settled(call, &usage);
            }
        }
    }
}

impl Drop for Reservation {
    /// A call that is given up. In the log it stays open: it may have been charged.
    fn drop(&mut self) {
        if let Some(claim) = self.claim.take() {
            self.account.settle(&claim, "", &Settlement::Free);
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
        // What a call that panics at the worst place leaves behind.
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
