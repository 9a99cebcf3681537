//! Weights learnt from successful runs: the rows of each job, errors before any job, and the API on the wire.

#![cfg(feature = "http")]
#![allow(clippy::unwrap_used, clippy::panic, reason = "in tests a panic is the report")]

mod common;
#[path = "common/cuts.rs"]
mod cuts;

use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use common::{Hops, Parrot, Row, TwoSteps, folder, question, right, rows};
use dspy_core::error::BoxError;
use dspy_core::finetune::{FineTuning, Limits};
use dspy_core::lm::{BoxFuture, Endpoint, LanguageModel, Lm, LmError, LmErrorKind, Request, Response};
use dspy_core::predict::DynPredict;
use dspy_core::program::{HasPredictors as _, Module as _};
use dspy_core::signature::{Demo, Values};
use dspy_core::state::ProgramState;
use dspy_optimizers::{
    ApiTrainer, BetterTogether, BootstrapFewShot, BootstrapFinetune, Budget, Data, OptimizeError, Optimized,
    Optimizer as _, SharedMetric, Stopped, Trainer, TrainingJob,
};
use dspy_test_server::{Seen, Server, chat, reply};
use serde_json::{Value, json};

/// A model that knows the sounds of all animals but owls.
struct Zoo {
    id: String,
    knows: bool,
    calls: Arc<AtomicUsize>,
}

fn zoo(id: &str, knows: bool) -> Lm {
    Lm::custom(Zoo { id: id.into(), knows, calls: Arc::default() })
}

impl LanguageModel for Zoo {
    fn id(&self) -> &str {
        &self.id
    }

    fn complete<'a>(&'a self, request: &'a Request) -> BoxFuture<'a, Result<Response, LmError>> {
        self.calls.fetch_add(1, Ordering::SeqCst);
        Box::pin(async move {
            let asked = request.messages.last().unwrap().text().into_owned();
            let field = if request.messages[0].text().contains("`answer`") { "answer" } else { "note" };
            let sounds = [("cow", "moo"), ("cat", "meow"), ("dog", "woof"), ("duck", "quack")];
            let sound =
                sounds.iter().find(|(animal, _)| asked.contains(animal)).map_or("silence", |(_, s)| *s);
            let value = match (field, self.knows) {
                ("answer", true) => sound,
                ("answer", false) => "silence",
                _ => "it is an animal",
            };
            Ok(Response::text(format!("[[ ## {field} ## ]]\n{value}\n\n[[ ## completed ## ]]")))
        })
    }
}

/// A trainer that keeps its jobs, and whose models know everything.
#[derive(Clone, Default)]
struct Fake {
    jobs: Arc<Mutex<Vec<TrainingJob>>>,
    /// The error of jobs that contain this name: when they are checked, or when they run for the first time.
    refuses: Option<&'static str>,
    breaks: Option<&'static str>,
}

impl Trainer for Fake {
    fn identity(&self) -> String {
        "fake".into()
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

    fn lines(&self, job: usize) -> Vec<Value> {
        let text = self.jobs.lock().unwrap()[job].rows.to_jsonl().unwrap();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }
}

/// The two steps on these models.
fn program(note: &Lm, answer: &Lm) -> TwoSteps {
    let mut program = TwoSteps::new(&Parrot::new());
    program.for_each_predictor(|path, predictor| {
        predictor.set_lm(if path == "note" { note.clone() } else { answer.clone() });
    });
    program
}

type Finetune = BootstrapFinetune<SharedMetric<Row, Values>>;

fn finetune(trainer: &Fake) -> Finetune {
    BootstrapFinetune::builder(trainer.clone()).metric(right).teacher_lm(zoo("big", true))
}

fn models(optimized: &Optimized<TwoSteps>) -> Vec<String> {
    let predictors = optimized.named_predictors().into_iter();
    predictors.map(|(_, predictor)| predictor.lm().unwrap().id().to_owned()).collect()
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
                for row in trainer.lines(job) {
                    let last = row["messages"].as_array().unwrap().last().unwrap()["content"]
                        .as_str()
                        .unwrap()
                        .to_owned();
                    assert!(last.starts_with(&format!("[[ ## {field} ## ]]")), "{last}");
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
        for row in trainer.lines(0) {
            let replies: Vec<_> = row["messages"]
                .as_array()
                .unwrap()
                .iter()
                .filter(|message| message["role"] == "assistant")
                .map(|message| message["weight"].clone())
                .collect();
            assert_eq!(replies, if exclude { vec![Value::Null] } else { vec![0.into(), Value::Null] });
        }
        let left = optimized.named_predictors()[0].1.demos().len();
        assert_eq!(left, usize::from(!exclude));
    }
}

#[tokio::test]
async fn nothing_is_started_without_rows() {
    let trainer = Fake::default();
    let a = zoo("a", false);
    // The program teaches itself, and knows nothing.
    let own = BootstrapFinetune::builder(trainer.clone()).metric(right).max_rounds(2).build();
    let error = own.compile(program(&a, &a), &rows(10)).await.unwrap_err();
    assert!(matches!(error, OptimizeError::NoTrainingRows { tried: 10 }), "{error}");
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
        (optimized.report().trials.clone(), trainer.lines(0))
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
        ((optimized.report().clone(), trainer.lines(0)), calls.load(Ordering::SeqCst))
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

/// A server for chats, files and jobs.
async fn server() -> Server {
    let store: Mutex<(Vec<Value>, Vec<Value>)> = Mutex::default();
    Server::start(move |_, seen| {
        let (files, jobs) = &mut *store.lock().unwrap();
        let ok = |value: &Value| reply(200, &[], &value.to_string());
        let path = seen.path().split('?').next().unwrap().trim_start_matches("/v1").to_owned();
        match (seen.head.split(' ').next().unwrap(), path.as_str()) {
            ("POST", "/chat/completions") => chat("[[ ## answer ## ]]\nmoo\n\n[[ ## completed ## ]]"),
            ("GET", "/files") => ok(&json!({"data": files})),
            ("POST", "/files") => {
                let file = json!({"id": format!("file-{}", files.len() + 1), "bytes": seen.body.len()});
                files.push(file.clone());
                ok(&file)
            }
            ("GET", "/fine_tuning/jobs") => ok(&json!({"data": jobs})),
            ("POST", "/fine_tuning/jobs") => {
                let mut job = seen.json();
                job["id"] = format!("ftjob-{}", jobs.len() + 1).into();
                job["status"] = "queued".into();
                jobs.push(job.clone());
                ok(&job)
            }
            ("GET", _) => {
                let mut job =
                    jobs.iter().find(|job| path.ends_with(job["id"].as_str().unwrap())).unwrap().clone();
                job["status"] = "succeeded".into();
                job["fine_tuned_model"] = format!("ft:{}:org", job["model"].as_str().unwrap()).into();
                ok(&job)
            }
            other => panic!("{other:?}"),
        }
    })
    .await
}

fn posts(server: &Server, path: &str) -> Vec<Seen> {
    let posts = server.seen().into_iter();
    posts.filter(|seen| seen.head.starts_with("POST") && seen.path().ends_with(path)).collect()
}

#[tokio::test]
async fn the_api_trains_a_model_that_then_answers() {
    let (server, dir) = (server().await, folder("finetune-api"));
    let endpoint = Endpoint::new(server.url()).api_key("sk-very-private-key").retries(0);
    let run = async |rows_in_set: usize, dir: Option<&Path>| {
        let client =
            FineTuning::new(endpoint.clone()).polling(Duration::from_millis(1), Duration::from_millis(2));
        let trainer = ApiTrainer::new(client).configure(|tune, job| tune.suffix("zoo").seed(job.seed));
        let optimizer = BootstrapFinetune::builder(trainer).metric(right).teacher_lm(zoo("big", true));
        let optimizer = match dir {
            Some(dir) => optimizer.run_dir(dir),
            None => optimizer,
        };
        let mut program = DynPredict::new("question -> answer".parse().unwrap());
        program.set_lm(endpoint.model("small").unwrap());
        Box::pin(optimizer.build().compile(program, &rows(rows_in_set))).await
    };
    // Too few rows, or no place for the ids of jobs: nothing is sent.
    let error = run(5, Some(&dir)).await.unwrap_err();
    assert!(
        matches!(error, OptimizeError::Training { .. }) && error.to_string().contains("too few"),
        "{error}"
    );
    let error = run(20, None).await.unwrap_err();
    assert!(error.to_string().contains("`run_dir`"), "{error}");
    assert!(server.seen().is_empty());
    std::fs::remove_dir_all(&dir).unwrap();

    let optimized = run(20, Some(&dir)).await.unwrap();
    assert_eq!(optimized.report().trials[0].notes[1], "small: 16 rows, tuned as ft:small:org");
    let (files, jobs) = (posts(&server, "/files"), posts(&server, "/jobs"));
    assert_eq!((files.len(), jobs.len()), (1, 1));
    let body = String::from_utf8(files[0].body.clone()).unwrap();
    assert_eq!(body.lines().filter(|line| line.starts_with("{\"messages\"")).count(), 16);
    let job = jobs[0].json();
    assert_eq!((&job["model"], &job["suffix"]), (&json!("small"), &json!("zoo")));
    assert!(job["seed"].is_u64());
    optimized.call(question("cow")).await.unwrap();
    assert_eq!(posts(&server, "/completions")[0].json()["model"], "ft:small:org");

    // The same call again pays for nothing.
    let again = run(20, Some(&dir)).await.unwrap();
    assert_eq!(again.report(), optimized.report());
    assert_eq!((posts(&server, "/files").len(), posts(&server, "/jobs").len()), (1, 1));
    std::fs::remove_dir_all(&dir).unwrap();
}

#[tokio::test]
async fn a_model_of_another_provider_needs_a_name() {
    let server = server().await;
    let client = FineTuning::new(Endpoint::new(server.url()))
        .polling(Duration::from_millis(1), Duration::from_millis(2));
    let dir = folder("finetune-other");
    let run = async |trainer: ApiTrainer| {
        let trainer = trainer.limits(Limits::default().rows(1));
        let optimizer =
            BootstrapFinetune::builder(trainer).metric(right).teacher_lm(zoo("big", true)).run_dir(&dir);
        optimizer.build().compile(program(&zoo("other/a", false), &zoo("other/a", false)), &rows(5)).await
    };
    let named = run(ApiTrainer::new(client.clone()).model("small")).await.unwrap();
    assert_eq!(models(&named), ["ft:small:org", "ft:small:org"]);
    std::fs::remove_dir_all(dir).unwrap();
}
