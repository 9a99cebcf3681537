//! Weights learnt from successful runs, by the fine-tuning API on the wire.

#![cfg(feature = "http")]
#![allow(clippy::unwrap_used, clippy::panic, reason = "in tests a panic is the report")]

mod common;
#[path = "common/zoo.rs"]
mod zoo;

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use common::{folder, question, right, rows};
use dspy_core::finetune::{FineTuning, Limits};
use dspy_core::lm::Endpoint;
use dspy_core::predict::DynPredict;
use dspy_core::program::{HasPredictors as _, Module as _};
use dspy_core::signature::{Demo, Values};
use dspy_optimizers::{ApiTrainer, BootstrapFinetune, OptimizeError};
use dspy_test_server::{Seen, Server, chat, reply};
use serde_json::{Value, json};
use zoo::{models, program, zoo};

/// A server for chats, files and jobs.
async fn server() -> Server {
    working(Arc::new(AtomicBool::new(true))).await
}

/// The same, and its jobs are done when this is true.
async fn working(done: Arc<AtomicBool>) -> Server {
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
                if !done.load(Ordering::SeqCst) {
                    job["status"] = "running".into();
                    return ok(&job);
                }
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
    assert!(matches!(error, OptimizeError::Trainer { .. }), "{error}");
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

    // The same call again pays for nothing, and needs no endpoint.
    let requests = server.seen().len();
    let again = run(20, Some(&dir)).await.unwrap();
    assert_eq!(again.report(), optimized.report());
    assert_eq!(again.predictor().lm().unwrap().id(), "ft:small:org");
    assert_eq!(server.seen().len(), requests);
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

#[tokio::test]
async fn a_run_that_is_dropped_in_training_does_not_train_twice() {
    let done = Arc::new(AtomicBool::new(false));
    let (server, dir) = (working(done.clone()).await, folder("finetune-dropped"));
    let endpoint = Endpoint::new(server.url()).retries(0);
    let run = async || {
        let client =
            FineTuning::new(endpoint.clone()).polling(Duration::from_millis(1), Duration::from_millis(2));
        let optimizer = BootstrapFinetune::builder(ApiTrainer::new(client)).metric(right);
        let optimizer = optimizer.teacher_lm(zoo("big", true)).run_dir(&dir).build();
        let mut program = DynPredict::new("question -> answer".parse().unwrap());
        program.set_lm(endpoint.model("small").unwrap());
        Box::pin(optimizer.compile(program, &rows(20))).await
    };
    let started = async {
        while !server.seen().iter().any(|seen| seen.head.starts_with("GET") && seen.path().contains("ftjob-"))
        {
            tokio::task::yield_now().await;
        }
    };
    tokio::select! {
        result = run() => panic!("{result:?}"),
        () = started => {}
    }
    done.store(true, Ordering::SeqCst);
    let optimized = run().await.unwrap();
    assert_eq!(optimized.predictor().lm().unwrap().id(), "ft:small:org");
    assert_eq!((posts(&server, "/files").len(), posts(&server, "/jobs").len()), (1, 1));
    std::fs::remove_dir_all(dir).unwrap();
}

#[tokio::test]
async fn demonstrations_have_no_weight_in_the_file() {
    let (server, dir) = (server().await, folder("finetune-demos"));
    let endpoint = Endpoint::new(server.url()).retries(0);
    let client =
        FineTuning::new(endpoint.clone()).polling(Duration::from_millis(1), Duration::from_millis(2));
    let optimizer = BootstrapFinetune::builder(ApiTrainer::new(client)).metric(right);
    let optimizer = optimizer.teacher_lm(zoo("big", true)).run_dir(&dir).build();
    let mut program = DynPredict::new("question -> answer".parse().unwrap());
    program.set_lm(endpoint.model("small").unwrap());
    let demo: Values = serde_json::from_value(json!({"question": "q", "answer": "x"})).unwrap();
    program.for_each_predictor(|_, predictor| predictor.set_demos(vec![Demo::new(demo.clone())]));
    optimizer.compile(program, &rows(20)).await.unwrap();
    let body = String::from_utf8(posts(&server, "/files")[0].body.clone()).unwrap();
    let lines: Vec<&str> = body.lines().filter(|line| line.starts_with("{\"messages\"")).collect();
    assert_eq!(lines.len(), 16);
    for line in lines {
        let row: Value = serde_json::from_str(line).unwrap();
        let turns = row["messages"].as_array().unwrap().iter();
        let weights: Vec<_> =
            turns.filter(|turn| turn["role"] == "assistant").map(|turn| turn["weight"].clone()).collect();
        assert_eq!(weights, [json!(0), Value::Null], "only the last turn is learnt");
    }
    std::fs::remove_dir_all(dir).unwrap();
}

#[tokio::test]
async fn a_tuned_model_with_the_name_of_its_base_is_an_error() {
    let (server, dir) = (server().await, folder("finetune-same-name"));
    let client = FineTuning::new(Endpoint::new(server.url()))
        .polling(Duration::from_millis(1), Duration::from_millis(2));
    let trainer = ApiTrainer::new(client).model("ft:base:org").limits(Limits::default().rows(1));
    // The server names the tuned model after the one that it is asked for.
    let trainer = trainer.configure(|tune, _| tune.with("model", "base"));
    let optimizer =
        BootstrapFinetune::builder(trainer).metric(right).teacher_lm(zoo("big", true)).run_dir(&dir).build();
    let error = optimizer.compile(program(&zoo("a", false), &zoo("a", false)), &rows(5)).await.unwrap_err();
    assert!(error.to_string().contains("with the name of the model to begin with, `ft:base:org`"), "{error}");
    std::fs::remove_dir_all(dir).unwrap();
}
