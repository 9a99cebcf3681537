//! Events, history and counts. No test here sets a subscriber of tracing; those that do are in `traces.rs`.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "in tests a panic is the report")]

mod worker;

use dspy::lm::{Completion, Reply, ScriptedLm};
use dspy::observe::LmHistory;
use dspy::prelude::*;
use dspy::program::{Event, EventKind};
use worker::{Act, ActOutput, DONE, Events, Look, PlanInput, Worker, lm, worker};

#[tokio::test]
async fn observers_are_told_in_order() {
    let (inner, outer) = (Events::default(), Events::default());
    let settings = Settings::new().lm(lm()).observe(outer.observer());
    settings
        .scope(async {
            let hands = worker().hands;
            Settings::new().observe(inner.observer()).scope(async { hands.call("Go.").await }).await.unwrap();
            worker().plan.call("Get there.").await.unwrap();
        })
        .await;
    let lines = outer.lines();
    let expected = [
        "ModuleStarted Hands",
        "Started act in Hands",
        "LmStarted scripted in act",
        "LmFinished scripted in act",
        "Finished act in Hands",
        "ModuleFinished Hands",
    ];
    assert_eq!(lines[..6], expected);
    let alone = [
        "Started predict",
        "LmStarted scripted in predict",
        "LmFinished scripted in predict",
        "Finished predict",
    ];
    assert_eq!(lines[6..], alone);
    assert_eq!(inner.lines(), expected);
    let events = outer.0.lock().unwrap();
    let EventKind::ModuleFinished { usage } = &events[5].kind else { panic!("{:?}", events[5]) };
    assert!(usage.total_tokens() > 0 && events[5].elapsed >= events[3].elapsed);
    let EventKind::LmStarted { call } = &events[2].kind else { panic!("{:?}", events[2]) };
    assert_eq!((call.predictor.as_deref(), call.streamed), (Some("act"), false));
}

#[tokio::test]
async fn tools_tasks_and_what_is_dropped_are_told_of() {
    let events = Events::default();
    let settings = Settings::new().lm(lm()).observe(events.observer());
    settings.clone().scope(async { worker().call("Get there.").await }).await.unwrap();
    let lines = events.lines();
    for line in ["ToolStarted look in Worker", "ToolFinished look in Worker"] {
        assert!(lines.iter().any(|found| found == line), "{lines:?}");
    }
    assert_eq!(lines.iter().filter(|line| *line == "ModuleFinished Hands in Worker").count(), 3);

    events.0.lock().unwrap().clear();
    let asleep = Tool::new("sleep", "Sleeps.", |_: Look| std::future::pending::<String>());
    let call = settings.scope(async { asleep.call(&serde_json::json!({"place": "bed"})).await });
    assert!(futures_util::FutureExt::now_or_never(call).is_none());
    assert_eq!(events.lines(), ["ToolStarted sleep", "Cancelled sleep"]);
}

#[tokio::test]
async fn a_panic_in_an_observer_breaks_no_call() {
    let events = Events::default();
    let settings = Settings::new()
        .lm(lm())
        .observe(events.observer())
        .observe(|event: &Event| panic!("no {} for me", event.source));
    settings.scope(async { worker().hands.call("Go.").await }).await.unwrap();
    assert_eq!(events.lines().len(), 6);
}

#[tokio::test]
async fn refused_replies_are_told_of() {
    let events = Events::default();
    let act = Predict::<Act>::new().with_lm(Lm::scripted(["nonsense", DONE]));
    let history = LmHistory::default();
    let settings = Settings::new().observe(events.observer()).observe(history.clone());
    settings.scope(async { act.call("Go.").await }).await.unwrap();
    assert_eq!(events.lines()[3], "Restarted self");
    let shown = history.inspect(9).colours(false).to_string();
    assert_eq!(shown.matches("── scripted · self").count(), 2, "{shown}");
    assert!(shown.contains("Reply\n  nonsense\n"), "{shown}");
}

#[tokio::test]
async fn replies_are_shown_with_calls_and_reasoning() {
    let call = dspy::tools::ToolCall::new("look", serde_json::json!({"place": "here"}));
    let reply = Completion::new("I look.").with_reasoning("Where?").calling([call]);
    let history = LmHistory::default();
    Lm::custom(ScriptedLm::new([Reply::from(reply)]))
        .layer(history.clone())
        .ask("Where is it?")
        .await
        .unwrap();
    let shown = history.inspect(1).colours(false).to_string();
    assert!(
        shown.contains("  Where?\n  (answer)\n  I look.\n  calls look({\"place\":\"here\"})\n"),
        "{shown}"
    );
}

/// The paths of the predictors of which models were called, as a history knows them.
fn paths(history: &LmHistory) -> Vec<String> {
    let records = history.latest(99);
    let paths = records.iter().map(|record| record.call.predictor.as_deref().unwrap_or("nobody").to_owned());
    paths.collect()
}

const PATHS: [&str; 4] = ["plan.predict", "hands.act", "hands.act", "hands.act"];

#[tokio::test]
async fn observers_of_models_alone_know_predictors_by_their_paths() {
    // Neither a subscriber of tracing nor an observer of the program: the history is bound to the model.
    let history = LmHistory::default();
    let mut program = worker();
    program.set_lm(lm().layer(history.clone()));
    program.call("Get there.").await.unwrap();
    assert_eq!(paths(&history), PATHS);
    history.clear();
    // Alone, they are what they are in a program of their own.
    program.plan.call("Get there.").await.unwrap();
    program.hands.act.call("Go.").await.unwrap();
    assert_eq!(paths(&history), ["predict", "self"]);
}

/// A program that observes one of its parts.
#[module]
struct Watching {
    worker: Worker,
    #[module(skip)]
    seen: Events,
}

impl Module for Watching {
    type Input = PlanInput;
    type Output = ActOutput;

    async fn forward(&self, input: PlanInput) -> dspy::Result<Prediction<ActOutput>> {
        let settings = Settings::new().observe(self.seen.observer());
        settings.scope(async { self.worker.hands.call(input.goal).await }).await
    }
}

#[tokio::test]
async fn observers_that_come_late_know_the_whole_path() {
    let mut program = Watching { worker: worker(), seen: Events::default() };
    program.set_lm(lm());
    program.call("Go.").await.unwrap();
    let lines = program.seen.lines();
    assert!(lines.contains(&"Started worker.hands.act in Hands".to_owned()), "{lines:?}");
}
