//! Recursion in the C code of the interpreter ends as an error of recursion, not as a crash.

use dspy_strategies::{CodeError, Interpreter as _};
use serde_json::json;

use crate::common::{prepared, strict, tools};

const PROGRAMS: &str = include_str!("../recursion.py");

#[tokio::test]
async fn recursion_in_c_ends_as_recursion() {
    let sandbox = strict().wall_time(std::time::Duration::from_secs(20)).memory(256 << 20).build();
    if !prepared(&sandbox).await {
        return;
    }
    let mut problems = Vec::new();
    for program in PROGRAMS.split("\n## ").skip(1) {
        let (title, code) = program.split_once('\n').unwrap();
        let (name, expected) = title.split_once(": ").unwrap();
        let mut session = sandbox.open(tools()).await.unwrap();
        session.run("keep = 41").await;
        // A program may catch the error, and go on.
        let caught = format!(
            "ended = 'ok'\ntry:\n    exec({})\nexcept RecursionError:\n    ended = 'caught'\nended",
            json!(code)
        );
        let ran = session.run(&caught).await;
        let ended = match &ran.outcome {
            Ok(value) => value.as_str().unwrap_or_default().to_owned(),
            Err(CodeError::Recursion) => "recursion".to_owned(),
            Err(error) => format!("{error:?}"),
        };
        let ended = if ran.state_lost { format!("{ended}, lost") } else { ended };
        println!("{name}: {ended}");
        if ended != expected {
            problems.push(format!("{name}: {ended} instead of {expected}"));
        }
        let next = session.run("globals().get('keep', 0) + 1").await;
        let kept = if ran.state_lost { json!(1) } else { json!(42) };
        assert_eq!((next.outcome, next.state_lost), (Ok(kept), false), "{name}");
    }
    assert!(problems.is_empty(), "{}", problems.join("\n"));
}
