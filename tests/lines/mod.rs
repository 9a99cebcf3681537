//! An interpreter of a toy language, for tests of strategies that let models write code.
#![allow(dead_code, clippy::unwrap_used, reason = "each test binary uses a part of this")]

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use dspy::lm::BoxFuture;
use dspy::prelude::*;
use dspy::strategies::{CodeError, Execution, Interpreter, InterpreterError, Session};
use serde_json::Value;

/// An interpreter of lines: `print TEXT`, `show VARIABLE`, `raise TEXT`, `crash`, or `TOOL {json}`, whose result is printed.
#[derive(Debug, Clone, Default)]
pub(crate) struct Lines {
    pub(crate) opened: Arc<AtomicUsize>,
}

struct LineSession {
    tools: Vec<Tool>,
    variables: Vec<(String, Value)>,
}

impl Interpreter for Lines {
    fn open(&self, tools: Vec<Tool>) -> BoxFuture<'_, Result<Box<dyn Session>, InterpreterError>> {
        self.opened.fetch_add(1, Ordering::SeqCst);
        Box::pin(
            async move { Ok(Box::new(LineSession { tools, variables: Vec::new() }) as Box<dyn Session>) },
        )
    }

    fn guide(&self) -> &'static str {
        "One command a line."
    }
}

impl Session for LineSession {
    fn set<'s>(&'s mut self, name: &'s str, value: Value) -> BoxFuture<'s, Result<(), InterpreterError>> {
        self.variables.push((name.to_owned(), value));
        Box::pin(async { Ok(()) })
    }

    fn run<'s>(&'s mut self, code: &'s str) -> BoxFuture<'s, Execution> {
        Box::pin(async move {
            let mut stdout = String::new();
            for (index, line) in code.lines().enumerate() {
                let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
                let raised = |kind: &str, message: String| CodeError::Raised {
                    kind: kind.into(),
                    message,
                    line: Some(index as u32 + 1),
                };
                match word {
                    "print" => stdout.push_str(&format!("{rest}\n")),
                    "show" => {
                        let found = self.variables.iter().find(|(name, _)| name == rest);
                        stdout.push_str(&format!(
                            "{}\n",
                            found.map_or(Value::Null, |(_, value)| value.clone())
                        ));
                    }
                    "crash" => {
                        self.variables.clear();
                        return Execution::failed(stdout, CodeError::Timeout).losing_state();
                    }
                    "raise" => return Execution::failed(stdout, raised("Error", rest.into())),
                    name => {
                        let Some(tool) = self.tools.iter().find(|tool| tool.name() == name) else {
                            return Execution::failed(stdout, raised("NameError", name.into()));
                        };
                        match tool.call(&serde_json::from_str(rest).unwrap_or_default()).await {
                            Ok(Value::Null) => {}
                            Ok(value) => stdout.push_str(&format!("{value}\n")),
                            Err(error) => {
                                return Execution::failed(stdout, raised("ToolError", error.to_string()));
                            }
                        }
                    }
                }
            }
            Execution::done(stdout, Value::Null)
        })
    }
}

/// Find the magic number.
#[signature]
pub(crate) struct Find {
    #[input]
    pub(crate) haystack: String,
    #[output]
    pub(crate) number: i64,
}

/// Returns a reply with the code of a turn.
pub(crate) fn turn(code: &str) -> String {
    format!("[[ ## reasoning ## ]]\nLook.\n\n[[ ## code ## ]]\n```python\n{code}\n```")
}
