//! A sandbox for tests, and tools.

use std::time::Duration;

use dspy_core::tools::{Json, Tool};
use dspy_sandbox::{Sandbox, SandboxBuilder};
use dspy_strategies::{CodeError, Execution, Interpreter as _, Session};
use serde_json::Value;

#[derive(serde::Deserialize, schemars::JsonSchema)]
pub(crate) struct Echo {
    value: Value,
}

#[derive(serde::Deserialize, schemars::JsonSchema)]
pub(crate) struct Nothing {}

/// Tools that behave, and tools that do not.
pub(crate) fn tools() -> Vec<Tool> {
    vec![
        Tool::new("echo", "Returns the value.", |Echo { value }: Echo| async move { Json(value) }),
        Tool::new("flood", "Returns too much.", |_: Nothing| async move { "x".repeat(20_000_000) }),
        Tool::new("flood_of_lists", "Returns too many lists.", |_: Nothing| async move {
            Json(Value::from(vec![Value::Array(Vec::new()); 400_000]))
        }),
        Tool::new("deep", "Returns what is nested too deeply.", |_: Nothing| async move {
            Json((0..1_000).fold(Value::Null, |value, _| Value::Array(vec![value])))
        }),
        Tool::new("panics", "Panics.", |_: Nothing| async move {
            assert!(std::hint::black_box(false), "a bug");
        }),
        Tool::new("hangs", "Never returns.", |_: Nothing| std::future::pending::<()>()),
    ]
}

/// Limits that end a hostile program soon.
pub(crate) fn strict() -> SandboxBuilder {
    Sandbox::builder()
        .folder(concat!(env!("CARGO_TARGET_TMPDIR"), "/python"))
        .wall_time(Duration::from_millis(1_500))
        .memory(96 << 20)
        .stdout(100_000)
        .tool_calls(50)
}

/// Prepares the interpreter, or says why the test is skipped.
pub(crate) async fn prepared(sandbox: &Sandbox) -> bool {
    match sandbox.prepare().await {
        Ok(()) => true,
        Err(error) if std::env::var_os("DSPY_SANDBOX_REQUIRED").is_none() => {
            println!("skipped: {error}");
            false
        }
        Err(error) => panic!("{error}"),
    }
}

pub(crate) async fn open(sandbox: &Sandbox) -> Box<dyn Session> {
    sandbox.open(tools()).await.unwrap()
}

/// Returns the outcome in a word.
pub(crate) fn word(execution: &Execution) -> &'static str {
    match &execution.outcome {
        Ok(_) => "ok",
        Err(CodeError::Raised { .. }) => "raised",
        Err(CodeError::Timeout) => "timeout",
        Err(CodeError::Memory) => "memory",
        Err(CodeError::Output) => "output",
        Err(CodeError::Calls) => "calls",
        Err(CodeError::Recursion) => "recursion",
        Err(CodeError::Crashed { .. }) => "crashed",
        Err(_) => "another",
    }
}
