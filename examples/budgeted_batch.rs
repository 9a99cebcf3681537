//! A batch within a budget: a few hundred tickets, many at a time, and never more calls or dollars than the
//! budget allows. Inputs that no longer fit are listed, not lost.
//!
//! Run: `cargo run --example budgeted_batch`
//! Needs: nothing. The built-in model answers, at the price of a small hosted model.

use std::collections::BTreeMap;

use dspy::lm::{Budget, LmErrorKind, Price, track_usage};
use dspy::prelude::*;
use futures_util::{StreamExt as _, stream};

/// The mood of a message.
#[field_type]
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[serde(rename_all = "lowercase")]
enum Mood {
    Good,
    Bad,
}

/// Tell the mood of a customer's message.
#[signature]
struct Triage {
    /// The message as the customer wrote it.
    #[input]
    message: String,
    #[output]
    mood: Mood,
}

const OPENINGS: [&str; 4] = [
    "I love the lamp, a good buy.",
    "The lamp arrived broken and the box was awful.",
    "Great service, thank you!",
    "Bad, very bad: nobody answers the phone.",
];

#[tokio::main]
async fn main() -> dspy::Result<()> {
    let tickets: Vec<String> =
        (0..400).map(|number| format!("Ticket {number}. {}", OPENINGS[number % 4])).collect();
    let lm = Lm::builtin().price(Price::per_million(0.15, 0.60)).max_tokens(64);
    let program = Predict::<Triage>::new().with_lm(lm);

    // The batch ends at the first limit that is reached.
    let account = Budget::calls(300).usd(0.02).start();
    let program = &program;
    let (triaged, usage) = track_usage(account.enter(async {
        stream::iter(&tickets)
            .map(|ticket| async move { (ticket, program.call(ticket.as_str()).await) })
            .buffered(16)
            .collect::<Vec<_>>()
            .await
    }))
    .await;

    let mut moods: BTreeMap<Mood, usize> = BTreeMap::new();
    let (mut left_over, mut reason) = (Vec::new(), None);
    for (ticket, result) in triaged {
        match result {
            Ok(triage) => *moods.entry(triage.mood).or_default() += 1,
            // Neither wrong nor lost: the budget had no room for it.
            Err(error) if error.as_lm().is_some_and(|lm| lm.kind == LmErrorKind::Budget) => {
                reason.get_or_insert(error);
                left_over.push(ticket);
            }
            Err(error) => return Err(error),
        }
    }

    println!("budget     {}", account.budget());
    println!("triaged    {moods:?}");
    print!("used       {usage}");
    println!("left over  {} tickets", left_over.len());
    if let (Some(reason), [first, ..]) = (reason, &left_over[..]) {
        println!("           the first: {first}\n           because: {reason}");
    }
    let left = account.remaining();
    println!("remaining  {left}");

    // The rest can be run with a new budget, tomorrow or at once.
    assert_eq!(moods.values().sum::<usize>() + left_over.len(), tickets.len());
    assert!(account.spent().cost_usd.is_some_and(|usd| usd <= 0.02));
    Ok(())
}
