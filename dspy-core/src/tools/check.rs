//! Checks of tool calls before they run.

use dspy_base::keyword;
use serde_json::Value;

use super::error::list;
use super::{Offered, ToolCall};
use crate::decode::{DecodeError, Decoded, ParseReport, Plan, Problem, ProblemKind, Repair, RepairKind};
use crate::types::Place;

/// Decodes the arguments for a tool, and fills in the defaults that the schema names. They are an object, or its JSON text;
/// anything else is refused, even for a tool with one parameter. So is what the decoder would have to interpret, because a
/// call acts: the notation is repaired, but no word, sign or key is left out.
pub(crate) fn read_arguments(
    plan: &Plan,
    schema: &Value,
    arguments: Value,
) -> Result<Decoded<Value>, DecodeError> {
    let mut read = match arguments {
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
    let repairs = &read.report.repairs;
    let outputs = schema.get(keyword::OUTPUTS) == Some(&Value::Bool(true));
    let closed = schema.get("additionalProperties") == Some(&Value::Bool(false));
    if (closed || !outputs)
        && let Some(unknown) = unknown_arguments(schema, repairs)
    {
        return Err(unknown.into());
    }
    if !outputs && let Some(problem) = repairs.iter().find_map(|repair| interpreted(repair, &read.value)) {
        return Err(problem.into());
    }
    fill_defaults(Place::root(schema), &mut read.value, 0);
    Ok(read)
}

/// Returns the problem of arguments that the schema does not name and that the function would not get.
fn unknown_arguments(schema: &Value, repairs: &[Repair]) -> Option<Problem> {
    let extra = repairs.iter().filter(|repair| repair.kind == RepairKind::ExtraKey);
    let paths: Vec<String> = extra.map(|repair| repair.path.to_string()).collect();
    let (top, nested): (Vec<_>, Vec<_>) =
        paths.iter().map(|path| (argument(path), path)).partition(|(name, _)| name.is_some());
    let unknown: Vec<String> = top.into_iter().filter_map(|(name, _)| name).collect();
    if unknown.is_empty() {
        let nested: Vec<String> =
            nested.into_iter().map(|(_, path)| path.trim_start_matches("$.").to_owned()).collect();
        let found = format!("the unknown {}", list(&nested));
        let problem = || Problem::whole(ProblemKind::WrongType, "only members that the schema names", found);
        return (!nested.is_empty()).then(problem);
    }
    let names = schema.get("properties").and_then(Value::as_object);
    let names: Vec<String> = names.into_iter().flat_map(|names| names.keys().cloned()).collect();
    let expected = match names.as_slice() {
        [] => "no arguments".to_owned(),
        names => format!("only the arguments {}", list(names)),
    };
    Some(Problem::whole(ProblemKind::WrongType, expected, format!("the unknown {}", list(&unknown))))
}

/// Returns the problem of an argument that was not read as it is written, but understood.
fn interpreted(repair: &Repair, arguments: &Value) -> Option<Problem> {
    use RepairKind as R;
    let (expected, found) = match repair.kind {
        R::Prose | R::Mention => ("the value alone", "a value among words"),
        R::NumberWord | R::NumberInProse => ("a number in digits", "a number in words"),
        R::Grouping => ("a number as JSON has it", "a number with separators, which may mean another one"),
        R::Currency => ("a number as JSON has it", "a number with a currency sign"),
        R::Percent => ("a number as JSON has it", "a number with a percent sign"),
        R::Fraction => ("a number as JSON has it", "a fraction"),
        R::Unit => ("a number as JSON has it", "a number with a unit"),
        R::BoolInProse => ("true or false", "a sentence"),
        R::Unwrapped => ("the value itself", "a value inside another one"),
        R::ListToLone => ("a single value", "a list"),
        R::CommaList | R::Bullets => ("a list as JSON has it", "a list in a text"),
        R::Repetition => ("each value once", "a repetition"),
        R::TextFromValue => {
            // The digits of a number are its text.
            let text = at(arguments, &repair.path.to_string()).and_then(Value::as_str);
            if text.is_some_and(|text| text.parse::<serde_json::Number>().is_ok()) {
                return None;
            }
            ("a string", "a value of another type")
        }
        _ => return None,
    };
    let mut problem = Problem::whole(ProblemKind::WrongType, expected, found);
    problem.path = repair.path.to_string();
    Some(problem)
}

/// Returns the part of a value at a path as reports write it.
fn at<'v>(value: &'v Value, path: &str) -> Option<&'v Value> {
    let mut rest = path.strip_prefix('$')?;
    let mut value = value;
    while !rest.is_empty() {
        if let Some(name) = rest.strip_prefix('.') {
            let end = name.find(['.', '[']).unwrap_or(name.len());
            value = value.get(&name[..end])?;
            rest = &name[end..];
        } else if let Some(quoted) = rest.strip_prefix("[\"") {
            // Names with escapes are not found, so that the value counts as one of another type.
            let end = quoted.find("\"]")?;
            value = value.get(&quoted[..end])?;
            rest = &quoted[end + 2..];
        } else {
            let (index, after) = rest.strip_prefix('[')?.split_once(']')?;
            value = value.get(index.parse::<usize>().ok()?)?;
            rest = after;
        }
    }
    Some(value)
}

/// The maximum depth to which defaults are filled in.
const DEPTH: usize = 32;

/// Adds the members that are absent and have a default in the schema. `null` is the same as absent, and is not added.
fn fill_defaults(place: Place<'_>, value: &mut Value, depth: usize) {
    if depth > DEPTH {
        return;
    }
    let pieces = place.pieces(value);
    match value {
        Value::Object(members) => {
            for piece in &pieces {
                for (name, schema) in piece.properties().into_iter().flatten() {
                    let default = schema.get("default").filter(|default| !default.is_null());
                    if let (Some(default), None) = (default, members.get(name)) {
                        members.insert(name.clone(), default.clone());
                    }
                }
            }
            for (name, member) in members {
                if let Some(place) = Place::member(&pieces, name) {
                    fill_defaults(place, member, depth + 1);
                }
            }
        }
        Value::Array(items) => {
            for (index, item) in items.iter_mut().enumerate() {
                if let Some(place) = Place::item(&pieces, index) {
                    fill_defaults(place, item, depth + 1);
                }
            }
        }
        _ => {}
    }
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
    tools: &Offered,
    field: &str,
    report: &mut ParseReport,
) -> Vec<String> {
    let mut problems = Vec::new();
    for (index, call) in calls.iter_mut().enumerate() {
        let number = index + 1;
        let Some((tool, plan)) = tools.find(&call.name) else {
            let known: Vec<String> = tools.specs.iter().map(|tool| tool.name.clone()).collect();
            problems.push(format!(
                "call {number}: there is no tool `{}`; there are {}",
                call.name,
                list(&known)
            ));
            continue;
        };
        let plan = match plan {
            Ok(plan) => plan,
            Err(error) => {
                problems.push(format!("call {number}: `{}` cannot be called: {error}", tool.name));
                continue;
            }
        };
        match read_arguments(plan, &tool.parameters, call.arguments.take()) {
            Ok(read) => {
                call.arguments = read.value;
                report.absorb(read.report, &format!("{field}[{index}].arguments"), 0);
            }
            Err(error) => {
                let error = error.to_string().replace('\n', "; ");
                problems.push(format!("call {number}: the arguments of `{}` do not fit: {error}", tool.name));
            }
        }
    }
    problems
}
