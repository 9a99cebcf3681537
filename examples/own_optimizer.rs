//! A custom optimizer on the public engine: instructions from a list race on the valset, the winner is verified.
//!
//! The engine gives it what the optimizers of the library have: a journal from which it resumes, a budget, the same
//! result at any concurrency, a report, and events: the program prints each better score as soon as it is known.
//!
//! Run: `cargo run --example own_optimizer`
//! Needs: nothing; see `quickstart` for how to use a real model.

use dspy::data;
use dspy::optimizers::engine::{Candidate, Contestant, ExampleFor, Program, Stop, Study};
use dspy::optimizers::{
    Budget, Data, IntoData, OptimizeError, Optimized, Optimizer, Options, Race, SharedMetric, Stopped,
    StudyEvent, StudyEvents, Trial, Verify,
};
use dspy::prelude::*;

/// Tries each text as the instruction of every predictor.
struct PickInstruction<E, O> {
    texts: Vec<String>,
    metric: SharedMetric<E, O>,
    options: Options,
}

impl<P: Program, E: ExampleFor<P>> Optimizer<P, E> for PickInstruction<E, P::Output> {
    async fn compile<D: IntoData<P, E>>(&self, program: P, data: D) -> Result<Optimized<P>, OptimizeError> {
        let data = data.into_data();
        let study = Study::builder("PickInstruction", program, &data)
            // What decides the result, so that a journal is never resumed with something else.
            .settings(&self.texts)
            .options(&self.options)
            .start(&self.metric)?;
        let searched = self.search(&study).await;
        study.finish(searched).await
    }
}

impl<E, O> PickInstruction<E, O> {
    async fn search<P>(&self, study: &Study<'_, P, E>) -> Result<Stopped, Stop>
    where
        P: Program<Output = O>,
        E: ExampleFor<P>,
    {
        let mut programs = vec![study.program().clone()];
        for text in &self.texts {
            let paths = study.program().named_predictors();
            let instruct = |candidate: Candidate, (path, _)| candidate.instruction(path, text);
            programs.push(paths.into_iter().fold(Candidate::new(), instruct).applied_to(study.program())?);
        }
        let race = Race::new();
        study.plan(programs.len() * study.val().len());
        // Each program runs on the first block on its own, so that there are scores however early the budget ends.
        // The race does not run these rows again.
        let (rows, ends) = race.schedule(study.val(), study.seed());
        let first = rows.select(0..ends[0]);
        for (number, program) in programs.iter().enumerate() {
            study.part("search", &format!("first rows of instruction {number}"), first.len());
            study.evaluate(&study.scope_of(program), program, &first).await?;
        }
        study.part("search", "race", programs.len() * rows.len());
        let contestant = |program: &P| Contestant::new(study.scope_of(program), program.clone());
        let contestants: Vec<_> = programs.iter().map(contestant).collect();
        let raced = study.race(&race, &contestants, study.val()).await?;
        for (number, (program, standing)) in programs.into_iter().zip(&raced.standings).enumerate() {
            study.record(Trial::new(format!("instruction {number}"), &program).raced(standing), program);
        }
        // A race that the budget has ended has a result, too.
        Ok(raced.stopped.map_or(Stopped::Finished, Stopped::Budget))
    }
}

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
    let (train, rest) = data::split(tickets, 0.25, dspy::Seed::new(1));
    let (val, heldout) = data::split(rest, 0.5, dspy::Seed::new(2));

    let right = |example: &Route, output: &RouteOutput| example.team == output.team;
    let texts = [
        "You are the best dispatcher in the world. Take a deep breath.",
        "Charges, invoices and cards go to billing. Parcels and delivery go to shipping.",
        "Charges, invoices and cards go to billing. Parcels and delivery go to shipping. Refunds and exchanges of \
         goods go to returns. Errors and broken products go to technical. Passwords, logins and e-mail addresses go \
         to account. Questions about stock, discounts and compatibility before an order go to sales.",
        "Everything goes to sales.",
    ];
    let optimizer = PickInstruction {
        texts: texts.map(String::from).into(),
        metric: SharedMetric::new(right),
        options: Options::default().budget(Budget::calls(2_000)).verify(Verify::rows(40)),
    };
    let program = Predict::<Route>::new();
    let (run, mut events) = StudyEvents::of(optimizer.compile(program, Data::new(&train).valset(&val)));
    let show = async {
        while let Some(event) = events.next().await {
            match event {
                StudyEvent::Phase { name, part, .. } => println!("{name}: {part}"),
                StudyEvent::Best { label, score: Some(score), .. } => {
                    println!("{:.1} %: {label}", score * 100.0);
                }
                _ => {}
            }
        }
    };
    let (optimized, ()) = tokio::join!(run, show);
    let optimized = optimized?;
    println!("{}", optimized.report());

    let after = Evaluate::new(right).concurrency(16).run(&optimized, &heldout).await?;
    println!("held out   {after}");
    Ok(())
}
