//! A playbook of lessons below the instruction: it grows batch by batch, each change is adopted only if the program is
//! not worse with it, and it goes on growing from feedback while the program is in use.
//!
//! Run: `cargo run --example ace`
//! Needs: nothing; see `quickstart` for how to use a real model.

use dspy::data;
use dspy::optimizers::ace::Feedback;
use dspy::optimizers::{Ace, Budget, Data, Verify};
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
    let (val, rest) = data::split(rest, 0.6, dspy::Seed::new(2));
    let (heldout, served) = data::split(rest, 0.7, dspy::Seed::new(3));

    let right = |example: &Route, output: &RouteOutput| example.team == output.team;
    let ace = Ace::builder()
        .metric(right)
        .batch(20)
        .epochs(2)
        .verify(Verify::rows(40))
        .budget(Budget::calls(5_000))
        .build();
    let optimized = ace.compile(Predict::<Route>::new(), Data::new(&train).valset(&val)).await?;
    println!("{}", optimized.report());
    println!("{}\n", optimized.named_predictors()[0].1.playbook());

    let evaluate = Evaluate::new(right).concurrency(16);
    let before = evaluate.run(&Predict::<Route>::new(), &heldout).await?;
    let after = evaluate.run(&optimized, &heldout).await?;
    println!("held out   {after}   (baseline {before})");

    // The program in use: whoever corrects a decision gives feedback on its trace.
    let online = ace.online(optimized.into_program(), val)?;
    for ticket in served {
        let (answer, trace) = dspy::program::trace(online.program().call(ticket.message.as_str())).await;
        let team = answer?.team;
        let labels = ticket.values().map_err(dspy::Error::other)?;
        let said = format!("The team was {:?}, the right one is {:?}.", team, ticket.team);
        let feedback = Feedback::new(said).score(f64::from(team == ticket.team)).expected(labels);
        online.learn(trace, feedback).await?;
    }
    println!("{:?}", online.update().await?);
    let later = evaluate.run(&online.program(), &heldout).await?;
    println!(
        "version {} of the playbook, {} calls   held out   {later}",
        online.version(),
        online.usage().requests
    );
    Ok(())
}
