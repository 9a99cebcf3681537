//! Reflective evolution: the instructions of two predictors, improved by feedback in words for each of them.
//!
//! Run: `cargo run --example gepa`
//! Needs: nothing; see `quickstart` for how to use a real model.

use dspy::data;
use dspy::optimizers::gepa::Auto;
use dspy::optimizers::{Data, Gepa};
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

/// A message with everything that is known of it.
#[signature]
#[derive(Clone)]
struct Ticket {
    #[input]
    message: String,
    #[output]
    team: Team,
    #[output]
    urgent: bool,
}

/// Decide which team should answer a customer's message.
#[signature]
struct Route {
    #[input]
    message: String,
    #[output]
    team: Team,
}

/// Decide whether a customer's message needs an answer today.
#[signature]
struct Urgency {
    #[input]
    message: String,
    #[output]
    urgent: bool,
}

#[module]
struct HelpDesk {
    route: Predict<Route>,
    urgency: Predict<Urgency>,
}

impl Module for HelpDesk {
    type Input = TicketInput;
    type Output = TicketOutput;

    async fn forward(&self, input: TicketInput) -> dspy::Result<Prediction<TicketOutput>> {
        let team = self.route.call(input.message.as_str()).await?.team;
        let urgent = self.urgency.call(input.message).await?.urgent;
        Ok(Prediction::new(TicketOutput { team, urgent }))
    }
}

/// Scores both answers, and says to each predictor what the right one is.
fn judged(example: &Ticket, output: &TicketOutput) -> Score {
    let (team, urgent) = (example.team == output.team, example.urgent == output.urgent);
    let name = format!("{:?}", example.team).to_lowercase();
    let feedback = |right, expected| if right { "right".to_owned() } else { format!("expected {expected}") };
    Score::new(f64::midpoint(f64::from(u8::from(team)), f64::from(u8::from(urgent))))
        .with_feedback_for("route", feedback(team, name))
        .with_feedback_for("urgency", feedback(urgent, example.urgent.to_string()))
}

#[tokio::main]
async fn main() -> dspy::Result<()> {
    let lm = Lm::from_env()?;
    println!("model      {}", lm.id());
    dspy::configure(lm);

    let tickets: Vec<Ticket> =
        data::parse_jsonl(include_str!("data/tickets.jsonl")).map_err(dspy::Error::other)?;
    let (train, rest) = data::split(tickets, 0.4, dspy::Seed::new(1));
    let (val, heldout) = data::split(rest, 0.4, dspy::Seed::new(2));

    let program = HelpDesk { route: Predict::new(), urgency: Predict::new() };
    let evaluate = Evaluate::new(judged).concurrency(16);
    let before = evaluate.run(&program, &heldout).await?;
    println!("baseline   {before}");

    let optimizer = Gepa::builder().metric(judged).auto(Auto::Medium).progress(true).build();
    let optimized = optimizer.compile(program, Data::new(&train).valset(&val)).await?;
    println!("{}", optimized.report());

    let after = evaluate.run(&optimized, &heldout).await?;
    println!("held out   {after}   (baseline {before}; rows that the search has not seen)");
    Ok(())
}
