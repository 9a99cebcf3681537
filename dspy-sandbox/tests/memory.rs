//! The memory of a session, measured in a process of its own: what sessions do not write to, they share.

#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

use dspy_sandbox::Sandbox;
use dspy_strategies::Interpreter as _;
use serde_json::json;

/// Returns the private memory of this process in kB.
fn private() -> Option<u64> {
    let rollup = std::fs::read_to_string("/proc/self/smaps_rollup").ok()?;
    let lines = rollup.lines().filter(|line| line.starts_with("Private_Dirty:"));
    lines.map(|line| line.split_whitespace().nth(1)?.parse::<u64>().ok()).sum()
}

#[tokio::test]
async fn sessions_share_the_memory_of_the_interpreter() {
    let sandbox = Sandbox::builder().folder(concat!(env!("CARGO_TARGET_TMPDIR"), "/python")).build();
    if let Err(error) = sandbox.prepare().await {
        println!("skipped: {error}");
        return;
    }
    let mut sessions = vec![sandbox.open(Vec::new()).await.unwrap()];
    let Some(before) = private() else {
        println!("skipped: no smaps_rollup");
        return;
    };
    for _ in 0..10 {
        let mut session = sandbox.open(Vec::new()).await.unwrap();
        assert_eq!(session.run("import gc\nx = 1\ngc.collect()\nx").await.outcome, Ok(json!(1)));
        sessions.push(session);
    }
    let each = private().unwrap().saturating_sub(before) / 10;
    println!("{each} kB each");
    assert!(each < 5_000, "{each} kB each");
}
