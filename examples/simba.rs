//! Advice and demonstrations from comparing runs: on each row of a minibatch several programs run several times, and
//! what made the difference becomes part of new programs.
//!
//! Run: `cargo run --example simba`
//! Needs: nothing; see `quickstart` for how to use a real model.

use dspy::data;
use dspy::optimizers::{Budget, Data, Simba, Verify};
use dspy::prelude::*;

/// The teams of a shop's help desk.
#[field_type]
#[derive(Debug, Clone, Copy, PartialEq)]
#[serde(rename_all = "lowercase")]
enum Team {
    Billing,
    Shipping,
    Returns,
    Technical,
    Account,
    Sales,
}

/// Decide which team should answer a customer's message.
#[signature]
#[derive(Clone)]
struct Route {
    #[input]
    message: String,
    #[output]
    team: Team,
}

#[tokio::main]
async fn main() -> dspy::Result<()> {
    dspy::configure(Lm::from_env()?);
    let tickets: Vec<Route> =
        data::parse_jsonl(include_str!("data/tickets.jsonl")).map_err(dspy::Error::other)?;
    let (train, rest) = data::split(tickets, 0.3, dspy::Seed::new(1));
    let (val, heldout) = data::split(rest, 0.6, dspy::Seed::new(2));

    let right = |example: &Route, output: &RouteOutput| example.team == output.team;
    let optimizer = Simba::builder()
        .metric(right)
        .max_steps(4)
        .verify(Verify::rows(40))
        .budget(Budget::calls(5_000))
        .build();
    let optimized = optimizer.compile(Predict::<Route>::new(), Data::new(&train).valset(&val)).await?;
    println!("{}", optimized.report());

    let evaluate = Evaluate::new(right).concurrency(16);
    let before = evaluate.run(&Predict::<Route>::new(), &heldout).await?;
    let after = evaluate.run(&optimized, &heldout).await?;
    println!("held out   {after}   (baseline {before})");
    Ok(())
}
