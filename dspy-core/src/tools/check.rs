//! Checks of tool calls before they run.

use std::collections::HashMap;

use serde_json::Value;

use super::error::list;
use super::{ToolCall, ToolSpec};
use crate::decode::{DecodeError, Decoded, ParseReport, Plan, Problem, ProblemKind, Repair, RepairKind};

/// Decodes the arguments for a tool. They are an object, or its JSON text; anything else is refused, even for
/// a tool with one parameter. So are unknown arguments if the schema has `additionalProperties: false`, because the model
/// expects them to have an effect.
pub(super) fn read_arguments(
    plan: &Plan,
    schema: &Value,
    arguments: Value,
) -> Result<Decoded<Value>, DecodeError> {
    let read = match arguments {
        Value::Null => plan.coerce(Value::Object(serde_json::Map::new())),
        Value::String(text) if text.trim().is_empty() => plan.coerce(Value::Object(serde_json::Map::new())),
        // The model wrote the object as text.
        Value::String(text) if is_object(&text) => plan.decode(&text),
        value if value.is_object() => plan.coerce(value),
        other => return Err(no_object(&other)),
    }?;
    let kinds = [RepairKind::ImpliedKey, RepairKind::ListToLone, RepairKind::LoneToList];
    let implied = |repair: &Repair| repair.path == "$" && kinds.contains(&repair.kind);
    if read.report.repairs.iter().any(implied) {
        return Err(no_object(&read.value));
    }
    if schema.get("additionalProperties") == Some(&Value::Bool(false)) {
        let extra = read.report.repairs.iter().filter(|repair| repair.kind == RepairKind::ExtraKey);
        let unknown: Vec<String> = extra.filter_map(|repair| argument(&repair.path.to_string())).collect();
        if !unknown.is_empty() {
            let names = schema.get("properties").and_then(Value::as_object);
            let names: Vec<String> = names.into_iter().flat_map(|names| names.keys().cloned()).collect();
            let expected = match names.as_slice() {
                [] => "no arguments".to_owned(),
                names => format!("only the arguments {}", list(names)),
            };
            let found = format!("the unknown {}", list(&unknown));
            return Err(Problem::whole(ProblemKind::WrongType, expected, found).into());
        }
    }
    Ok(read)
}

/// Returns the name of an argument from its path; `None` for a path below it.
fn argument(path: &str) -> Option<String> {
    let step = path.strip_prefix('$')?;
    if let Some(name) = step.strip_prefix('.') {
        return (!name.contains(['.', '['])).then(|| name.to_owned());
    }
    Some(step.strip_prefix("[\"")?.strip_suffix("\"]")?.to_owned())
}

/// Returns whether a string is an object, in a fence or not.
fn is_object(text: &str) -> bool {
    let mut text = text.trim_start();
    if let Some(fenced) = text.strip_prefix("```") {
        text = fenced.trim_start_matches(|c: char| c.is_ascii_alphanumeric()).trim_start();
    }
    text.starts_with('{')
}

fn no_object(value: &Value) -> DecodeError {
    let found = match value {
        Value::String(_) => "a text",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object without their names",
        _ => "a single value",
    };
    Problem::whole(ProblemKind::WrongType, "an object with the arguments", found).into()
}

/// Converts the arguments of all calls to the form that the tools take. Returns the problems of calls that
/// cannot be converted, worded for the model. Repairs are added to the report, below the field that holds the
/// calls.
pub(crate) fn check_calls(
    calls: &mut [ToolCall],
    tools: &[ToolSpec],
    field: &str,
    report: &mut ParseReport,
) -> Vec<String> {
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
        match plans
            .get(tool.name.as_str())
            .map(|plan| read_arguments(plan, &tool.parameters, call.arguments.clone()))
        {
            Some(Ok(read)) => {
                call.arguments = read.value;
                report.absorb(read.report, &format!("{field}[{index}].arguments"), 0);
            }
            Some(Err(error)) => {
                let error = error.to_string().replace('\n', "; ");
                problems.push(format!("call {number}: the arguments of `{}` do not fit: {error}", tool.name));
            }
            None => {}
        }
    }
    problems
}
