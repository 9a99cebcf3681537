//! All steps in one file: a typed task, a score, an optimizer, a better score, a saved program.
//!
//! Run: `cargo run --example quickstart`
//! Needs: nothing. Without a key it uses the built-in model, a small in-context learner in this process; with
//! `OPENAI_API_KEY`, `ANTHROPIC_API_KEY`, … or `DSPY_MODEL=provider/model` the same program runs on that
//! model.
//! Writes: `runs/quickstart/`, the journal of the run, its report for a browser, and the saved program. Delete it to
//! start over.

use dspy::data;
use dspy::optimizers::{Budget, Portfolio};
use dspy::prelude::*;

/// The teams of a shop's help desk.
#[field_type]
#[derive(Debug, Clone, Copy, PartialEq)]
#[serde(rename_all = "lowercase")]
enum Team {
    /// Charges, invoices, payment methods.
    Billing,
    /// Where a parcel is and when it comes.
    Shipping,
    /// Sending things back, exchanges, refunds for returned goods.
    Returns,
    /// Something does not work.
    Technical,
    /// Logins, passwords, personal data.
    Account,
    /// Questions before buying.
    Sales,
}

/// Decide which team should answer a customer's message.
#[signature]
#[derive(Clone)]
struct Route {
    /// The message as the customer wrote it.
    #[input]
    message: String,
    /// The team that can help.
    #[output]
    team: Team,
}

/// Scores an output for the optimizer. A metric is any function of a labelled example and an output.
fn routed_well(example: &Route, output: &RouteOutput) -> bool {
    example.team == output.team
}

#[tokio::main]
async fn main() -> dspy::Result<()> {
    let lm = Lm::from_env()?;
    println!(
        "model      {}{}",
        lm.id(),
        lm.chosen_because().map(|why| format!(" ({why})")).unwrap_or_default()
    );
    dspy::configure(lm.clone());

    // A typed answer: `team` is a `Team`, checked at compile time.
    let program = ChainOfThought::<Route>::new();
    let message = "My parcel should have come on Monday, but the tracking has not moved for three days.";
    let answer = program.call(message).await?;
    println!(
        "asked      {message}\nanswered   {:?}, because: {}",
        answer.team,
        answer.reasoning().unwrap_or("-")
    );

    // Labelled rows load directly into the signature. The optimizer never sees the rows of `heldout`.
    let rows: Vec<Route> =
        data::parse_jsonl(include_str!("data/tickets.jsonl")).map_err(dspy::Error::other)?;
    let (train, heldout) = data::split(rows, 0.4, dspy::Seed::new(1));
    println!("data       {} rows to learn from, {} held out", train.len(), heldout.len());

    let evaluate = Evaluate::new(routed_well).concurrency(16).progress(true);
    let before = evaluate.run(&program, &heldout).await?;
    println!("baseline   {before}");

    // Chooses the optimizers that suit, gives more of the budget to the better ones, and combines them.
    let folder = format!("runs/quickstart/{}", lm.id().replace('/', "-"));
    let optimizer = Portfolio::builder(Budget::calls(3_000).usd(2.0))
        .metric(routed_well)
        // An interrupted run resumes from here and repeats no paid call.
        .run_dir(&folder)
        .progress(true)
        .build();
    println!("estimate   {}", optimizer.estimate(&program, &train)?);
    let optimized = optimizer.compile(program, &train).await?;
    println!("{}", optimized.report());

    let after = evaluate.run(&optimized, &heldout).await?;
    println!("optimized  {after}   (baseline {before}; the same held-out rows)");
    println!("report     {folder}/report.html");

    let path = "runs/quickstart/program.json";
    optimized.save(path)?;
    let loaded = ChainOfThought::<Route>::new().load(path)?;
    let again = loaded.call(message).await?;
    println!("saved      {path}\nloaded     {message}\nanswered   {:?}", again.team);
    Ok(())
}
