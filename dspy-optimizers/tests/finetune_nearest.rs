//! Training rows of programs that select their demonstrations for each input: the prompts are those of calls.

#![allow(clippy::unwrap_used, clippy::panic, reason = "in tests a panic is the report")]

mod common;

use std::sync::{Arc, Mutex};

use common::{Row, folder};
use dspy_core::error::BoxError;
use dspy_core::finetune::{TrainingRow, TrainingSet};
use dspy_core::lm::{BoxFuture, Embedder, Lm, Message, Request, Response};
use dspy_core::predict::DynPredict;
use dspy_core::program::{HasPredictors as _, Module as _, Settings, trace};
use dspy_core::signature::{Demo, Values};
use dspy_optimizers::{
    BootstrapFinetune, Data, KnnFewShot, NearestDemos, OptimizeError, Trainer, TrainingJob,
};
use serde_json::json;

const TEXTS: [&str; 8] = [
    "a red lamp",
    "a green river",
    "the red river in France",
    "a blue lamp",
    "two lamps and a river",
    "a green lamp",
    "France in May",
    "nothing else",
];

fn values(text: &str) -> Values {
    serde_json::from_value(json!({"question": text, "answer": format!("about {text}")})).unwrap()
}

fn rows() -> Vec<Row> {
    TEXTS.iter().map(|text| Row(values(text))).collect()
}

fn input(text: &str) -> Values {
    serde_json::from_value(json!({"question": text})).unwrap()
}

/// A model that answers, and keeps the messages of its requests.
fn model() -> (Lm, Arc<Mutex<Vec<Vec<Message>>>>) {
    let seen: Arc<Mutex<Vec<Vec<Message>>>> = Arc::default();
    let kept = seen.clone();
    let lm = Lm::from_fn(move |request: Request| {
        kept.lock().unwrap().push(request.messages);
        async { Response::text("[[ ## answer ## ]]\nyes\n\n[[ ## completed ## ]]") }
    });
    (lm, seen)
}

/// A program with a demonstration of each of these texts, of which it shows two.
fn program(texts: &[&str], lm: &Lm) -> NearestDemos<DynPredict> {
    let mut program = DynPredict::new("question -> answer".parse().unwrap()).with_lm(lm.clone());
    let demos: Vec<Demo> = texts.iter().map(|text| Demo::new(values(text))).collect();
    program.for_each_predictor(|_, predictor| predictor.set_demos(demos.clone()));
    NearestDemos::new(program).k(2)
}

/// Returns the messages of a call for this text by a program that has no demonstration of it.
async fn call_of(text: &str, embedder: Option<&Embedder>) -> Vec<Message> {
    let (lm, seen) = model();
    let others: Vec<&str> = TEXTS.iter().copied().filter(|other| *other != text).collect();
    let program = program(&others, &lm);
    let program = match embedder {
        Some(embedder) => program.embedder(embedder.clone()),
        None => program,
    };
    program.call(input(text)).await.unwrap();
    let messages = seen.lock().unwrap().remove(0);
    assert_eq!(messages.len(), 6);
    messages
}

/// A trainer that keeps its rows.
#[derive(Clone, Default)]
struct Keeping(Arc<Mutex<Vec<TrainingRow>>>);

impl Trainer for Keeping {
    fn identity(&self) -> String {
        "keeping".into()
    }

    fn train<'a>(&'a self, job: &'a TrainingJob) -> BoxFuture<'a, Result<Lm, BoxError>> {
        Box::pin(async move {
            *self.0.lock().unwrap() = job.rows.rows().to_vec();
            Ok(Lm::custom(dspy_core::lm::ScriptedLm::from_fn(|_| Response::text("")).with_id("tuned")))
        })
    }
}

fn text_of(row: &TrainingRow) -> &'static str {
    let last = row.messages().last().unwrap().text().into_owned();
    let fits = |text: &&&str| last.lines().any(|line| line == **text);
    TEXTS.iter().find(fits).unwrap()
}

#[tokio::test]
async fn a_training_prompt_is_that_of_a_call() {
    let (lm, _) = model();
    for embedder in [None, Some(Embedder::hashed(256))] {
        let wanted = async |text: &str| call_of(text, embedder.as_ref()).await;
        let given = match &embedder {
            Some(embedder) => program(&TEXTS, &lm).embedder(embedder.clone()),
            None => program(&TEXTS, &lm),
        };
        let dir = folder("finetune-nearest");
        // A resumed run has the rows of the journal.
        for _ in 0..2 {
            let trainer = Keeping::default();
            let optimizer =
                BootstrapFinetune::builder(trainer.clone()).metric(|_: &Row, _: &Values| true).run_dir(&dir);
            optimizer.build().compile(given.clone(), &self::rows()).await.unwrap();
            let rows = trainer.0.lock().unwrap().clone();
            assert_eq!(rows.len(), TEXTS.len());
            for row in rows {
                assert_eq!(row.messages(), wanted(text_of(&row)).await, "{}", text_of(&row));
            }
            for file in ["report.json", "report.html"] {
                std::fs::remove_file(dir.join(file)).unwrap();
            }
        }
        std::fs::remove_dir_all(dir).unwrap();
    }
}

#[tokio::test]
async fn a_trace_has_the_demonstrations_of_its_call() {
    let (lm, seen) = model();
    let program = program(&TEXTS, &lm);
    let mut set = TrainingSet::new();
    for text in ["a red river", "the blue lamp"] {
        let (_, steps) = trace(program.call(input(text))).await;
        // A trace keeps them when it is written down.
        let steps = serde_json::from_value(serde_json::to_value(steps).unwrap()).unwrap();
        assert_eq!(set.add_trace(&program, &steps).unwrap(), 1);
    }
    let asked = seen.lock().unwrap().clone();
    let messages: Vec<_> = set.rows().iter().map(|row| row.messages().to_vec()).collect();
    assert_eq!(messages, asked);
    // A row that is about one of the demonstrations does not show it.
    let (_, steps) = trace(program.call(input(TEXTS[2]))).await;
    let mut set = TrainingSet::new();
    set.add_trace(&program, &steps).unwrap();
    assert_eq!(set.rows()[0].messages(), call_of(TEXTS[2], None).await);
    // The trace of the program inside has no selection.
    let (_, steps) = trace(program.program().call(input("x"))).await;
    let error = set.add_trace(&program, &steps).unwrap_err();
    assert!(error.to_string().contains("does not have the demonstrations that `self` shows"), "{error}");
    // With few demonstrations, all are shown.
    let program = program.k(8);
    let (_, steps) = trace(program.call(input("x"))).await;
    set.add_trace(&program, &steps).unwrap();
    assert_eq!(set.rows()[1].messages().len(), 18);
}

#[tokio::test]
async fn a_program_of_knn_few_shot_can_be_tuned() {
    let (lm, _) = model();
    let made = KnnFewShot::builder().build();
    let student = NearestDemos::new(DynPredict::new("question -> answer".parse().unwrap()).with_lm(lm)).k(2);
    let made = made.compile(student, &rows()).await.unwrap().into_program();
    let trainer = Keeping::default();
    let optimizer = BootstrapFinetune::builder(trainer.clone()).metric(|_: &Row, _: &Values| true).build();
    optimizer.compile(made, &rows()).await.unwrap();
    let rows = trainer.0.lock().unwrap().clone();
    for row in rows {
        assert_eq!(row.messages(), call_of(text_of(&row), None).await);
    }
}

#[tokio::test]
async fn a_teacher_with_other_demonstrations_selects_others() {
    let (lm, seen) = model();
    let run = async |teacher: NearestDemos<DynPredict>, exclude: bool| {
        let optimizer = BootstrapFinetune::builder(Keeping::default()).metric(|_: &Row, _: &Values| true);
        let optimizer = optimizer.exclude_demos(exclude).build();
        let data = rows();
        optimizer.compile(program(&TEXTS, &lm), Data::new(&data).teacher(teacher)).await.map(drop)
    };
    for teacher in [program(&TEXTS[..4], &lm), program(&TEXTS, &lm).k(1)] {
        let error = run(teacher, false).await.unwrap_err();
        assert!(matches!(error, OptimizeError::Teacher(_)), "{error}");
        assert!(error.to_string().contains("`teacher_lm`"), "{error}");
    }
    assert!(seen.lock().unwrap().is_empty(), "nothing is paid before");
    run(program(&TEXTS, &lm), false).await.unwrap();
    run(program(&TEXTS[..4], &lm), true).await.unwrap();
    let current = Settings::new().lm(lm.clone());
    current.scope(run(program(&TEXTS[..4], &lm), true)).await.unwrap();
}
