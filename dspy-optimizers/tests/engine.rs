//! The engine as authors of optimizers use it: an optimizer of one's own has all the promises of those of the library.

#![allow(clippy::unwrap_used, reason = "in tests a panic is the report")]

mod common;

use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use common::{HINTS, Obedient, Row, calls_in, folder, journal_of, leave, one_step, right, rows};
use dspy_core::lm::{Lm, Request};
use dspy_core::predict::DynPredict;
use dspy_core::program::{HasPredictors as _, Module as _};
use dspy_core::signature::Values;
use dspy_optimizers::engine::{ExampleFor, Outcome, Program, Stop, Study, Task};
use dspy_optimizers::{
    BootstrapFewShot, BootstrapFewShotWithRandomSearch, BoxOptimizer, Budget, Candidate, Component, Data,
    IntoData, JournalError, LabeledFewShot, Limit, OptimizeError, Optimized, Optimizer, Options, Report,
    SharedMetric, Stopped, StudyEvent,
};

/// Asks a model for ideas, and keeps those in the instruction that make the program better.
#[derive(Clone)]
struct Climb<E, O> {
    steps: usize,
    proposer: DynPredict,
    metric: SharedMetric<E, O>,
    options: Options,
}

fn climb(lm: &Arc<Obedient>, options: Options) -> Climb<Row, Values> {
    let mut proposer = DynPredict::new("attempt -> idea".parse().unwrap());
    proposer.set_lm(Lm::shared(lm.clone()));
    Climb { steps: 4, proposer, metric: SharedMetric::new(right), options }
}

impl<P: Program, E: ExampleFor<P>> Optimizer<P, E> for Climb<E, P::Output> {
    async fn compile<D: IntoData<P, E>>(&self, program: P, data: D) -> Result<Optimized<P>, OptimizeError> {
        let data = data.into_data();
        let study = Study::builder("Climb", program, &data)
            .settings(&self.steps)
            .options(&self.options)
            .start(&self.metric)?;
        let searched = self.search(&study).await;
        study.finish(searched).await
    }
}

impl<E, O> Climb<E, O> {
    async fn search<P>(&self, study: &Study<'_, P, E>) -> Result<Stopped, Stop>
    where
        P: Program<Output = O>,
        E: ExampleFor<P>,
    {
        let mut best = Candidate::new();
        let mut highest = study.score("original program", &best).await?;
        for step in 0..self.steps {
            // Which idea it is depends on the seed.
            let attempt = study.seed().branch("attempt").index(step as u64).rng().below(HINTS.len());
            let input = Values::from_iter([("attempt".to_owned(), format!("attempt-{attempt}").into())]);
            let made = study.effect(&format!("propose-{step}"), || self.proposer.call(input.clone())).await?;
            let idea = made.output?["idea"].as_str().unwrap_or_default().to_owned();
            let part = Component::instruction("self");
            let text = best.get(&part).and_then(|text| text.as_text()).unwrap_or_default();
            let candidate = best.clone().with(part, format!("{text}{idea} \n"));
            let score = study.score(format!("step {step}: {idea}"), &candidate).await?;
            if score > highest {
                (highest, best) = (score, candidate);
            }
        }
        Ok(Stopped::Finished)
    }
}

async fn run(lm: &Arc<Obedient>, options: Options) -> Result<Report, OptimizeError> {
    Ok(climb(lm, options).compile(one_step(lm), &rows(12)).await?.report().clone())
}

fn at(folder: &Path) -> Options {
    Options::default().run_dir(folder).concurrency(4)
}

#[tokio::test]
async fn it_climbs_and_the_report_has_every_trial() {
    let lm = Obedient::new();
    let data = Data::new(rows(12)).valset(rows(15));
    let optimized = climb(&lm, Options::default()).compile(one_step(&lm), data).await.unwrap();
    let report = optimized.report();
    assert_eq!((report.trials.len(), report.baseline), (5, Some(0.0)), "{report}");
    assert!(report.score().unwrap() >= 0.4, "{report}");
    assert!(report.trials.iter().all(|trial| trial.items.len() == 15));
    assert_eq!(
        optimized.predictor().instruction(),
        report.best_trial().unwrap().parameters["self"].instruction
    );
    assert!(report.changes().predictors[0].instruction.is_some());
    assert_eq!(report.usage.requests as usize, lm.calls());
    // A candidate that was scored before costs nothing the second time.
    let distinct = {
        let mut texts: Vec<_> = report.trials.iter().map(|t| &t.parameters["self"].instruction).collect();
        texts.sort();
        texts.dedup();
        texts.len()
    };
    assert_eq!(lm.calls(), distinct * 15 + 4);
}

#[tokio::test]
async fn it_is_the_same_at_any_concurrency_and_with_another_seed_another() {
    let mut reports = Vec::new();
    for (concurrency, seed) in [(1, 0), (16, 0), (4, 0), (1, 9)] {
        reports.push(
            run(&Obedient::new(), Options::default().concurrency(concurrency).seed(seed)).await.unwrap(),
        );
    }
    assert!(reports[0] == reports[1] && reports[1] == reports[2]);
    assert_ne!(reports[0].trials, reports[3].trials);
}

#[tokio::test]
async fn it_resumes_at_every_event_with_the_same_result_and_pays_nothing_twice() {
    let (whole, part) = (folder("own-whole"), folder("own-part"));
    let lm = Obedient::new();
    let report = run(&lm, at(&whole)).await.unwrap();
    let (total, journal) = (lm.calls(), journal_of(&whole));
    assert_eq!(calls_in(&journal), total);
    for end in journal.match_indices('\n').map(|(at, _)| at + 1) {
        leave(&part, &journal[..end]);
        let lm = Obedient::new();
        assert!(run(&lm, at(&part)).await.unwrap() == report, "cut at byte {end}");
        assert_eq!(lm.calls(), total - calls_in(&journal[..end]), "cut at byte {end}");
    }
    let other = climb(&Obedient::new(), at(&whole).seed(1)).compile(one_step(&lm), &rows(12)).await;
    assert!(matches!(other, Err(OptimizeError::Journal(JournalError::OtherRun { .. }))));
    let longer = Climb { steps: 5, ..climb(&lm, at(&whole)) };
    let error = longer.compile(one_step(&lm), &rows(12)).await.unwrap_err();
    assert!(error.to_string().contains("`settings` was 4, is now 5"), "{error}");
    for folder in [whole, part] {
        std::fs::remove_dir_all(folder).unwrap();
    }
}

#[tokio::test]
async fn a_budget_stops_it_with_the_best_so_far_and_more_of_it_goes_on() {
    let unbroken = run(&Obedient::new(), Options::default()).await.unwrap();
    for calls in [0, 5, 12, 13, 26, 40, 1000] {
        let folder = folder("own-budget");
        let lm = Obedient::new();
        let report = run(&lm, at(&folder).budget(Budget::calls(calls))).await.unwrap();
        assert!(lm.calls() as u64 <= calls);
        if report.stopped == Stopped::Finished {
            assert_eq!(report, unbroken);
        } else {
            assert_eq!(report.stopped, Stopped::Budget(Limit::Calls));
            assert_eq!(report.trials, unbroken.trials[..report.trials.len()], "{calls}");
            let best = report
                .trials
                .iter()
                .filter_map(|trial| trial.score)
                .fold(None, |best, score| Some(best.map_or(score, |best: f64| best.max(score))));
            assert_eq!(report.score(), best, "the best so far");
        }
        assert_eq!(run(&lm, at(&folder)).await.unwrap(), unbroken, "{calls}");
        assert_eq!(lm.calls() as u64, unbroken.usage.requests, "nothing was paid twice");
        std::fs::remove_dir_all(folder).unwrap();
    }
}

#[tokio::test]
async fn outages_end_it_and_are_no_scores() {
    let folder = folder("own-outage");
    // In a rollout, in a proposal, in a later rollout.
    for down_from in [3, 12, 20] {
        let lm = Obedient::down_from(down_from);
        let error = run(&lm, at(&folder)).await.unwrap_err();
        assert!(matches!(&error, OptimizeError::Outage { run_dir: Some(_), .. }), "{error}");
        assert!(error.to_string().contains("out of reach"), "{error}");
    }
    let report = run(&Obedient::new(), at(&folder)).await.unwrap();
    assert_eq!(report, run(&Obedient::new(), Options::default()).await.unwrap());
    std::fs::remove_dir_all(folder).unwrap();
}

/// Any optimizers, one after the other, each with what the one before has found: on one journal and one budget.
struct Sequence<E, O> {
    steps: Vec<BoxOptimizer<DynPredict, E>>,
    metric: SharedMetric<E, O>,
    options: Options,
}

impl Optimizer<DynPredict, Row> for Sequence<Row, Values> {
    async fn compile<D: IntoData<DynPredict, Row>>(
        &self,
        program: DynPredict,
        data: D,
    ) -> Result<Optimized<DynPredict>, OptimizeError> {
        let data = data.into_data();
        let study = Study::builder("Sequence", program, &data).options(&self.options).start(&self.metric)?;
        let searched = self.search(&study).await;
        study.finish(searched).await
    }
}

impl Sequence<Row, Values> {
    async fn search(&self, study: &Study<'_, DynPredict, Row>) -> Result<Stopped, Stop> {
        let mut program = study.program().clone();
        for (number, step) in self.steps.iter().enumerate() {
            // Each learns from other rows.
            let rows = study.train().shuffled(study.seed().branch("step").index(number as u64)).split_at(8).0;
            let work = step.compile(program.clone(), rows);
            let optimized = study.nested(&format!("step-{number}"), Budget::calls(60), work).await?;
            let label = format!("step {number}: {}", optimized.report().optimizer);
            program = optimized.into_program();
            let candidate = Candidate::of(&program);
            study.score(label, &candidate).await?;
        }
        Ok(Stopped::Finished)
    }
}

fn sequence(lm: &Arc<Obedient>, options: Options) -> Sequence<Row, Values> {
    let bootstrap = BootstrapFewShot::builder().metric(right).max_labeled_demos(2).build();
    let search = BootstrapFewShotWithRandomSearch::builder().metric(right).num_candidate_programs(1);
    let steps = vec![
        climb(lm, Options::default()).boxed(),
        bootstrap.boxed(),
        LabeledFewShot::builder().k(2).boxed(),
        search.build().boxed(),
    ];
    Sequence { steps, metric: SharedMetric::new(right), options }
}

#[tokio::test]
async fn optimizers_are_listed_and_nested_on_one_journal_and_one_budget() {
    let (whole, part) = (folder("nested-whole"), folder("nested-part"));
    let run = async |options: Options, lm: &Arc<Obedient>| {
        sequence(lm, options).compile(one_step(lm), &rows(12)).await.unwrap().report().clone()
    };
    let lm = Obedient::new();
    let report = run(at(&whole), &lm).await;
    let labels: Vec<_> = report.trials.iter().map(|trial| trial.label.as_str()).collect();
    let names = ["Climb", "BootstrapFewShot", "LabeledFewShot", "BootstrapFewShotWithRandomSearch"];
    assert!(labels.iter().zip(names).all(|(label, name)| label.ends_with(name)), "{labels:?}");
    assert!(report.score().unwrap() > 0.3, "{report}");
    assert_eq!(report.usage.requests as usize, lm.calls(), "the calls of all are those of the outermost");
    assert!(run(Options::default().concurrency(16), &Obedient::new()).await == report);

    let (total, journal) = (lm.calls(), journal_of(&whole));
    assert_eq!(journal.matches("\"event\":\"began\"").count(), 3, "one that calls a model each");
    for end in journal.match_indices('\n').map(|(at, _)| at + 1).step_by(5) {
        leave(&part, &journal[..end]);
        let lm = Obedient::new();
        assert!(run(at(&part), &lm).await == report, "cut at byte {end}");
        assert_eq!(lm.calls(), total - calls_in(&journal[..end]), "cut at byte {end}");
    }
    // The budget of the outermost holds for all of them.
    let lm = Obedient::new();
    let stopped = run(Options::default().budget(Budget::calls(70)), &lm).await;
    assert_eq!((stopped.stopped, lm.calls()), (Stopped::Budget(Limit::Calls), 70));
    for folder in [whole, part] {
        std::fs::remove_dir_all(folder).unwrap();
    }
}

#[tokio::test]
async fn studies_nest_in_nested_ones() {
    let folder = folder("nested-twice");
    let lm = Obedient::new();
    let bootstrap = BootstrapFewShot::builder().metric(right).max_labeled_demos(2).build();
    let mut inner = sequence(&lm, Options::default());
    // Once awaited where it is made, once spawned.
    inner.steps = vec![bootstrap.clone().boxed(), Spawned(bootstrap.clone()).boxed()];
    let mut outer = sequence(&lm, at(&folder));
    outer.steps = vec![climb(&lm, Options::default()).boxed(), inner.boxed(), Eager(bootstrap).boxed()];
    let report = outer.compile(one_step(&lm), &rows(12)).await.unwrap().report().clone();
    let journal = journal_of(&folder);
    let began = journal.lines().filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok());
    let began = began.filter(|event| event["event"] == "began").map(|event| event["scope"].clone());
    let names = ["step-0/", "step-1/", "step-1/step-0/", "step-1/step-1/", "step-2/", "step-2/eager/"];
    assert_eq!(began.collect::<Vec<_>>(), names);
    assert_eq!((calls_in(&journal), report.usage.requests as usize), (lm.calls(), lm.calls()));
    std::fs::remove_dir_all(folder).unwrap();
}

/// Runs an optimizer in a task of its own.
struct Spawned(BootstrapFewShot<SharedMetric<Row, Values>>);

impl Optimizer<DynPredict, Row> for Spawned {
    async fn compile<D: IntoData<DynPredict, Row>>(
        &self,
        program: DynPredict,
        data: D,
    ) -> Result<Optimized<DynPredict>, OptimizeError> {
        drop(data);
        tokio::spawn(self.0.compile(program, rows(8))).await.unwrap()
    }
}

/// Makes the future of another optimizer before it runs it inside its own study.
struct Eager(BootstrapFewShot<SharedMetric<Row, Values>>);

impl Optimizer<DynPredict, Row> for Eager {
    async fn compile<D: IntoData<DynPredict, Row>>(
        &self,
        program: DynPredict,
        data: D,
    ) -> Result<Optimized<DynPredict>, OptimizeError> {
        let (data, metric) = (data.into_data(), SharedMetric::new(right));
        let study = Study::builder("Eager", program, &data).start(&metric)?;
        let work = self.0.compile(study.program().clone(), study.train().clone());
        study.nested("eager", Budget::UNLIMITED, work).await?;
        study.finish(Ok(Stopped::Finished)).await
    }
}

#[tokio::test]
async fn the_future_of_a_nested_study_is_small_and_borrows_nothing() {
    let nested = {
        let (data, metric) = (Data::new(rows(12)), SharedMetric::new(right));
        let study = Study::builder("Own", one_step(&Obedient::new()), &data).start(&metric).unwrap();
        let work = async {
            let held = [1_u8; 4096];
            tokio::task::yield_now().await;
            held.len()
        };
        assert!(size_of_val(&work) >= 4096);
        study.nested(&String::from("large"), Budget::UNLIMITED, work)
    };
    assert!(size_of_val(&nested) <= 64, "{}", size_of_val(&nested));
    assert_eq!(nested.await, 4096);
}

#[tokio::test]
async fn a_nested_study_that_has_changed_is_another_one() {
    let folder = folder("nested-other");
    let run = async |k: usize| {
        let lm = Obedient::new();
        let mut steps = sequence(&lm, at(&folder));
        let inner = BootstrapFewShot::builder().metric(right).max_labeled_demos(k).build();
        steps.steps = vec![inner.boxed()];
        steps.compile(one_step(&lm), &rows(12)).await
    };
    run(2).await.unwrap();
    run(2).await.unwrap();
    let error = run(3).await.unwrap_err();
    let message = error.to_string();
    assert!(matches!(error, OptimizeError::Journal(JournalError::OtherRun { .. })), "{message}");
    assert!(message.contains("`settings.max_labeled_demos` was 2, is now 3"), "{message}");
    std::fs::remove_dir_all(folder).unwrap();
}

#[tokio::test]
async fn a_nested_optimizer_has_no_folder_of_its_own() {
    let (inner, lm) = (folder("nested-inner"), Obedient::new());
    let mut steps = sequence(&lm, Options::default());
    steps.steps = vec![climb(&lm, at(&inner)).boxed()];
    let error = steps.compile(one_step(&lm), &rows(12)).await.unwrap_err();
    assert!(matches!(error, OptimizeError::Option { option: "run_dir", .. }), "{error}");
    assert_eq!(lm.calls(), 0);
    assert!(!inner.exists());
}

#[tokio::test]
async fn a_candidate_that_does_not_fit_is_an_error_that_names_the_parts() {
    let lm = Obedient::new();
    let data = Data::new(rows(3));
    let metric = SharedMetric::new(right);
    let study = Study::builder("Own", one_step(&lm), &data).start(&metric).unwrap();
    let stop = study.score("x", &Candidate::new().instruction("answer", "y")).await.unwrap_err();
    let Stop::Error(error) = stop else { panic!("{stop:?}") };
    assert!(
        error.to_string().contains("`answer:instruction`; its components are `self:instruction`"),
        "{error}"
    );
}

#[tokio::test]
async fn a_rollout_happens_once_and_its_trace_is_kept_where_it_is_wanted() {
    let lm = Obedient::new();
    let data = Data::new(rows(3));
    let metric = SharedMetric::new(right);
    let program = Candidate::new().instruction("self", "cow=moo ").applied_to(&one_step(&lm)).unwrap();
    let study = Study::builder("Own", one_step(&lm), &data).start(&metric).unwrap();
    let row = study.train().get(0).unwrap();
    let task = Task::new("told", &program, row);
    let traced = study.rollout(task.traced()).await.unwrap();
    assert_eq!(traced.outcome.score(), Some(1.0));
    assert_eq!((traced.steps.len(), &traced.steps[0].outputs["answer"]), (1, &"moo".into()));
    // The same without its trace is known, and so is a trace that is not kept for this outcome.
    assert!(study.rollout(task).await.unwrap().steps.is_empty());
    let failures = |outcome: &Outcome| outcome.score() == Some(0.0);
    let other = Task::new("told", &program, study.train().get(1).unwrap()).traced_if(&failures);
    assert_eq!(study.rollout(other).await.unwrap().steps.len(), 1, "it does not know cats");
    assert_eq!(lm.calls(), 2);
    study.rollout(task.sample(1)).await.unwrap();
    assert_eq!(lm.calls(), 3, "another sample is another rollout");
}

#[tokio::test]
async fn effects_of_one_name_that_start_together_happen_once() {
    let calls = Arc::new(AtomicUsize::new(0));
    let counter = calls.clone();
    // Each reply is another one, and takes a while.
    let lm = Lm::from_fn(move |_: Request| {
        let number = counter.fetch_add(1, Ordering::SeqCst);
        async move {
            tokio::task::yield_now().await;
            format!("[[ ## idea ## ]]\nidea {number}\n\n[[ ## completed ## ]]")
        }
    });
    let mut proposer = DynPredict::new("attempt -> idea".parse().unwrap());
    proposer.set_lm(lm);
    let (data, metric) = (Data::new(rows(3)), SharedMetric::new(right));
    let study = Study::builder("Own", one_step(&Obedient::new()), &data).start(&metric).unwrap();
    let input = Values::from_iter([("attempt".to_owned(), "first".into())]);
    let idea = async |name: &str| {
        let effect = study.effect(name, || proposer.call(input.clone())).await.unwrap();
        effect.output.unwrap()["idea"].clone()
    };
    let (first, second, other) = tokio::join!(idea("same"), idea("same"), idea("other"));
    assert_eq!(first, second, "the second takes the reply of the first");
    assert_ne!(first, other);
    assert_eq!(calls.load(Ordering::SeqCst), 2);
}

#[tokio::test]
async fn listeners_are_told_of_everything_in_order() {
    let (told, lm) = (Arc::new(Mutex::new(Vec::new())), Obedient::new());
    let listener = {
        let told = told.clone();
        move |event: &StudyEvent| told.lock().unwrap().push(event.clone())
    };
    let report = run(&lm, Options::default().on_event(listener)).await.unwrap();
    let told = told.lock().unwrap();
    assert!(
        matches!(&told[0], StudyEvent::Started { optimizer, study, .. } if optimizer == "Climb" && study.is_empty())
    );
    assert!(matches!(told.last(), Some(StudyEvent::Finished { .. })));
    let rollouts =
        told.iter().filter(|event| matches!(event, StudyEvent::Rollout { score: Some(_), .. })).count();
    assert_eq!(rollouts, 5 * 12);
    let trials: Vec<_> = told
        .iter()
        .filter_map(|event| match event {
            StudyEvent::Trial { index, label, score, .. } => Some((*index, label.clone(), *score)),
            _ => None,
        })
        .collect();
    let of_report =
        report.trials.iter().enumerate().map(|(at, trial)| (at, trial.label.clone(), trial.score));
    assert_eq!(trials, of_report.collect::<Vec<_>>());
}

#[tokio::test]
async fn journals_of_earlier_versions_are_a_clear_error() {
    let folder = folder("version");
    // The lines of version 3 had checksums that did not depend on the lines before.
    for version in ["dspy-journal/1", "dspy-journal/4", "dspy-journal/6"] {
        let old = format!("{{\"format\":\"{version}\",\"optimizer\":\"Climb\",\"seed\":0}}\n");
        leave(&folder, &old);
        let lm = Obedient::new();
        let error = run(&lm, at(&folder)).await.unwrap_err();
        assert!(matches!(error, OptimizeError::Journal(JournalError::OtherVersion { .. })), "{error}");
        let versions = format!("its format is {version}, this one writes dspy-journal/5");
        assert!(error.to_string().contains(&versions), "{error}");
        assert_eq!((lm.calls(), journal_of(&folder)), (0, old));
    }
    std::fs::remove_dir_all(folder).unwrap();
}
