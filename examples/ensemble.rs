//! The best candidates of a search as one program, which decides by majority.
//!
//! Run: `cargo run --example ensemble`
//! Needs: nothing; see `quickstart` for how to use a real model.

use dspy::data;
use dspy::optimizers::{BootstrapFewShotWithRandomSearch, Budget, Ensemble, Reducer};
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
    let (_, heldout) = data::split(rest, 0.5, dspy::Seed::new(2));

    let right = |example: &Route, output: &RouteOutput| example.team == output.team;
    let search = BootstrapFewShotWithRandomSearch::builder()
        .metric(right)
        .max_labeled_demos(12)
        .num_candidate_programs(4)
        .budget(Budget::calls(3_000))
        .build();
    let optimized = search.compile(Predict::<Route>::new(), &train).await?;

    let evaluate = Evaluate::new(right).concurrency(16);
    println!("best       {}", evaluate.run(&optimized, &heldout).await?);
    // In case of a tie, the best candidate decides.
    let vote = Reducer::majority_by(|output: &RouteOutput| output.team);
    let ensemble = Ensemble::of_best(&optimized, 5)?.reduce(vote);
    let members = ensemble.programs().len();
    println!("ensemble   {}   ({members} members)", evaluate.run(&ensemble, &heldout).await?);

    // It saves and loads as any program. Each call here is answered by three members.
    std::fs::create_dir_all("runs").map_err(dspy::Error::other)?;
    ensemble.save("runs/ensemble.json")?;
    let empty = vec![Predict::<Route>::new(); members];
    let loaded = Ensemble::new(empty).load("runs/ensemble.json")?.size(3);
    let answer = loaded.call("Where is my parcel?").await?;
    println!("loaded     {:?}, by {} calls", answer.team, answer.usage().requests);
    Ok(())
}
