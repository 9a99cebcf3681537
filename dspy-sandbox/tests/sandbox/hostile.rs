//! Programs that try to stop, flood or leave the sandbox. All end as they should, inside their limits, many in parallel,
//! and the host and the next run are unharmed.

use std::sync::Arc;
use std::time::{Duration, Instant};

use dspy_core::tools::Tool;
use dspy_strategies::Interpreter as _;
use serde_json::json;

use crate::common::{Nothing, prepared, strict, tools, word};

const PROGRAMS: &str = include_str!("../hostile.py");

/// Returns each program with its name and the words that it may end as.
fn programs() -> impl Iterator<Item = (&'static str, &'static str, &'static str)> {
    PROGRAMS.split("\n## ").skip(1).map(|program| {
        let (title, code) = program.split_once('\n').unwrap();
        let (name, words) = title.split_once(": ").unwrap();
        (name, words, code)
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hostile_programs_end_inside_their_limits() {
    let sandbox = strict().build();
    if !prepared(&sandbox).await {
        return;
    }
    assert!(programs().count() >= 120, "{}", programs().count());
    let parallel = Arc::new(tokio::sync::Semaphore::new(4));
    let tasks = programs().map(|(name, words, code)| {
        let (sandbox, parallel) = (sandbox.clone(), parallel.clone());
        tokio::spawn(async move {
            let _turn = parallel.acquire().await.unwrap();
            let mut session = sandbox.open(tools()).await.unwrap();
            let kept = session.run("keep = 41").await;
            assert_eq!(kept.outcome, Ok(json!(null)), "{name}");
            let start = Instant::now();
            let ran = session.run(code).await;
            let took = start.elapsed();
            let mut problems = Vec::new();
            let ended = word(&ran);
            if !words.split(' ').any(|word| word == ended) {
                problems.push(format!("{name}: {ended} instead of {words}: {:?}", ran.outcome));
            }
            // Ten times the limit of running time.
            if took > Duration::from_secs(18) {
                problems.push(format!("{name}: took {took:?}"));
            }
            if ran.stdout.len() > 100_000 {
                problems.push(format!("{name}: printed {} bytes", ran.stdout.len()));
            }
            // The next run works: in the same interpreter, or in a new one if the last run said so.
            let next = session.run("print('alive', len([1, 2]))\nglobals().get('keep', 0) + 1").await;
            let expected = if ran.state_lost { json!(1) } else { json!(42) };
            let alive = next.outcome == Ok(expected) && next.stdout == "alive 2\n" && !next.state_lost;
            // Code may break its own interpreter so that only the next run finds out.
            let found_out = next.state_lost && session.run("1").await.outcome == Ok(json!(1));
            if !alive && !found_out {
                problems.push(format!("{name}: the next run was {next:?} after {ran:?}"));
            }
            println!("{:5} ms  {ended:9} {name}", took.as_millis());
            problems
        })
    });
    let mut problems = Vec::new();
    for task in tasks.collect::<Vec<_>>() {
        problems.extend(task.await.unwrap());
    }
    assert!(problems.is_empty(), "{}", problems.join("\n"));
}

/// The time that a session waits for a core is not its own.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn loops_do_not_take_the_time_of_honest_sessions() {
    let sandbox = strict().wall_time(Duration::from_secs(2)).build();
    if !prepared(&sandbox).await {
        return;
    }
    let mut sessions = Vec::new();
    for _ in 0..200 {
        sessions.push(sandbox.open(tools()).await.unwrap());
    }
    let start = Instant::now();
    let runs = sessions.into_iter().enumerate().map(|(at, mut session)| {
        let code = if at % 2 == 0 { "while True: pass" } else { "echo(1 + 1)" };
        tokio::spawn(async move { (code, session.run(code).await.outcome) })
    });
    for run in runs.collect::<Vec<_>>() {
        match run.await.unwrap() {
            ("echo(1 + 1)", outcome) => assert_eq!(outcome, Ok(json!(2))),
            (_, outcome) => assert_eq!(outcome, Err(dspy_strategies::CodeError::Timeout)),
        }
    }
    // Loops have a hard end.
    assert!(start.elapsed() < Duration::from_secs(40), "{:?}", start.elapsed());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_hundred_loops_at_once_end_and_bystanders_go_on() {
    let sandbox = strict().wall_time(Duration::from_secs(1)).build();
    if !prepared(&sandbox).await {
        return;
    }
    let mut sessions = Vec::new();
    for _ in 0..200 {
        sessions.push(sandbox.open(tools()).await.unwrap());
    }
    let loops = sessions
        .into_iter()
        .map(|mut session| tokio::spawn(async move { word(&session.run("while True: pass").await) }));
    let loops: Vec<_> = loops.collect();
    // This thread's runtime still serves others.
    let tick = Instant::now();
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert!(tick.elapsed() < Duration::from_secs(5), "{:?}", tick.elapsed());
    for ended in loops {
        assert_eq!(ended.await.unwrap(), "timeout");
    }
    let after = sandbox.open(tools()).await.unwrap().run("2 + 2").await;
    assert_eq!(after.outcome, Ok(json!(4)));
}

#[tokio::test]
async fn dropping_a_run_stops_it_at_once() {
    struct Dropped(Arc<std::sync::atomic::AtomicBool>);
    impl Drop for Dropped {
        fn drop(&mut self) {
            self.0.store(true, std::sync::atomic::Ordering::SeqCst);
        }
    }
    let sandbox = strict().wall_time(Duration::from_mins(1)).build();
    if !prepared(&sandbox).await {
        return;
    }
    let stopped = Arc::new(std::sync::atomic::AtomicBool::new(false));
    let guard = stopped.clone();
    let waits = Tool::new("waits", "Waits.", move |_: Nothing| {
        let guard = Dropped(guard.clone());
        async move {
            std::future::pending::<()>().await;
            drop(guard);
        }
    });
    let mut session = sandbox.open(vec![waits]).await.unwrap();
    for code in ["while True: pass", "waits()", "import time\ntime.sleep(1000)"] {
        session.run("x = 1").await;
        let start = Instant::now();
        let limit = Duration::from_millis(200);
        assert!(tokio::time::timeout(limit, session.run(code)).await.is_err(), "{code}");
        assert!(start.elapsed() < Duration::from_secs(2), "{code}: {:?}", start.elapsed());
        // The variables went with it, and the next run says so, once.
        let next = session.run("'x' in globals()").await;
        assert_eq!((next.outcome, next.state_lost), (Ok(json!(false)), true), "{code}");
        assert!(!session.run("1").await.state_lost);
    }
    assert!(stopped.load(std::sync::atomic::Ordering::SeqCst));
}
