//! Whatever the budget: it is kept, and either a new program is compared with the original one or a warning says why not.

#![allow(clippy::unwrap_used, reason = "in tests a panic is the report")]

mod common;

use common::{Parrot, TwoSteps, right, rows};
use dspy_core::Seed;
use dspy_core::lm::Lm;
use dspy_core::program::Settings;
use dspy_optimizers::gepa::Noisy;
use dspy_optimizers::proposer::TextRequest;
use dspy_optimizers::{
    BootstrapFewShotWithRandomSearch, BootstrapFewShotWithTpe, Budget, Capo, Copro, Data, Gepa, Limit,
    MiproV2, ModuleOpro, Portfolio, Race, Report, Stopped,
};

const TRAIN: usize = 24;
const VAL: usize = 12;
/// The calls of the original program on the valset: two for each run.
const BASELINE: u64 = 2 * VAL as u64;
/// The rows of a minibatch of `Gepa`.
const MINIBATCH: u64 = 3;

#[derive(Debug, Clone, Copy, PartialEq)]
enum Kind {
    Tpe,
    TpePublished,
    RandomSearch,
    RandomSearchRace,
    GepaNoisy,
    Gepa,
    Mipro,
    Copro,
    ModuleOpro,
    Capo,
    Portfolio,
}

const KINDS: [Kind; 11] = [
    Kind::Tpe,
    Kind::TpePublished,
    Kind::RandomSearch,
    Kind::RandomSearchRace,
    Kind::GepaNoisy,
    Kind::Gepa,
    Kind::Mipro,
    Kind::Copro,
    Kind::ModuleOpro,
    Kind::Capo,
    Kind::Portfolio,
];

async fn guess(request: TextRequest) -> dspy_core::Result<Vec<String>> {
    let mut rng = Seed::new(request.sample).branch(&request.current).rng();
    Ok(vec![format!("Answer in the manner of {} and {}.", rng.bits(), rng.bits())])
}

/// Runs an optimizer on a teacher that never succeeds, which tries all rows that it may, or on one that does. Returns the
/// report and the calls that the model has received.
async fn run(kind: Kind, calls: u64, succeeds: bool) -> (Report, u64) {
    let data = Data::new(rows(TRAIN)).valset(rows(VAL));
    let budget = Budget::calls(calls);
    let lm = Parrot::new();
    let program = TwoSteps::new(&lm);
    let threshold = if succeeds { 0.0 } else { 2.0 };
    macro_rules! compiled {
        ($builder:expr) => {{
            let optimizer = $builder.metric(right).proposer(guess).budget(budget).build();
            optimizer.compile(program, data).await.unwrap().report().clone()
        }};
    }
    let report = match kind {
        Kind::Tpe | Kind::TpePublished => {
            let tpe =
                BootstrapFewShotWithTpe::builder().metric(right).metric_threshold(threshold).budget(budget);
            let tpe = if kind == Kind::Tpe { tpe } else { tpe.published() };
            tpe.build().compile(program, data).await.unwrap().report().clone()
        }
        Kind::RandomSearch | Kind::RandomSearchRace => {
            let search = BootstrapFewShotWithRandomSearch::builder()
                .metric(right)
                .metric_threshold(threshold)
                .budget(budget);
            // Labelled demonstrations cost nothing to make.
            let search = search.max_labeled_demos(0).num_candidate_programs(4);
            let search = if kind == Kind::RandomSearch { search } else { search.race(Race::new().block(6)) };
            search.build().compile(program, data).await.unwrap().report().clone()
        }
        Kind::GepaNoisy | Kind::Gepa => {
            let gepa = Gepa::builder().metric(right).proposer(guess).budget(budget);
            let gepa = if kind == Kind::Gepa { gepa } else { gepa.noisy(Noisy::new().explored(3)) };
            gepa.build().compile(program, data).await.unwrap().report().clone()
        }
        Kind::Mipro => compiled!(MiproV2::builder().metric_threshold(threshold)),
        Kind::Copro => compiled!(Copro::builder().breadth(3).depth(2)),
        Kind::ModuleOpro => compiled!(ModuleOpro::builder()),
        Kind::Capo => compiled!(Capo::builder()),
        Kind::Portfolio => {
            let portfolio = Portfolio::builder(budget).metric(right).build();
            portfolio.compile(program, data).await.unwrap().report().clone()
        }
    };
    (report, lm.calls() as u64)
}

#[tokio::test]
async fn a_small_budget_compares_something_or_says_that_it_cannot() {
    for kind in KINDS {
        for succeeds in [true, false] {
            let mut compared = 0;
            for calls in (10..=400).step_by(23) {
                // The built-in model writes proposals where `guess` does not.
                let run = Settings::new().lm(Lm::builtin()).scope(run(kind, calls, succeeds));
                let (report, made) = run.await;
                let said = format!("{kind:?} with {calls} calls, successes {succeeds}: {report}");
                assert!(made <= calls, "{said}");
                if report.trials.len() > 1 {
                    compared += 1;
                } else if kind == Kind::Gepa && made >= BASELINE + 4 * MINIBATCH {
                    // A child was compared with its parent on a minibatch, and lost.
                    compared += 1;
                    assert_eq!(report.stopped, Stopped::Budget(Limit::Calls), "{said}");
                } else {
                    assert_eq!(report.stopped, Stopped::Budget(Limit::Calls), "{said}");
                    assert!(!report.warnings.is_empty(), "{said}");
                    if calls >= BASELINE {
                        let is_said =
                            |warning: &String| warning.contains("before a new program could be compared");
                        assert!(report.warnings.iter().any(is_said), "{said}");
                    }
                    // The first steps of a search are small.
                    assert!(calls < 4 * BASELINE || matches!(kind, Kind::Gepa | Kind::GepaNoisy), "{said}");
                }
                if let (Some(baseline), Some(score)) = (report.baseline, report.score()) {
                    assert!(score >= baseline, "{said}");
                }
            }
            assert!(compared > 0, "{kind:?}, {succeeds}");
        }
    }
}
