//! A search over the demonstrations of two predictors: a step that names the problem, and one that routes the message.
//!
//! Run: `cargo run --example bootstrap_with_tpe`
//! Needs: nothing; see `quickstart` for how to use a real model.

use dspy::data;
use dspy::optimizers::{BootstrapFewShotWithTpe, Budget, Data};
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

/// Say what the customer's message is about.
#[signature]
struct Summarize {
    #[input]
    message: String,
    #[output]
    problem: String,
}

/// Decide which team should answer a customer's message.
#[signature]
#[derive(Clone)]
struct Route {
    #[input]
    message: String,
    #[input]
    problem: Option<String>,
    #[output]
    team: Team,
}

/// A labelled message.
#[signature]
#[derive(Clone)]
struct Ticket {
    #[input]
    message: String,
    #[output]
    team: Team,
}

/// Two steps.
#[module]
struct HelpDesk {
    summarize: Predict<Summarize>,
    route: Predict<Route>,
}

impl HelpDesk {
    fn new() -> Self {
        HelpDesk { summarize: Predict::new(), route: Predict::new() }
    }
}

impl Module for HelpDesk {
    type Input = TicketInput;
    type Output = RouteOutput;

    async fn forward(&self, ticket: TicketInput) -> dspy::Result<Prediction<RouteOutput>> {
        let problem = self.summarize.call(ticket.message.clone()).await?.problem.clone();
        self.route.call(RouteInput { message: ticket.message, problem: Some(problem) }).await
    }
}

#[tokio::main]
async fn main() -> dspy::Result<()> {
    dspy::configure(Lm::from_env()?);
    let tickets: Vec<Ticket> =
        data::parse_jsonl(include_str!("data/tickets.jsonl")).map_err(dspy::Error::other)?;
    let (train, rest) = data::split(tickets, 0.3, dspy::Seed::new(1));
    let (val, heldout) = data::split(rest, 0.6, dspy::Seed::new(2));

    let right = |example: &Ticket, output: &RouteOutput| example.team == output.team;
    let optimizer = BootstrapFewShotWithTpe::builder()
        .metric(right)
        .max_bootstrapped_demos(24)
        .max_labeled_demos(24)
        .demos_per_predictor(8)
        .num_candidate_programs(20)
        .budget(Budget::calls(8_000))
        .build();
    let optimized = optimizer.compile(HelpDesk::new(), Data::new(&train).valset(&val)).await?;
    println!("{}", optimized.report());

    let evaluate = Evaluate::new(right).concurrency(16);
    let before = evaluate.run(&HelpDesk::new(), &heldout).await?;
    let after = evaluate.run(&optimized, &heldout).await?;
    println!("held out   {after}   (baseline {before})");
    Ok(())
}
