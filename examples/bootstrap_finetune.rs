//! Training rows from successful runs, and a trainer. The trainer here learns by heart; with an endpoint it would be
//! `ApiTrainer::new(FineTuning::new(Endpoint::provider("openai")?))`.
//!
//! Run: `cargo run --example bootstrap_finetune`
//! Needs: nothing.

use std::collections::HashMap;
use std::sync::Arc;

use dspy::data;
use dspy::error::BoxError;
use dspy::lm::{BoxFuture, Request};
use dspy::optimizers::{BootstrapFinetune, LabeledFewShot, Trainer, TrainingJob};
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

/// A trainer whose models know their training rows by heart, and answer as the built-in model to everything else.
struct ByHeart;

impl Trainer for ByHeart {
    fn identity(&self) -> String {
        "by heart".into()
    }

    fn train<'a>(&'a self, job: &'a TrainingJob) -> BoxFuture<'a, Result<Lm, BoxError>> {
        Box::pin(async move {
            let mut known = HashMap::new();
            for row in job.rows.rows() {
                if let Some(asked) = row.messages().last() {
                    known.insert(asked.text().into_owned(), row.reply().text().into_owned());
                }
            }
            println!("trained    {}: {} rows, {} prompts", job.name, job.rows.rows().len(), known.len());
            let (known, base) = (Arc::new(known), Lm::builtin());
            Ok(Lm::from_fn(move |request: Request| {
                let (known, base) = (known.clone(), base.clone());
                async move {
                    let asked =
                        request.messages.last().map(|turn| turn.text().into_owned()).unwrap_or_default();
                    match known.get(&asked) {
                        Some(reply) => Ok(dspy::lm::Response::text(reply.clone())),
                        None => base.complete(request).await,
                    }
                }
            }))
        })
    }
}

#[tokio::main]
async fn main() -> dspy::Result<()> {
    dspy::configure(Lm::builtin());
    let tickets: Vec<Route> =
        data::parse_jsonl(include_str!("data/tickets.jsonl")).map_err(dspy::Error::other)?;
    let (teaching, rest) = data::split(tickets, 0.4, dspy::Seed::new(1));
    let (train, _) = data::split(rest, 0.5, dspy::Seed::new(2));
    let right = |example: &Route, output: &RouteOutput| example.team == output.team;

    // The teacher has demonstrations; the student will do without.
    let student = Predict::<Route>::new();
    let teacher = LabeledFewShot::builder().k(24).build().compile(student.clone(), &teaching).await?;
    let data = dspy::optimizers::Data::new(&train).teacher(teacher.into_program());
    let optimized =
        BootstrapFinetune::builder(ByHeart).metric(right).build().compile(student.clone(), data).await?;
    println!("{}", optimized.report());

    let evaluate = Evaluate::new(right).concurrency(16);
    println!("before     {}   (on the rows that were trained on)", evaluate.run(&student, &train).await?);
    println!("after      {}", evaluate.run(&optimized, &train).await?);
    Ok(())
}
