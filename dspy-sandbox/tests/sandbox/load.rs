//! Sessions that compute beside others, and what is large: chains of objects, results of tools.

use std::time::{Duration, Instant};

use dspy_core::tools::{Json, Tool, ToolSpec};
use dspy_sandbox::Sandbox;
use dspy_strategies::{Interpreter as _, Session};
use futures_util::future::{FutureExt as _, join_all};
use serde_json::{Value, json};

use crate::common::{Nothing, open, prepared, strict, word};

/// Opens sessions without tools.
async fn opened(sandbox: &Sandbox, count: usize) -> Vec<Box<dyn Session>> {
    let mut sessions = Vec::new();
    for _ in 0..count {
        sessions.push(sandbox.open(Vec::new()).await.unwrap());
    }
    sessions
}

#[tokio::test]
async fn busy_sessions_leave_turns_to_other_tasks() {
    let sandbox = strict().wall_time(Duration::from_mins(1)).build();
    if !prepared(&sandbox).await {
        return;
    }
    let loops = opened(&sandbox, 60).await.into_iter().map(|mut session| {
        tokio::spawn(async move {
            session.run("while True: pass").await;
        })
    });
    let loops: Vec<_> = loops.collect();
    tokio::time::sleep(Duration::from_millis(100)).await;
    // With a turn of each loop in between, this takes ten seconds and more.
    let start = Instant::now();
    for _ in 0..50 {
        tokio::task::yield_now().await;
    }
    let other = start.elapsed();
    // Short code is not behind the loops either.
    let start = Instant::now();
    let ran = sandbox.open(Vec::new()).await.unwrap().run("6 * 7").await;
    let short = start.elapsed();
    loops.iter().for_each(tokio::task::JoinHandle::abort);
    assert_eq!(ran.outcome, Ok(json!(42)));
    assert!(other < Duration::from_secs(4), "{other:?}");
    assert!(short < Duration::from_secs(4), "{short:?}");
}

#[tokio::test]
async fn runs_that_are_not_polled_do_not_hold_up_others() {
    let sandbox = strict().wall_time(Duration::from_secs(20)).build();
    if !prepared(&sandbox).await {
        return;
    }
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let mut sessions = opened(&sandbox, cores + 2).await;
    let mut runs: Vec<_> = sessions.iter_mut().map(|session| session.run("6 * 7")).collect();
    for run in &mut runs {
        assert!(run.now_or_never().is_none());
    }
    let ran = sandbox.open(Vec::new()).await.unwrap().run("6 * 7").await;
    assert_eq!(ran.outcome, Ok(json!(42)));
    for ran in join_all(runs).await {
        assert_eq!(ran.outcome, Ok(json!(42)));
    }
}

#[tokio::test]
async fn sessions_can_be_limited() {
    let sandbox = strict().sessions(2).build();
    if !prepared(&sandbox).await {
        return;
    }
    let mut two = opened(&sandbox, 2).await;
    let waiting = tokio::spawn({
        let sandbox = sandbox.clone();
        async move { sandbox.open(Vec::new()).await.unwrap().run("6 * 7").await.outcome }
    });
    // A broken session keeps its place.
    assert_eq!(word(&two[0].run("import os\nos.abort()").await), "crashed");
    assert_eq!(two[0].run("1").await.outcome, Ok(json!(1)));
    assert!(!waiting.is_finished());
    two.pop();
    assert_eq!(waiting.await.unwrap(), Ok(json!(42)));
}

#[tokio::test]
async fn long_chains_of_objects_are_freed() {
    let sandbox = strict().wall_time(Duration::from_secs(20)).build();
    if !prepared(&sandbox).await {
        return;
    }
    let mut session = open(&sandbox).await;
    for code in [
        "class N: pass\nh = None\nfor i in range(50_000):\n    n = N(); n.next = h; h = n\nh = n = None",
        "def f(g): return lambda: g\nh = None\nfor i in range(50_000): h = f(h)\nh = None",
        "h = {}\nfor i in range(50_000): h = {1: h}\nh = None",
    ] {
        let ran = session.run(code).await;
        assert_eq!((ran.outcome, ran.state_lost), (Ok(Value::Null), false), "{code}");
    }
}

#[tokio::test]
async fn results_that_are_nested_too_deeply_are_errors() {
    let sandbox = strict().build();
    if !prepared(&sandbox).await {
        return;
    }
    let nested = || (0..30_000).fold(Value::Null, |value, _| vec![value].into());
    let spec = ToolSpec::new("untyped", "x", json!({"type": "object", "properties": {}}));
    let tools = vec![
        Tool::new("typed", "x", move |_: Nothing| async move { Json(nested()) }),
        Tool::from_spec(spec, move |_| async move { Ok(nested()) }),
    ];
    let mut session = sandbox.open(tools).await.unwrap();
    for code in ["typed()", "untyped()"] {
        let ran = session.run(code).await;
        assert!(!ran.state_lost);
        assert!(format!("{:?}", ran.outcome).contains("nested more than"), "{:?}", ran.outcome);
    }
}

#[tokio::test]
async fn names_that_code_would_spell_differently_are_refused() {
    let sandbox = strict().build();
    if !prepared(&sandbox).await {
        return;
    }
    for name in ["__builtins__", "__import__", "ﬁ", "𝒳"] {
        let tool = Tool::new(name, "x", |_: Nothing| async move { 1 });
        let error = sandbox.open(vec![tool]).await.map(drop).unwrap_err().to_string();
        assert!(error.contains(name), "{error}");
        let mut session = open(&sandbox).await;
        assert!(session.set(name, json!(1)).await.is_err(), "{name}");
        assert_eq!(session.run("1").await.outcome, Ok(json!(1)));
    }
    let mut session = open(&sandbox).await;
    session.set("größe", json!(1)).await.unwrap();
    assert_eq!(session.run("größe").await.outcome, Ok(json!(1)));
}
