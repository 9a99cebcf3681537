//! Agents of scripted models, for the tests of agents.
#![allow(dead_code, reason = "each test program uses a part")]

use std::sync::{Arc, Mutex};

use dspy::lm::Request;
use dspy::prelude::*;
use dspy::strategies::{AgentState, ResumeError, RunError};
use serde_json::{Value, json};

/// Fulfil the wish.
#[signature]
#[derive(Clone)]
pub(crate) struct Order {
    #[input]
    pub(crate) wish: String,
    #[output]
    pub(crate) receipt: String,
}

#[dspy::field_type]
pub(crate) struct Item {
    pub(crate) item: String,
}

#[dspy::field_type]
pub(crate) struct Wish {
    pub(crate) wish: String,
}

/// The calls that ran, in order.
#[derive(Clone, Default)]
pub(crate) struct Log(Arc<Mutex<Vec<String>>>);

impl Log {
    pub(crate) fn push(&self, line: String) {
        self.0.lock().unwrap().push(line);
    }

    pub(crate) fn take(&self) -> Vec<String> {
        std::mem::take(&mut *self.0.lock().unwrap())
    }

    /// A tool that writes into the log.
    pub(crate) fn tool(&self, name: &'static str) -> Tool {
        let log = self.clone();
        Tool::new(name, "Does something with an item.", move |Item { item }: Item| {
            log.push(format!("{name} {item}"));
            async move { format!("{name} done: {item}") }
        })
    }
}

pub(crate) fn turn(calls: Value) -> String {
    format!("[[ ## next_thought ## ]]\nok\n\n[[ ## tool_calls ## ]]\n{calls}\n\n[[ ## completed ## ]]")
}

pub(crate) fn call(name: &str, value: &str) -> Value {
    let argument = match name {
        "finish" => "receipt",
        "helper" | "middle" => "wish",
        _ => "item",
    };
    json!({"name": name, "arguments": {argument: value}})
}

pub(crate) fn scripted(turns: impl IntoIterator<Item = Value>) -> Lm {
    Lm::scripted(turns.into_iter().map(turn))
}

pub(crate) fn text(request: &Request) -> String {
    request.messages.iter().map(|message| message.text().into_owned()).collect::<Vec<_>>().join("\n")
}

pub(crate) fn agent(
    tools: impl IntoIterator<Item = Tool>,
    turns: impl IntoIterator<Item = Value>,
) -> ReAct<Order> {
    let mut agent = ReAct::<Order>::new(tools).unwrap();
    agent.set_lm(scripted(turns));
    agent
}

pub(crate) fn helper(inner: ReAct<Order>) -> Tool {
    Tool::of_program("helper", "Fulfils a wish.", inner)
}

pub(crate) fn waiting(outcome: Result<Outcome<OrderOutput>, RunError>) -> AgentState {
    match outcome.unwrap() {
        Outcome::Waiting(state) => *state,
        other => panic!("it did not wait: {other:?}"),
    }
}

pub(crate) fn done(outcome: Result<Outcome<OrderOutput>, RunError>) -> Prediction<OrderOutput> {
    match outcome.unwrap() {
        Outcome::Done(output) => output,
        other => panic!("it is not done: {other:?}"),
    }
}

/// The state as another process reads it.
pub(crate) fn stored(state: &AgentState) -> AgentState {
    AgentState::from_json(&serde_json::to_string(state).unwrap()).unwrap()
}

pub(crate) fn resume_error(error: &RunError) -> &ResumeError {
    match &error.source {
        dspy::Error::Other(source) => source.downcast_ref().unwrap(),
        other => panic!("{other:?}"),
    }
}
