//! Code that runs code: a tool that opens a session of its own.

use std::time::{Duration, Instant};

use dspy_core::tools::Tool;
use dspy_sandbox::Sandbox;
use dspy_strategies::{CodeError, Interpreter as _};
use serde_json::{Value, json};

use crate::common::{prepared, strict};

#[derive(serde::Deserialize, schemars::JsonSchema)]
struct Depth {
    depth: u32,
}

/// A tool that runs code which calls it again, less deep.
fn deeper(sandbox: &Sandbox) -> Tool {
    let sandbox = sandbox.clone();
    Tool::new("deeper", "Runs code.", move |Depth { depth }: Depth| {
        let sandbox = sandbox.clone();
        async move { run(&sandbox, depth).await.map_err(|error| error.to_string()) }
    })
}

async fn run(sandbox: &Sandbox, depth: u32) -> Result<u64, CodeError> {
    let tools = vec![deeper(sandbox)];
    let code = match depth {
        0 => "sum(range(1000)) - 499500".to_owned(),
        _ => format!("1 + deeper(depth={})", depth - 1),
    };
    let mut session = sandbox.open(tools).await.unwrap();
    let value = session.run(&code).await.outcome?;
    Ok(value.as_u64().unwrap_or_default())
}

/// More sessions inside each other than compute at the same time.
fn depth() -> u32 {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    u32::try_from(cores).unwrap().min(16) + 3
}

#[tokio::test]
async fn sessions_inside_each_other_get_on_at_any_depth() {
    let sandbox = strict().wall_time(Duration::from_mins(1)).build();
    if !prepared(&sandbox).await {
        return;
    }
    assert_eq!(run(&sandbox, depth()).await, Ok(u64::from(depth())));
    let chains = (0..10).map(|_| run(&sandbox, depth()));
    for result in futures_util::future::join_all(chains).await {
        assert_eq!(result, Ok(u64::from(depth())));
    }
    // With one thread for each chain, too.
    let chains: Vec<_> = (0..4)
        .map(|_| {
            let sandbox = sandbox.clone();
            std::thread::spawn(move || {
                let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
                runtime.block_on(run(&sandbox, depth()))
            })
        })
        .collect();
    for chain in chains {
        assert_eq!(chain.join().unwrap(), Ok(u64::from(depth())));
    }
}

/// Tells of its end.
struct Ended(tokio::sync::mpsc::UnboundedSender<()>);

impl Drop for Ended {
    fn drop(&mut self) {
        let _ = self.0.send(());
    }
}

#[tokio::test]
async fn a_tool_ends_with_the_code_that_waits_for_it() {
    let sandbox = strict().wall_time(Duration::from_secs(2)).build();
    if !prepared(&sandbox).await {
        return;
    }
    let (begins, mut begun) = tokio::sync::mpsc::unbounded_channel();
    let (sender, mut ends) = tokio::sync::mpsc::unbounded_channel();
    let slow = Tool::new("slow", "Waits.", move |_: crate::common::Nothing| {
        let ended = Ended(sender.clone());
        let begins = begins.clone();
        async move {
            begins.send(()).unwrap();
            tokio::time::sleep(Duration::from_hours(1)).await;
            drop(ended);
        }
    });
    let start = Instant::now();
    let mut session = sandbox.open(vec![slow.clone()]).await.unwrap();
    let execution = session.run("slow()").await;
    assert_eq!(execution.outcome, Err(CodeError::Timeout));
    begun.recv().await.unwrap();
    ends.recv().await.unwrap();
    // A call that is dropped drops the tool, and the session goes on with another interpreter.
    tokio::select! {
        execution = session.run("slow()") => panic!("{execution:?}"),
        () = async { begun.recv().await.unwrap() } => {}
    }
    ends.recv().await.unwrap();
    let execution = session.run("1 + 1").await;
    assert_eq!((execution.outcome, execution.state_lost), (Ok(json!(2)), true));
    let value: Value = session.run("[n for n in range(3)]").await.outcome.unwrap();
    assert_eq!(value, json!([0, 1, 2]));
    assert!(start.elapsed() < Duration::from_mins(1));
}
