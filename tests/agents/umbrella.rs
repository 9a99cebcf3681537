//! An agent that says where an umbrella is needed, and the replies of its scripted models.
#![allow(dead_code, reason = "each test program uses a part")]

use std::sync::Arc;

use dspy::lm::{Capabilities, Reply, Request, ScriptedLm};
use dspy::prelude::*;
use serde_json::{Value, json};

/// Say where an umbrella is needed.
#[signature]
pub(crate) struct Umbrella {
    #[input]
    pub(crate) question: String,
    /// Names of cities.
    #[output]
    pub(crate) cities: Vec<String>,
    #[output]
    #[check(self.millimetres >= 0.0, "rain is not negative")]
    pub(crate) millimetres: f64,
}

#[dspy::field_type]
pub(crate) struct Payment {
    pub(crate) to: String,
    pub(crate) amount: f64,
}

pub(crate) fn script_of<R: Into<Reply>>(replies: impl IntoIterator<Item = R>) -> Arc<ScriptedLm> {
    Arc::new(ScriptedLm::new(replies))
}

pub(crate) fn native<R: Into<Reply>>(replies: impl IntoIterator<Item = R>) -> Arc<ScriptedLm> {
    Arc::new(ScriptedLm::new(replies).with_capabilities(Capabilities::NONE.tools(true)))
}

/// A reply in the text format.
pub(crate) fn turn(thought: &str, calls: Value) -> String {
    format!("[[ ## next_thought ## ]]\n{thought}\n\n[[ ## tool_calls ## ]]\n{calls}\n\n[[ ## completed ## ]]")
}

pub(crate) fn call(name: &str, arguments: Value) -> Value {
    json!({"name": name, "arguments": arguments})
}

pub(crate) fn finish() -> Value {
    call("finish", json!({"cities": ["Bergen"], "millimetres": 12}))
}

pub(crate) fn text(request: &Request) -> String {
    request.messages.iter().map(|message| message.text().into_owned()).collect::<Vec<_>>().join("\n---\n")
}
