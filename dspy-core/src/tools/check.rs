//! Whether calls can be run, before they are.

use std::collections::HashMap;

use serde_json::Value;

use super::error::list;
use super::{ToolCall, ToolSpec};
use crate::decode::{DecodeError, Plan};

/// The arguments as the tool takes them.
pub(super) fn read_arguments(plan: &Plan, arguments: Value) -> Result<Value, DecodeError> {
    let read = match arguments {
        Value::Null => plan.coerce(Value::Object(serde_json::Map::new())),
        // What a model wrote instead of JSON.
        Value::String(text) => plan.decode(&text),
        value => plan.coerce(value),
    };
    read.map(|decoded| decoded.value)
}

/// Brings the arguments of all calls into the form that the tools take, and says what is wrong with those that cannot
/// be: in words for the model.
pub(crate) fn check_calls(calls: &mut [ToolCall], tools: &[ToolSpec]) -> Vec<String> {
    let mut problems = Vec::new();
    let mut plans: HashMap<&str, Plan> = HashMap::new();
    for (index, call) in calls.iter_mut().enumerate() {
        let number = index + 1;
        let Some(tool) = tools.iter().find(|tool| tool.name == call.name) else {
            let known: Vec<String> = tools.iter().map(|tool| tool.name.clone()).collect();
            problems.push(format!(
                "call {number}: there is no tool `{}`; there are {}",
                call.name,
                list(&known)
            ));
            continue;
        };
        if !plans.contains_key(tool.name.as_str()) {
            match Plan::new(&tool.parameters) {
                Ok(plan) => drop(plans.insert(&tool.name, plan)),
                Err(error) => {
                    problems.push(format!("call {number}: `{}` cannot be called: {error}", tool.name));
                    continue;
                }
            }
        }
        match plans.get(tool.name.as_str()).map(|plan| read_arguments(plan, call.arguments.clone())) {
            Some(Ok(arguments)) => call.arguments = arguments,
            Some(Err(error)) => {
                let error = error.to_string().replace('\n', "; ");
                problems.push(format!("call {number}: the arguments of `{}` do not fit: {error}", tool.name));
            }
            None => {}
        }
    }
    problems
}
