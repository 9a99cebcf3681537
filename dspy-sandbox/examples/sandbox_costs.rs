//! Measures what sessions and calls cost: the figures of `docs/sandbox.md`.
//!
//! `cargo run --release -p dspy-sandbox --example sandbox_costs`

use std::time::{Duration, Instant};

use dspy_core::tools::Tool;
use dspy_sandbox::Sandbox;
use dspy_strategies::Interpreter as _;

#[derive(serde::Deserialize, schemars::JsonSchema)]
struct Nothing {}

/// Returns the private memory of this process in MB, on Linux.
fn private_mb() -> f64 {
    let rollup = std::fs::read_to_string("/proc/self/smaps_rollup").unwrap_or_default();
    let of = |name: &str| -> f64 {
        let line = rollup.lines().find(|line| line.starts_with(name));
        line.and_then(|line| line.split_whitespace().nth(1)?.parse().ok()).unwrap_or(0.0)
    };
    (of("Private_Clean:") + of("Private_Dirty:")) / 1024.0
}

fn ms(time: Duration, runs: u32) -> f64 {
    time.as_secs_f64() * 1e3 / f64::from(runs)
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let sandbox = Sandbox::builder().wall_time(Duration::from_mins(1)).build();
    let tools = || vec![Tool::new("tick", "Does nothing.", |_: Nothing| async move { 1 })];
    let start = Instant::now();
    sandbox.prepare().await?;
    println!("loading: {:.0} ms", ms(start.elapsed(), 1));

    sandbox.open(tools()).await?;
    let start = Instant::now();
    for _ in 0..50 {
        sandbox.open(tools()).await?.run("print('x')").await;
    }
    println!("a new session with a call: {:.2} ms", ms(start.elapsed(), 50));

    let mut session = sandbox.open(tools()).await?;
    for (what, runs, code) in [
        ("a call in a session", 500, "x = 1"),
        ("1,000 calls of a tool", 10, "for _ in range(1000): tick()"),
        ("1,000 lines printed", 10, "for i in range(1000): print(i)"),
        ("fib(24)", 5, "def fib(n): return n if n < 2 else fib(n-1) + fib(n-2)\nfib(24)"),
        ("a loop of 1,000,000", 5, "s = 0\nfor i in range(1000000): s += i"),
    ] {
        let start = Instant::now();
        for _ in 0..runs {
            if let Err(error) = session.run(code).await.outcome {
                println!("{what}: {error}");
            }
        }
        println!("{what}: {:.2} ms", ms(start.elapsed(), runs));
    }

    let before = private_mb();
    let mut sessions = Vec::new();
    for _ in 0..50 {
        let mut session = sandbox.open(tools()).await?;
        session.run("import json, re\nx = [i for i in range(1000)]").await;
        sessions.push(session);
    }
    println!("50 sessions: {:.0} MB private", private_mb() - before);
    drop(sessions);

    let start = Instant::now();
    let many = (0..1000).map(|at| {
        let sandbox = sandbox.clone();
        tokio::spawn(async move {
            let mut session = sandbox.open(Vec::new()).await.ok()?;
            session.run(&format!("sum(range({at}))")).await.outcome.ok()
        })
    });
    let mut right = 0;
    for (at, task) in many.collect::<Vec<_>>().into_iter().enumerate() {
        let at = at as u64;
        right += usize::from(task.await? == Some((at * at.saturating_sub(1) / 2).into()));
    }
    println!("1,000 sessions at once, each with a call: {:.0} ms, {right} right", ms(start.elapsed(), 1));
    Ok(())
}
