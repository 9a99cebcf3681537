//! Whatever the budget: it is kept, and either a new program is compared with the original one or a warning says why not.

#![allow(clippy::unwrap_used, reason = "in tests a panic is the report")]

mod common;

use std::path::Path;

use common::{Parrot, TwoSteps, folder, right, rows};
use dspy_core::Seed;
use dspy_core::lm::Lm;
use dspy_core::program::Settings;
use dspy_optimizers::gepa::Noisy;
use dspy_optimizers::proposer::TextRequest;
use dspy_optimizers::{
    BootstrapFewShotWithRandomSearch, BootstrapFewShotWithTpe, Budget, Capo, Copro, Data, Gepa, Limit,
    MiproV2, ModuleOpro, Portfolio, Race, Report, Simba, Stopped, Trial,
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
    Simba,
    Portfolio,
}

const KINDS: [Kind; 12] = [
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
    Kind::Simba,
    Kind::Portfolio,
];

async fn guess(request: TextRequest) -> dspy_core::Result<Vec<String>> {
    let mut rng = Seed::new(request.sample).branch(&request.current).rng();
    Ok(vec![format!("Answer in the manner of {} and {}.", rng.bits(), rng.bits())])
}

/// Runs an optimizer on a teacher that never succeeds, which tries all rows that it may, or on one that does. Returns the
/// report and the calls that the model has received.
async fn run(kind: Kind, calls: u64, succeeds: bool, dir: Option<&Path>) -> (Report, u64) {
    let lm = Parrot::new();
    let threshold = if succeeds { 0.0 } else { 2.0 };
    macro_rules! finished {
        ($builder:expr) => {{
            let builder = $builder.budget(Budget::calls(calls));
            let builder = dir.iter().fold(builder, |builder, dir| builder.run_dir(dir));
            let data = Data::new(rows(TRAIN)).valset(rows(VAL));
            // The built-in model writes proposals where `guess` does not.
            let run = builder.build().compile(TwoSteps::new(&lm), data);
            Settings::new().lm(Lm::builtin()).scope(run).await.unwrap().report().clone()
        }};
    }
    let tpe = || BootstrapFewShotWithTpe::builder().metric(right).metric_threshold(threshold);
    // Labelled demonstrations cost nothing to make.
    let search = || {
        let search = BootstrapFewShotWithRandomSearch::builder().metric(right).metric_threshold(threshold);
        search.max_labeled_demos(0).num_candidate_programs(4)
    };
    let gepa = || Gepa::builder().metric(right).proposer(guess);
    let report = match kind {
        Kind::Tpe => finished!(tpe()),
        Kind::TpePublished => finished!(tpe().published()),
        Kind::RandomSearch => finished!(search()),
        Kind::RandomSearchRace => finished!(search().race(Race::new().block(6))),
        Kind::GepaNoisy => finished!(gepa().noisy(Noisy::new().explored(3))),
        Kind::Gepa => finished!(gepa()),
        Kind::Mipro => {
            finished!(MiproV2::builder().metric(right).metric_threshold(threshold).proposer(guess))
        }
        Kind::Copro => finished!(Copro::builder().metric(right).breadth(3).depth(2).proposer(guess)),
        Kind::ModuleOpro => finished!(ModuleOpro::builder().metric(right).proposer(guess)),
        Kind::Capo => finished!(Capo::builder().metric(right).proposer(guess)),
        Kind::Simba => finished!(Simba::builder().metric(right).minibatch(4).num_candidates(3)),
        Kind::Portfolio => finished!(Portfolio::builder(Budget::calls(calls)).metric(right)),
    };
    (report, lm.calls() as u64)
}

#[tokio::test]
async fn a_small_budget_compares_something_or_says_that_it_cannot() {
    for kind in KINDS {
        for succeeds in [true, false] {
            let mut compared = 0;
            for calls in (10..=400).step_by(23) {
                let (report, made) = run(kind, calls, succeeds, None).await;
                let said = format!("{kind:?} with {calls} calls, successes {succeeds}: {report}");
                assert!(made <= calls, "{said}");
                let is_compared = |trial: &Trial| trial.score.is_some() || trial.partial.is_some();
                if report.trials.iter().skip(1).any(is_compared) {
                    compared += 1;
                } else if kind == Kind::Gepa && made >= BASELINE + 4 * MINIBATCH {
                    // A child was compared with its parent on a minibatch, and lost.
                    compared += 1;
                    assert_eq!(report.stopped, Stopped::Budget(Limit::Calls), "{said}");
                } else if kind != Kind::Simba || report.stopped != Stopped::Finished {
                    // All steps of `Simba` may have shown it nothing to learn from.
                    assert_eq!(report.stopped, Stopped::Budget(Limit::Calls), "{said}");
                    assert!(!report.warnings.is_empty(), "{said}");
                    if calls >= BASELINE {
                        let is_said =
                            |warning: &String| warning.contains("before a new program could be compared");
                        assert!(report.warnings.iter().any(is_said), "{said}");
                    }
                    // The first steps of a search are small, unless there is nothing to learn from, as for `Simba`.
                    assert!(
                        calls < 4 * BASELINE || matches!(kind, Kind::Gepa | Kind::GepaNoisy | Kind::Simba),
                        "{said}"
                    );
                }
                if let (Some(baseline), Some(score)) = (report.baseline, report.score()) {
                    assert!(score >= baseline, "{said}");
                }
            }
            // Its runs are all alike here, so `Simba` has nothing to learn from.
            assert!(compared > 0 || kind == Kind::Simba, "{kind:?}, {succeeds}");
        }
    }
}

#[tokio::test]
async fn a_run_that_the_budget_has_ended_is_the_same_again_and_goes_on_with_a_larger_one() {
    for kind in KINDS {
        for calls in [60, 150, 290] {
            let dir = folder(&format!("small-budgets-{kind:?}-{calls}"));
            let (first, made) = run(kind, calls, true, Some(&dir)).await;
            let (again, none) = run(kind, calls, true, Some(&dir)).await;
            assert_eq!((&again, none), (&first, 0), "{kind:?} with {calls} calls");
            if kind == Kind::Portfolio {
                // Its sizes follow from the budget, which is a setting of the run.
                continue;
            }
            let (larger, more) = run(kind, 4 * calls, true, Some(&dir)).await;
            let said = format!("{kind:?} with {calls} calls, then more: {first}\n{larger}");
            assert!(made + more <= 4 * calls, "{said}");
            assert!(more > 0 || !matches!(larger.stopped, Stopped::Budget(_)), "{said}");
            assert!(larger.score() >= first.score().filter(|_| first.baseline.is_some()), "{said}");
            std::fs::remove_dir_all(dir).unwrap();
        }
    }
}
