//! Demonstrations that are chosen for each input, from all labelled rows.
//!
//! Run: `cargo run --example knn_few_shot`
//! Needs: nothing; see `quickstart` for how to use a real model.

use dspy::data;
use dspy::lm::Embedder;
use dspy::optimizers::{KnnFewShot, LabeledFewShot, NearestDemos};
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
    let (train, heldout) = data::split(tickets, 0.6, dspy::Seed::new(1));
    let right = |example: &Route, output: &RouteOutput| example.team == output.team;
    let evaluate = Evaluate::new(right).concurrency(16);

    let plain = Predict::<Route>::new();
    let fixed = LabeledFewShot::builder().k(5).build().compile(plain.clone(), &train).await?;
    println!("the same 5 demonstrations   {}", evaluate.run(&fixed, &heldout).await?);

    // No model is called for the demonstrations.
    let knn = KnnFewShot::builder().build();
    let program = NearestDemos::new(plain.clone()).k(5);
    let nearest = knn.compile(program, &train).await?;
    println!("the nearest 5, by words     {}", evaluate.run(&nearest, &heldout).await?);

    // With a real model: `Embedder::new("openai/text-embedding-3-small")?`.
    let program = NearestDemos::new(plain.clone()).k(5).embedder(Embedder::hashed(512));
    let by_vectors = knn.compile(program, &train).await?;
    println!("the nearest 5, by vectors   {}", evaluate.run(&by_vectors, &heldout).await?);

    std::fs::create_dir_all("runs").map_err(dspy::Error::other)?;
    nearest.save("runs/knn_few_shot.json")?;
    let loaded = NearestDemos::new(plain).k(5).load("runs/knn_few_shot.json")?;
    let answer = loaded.call("The parcel was left in the rain and the box is soaked.").await?;
    println!("loaded                      {:?}", answer.team);
    Ok(())
}
