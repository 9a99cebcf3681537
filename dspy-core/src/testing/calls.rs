//! Random tool calls for the replies of a fake model.

use serde_json::{Value, json};

use crate::decode::Plan;
use crate::lm::{Completion, FinishReason, ToolCall, ToolSpec};
use crate::tools::read_arguments;
use dspy_base::Rng;

/// The maximum number of calls in one reply.
const MOST: usize = 2;

/// The maximum number of attempts to write arguments in a way that is read.
const TRIES: usize = 8;

/// Returns up to two calls of these tools with valid arguments: the value of an output for calls.
///
/// # Errors
/// If no arguments were found for a tool.
pub(super) fn sample(tools: &[ToolSpec], least: usize, rng: &mut Rng) -> Result<Value, String> {
    if tools.is_empty() {
        return Ok(Value::Array(Vec::new()));
    }
    let count = rng.between(least, MOST);
    (0..count)
        .map(|_| {
            let tool = &tools[rng.below(tools.len())];
            let plan =
                Plan::new(&tool.parameters).map_err(|error| format!("the tool `{}`: {error}", tool.name))?;
            let arguments = plan.sample(rng).filter(Value::is_object);
            let arguments =
                arguments.ok_or_else(|| format!("no arguments were found for the tool `{}`", tool.name))?;
            Ok(json!({"name": tool.name, "arguments": arguments}))
        })
        .collect()
}

/// Adds ids to the calls, as endpoints do; they are not part of the intended values.
pub(super) fn with_ids(completion: &mut Completion, rng: &mut Rng) {
    for call in &mut completion.tool_calls {
        call.id.get_or_insert_with(|| format!("call_{:08x}", rng.bits() >> 32));
    }
}

/// Writes the arguments as sloppy JSON.
pub(super) fn sloppy(calls: &mut [ToolCall], tools: &[ToolSpec], rng: &mut Rng) {
    for call in calls {
        let tool = tools.iter().find(|tool| tool.name == call.name);
        let plan = tool.map(|tool| (&tool.parameters, Plan::new(&tool.parameters)));
        let Some((schema, Ok(plan))) = plan else { continue };
        let read = |arguments: Value| read_arguments(&plan, schema, arguments).map(|read| read.value).ok();
        let intended = read(call.arguments.clone());
        // Not every liberty that is read in outputs is read in arguments.
        let written = (0..TRIES).map(|_| Value::from(plan.careless_json(&call.arguments, rng)));
        let written = { written }.find(|written| read(written.clone()) == intended);
        if let Some(written) = written {
            call.arguments = written;
        }
    }
}

/// Makes the calls invalid: a tool that does not exist, or arguments that are no JSON.
pub(super) fn malformed(calls: &mut [ToolCall], rng: &mut Rng) {
    let Some(call) = calls.first_mut() else { return };
    if rng.below(2) == 0 {
        call.name.push_str("_of_nobody");
    } else {
        call.arguments = "{\"unfinished\": ".into();
    }
}

/// Truncates the last call.
pub(super) fn cut(completion: &mut Completion, rng: &mut Rng) {
    completion.finish = FinishReason::Length;
    let left = 1 + rng.below(completion.tool_calls.len());
    completion.tool_calls.truncate(left);
    if let Some(call) = completion.tool_calls.last_mut() {
        let text = call.arguments.to_string();
        let end = rng.below(text.chars().count());
        call.arguments = text.chars().take(end).collect::<String>().into();
    }
}
