//! Strategies of several optimizers: order, scores, held-out rows, failures, budget, resume.

#![allow(clippy::unwrap_used, clippy::panic, reason = "in tests a panic is the report")]

mod common;
#[path = "common/cuts.rs"]
mod cuts;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use common::{HINTS, Obedient, Parrot, Row, Steps, TwoSteps, folder, one_step, right, rows};
use dspy_core::error::BoxError;
use dspy_core::evaluate::{Judged, Metric, Score};
use dspy_core::lm::{Lm, Response};
use dspy_core::predict::DynPredict;
use dspy_core::program::HasPredictors;
use dspy_core::signature::{Example, Values};
use dspy_core::state::ProgramState;
use dspy_optimizers::engine::Study;
use dspy_optimizers::{
    BetterTogether, BootstrapFewShot, BootstrapFewShotWithRandomSearch, BoxOptimizer, Budget, Data, IntoData,
    Limit, OptimizeError, Optimized, Optimizer, Report, SharedMetric, Stopped, StrategyError, Trial,
};

/// Appends a hint to the instruction, with a warning.
struct Hint(&'static str);

impl<P: HasPredictors + Send, E: Example> Optimizer<P, E> for Hint {
    async fn compile<D: IntoData<P, E>>(
        &self,
        mut program: P,
        data: D,
    ) -> Result<Optimized<P>, OptimizeError> {
        drop(data);
        let mut report = Report::new("Hint", &program);
        report.warnings.push(format!("hint {}", self.0));
        program.for_each_predictor(|_, predictor| {
            predictor.set_instruction(format!("{} {}", predictor.instruction(), self.0));
        });
        report.trials.push(Trial::new(self.0, &program));
        Ok(Optimized::new(program, report))
    }
}

/// Fails, as an algorithm may.
struct Broken;

impl<P: HasPredictors + Send, E: Example> Optimizer<P, E> for Broken {
    async fn compile<D: IntoData<P, E>>(&self, _: P, _: D) -> Result<Optimized<P>, OptimizeError> {
        Err(OptimizeError::other("no idea"))
    }
}

type Together<P> = BetterTogether<P, Row, SharedMetric<Row, Values>>;

fn hints() -> Together<DynPredict> {
    let add = |together: BetterTogether<_, _>, (name, at): (&str, usize)| {
        together.optimizer(name, Hint(HINTS[at]).boxed())
    };
    let together = [("a", 0), ("b", 1), ("c", 2)].into_iter().fold(BetterTogether::builder(), add);
    together.optimizer("x", Broken.boxed()).metric(right)
}

fn labels(report: &Report) -> Vec<&str> {
    report.trials.iter().map(|trial| trial.label.as_str()).collect()
}

#[tokio::test]
async fn each_step_goes_on_from_the_one_before() {
    let lm = Obedient::new();
    let together = hints().strategy("a -> b -> c").build().unwrap();
    let all = rows(15);
    let (val, train) = all.split_at(10);
    let data = Data::new(train).valset(val);
    let optimized = together.compile(one_step(&lm), data).await.unwrap();
    let report = optimized.report();
    assert_eq!(labels(report), ["original program", "a", "a -> b", "a -> b -> c"]);
    let scores: Vec<_> = report.trials.iter().map(|trial| trial.score.unwrap()).collect();
    assert_eq!(scores, [0.0, 0.2, 0.4, 0.6]);
    assert_eq!((report.baseline, report.best), (Some(0.0), 3));
    assert_eq!(lm.calls(), 4 * 10, "(steps + 1) x valset");
    assert_eq!(
        report.warnings,
        ["step 1, `a`: hint cow=moo", "step 2, `b`: hint cat=meow", "step 3, `c`: hint dog=woof"]
    );
    assert!(optimized.predictor().instruction().ends_with("cow=moo cat=meow dog=woof"));
}

#[tokio::test]
async fn the_earliest_of_equal_programs_is_the_result() {
    let lm = Obedient::new();
    let together = hints().strategy("a->a->a").build().unwrap();
    let (train, val) = (rows(5), rows(5));
    let optimized = together.compile(one_step(&lm), Data::new(&train[..]).valset(&val[..])).await.unwrap();
    assert_eq!(optimized.report().best, 1);
    assert_eq!(optimized.predictor().instruction().matches("cow=moo").count(), 1);
}

#[tokio::test]
async fn strategies_are_checked_when_they_are_built() {
    let build = |strategy: &str| hints().strategy(strategy).build().unwrap_err();
    match build("a -> w -> b") {
        StrategyError::Unknown { name, step, position, known } => {
            assert_eq!((name.as_str(), step, position), ("w", 2, 6));
            assert_eq!(known, ["a", "b", "c", "x"]);
        }
        other => panic!("{other}"),
    }
    assert!(matches!(build("a ->"), StrategyError::Empty { step: 2, .. }));
    let twice = hints().optimizer("a", Broken.boxed()).strategy("a").build();
    assert!(matches!(twice.unwrap_err(), StrategyError::Duplicate { .. }));
    let error = hints().compile(one_step(&Obedient::new()), &rows(20)).await.unwrap_err();
    assert!(matches!(error, OptimizeError::Strategy(StrategyError::Unknown { .. })), "p is the default");
}

#[tokio::test]
async fn rows_are_held_out_or_there_are_too_few() {
    let lm = Obedient::new();
    let together = hints().strategy("a").build().unwrap();
    for (count, ratio, held) in [(20, 0.1, 2), (10, 0.1, 1), (100, 0.29, 29), (4, 0.5, 2)] {
        let optimized =
            together.clone().valset_ratio(ratio).compile(one_step(&lm), rows(count)).await.unwrap();
        assert_eq!(optimized.report().trials[0].items.len(), held, "{ratio} of {count}");
    }
    let before = lm.calls();
    for (count, ratio, set) in
        [(9, 0.1, "valset"), (1, 0.1, "valset"), (5, 0.0, "valset"), (5, 1.0, "trainset")]
    {
        let error =
            together.clone().valset_ratio(ratio).compile(one_step(&lm), rows(count)).await.unwrap_err();
        assert!(matches!(&error, OptimizeError::Split { set: found, .. } if *found == set), "{error}");
    }
    for ratio in [-0.1, 1.1, f64::NAN] {
        let error = together.clone().valset_ratio(ratio).compile(one_step(&lm), rows(20)).await.unwrap_err();
        assert!(matches!(error, OptimizeError::Option { option: "valset_ratio", .. }), "{error}");
    }
    assert_eq!(lm.calls(), before, "nothing is called");
    let other = |seed| together.clone().seed(seed).compile(one_step(&lm), rows(40));
    let drawn = |optimized: Optimized<DynPredict>| {
        optimized.report().trials[0].items.iter().map(|item| item.index).collect::<Vec<_>>()
    };
    assert_ne!(drawn(other(0).await.unwrap()), drawn(other(1).await.unwrap()));
}

/// Records the positions of the rows that it is given.
#[derive(Clone, Default)]
struct Given(Arc<Mutex<Vec<Vec<usize>>>>);

impl Optimizer<DynPredict, Row> for Given {
    async fn compile<D>(&self, program: DynPredict, data: D) -> Result<Optimized<DynPredict>, OptimizeError>
    where
        D: IntoData<DynPredict, Row>,
    {
        let data = data.into_data();
        let study = Study::builder("Given", program, &data).start(&SharedMetric::new(right))?;
        self.0.lock().unwrap().push(study.train().iter().map(|row| row.position).collect());
        study.finish(Ok(Stopped::Finished)).await
    }
}

#[tokio::test]
async fn each_step_gets_the_same_rows_in_another_order() {
    for shuffle in [true, false] {
        let given = Given::default();
        let together =
            BetterTogether::builder().optimizer("p", given.clone().boxed()).strategy("p -> p -> p");
        let together = together.metric(right).shuffle(shuffle).build().unwrap();
        let optimized = together.compile(one_step(&Obedient::new()), rows(40)).await.unwrap();
        let held: Vec<usize> = optimized.report().trials[0].items.iter().map(|item| item.index).collect();
        let mut orders = given.0.lock().unwrap().clone();
        assert_eq!(orders.len(), 3);
        assert_eq!(orders[0] != orders[1] && orders[1] != orders[2], shuffle);
        for order in &mut orders {
            assert!(held.iter().all(|row| !order.contains(row)), "no row is in both sets");
            order.sort_unstable();
            assert_eq!(order.len(), 36);
        }
        assert_eq!(orders[0], orders[2]);
    }
}

#[tokio::test]
async fn a_failed_step_ends_the_sequence_with_the_best_so_far() {
    let lm = Obedient::new();
    let together = hints().strategy("a -> x -> b").build().unwrap();
    let (train, val) = (rows(5), rows(5));
    let optimized = together.compile(one_step(&lm), Data::new(&train[..]).valset(&val[..])).await.unwrap();
    let report = optimized.report();
    assert_eq!((labels(report), report.best), (vec!["original program", "a"], 1));
    assert_eq!(report.stopped, Stopped::Finished);
    assert!(
        report.warnings[1].contains("step 2, `x`, failed, and later ones did not run: no idea"),
        "{report}"
    );

    // A metric that fails on too many rows is such a step, too.
    let bad: BoxOptimizer<TwoSteps, Row> =
        BootstrapFewShot::builder().metric(Failing).max_errors(1).build().boxed();
    let together = BetterTogether::builder().optimizer("p", bad).strategy("p").metric(right).build().unwrap();
    let optimized = together.compile(TwoSteps::new(&Parrot::new()), rows(20)).await.unwrap();
    assert!(optimized.report().warnings[0].contains("the metric failed on 2 rows"), "{}", optimized.report());
}

#[tokio::test]
async fn mistakes_in_the_first_step_are_errors() {
    let lm = Parrot::new();
    let dir = folder("together-inner");
    let with = |strategy: &str| {
        let bad: BoxOptimizer<TwoSteps, Row> =
            BootstrapFewShot::builder().metric(right).run_dir(&dir).build().boxed();
        let good = BootstrapFewShot::builder().metric(right).build().boxed();
        let together = BetterTogether::builder().optimizer("bad", bad).optimizer("good", good);
        together.strategy(strategy).metric(right).build().unwrap()
    };
    let error = with("bad -> good").compile(TwoSteps::new(&lm), rows(20)).await.unwrap_err();
    assert!(matches!(error, OptimizeError::Option { option: "run_dir", .. }), "{error}");
    let optimized = with("good -> bad").compile(TwoSteps::new(&lm), rows(20)).await.unwrap();
    assert_eq!(labels(optimized.report()), ["original program", "good"], "what was paid is not lost");
    assert!(optimized.report().warnings[0].contains("step 2, `bad`, failed"), "{}", optimized.report());
    assert!(!dir.exists());

    let program = |count| {
        let mut program = Steps(vec![DynPredict::new("question -> answer".parse().unwrap()); count]);
        program.set_lm(Lm::shared(lm.clone()));
        program
    };
    let bootstrap: BoxOptimizer<Steps, Row> = BootstrapFewShot::builder().metric(right).build().boxed();
    let together = BetterTogether::builder().optimizer("p", bootstrap).strategy("p").metric(right);
    let data = Data::new(rows(20)).teacher(program(2));
    let error = together.build().unwrap().compile(program(1), data).await.unwrap_err();
    assert!(matches!(error, OptimizeError::Teacher(_)), "{error}");
}

#[derive(Clone)]
struct Failing;

impl Metric<Row, Values> for Failing {
    async fn score(&self, _: Judged<'_, Row, Values>) -> Result<Score, BoxError> {
        Err("no judge".into())
    }
}

/// Two optimizers that call the model.
fn real() -> Together<TwoSteps> {
    let bootstrap = BootstrapFewShot::builder().metric(right).max_bootstrapped_demos(2).max_labeled_demos(3);
    let search = BootstrapFewShotWithRandomSearch::builder().metric(right).num_candidate_programs(1);
    let search = search.max_bootstrapped_demos(1).max_labeled_demos(4);
    BetterTogether::builder()
        .optimizer("p", bootstrap.build().boxed())
        .optimizer("w", search.build().boxed())
        .valset_ratio(0.4)
        .metric(right)
}

#[tokio::test]
async fn the_result_does_not_depend_on_the_concurrency() {
    let mut runs = Vec::new();
    for concurrency in [1, 16] {
        let lm = Parrot::new();
        let together = real().concurrency(concurrency).build().unwrap();
        let optimized = together.compile(TwoSteps::new(&lm), &rows(20)).await.unwrap();
        assert!(optimized.report().score() > optimized.report().baseline, "{}", optimized.report());
        runs.push((optimized.report().clone(), ProgramState::of(&*optimized), lm.calls()));
    }
    assert_eq!(runs[0], runs[1]);
    assert_eq!(labels(&runs[0].0).last(), Some(&"p -> w -> p"));
    let other = real().seed(1).build().unwrap().compile(TwoSteps::new(&Parrot::new()), &rows(20)).await;
    assert_ne!(other.unwrap().report().trials[1].parameters, runs[0].0.trials[1].parameters);
}

#[tokio::test]
async fn a_kill_changes_nothing() {
    cuts::same_after_every_kill("together", async |folder| {
        let lm = Parrot::new();
        let together = real().strategy("p -> w").run_dir(folder).build().unwrap();
        let optimized = together.compile(TwoSteps::new(&lm), &rows(5)).await.unwrap();
        (optimized.report().clone(), lm.calls())
    })
    .await;
}

#[tokio::test]
async fn a_step_that_its_own_budget_ends_does_not_end_the_whole() {
    let lm = Parrot::new();
    let step = BootstrapFewShot::builder().metric(right).max_bootstrapped_demos(4).budget(Budget::calls(3));
    let together = |budget| {
        let together =
            BetterTogether::builder().optimizer("p", step.clone().build().boxed()).strategy("p -> p");
        together.valset_ratio(0.4).metric(right).budget(budget).build().unwrap()
    };
    let run = |budget| together(budget).compile(TwoSteps::new(&lm), rows(10));
    for budget in [Budget::UNLIMITED, Budget::calls(1_000)] {
        let optimized = run(budget).await.unwrap();
        let report = optimized.report();
        assert_eq!((report.stopped, report.trials.len()), (Stopped::Finished, 3), "{report}");
        let note = &report.trials[1].notes[0];
        assert!(note.ends_with(", the budget was exhausted (calls)"), "{note}");
    }
    // The whole is ended in the first step, whose own budget is not: 8 calls are the score of the program.
    let stopped = Stopped::Budget(dspy_optimizers::Limit::Calls);
    assert_eq!(run(Budget::calls(9)).await.unwrap().report().stopped, stopped);
    // The step spends all of what is left for it and for the whole.
    assert_eq!(run(Budget::calls(8 + 3)).await.unwrap().report().stopped, stopped);
}

#[tokio::test]
async fn a_limit_of_time_in_any_step_ends_it_with_the_best_so_far() {
    let slow = Lm::from_fn(|_| async {
        tokio::time::sleep(Duration::from_millis(20)).await;
        Response::text("[[ ## answer ## ]]\nx")
    });
    let never = |_: &Row, _: &Values| 0.0;
    for limit in [90, 130, 170, 210] {
        let step = BootstrapFewShot::builder().metric(never).max_bootstrapped_demos(8).max_labeled_demos(0);
        let together = BetterTogether::builder()
            .optimizer("p", step.build().boxed())
            .strategy("p -> p -> p -> p")
            .valset_ratio(0.2)
            .metric(|_: &Row, values: &Values| f64::from(u8::from(values["answer"] == "x")) / 2.0)
            .concurrency(1)
            .budget(Budget::UNLIMITED.time(Duration::from_millis(limit)));
        let program = DynPredict::new("question -> answer".parse().unwrap()).with_lm(slow.clone());
        let optimized = together.build().unwrap().compile(program, &rows(20)).await.unwrap();
        let report = optimized.report();
        assert_eq!(report.stopped, Stopped::Budget(Limit::Time), "{limit} ms: {report}");
    }
}

#[tokio::test]
async fn a_budget_ends_it_with_the_best_so_far_and_an_outage_is_an_error() {
    let total = {
        let lm = Parrot::new();
        real().build().unwrap().compile(TwoSteps::new(&lm), &rows(10)).await.unwrap();
        lm.calls()
    };
    for calls in (0..total).step_by(3) {
        let lm = Parrot::new();
        let together = real().budget(Budget::calls(calls as u64)).build().unwrap();
        let optimized = together.compile(TwoSteps::new(&lm), &rows(10)).await.unwrap();
        assert!(matches!(optimized.report().stopped, Stopped::Budget(_)), "{calls} of {total}");
        assert!(lm.calls() <= calls);
        let lm = Parrot::down_from(calls);
        let error = real().build().unwrap().compile(TwoSteps::new(&lm), &rows(10)).await.unwrap_err();
        assert!(matches!(error, OptimizeError::Outage { .. }), "{error}");
    }
}
