//! Weights learnt from successful runs: the rows of each job, and errors before any job. Needs no HTTP.

#![allow(clippy::unwrap_used, clippy::panic, reason = "in tests a panic is the report")]

mod common;
#[path = "common/cuts.rs"]
mod cuts;
#[path = "common/zoo.rs"]
mod zoo;

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use common::{Hops, Parrot, Row, TwoSteps, folder, question, right, rows};
use dspy_core::error::BoxError;
use dspy_core::finetune::TrainingRow;
use dspy_core::lm::{BoxFuture, LanguageModel, Lm, LmError, LmErrorKind, Message, Request, Response, Role};
use dspy_core::predict::Prediction;
use dspy_core::program::{HasPredictors, Module, Visitor, VisitorMut};
use dspy_core::signature::{Demo, Values};
use dspy_core::state::ProgramState;
use dspy_optimizers::{
    BetterTogether, BootstrapFewShot, BootstrapFinetune, Budget, Data, OptimizeError, Optimizer as _,
    SharedMetric, Stopped, Trainer, TrainingJob, Verification,
};
use serde_json::json;
use zoo::{Zoo, models, program, zoo};

/// A trainer that keeps its jobs, and whose models know everything.
#[derive(Clone, Default)]
struct Fake {
    jobs: Arc<Mutex<Vec<TrainingJob>>>,
    /// The error of jobs that contain this name: when they are checked, or when they run for the first time.
    refuses: Option<&'static str>,
    breaks: Option<&'static str>,
    /// The jobs that contain this name panic.
    panics: Option<&'static str>,
    /// The model that it does not have.
    unknown: Option<&'static str>,
    /// The folders of the optimization.
    folders: Arc<Mutex<Vec<Option<PathBuf>>>>,
}

impl Trainer for Fake {
    fn identity(&self) -> String {
        "fake".into()
    }

    fn check_model(&self, model: &Lm, run_dir: Option<&Path>) -> Result<(), BoxError> {
        self.folders.lock().unwrap().push(run_dir.map(Into::into));
        if self.unknown == Some(model.id()) { Err("no such model".into()) } else { Ok(()) }
    }

    fn check(&self, job: &TrainingJob) -> Result<(), BoxError> {
        match self.refuses {
            Some(name) if job.name.contains(name) => Err("too few rows".into()),
            _ => Ok(()),
        }
    }

    fn train<'a>(&'a self, job: &'a TrainingJob) -> BoxFuture<'a, Result<Lm, BoxError>> {
        Box::pin(async move {
            tokio::task::yield_now().await;
            let resumed = job.state.as_ref().is_some_and(|state| state.exists());
            if let Some(state) = &job.state {
                std::fs::write(state, &job.name)?;
            }
            if self.breaks.is_some_and(|name| job.name.contains(name)) && !resumed {
                let error: LmError = LmError::new(LmErrorKind::Server, "fake", "the server went away");
                return Err(error.into());
            }
            assert!(!self.panics.is_some_and(|name| job.name.contains(name)), "out of memory");
            self.jobs.lock().unwrap().push(job.clone());
            Ok(zoo(&format!("{}-tuned", job.name), true))
        })
    }
}

impl Fake {
    /// The name and the number of rows of each job.
    fn done(&self) -> Vec<(String, usize)> {
        self.jobs.lock().unwrap().iter().map(|job| (job.name.clone(), job.rows.rows().len())).collect()
    }

    fn rows(&self, job: usize) -> Vec<TrainingRow> {
        self.jobs.lock().unwrap()[job].rows.rows().to_vec()
    }
}

type Finetune = BootstrapFinetune<SharedMetric<Row, Values>>;

fn finetune(trainer: &Fake) -> Finetune {
    BootstrapFinetune::builder(trainer.clone()).metric(right).teacher_lm(zoo("big", true))
}

#[tokio::test]
async fn rows_go_to_the_model_of_their_predictor() {
    let (a, b) = (zoo("a", false).temperature(0.25), zoo("b", false));
    for (note, answer, multitask, jobs, tuned) in [
        (&a, &b, true, vec![("a", 8), ("b", 8)], ["a-tuned", "b-tuned"]),
        (&a, &a, true, vec![("a", 16)], ["a-tuned", "a-tuned"]),
        (&a, &a, false, vec![("a, `note`", 8), ("a, `answer`", 8)], ["a, `note`-tuned", "a, `answer`-tuned"]),
    ] {
        let trainer = Fake::default();
        let optimizer = finetune(&trainer).multitask(multitask).concurrency(1).build();
        let optimized = optimizer.compile(program(note, answer), &rows(10)).await.unwrap();
        let wanted: Vec<_> = jobs.into_iter().map(|(name, rows)| (name.to_owned(), rows)).collect();
        assert_eq!(trainer.done(), wanted, "two of ten rows are owls, which the teacher does not know");
        assert_eq!(models(&optimized), tuned);
        let report = optimized.report();
        let notes = &report.trials[0].notes;
        assert_eq!(notes[0], "8 of 10 rows tried succeeded");
        assert_eq!(notes[1], format!("{}: {} rows, tuned as {}", wanted[0].0, wanted[0].1, tuned[0]));
        assert_eq!((report.usage.requests, report.trials[0].items.len()), (20, 10));
        assert_eq!(optimized.named_predictors()[0].1.lm().unwrap().params().temperature, Some(0.25));
        let state = ProgramState::of(&*optimized);
        assert_eq!(state.predictors["note"].lm, Some(tuned[0].into()), "it is saved under its name");
        let changed: Vec<_> = report.changes().predictors.into_iter().map(|change| change.model).collect();
        let model = |before: &str, after: &str| Some((Some(before.to_owned()), Some(after.to_owned())));
        assert_eq!(changed, [model(answer.id(), tuned[1]), model(note.id(), tuned[0])], "sorted by path");
        assert!(
            report.to_string().contains(&format!("  model\n  - {}\n  + {}", note.id(), tuned[0])),
            "{report}"
        );
        let page = report.to_html();
        assert!(page.contains("<h4>Model</h4>"), "{page}");
        let change = &serde_json::to_value(report.changes()).unwrap()["predictors"][1];
        assert_eq!(change["model"], json!([note.id(), tuned[0]]));
        if !multitask {
            for (job, field) in [(0, "note"), (1, "answer")] {
                for row in trainer.rows(job) {
                    let reply = row.reply().text().into_owned();
                    assert!(reply.starts_with(&format!("[[ ## {field} ## ]]")), "{reply}");
                }
            }
        }
        assert_eq!(optimized.call(question("cow")).await.unwrap()["answer"], "moo");
    }
}

#[tokio::test]
async fn a_predictor_that_runs_several_times_has_all_of_its_calls() {
    let trainer = Fake::default();
    let mut hops = Hops::new(&Parrot::new(), 3);
    hops.set_lm(zoo("a", false));
    let optimizer = finetune(&trainer).multitask(false).build();
    optimizer.compile(hops, &rows(5)).await.unwrap();
    assert_eq!(trainer.done(), [("a, `hop`".to_owned(), 4 * 3)]);
}

#[tokio::test]
async fn demonstrations_are_context_or_left_out() {
    let a = zoo("a", false);
    let mut given = program(&a, &a);
    let demo: Values = serde_json::from_value(json!({"question": "q", "note": "n", "answer": "x"})).unwrap();
    given.for_each_predictor(|_, predictor| predictor.set_demos(vec![Demo::new(demo.clone())]));
    for exclude in [false, true] {
        let trainer = Fake::default();
        let optimizer = finetune(&trainer).exclude_demos(exclude).build();
        let optimized = optimizer.compile(given.clone(), &rows(5)).await.unwrap();
        for row in trainer.rows(0) {
            let shown = row.messages().iter().filter(|message| message.role == Role::Assistant).count();
            assert_eq!(shown, usize::from(!exclude), "demonstrations are earlier turns");
        }
        let left = optimized.named_predictors()[0].1.demos().len();
        assert_eq!(left, usize::from(!exclude));
    }
}

#[tokio::test]
async fn no_row_shows_its_own_answer_to_the_teacher_or_in_its_prompt() {
    let (a, data) = (zoo("a", false), rows(5));
    let mut given = program(&a, &a);
    let shown = |row: &Row| {
        let mut values = row.0.clone();
        values.insert("note".into(), "as before".into());
        Demo::new(values)
    };
    let demos: Vec<Demo> = data.iter().map(shown).collect();
    given.for_each_predictor(|_, predictor| predictor.set_demos(demos.clone()));
    let trainer = Fake::default();
    let teacher = Arc::new(Mutex::new(Vec::new()));
    let (asked, knowing) = (teacher.clone(), zoo("big", true));
    let big = Lm::from_fn(move |request| {
        asked.lock().unwrap().push(request.messages.clone());
        let knowing = knowing.clone();
        async move { knowing.complete(request).await }
    });
    let optimizer = BootstrapFinetune::builder(trainer.clone()).metric(right).teacher_lm(big).build();
    optimizer.compile(given, &data).await.unwrap();
    let shown = |messages: &[Message]| {
        let asked = messages.last().unwrap().text();
        let question = asked.lines().find(|line| line.starts_with("What does")).unwrap().to_owned();
        let before = messages[..messages.len() - 1].iter();
        before.filter(|message| message.text().lines().any(|line| line == question)).count()
    };
    let requests = teacher.lock().unwrap().clone();
    assert!(requests.len() == 10 && requests.iter().all(|messages| messages.len() > 2));
    assert_eq!(requests.iter().map(|messages| shown(messages)).sum::<usize>(), 0);
    let rows = trainer.rows(0);
    assert!(rows.len() == 8 && rows.iter().all(|row| row.messages().len() > 2));
    assert_eq!(rows.iter().map(|row| shown(row.messages())).sum::<usize>(), 0);
}

#[tokio::test]
async fn nothing_is_started_without_rows() {
    let trainer = Fake::default();
    let a = zoo("a", false);
    // The program teaches itself, and knows nothing.
    let own = BootstrapFinetune::builder(trainer.clone()).metric(right).max_rounds(2).build();
    let error = own.compile(program(&a, &a), &rows(10)).await.unwrap_err();
    assert!(
        matches!(error, OptimizeError::NoTrainingRows { tried: 10, accepted: 0, failure: None }),
        "{error}"
    );
    assert!(error.to_string().contains("nothing to train on"), "{error}");
    let strict = finetune(&trainer).metric_threshold(2.0).build();
    let error = strict.compile(program(&a, &a), &rows(10)).await.unwrap_err();
    assert!(matches!(error, OptimizeError::NoTrainingRows { .. }), "{error}");
    // One job would be refused, so none is started.
    let refusing = Fake { refuses: Some("`answer`"), ..trainer.clone() };
    let optimizer = finetune(&refusing).multitask(false).build();
    let error = optimizer.compile(program(&a, &a), &rows(10)).await.unwrap_err();
    assert!(matches!(&error, OptimizeError::Training { job, .. } if job == "a, `answer`"), "{error}");
    let mut unbound = program(&a, &a);
    unbound.for_each_predictor(|_, predictor| predictor.set_lm(None));
    let error = finetune(&trainer).build().compile(unbound, &rows(10)).await.unwrap_err();
    assert!(error.to_string().contains("no language model"), "{error}");
    let optimized = finetune(&trainer)
        .budget(Budget::calls(19))
        .build()
        .compile(program(&a, &a), &rows(10))
        .await
        .unwrap();
    assert!(matches!(optimized.report().stopped, Stopped::Budget(_)));
    assert_eq!(models(&optimized), ["a", "a"]);
    let nan = finetune(&trainer).metric_threshold(f64::NAN).build();
    let error = nan.compile(program(&a, &a), &rows(3)).await.unwrap_err();
    assert!(matches!(error, OptimizeError::Option { .. }), "{error}");
    assert!(trainer.jobs.lock().unwrap().is_empty());
}

/// The model of a teacher, with the number of its calls.
fn counted() -> (Lm, Arc<AtomicUsize>) {
    let calls = Arc::new(AtomicUsize::new(0));
    (Lm::custom(Zoo { id: "big".into(), knows: true, calls: calls.clone() }), calls)
}

#[tokio::test]
async fn models_that_cannot_be_trained_are_errors_before_any_call() {
    let (a, b) = (zoo("a", false), zoo("b", false));
    let (big, calls) = counted();
    let trainer = Fake { unknown: Some("b"), ..Fake::default() };
    let dir = folder("finetune-unknown");
    let run = async |program: TwoSteps| {
        let optimizer = finetune(&trainer).teacher_lm(big.clone()).run_dir(&dir).build();
        optimizer.compile(program, &rows(10)).await.unwrap_err()
    };
    let error = run(program(&a, &b)).await;
    assert!(matches!(&error, OptimizeError::Trainer { model, .. } if model == "b"), "{error}");
    assert_eq!(error.to_string(), "the trainer cannot train b: no such model");
    assert_eq!(*trainer.folders.lock().unwrap(), vec![Some(dir.clone()); 2]);
    let mut unbound = program(&a, &a);
    unbound.for_each_predictor(|_, predictor| predictor.set_lm(None));
    std::fs::remove_dir_all(&dir).unwrap();
    let error = run(unbound).await;
    assert!(error.to_string().contains("no language model"), "{error}");
    assert_eq!(calls.load(Ordering::SeqCst), 0);
    std::fs::remove_dir_all(dir).unwrap();
}

/// A program that calls no predictor, or fails.
#[derive(Debug, Clone)]
struct Silent {
    step: dspy_core::predict::DynPredict,
    fails: bool,
}

impl HasPredictors for Silent {
    fn visit<'a>(&'a self, visitor: &mut Visitor<'a, '_>) {
        visitor.field("step", &self.step);
    }

    fn visit_mut(&mut self, visitor: &mut VisitorMut<'_>) {
        visitor.field("step", &mut self.step);
    }
}

impl Module for Silent {
    type Input = Values;
    type Output = Values;

    async fn forward(&self, input: Values) -> dspy_core::Result<Prediction<Values>> {
        if self.fails { Err(dspy_core::Error::other("the file is gone")) } else { Ok(Prediction::new(input)) }
    }
}

#[tokio::test]
async fn errors_say_why_there_is_nothing_to_train_on() {
    let trainer = Fake::default();
    let run = async |fails| {
        let step = dspy_core::predict::DynPredict::new("question -> answer".parse().unwrap());
        let program = Silent { step: step.with_lm(zoo("a", true)), fails };
        let optimizer =
            BootstrapFinetune::builder(trainer.clone()).metric(|_: &Row, _: &Values| true).build();
        optimizer.compile(program, &rows(3)).await.unwrap_err()
    };
    let error = run(false).await;
    assert!(
        matches!(error, OptimizeError::NoTrainingRows { tried: 3, accepted: 3, failure: None }),
        "{error}"
    );
    assert!(error.to_string().contains("called no predictor"), "{error}");
    let error = run(true).await;
    let OptimizeError::NoTrainingRows { tried: 3, accepted: 0, failure: Some(failure) } = &error else {
        panic!("{error}")
    };
    assert!(failure.contains("the file is gone") && error.to_string().contains(failure), "{error}");
    // A metric that fails on every row says nothing about the teacher.
    let failing = |_: &Row, _: &Values| -> Result<f64, &'static str> { Err("no opinion") };
    let optimizer = BootstrapFinetune::builder(trainer.clone()).metric(failing).build();
    let a = zoo("a", true);
    let error = optimizer.compile(program(&a, &a), &rows(3)).await.unwrap_err();
    assert!(
        matches!(&error, OptimizeError::Metric { failed: 3, last, .. } if last == "row 2 of the trainset: no opinion"),
        "{error}"
    );
    assert!(trainer.done().is_empty());
}

#[tokio::test]
async fn a_panic_of_the_trainer_is_an_error_and_other_jobs_end() {
    let a = zoo("a", false);
    let trainer = Fake { panics: Some("`note`"), ..Fake::default() };
    let optimizer = finetune(&trainer).multitask(false).build();
    let error = optimizer.compile(program(&a, &a), &rows(5)).await.unwrap_err();
    assert!(matches!(&error, OptimizeError::Training { job, .. } if job == "a, `note`"), "{error}");
    assert!(error.to_string().contains("the trainer panicked: out of memory"), "{error}");
    assert_eq!(trainer.done(), [("a, `answer`".to_owned(), 4)]);
}

#[tokio::test]
async fn a_tuned_model_with_the_old_name_at_another_endpoint_is_verified() {
    /// Returns models under the names of the former ones, elsewhere.
    struct Elsewhere {
        knows: bool,
    }

    impl Trainer for Elsewhere {
        fn identity(&self) -> String {
            "elsewhere".into()
        }

        fn train<'a>(&'a self, job: &'a TrainingJob) -> BoxFuture<'a, Result<Lm, BoxError>> {
            let tuned = Zoo { id: job.model.id().into(), knows: self.knows, calls: Arc::default() };
            Box::pin(async move { Ok(Lm::custom(At(tuned))) })
        }
    }

    struct At(Zoo);

    impl LanguageModel for At {
        fn id(&self) -> &str {
            self.0.id()
        }

        fn endpoint(&self) -> &'static str {
            "elsewhere"
        }

        fn complete<'a>(&'a self, request: &'a Request) -> BoxFuture<'a, Result<Response, LmError>> {
            self.0.complete(request)
        }
    }

    let (a, all) = (zoo("a", true), rows(70));
    let (train, holdout) = all.split_at(10);
    for (knows, before) in [(true, zoo("a", false)), (false, a)] {
        let optimizer = BootstrapFinetune::builder(Elsewhere { knows }).metric(right);
        let optimizer = optimizer.teacher_lm(zoo("big", true)).build();
        let data = Data::new(train).holdout(holdout);
        let optimized = optimizer.compile(program(&before, &before), data).await.unwrap();
        match &optimized.report().verification {
            Verification::Passed(verified) => assert!(knows && verified.score > verified.baseline),
            Verification::Failed(verified) => assert!(!knows && verified.score < verified.baseline),
            other => panic!("{other:?}"),
        }
        assert_eq!(optimized.call(question("cow")).await.unwrap()["answer"], "moo");
    }
}

#[tokio::test]
async fn the_calls_are_those_of_the_formula() {
    let a = zoo("a", false);
    for (count, rounds) in [(1, 1), (10, 1), (10, 3), (5, 2)] {
        let (big, calls) = counted();
        let optimizer = finetune(&Fake::default()).teacher_lm(big).max_rounds(rounds).concurrency(64).build();
        let optimized = optimizer.compile(program(&a, &a), &rows(count)).await.unwrap();
        // One run of two calls for each row, and for each further round of rows that have failed.
        let owls = count / 5;
        let calls = calls.load(Ordering::SeqCst);
        assert_eq!(calls, 2 * (count + owls * (rounds - 1)), "{count} {rounds}");
        assert_eq!(optimized.report().usage.requests as usize, calls);
    }
}

#[tokio::test]
async fn a_teacher_of_the_data_makes_the_rows() {
    let trainer = Fake::default();
    let (a, big) = (zoo("a", false), zoo("big", true));
    let optimizer = BootstrapFinetune::builder(trainer.clone()).metric(right).build();
    let data = rows(5);
    let data = Data::new(&data).teacher(program(&big, &big));
    let optimized = optimizer.compile(program(&a, &a), data).await.unwrap();
    assert_eq!((trainer.done(), models(&optimized)), (vec![("a".into(), 8)], vec!["a-tuned".into(); 2]));
}

#[tokio::test]
async fn the_result_does_not_depend_on_the_concurrency_but_on_the_seed() {
    let a = zoo("a", false);
    let run = async |concurrency, seed| {
        let trainer = Fake::default();
        let optimizer = finetune(&trainer).max_rounds(2).concurrency(concurrency).seed(seed).build();
        let optimized = optimizer.compile(program(&a, &a), &rows(10)).await.unwrap();
        (optimized.report().trials.clone(), trainer.rows(0))
    };
    let first = run(1, 0).await;
    assert_eq!(first, run(16, 0).await);
    assert_ne!(first.1, run(1, 1).await.1, "the rows are in another order");
}

#[tokio::test]
async fn a_kill_changes_nothing() {
    cuts::same_after_every_kill("finetune", async |folder| {
        let calls = Arc::new(AtomicUsize::new(0));
        let a = zoo("a", false);
        let big = Lm::custom(Zoo { id: "big".into(), knows: true, calls: calls.clone() });
        let trainer = Fake::default();
        let optimizer = finetune(&trainer).teacher_lm(big).multitask(false).run_dir(folder).build();
        let optimized = optimizer.compile(program(&a, &a), &rows(4)).await.unwrap();
        ((optimized.report().clone(), trainer.rows(0)), calls.load(Ordering::SeqCst))
    })
    .await;
}

#[tokio::test]
async fn jobs_go_on_after_an_outage() {
    let (a, dir) = (zoo("a", false), folder("finetune-outage"));
    let trainer = Fake { breaks: Some("`note`"), ..Fake::default() };
    let run = async || {
        let optimizer = finetune(&trainer).multitask(false).run_dir(&dir).build();
        optimizer.compile(program(&a, &a), &rows(5)).await
    };
    let error = run().await.unwrap_err();
    assert!(
        matches!(error, OptimizeError::Outage { .. }) && error.to_string().contains("run again"),
        "{error}"
    );
    assert_eq!(trainer.done().len(), 1, "the other job went on to its end");
    assert_eq!(models(&run().await.unwrap()), ["a, `note`-tuned", "a, `answer`-tuned"]);
    std::fs::remove_dir_all(dir).unwrap();
}

#[tokio::test]
async fn it_is_a_step_of_better_together() {
    let a = zoo("a", false);
    let trainer = Fake::default();
    let prompts = BootstrapFewShot::builder().metric(right).max_labeled_demos(0).build();
    let dir = folder("finetune-together");
    let together = BetterTogether::builder()
        .optimizer("p", prompts.boxed())
        .optimizer("w", finetune(&trainer).build().boxed())
        .strategy("w -> p -> w")
        .valset_ratio(0.5)
        .metric(right)
        .run_dir(&dir)
        .build()
        .unwrap();
    let optimized = together.compile(program(&a, &a), rows(20)).await.unwrap();
    let report = optimized.report();
    assert_eq!((report.baseline, report.best), (Some(0.0), 1), "{report}");
    assert!(report.score().unwrap() > 0.5, "{report}");
    let done = trainer.done();
    assert_eq!((done.len(), done[0].0.as_str(), done[1].0.as_str()), (2, "a", "a-tuned"), "{report}");
    let states: Vec<_> = trainer.jobs.lock().unwrap().iter().map(|job| job.state.clone().unwrap()).collect();
    assert!(states[0] != states[1] && states.iter().all(|state| state.starts_with(&dir)), "{states:?}");
    std::fs::remove_dir_all(dir).unwrap();
}
