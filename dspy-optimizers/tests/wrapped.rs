//! A model behind a function answers all requests of the optimizers as well as the model itself, whatever it declares.

#![allow(clippy::unwrap_used, clippy::panic, reason = "in tests a panic is the report")]

mod common;

use common::{Row, rows};
use dspy_core::evaluate::Score;
use dspy_core::lm::{Capabilities, Lm, Request, ScriptedLm};
use dspy_core::predict::DynPredict;
use dspy_core::program::Settings;
use dspy_core::signature::Values;
use dspy_optimizers::{
    Ace, BetterTogether, Budget, Capo, Copro, Data, Gepa, InferRules, MiproV2, ModuleOpro, Optimizer,
    Portfolio, Report, Simba,
};

/// A task that the built-in model learns from texts.
const TASK: &str = "question -> answer: Literal['moo', 'meow', 'woof', 'quack', 'hoot']";

fn taught(row: &Row, output: &Values) -> Score {
    Score::from(output["answer"] == row.0["answer"]).with_feedback(format!("expected {}", row.0["answer"]))
}

/// The built-in model, as it is and behind functions that declare nothing and everything.
fn models() -> Vec<(&'static str, Lm)> {
    let builtin = Lm::builtin();
    let call = move |request: Request| {
        let builtin = builtin.clone();
        async move { builtin.complete(request).await }
    };
    let able = Capabilities::NONE.json_object(true).json_schema(true);
    let declared = ScriptedLm::from_async_fn(call.clone()).with_capabilities(able);
    vec![("itself", Lm::builtin()), ("wrapped", Lm::from_fn(call)), ("declared", Lm::custom(declared))]
}

async fn alike<O: Optimizer<DynPredict, Row>>(name: &str, optimizer: O) {
    let data = rows(30);
    let (train, val) = data.split_at(20);
    let mut first: Option<Report> = None;
    for (model, lm) in models() {
        let program = DynPredict::new(TASK.parse().unwrap());
        let run = optimizer.compile(program, Data::new(train).valset(val));
        let optimized = Settings::new().lm(lm).scope(run).await.unwrap();
        let report = optimized.report().clone();
        let Some(first) = &first else {
            assert!(report.trials.len() > 1, "{name}: {report}");
            first = Some(report);
            continue;
        };
        let told = |report: &Report| {
            let trials = report.trials.iter();
            let trials: Vec<_> =
                trials.map(|trial| (trial.label.clone(), trial.score, trial.notes.clone())).collect();
            (trials, report.best, report.usage.requests, report.warnings.clone(), report.decisions.clone())
        };
        assert_eq!(told(&report), told(first), "{name} {model}: {report}\n{first}");
    }
}

macro_rules! all_alike {
    ($($test:ident: $optimizer:expr),+ $(,)?) => {
        $(
            #[tokio::test]
            async fn $test() {
                alike(stringify!($test), $optimizer).await;
            }
        )+
    };
}

all_alike! {
    ace: Ace::builder().metric(taught).build(),
    better_together: BetterTogether::builder()
        .optimizer("c", Copro::builder().metric(taught).breadth(3).depth(1).build().boxed())
        .optimizer("g", Gepa::builder().metric(taught).max_rollouts(80).build().boxed())
        .strategy("c -> g")
        .metric(taught)
        .build()
        .unwrap(),
    capo: Capo::builder().metric(taught).population(3).steps(2).build(),
    copro: Copro::builder().metric(taught).breadth(3).depth(2).build(),
    gepa: Gepa::builder().metric(taught).max_rollouts(120).build(),
    infer_rules: InferRules::builder().metric(taught).num_candidates(3).build(),
    mipro_v2: MiproV2::builder().metric(taught).num_candidates(3).num_trials(4).build(),
    module_opro: ModuleOpro::builder().metric(taught).steps(3).build(),
    portfolio: Portfolio::builder(Budget::calls(300)).metric(taught).build(),
    simba: Simba::builder().metric(taught).minibatch(8).num_candidates(3).max_steps(2).build(),
}
