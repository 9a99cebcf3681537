//! Reflective evolution: the instructions of two predictors, improved by feedback in words for each of them.
//!
//! Run: `cargo run --example gepa`
//! Needs: nothing; see `quickstart` for how to use a real model. A real model also writes the instructions; without
//! one, `lessons` in this file turns the feedback into rules, which the built-in model obeys.

use std::collections::BTreeMap;

use dspy::data;
use dspy::optimizers::gepa::Auto;
use dspy::optimizers::proposer::TextRequest;
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
    let score = f64::midpoint(f64::from(u8::from(team)), f64::from(u8::from(urgent)));
    Score::new(score)
        .with_feedback_for("route", format!("{}: {name}", if team { "right" } else { "wrong" }))
        .with_feedback_for(
            "urgency",
            format!("{}: {}", if urgent { "right" } else { "wrong" }, example.urgent),
        )
}

/// Adds a rule for each message that was answered wrongly: what its longest words say.
async fn lessons(request: TextRequest) -> dspy::Result<Vec<String>> {
    let mut rules: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for record in &request.records {
        let Some(right) = record.feedback.as_deref().and_then(|text| text.strip_prefix("wrong: ")) else {
            continue;
        };
        let message = record.inputs["message"].as_str().unwrap_or_default().to_lowercase();
        let mut words: Vec<&str> =
            message.split(|c: char| !c.is_alphabetic()).filter(|word| word.len() > 4).collect();
        words.sort_by_key(|word| std::cmp::Reverse(word.len()));
        rules.entry(right.to_owned()).or_default().extend(words.into_iter().take(3).map(str::to_owned));
    }
    let rule = |(right, words): (String, Vec<String>)| {
        format!("Answer `{right}` if the message is about {}.", words.join(", "))
    };
    let rules: Vec<String> = rules.into_iter().map(rule).collect();
    Ok(vec![format!("{} {}", request.current, rules.join(" "))])
}

#[tokio::main]
async fn main() -> dspy::Result<()> {
    let lm = Lm::from_env()?;
    let builtin = lm.id() == Lm::builtin().id();
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

    let optimizer = Gepa::builder().metric(judged).auto(Auto::Medium).progress(true);
    let optimizer = if builtin { optimizer.proposer(lessons) } else { optimizer };
    let optimized = optimizer.build().compile(program, Data::new(&train).valset(&val)).await?;
    println!("{}", optimized.report());

    let after = evaluate.run(&optimized, &heldout).await?;
    println!("held out   {after}   (baseline {before}; rows that the search has not seen)");
    Ok(())
}
