//! Two optimizers one after the other, on one journal and one budget: demonstrations, then a search over them.
//!
//! Run: `cargo run --example better_together`
//! Needs: nothing; see `quickstart` for how to use a real model.

use dspy::data;
use dspy::optimizers::{
    BetterTogether, BootstrapFewShotWithRandomSearch, Budget, Data, LabeledFewShot, Optimizer, Verify,
};
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
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    dspy::configure(Lm::from_env()?);
    let tickets: Vec<Route> = data::parse_jsonl(include_str!("data/tickets.jsonl"))?;
    let (train, rest) = data::split(tickets, 0.3, dspy::Seed::new(1));
    let (val, heldout) = data::split(rest, 0.5, dspy::Seed::new(2));

    let right = |example: &Route, output: &RouteOutput| example.team == output.team;
    let search = BootstrapFewShotWithRandomSearch::builder()
        .metric(right)
        .max_labeled_demos(12)
        .num_candidate_programs(3)
        .build();
    // With an endpoint for fine-tuning, a third optimizer would be `BootstrapFinetune`.
    let builder = BetterTogether::builder()
        .optimizer("label", LabeledFewShot::builder().k(4).boxed())
        .optimizer("search", search.boxed())
        .metric(right);

    let error = builder.clone().strategy("label -> finetune").build();
    println!("{}\n", error.err().map(|error| error.to_string()).unwrap_or_default());

    let optimizer =
        builder.strategy("label -> search").budget(Budget::calls(3_000)).verify(Verify::rows(20)).build()?;
    let program = Predict::<Route>::new();
    let optimized = optimizer.compile(program, Data::new(&train).valset(&val)).await?;
    println!("{}", optimized.report());

    let after = Evaluate::new(right).concurrency(16).run(&optimized, &heldout).await?;
    println!("held out   {after}");
    Ok(())
}
