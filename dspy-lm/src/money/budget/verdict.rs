//! The decision whether a call fits into the remaining budget.

use super::account::{Amount, State};
use super::ask::Ask;
use super::bill::Bill;
use super::learned::Learned;
use crate::{Budget, BudgetRefusal, Limit};

/// Tokens reserved for a reply of a model without observations, if the request sets no limit.
const FIRST: u64 = 4_096;
/// The number of answers after which the longest one is taken as a measure of reply length.
const KNOWN_AFTER: u64 = 8;
/// The fewest tokens reserved for a reply of a model with observations.
const LEAST: u64 = 256;
/// The factor by which a reply may exceed the longest one so far.
const LONGER: u64 = 4;
/// The divisor for the part of the remaining budget that one reply may use while much is left.
const SHARE: u64 = 64;

pub(super) enum Verdict {
    Fits(Grant),
    /// The call would fit if the calls in flight cost less than was reserved for them.
    Wait,
    Exceeds(BudgetRefusal, Amount),
}

/// The amount to reserve for a call, and the token limit for its reply under which that amount is enough.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct Grant {
    pub(super) amount: Amount,
    pub(super) cap: Option<u32>,
    /// Whether the price is known only from the answer.
    pub(super) pioneer: bool,
}

/// The rest of a limit: the amount not spent, and the part of it that is not reserved for other calls.
#[derive(Clone, Copy)]
struct Rest {
    unspent: u64,
    free: u64,
}

impl Rest {
    fn new(limit: u64, spent: u64, open: u64) -> Self {
        let unspent = limit.saturating_sub(spent);
        Rest { unspent, free: unspent.saturating_sub(open) }
    }
}

/// Decides by the limits of calls, tokens and dollars.
pub(super) fn judge(budget: &Budget, picodollars: Option<u64>, state: &State, ask: &Ask<'_>) -> Verdict {
    let (spent, open) = (&state.spent, &state.open);
    let one = Amount { calls: 1, ..Amount::default() };
    let mut wait = false;
    if budget.has_invalid_usd() {
        return Verdict::Exceeds(BudgetRefusal::Limit(Limit::Usd), one);
    }
    if let Some(most) = budget.calls {
        let rest = Rest::new(most, spent.calls, open.calls);
        if rest.unspent == 0 {
            return Verdict::Exceeds(BudgetRefusal::Limit(Limit::Calls), one);
        }
        wait |= rest.free == 0;
    }
    if !budget.counts_tokens() {
        return if wait { Verdict::Wait } else { Verdict::Fits(Grant { amount: one, ..Grant::default() }) };
    }
    let learned = state.experience.of(&ask.model);
    let prompt = ask.prompt.saturating_add(learned.excess);
    let tokens = budget.tokens.map(|most| Rest::new(most, spent.tokens(), open.tokens()));
    let money = picodollars.map(|most| Rest::new(most, spent.picodollars, open.picodollars()));
    let known = ask.price.map(|price| Bill::new(&price, prompt)).or_else(|| learned.bill(prompt));
    let mut bill = known.unwrap_or_default();
    let mut pioneer = false;
    if let (Some(money), None) = (money, known) {
        if money.unspent == 0 {
            return Verdict::Exceeds(BudgetRefusal::Limit(Limit::Usd), one);
        }
        if learned.unpriced {
            if budget.calls.is_none() && budget.tokens.is_none() && budget.time.is_none() {
                return Verdict::Exceeds(BudgetRefusal::UnknownPrice, one);
            }
        } else {
            // The first call of a model runs alone and reserves the whole rest, because only then its price
            // is known.
            pioneer = true;
            bill = Bill { prompt: money.unspent, each: 0.0 };
            wait |= open.calls > 0;
        }
    }
    if tokens.is_none() && known.is_none() {
        // Nothing limits the reply.
        let amount = Amount { picodollars: bill.prompt, ..one };
        return if wait { Verdict::Wait } else { Verdict::Fits(Grant { amount, cap: None, pioneer }) };
    }
    let money = money.filter(|_| pioneer || known.is_some());
    let completions = ask.completions;
    let room = |tokens: Option<u64>, money: Option<u64>| {
        let (room, limit) = room(prompt, bill, tokens, money)?;
        Ok((room / completions, limit))
    };
    let most = room(tokens.map(|rest| rest.unspent), money.map(|rest| rest.unspent));
    let reply = ReplyRoom::of(ask, &learned, ask.price.and_then(|price| price.max_output).map(u64::from));
    let amount = |each: u64| Amount {
        calls: 1,
        tokens: prompt.saturating_add(each.saturating_mul(completions)),
        picodollars: if money.is_some() { bill.total(each.saturating_mul(completions)) } else { 0 },
    };
    let most = match most {
        Ok((most, _)) if most >= reply.least => most,
        Ok((_, limit)) | Err(limit) => {
            return Verdict::Exceeds(BudgetRefusal::Limit(limit), amount(reply.least));
        }
    };
    let each = reply.wish(most);
    let now = room(tokens.map(|rest| rest.free), money.map(|rest| rest.free));
    if wait || now.map_or(true, |(now, _)| now < each) {
        return Verdict::Wait;
    }
    let cap = if reply.limited(each) { None } else { Some(u32::try_from(each).unwrap_or(u32::MAX)) };
    Verdict::Fits(Grant { amount: amount(each), cap, pioneer })
}

/// Returns the number of generated tokens that fit, and the limit that applies.
fn room(prompt: u64, bill: Bill, tokens: Option<u64>, money: Option<u64>) -> Result<(u64, Limit), Limit> {
    let mut room = u64::MAX;
    if let Some(left) = tokens {
        room = left.checked_sub(prompt).ok_or(Limit::Tokens)?;
    }
    if let Some(left) = money {
        let paid = bill.replies(left.checked_sub(bill.prompt).ok_or(Limit::Usd)?);
        if paid < room {
            return Ok((paid, Limit::Usd));
        }
    }
    Ok((room, Limit::Tokens))
}

/// The possible lengths of a reply in tokens.
struct ReplyRoom {
    /// The length below which the call is not made.
    least: u64,
    /// The length to reserve if possible.
    enough: u64,
    /// The length above which more room is of no use.
    most: u64,
    /// The limit of the model or the request.
    limit: Option<u64>,
}

impl ReplyRoom {
    fn of(ask: &Ask<'_>, learned: &Learned, max_output: Option<u64>) -> Self {
        if let Some(limit) = ask.max_tokens {
            // The request sets the limit, and the limit is reserved.
            return ReplyRoom { least: limit, enough: limit, most: limit, limit: Some(limit) };
        }
        let cut = ask.cut.map_or(0, u64::from);
        let longer = learned.longest.max(cut).saturating_mul(LONGER);
        let floor = if learned.answers < KNOWN_AFTER { FIRST } else { LEAST };
        let most = max_output.unwrap_or_else(|| longer.max(FIRST));
        let least = learned.longest.max(cut + 1).max(16).min(most);
        ReplyRoom { least, enough: floor.max(longer).min(most), most, limit: max_output }
    }

    /// Returns the number of tokens to reserve if `room` tokens fit.
    fn wish(&self, room: u64) -> u64 {
        (room / SHARE).clamp(self.enough, self.most).min(room)
    }

    /// Returns whether the model or the request limits a reply to `tokens` anyway.
    fn limited(&self, tokens: u64) -> bool {
        self.limit.is_some_and(|limit| limit <= tokens)
    }
}

impl Bill {
    /// Returns the picodollars for the prompt and `replies` generated tokens.
    fn total(&self, replies: u64) -> u64 {
        self.prompt.saturating_add((replies as f64 * self.each).ceil() as u64)
    }

    /// Returns the number of tokens that can be generated for `picodollars`.
    fn replies(&self, picodollars: u64) -> u64 {
        if self.each > 0.0 { (picodollars as f64 / self.each).floor() as u64 } else { u64::MAX }
    }
}
