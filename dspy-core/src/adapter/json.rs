//! One JSON object per reply: for models that can enforce a schema, and the fallback if sections fail.

use std::ops::Range;
use std::sync::Arc;

use dspy_base::prompt_format::ANSWER_WITH;
use serde::de::IgnoredAny;
use serde_json::Value;

use super::elements::Elements;
use super::error::{FieldProblem, ParseError, ParseErrorKind, refusals};
use super::message_builder::MessageBuilder;
use super::other_formats::{self, Format};
use super::sections::{Sections, UNCLOSED, field_index};
use super::streaming::JsonReader;
use super::{
    Adapter, Parsed, Prompt, ReplyReader, calls, code, demos, history, markers, outside, prompt_parts,
    trailing_text, value, whole_reply,
};
use crate::decode::thoughts;
use crate::decode::{Decoded, ParseReport, RepairKind};
use crate::lm::{Capabilities, Completion, Message, ResponseFormat, Role};
use crate::signature::{FieldSpec, SignatureSpec, Values};
use crate::tools::text_calls;

/// Adapter whose replies are one JSON object with a member for each output field. The request asks the model
/// to enforce a JSON Schema, or at least a JSON object, if it can.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct JsonAdapter;

impl Adapter for JsonAdapter {
    fn name(&self) -> &'static str {
        "json"
    }

    fn preamble(&self, prompt: Prompt<'_>) -> Vec<Message> {
        let spec = prompt.spec;
        let mut system = String::new();
        prompt_parts::push_fields(&mut system, spec);
        system.push_str("\nThe input fields stand below markers, in this layout:\n\n");
        for field in spec.shown_inputs() {
            markers::push(&mut system, field.name());
            system.push_str("\n{");
            system.push_str(field.name());
            system.push_str("}\n\n");
        }
        system.push_str("The reply is one JSON object and nothing else:\n\n{\n");
        for field in spec.outputs() {
            let notation = field.type_text().notation.replace('\n', "\n  ");
            system.push_str(&format!("  {}: {notation},\n", Value::from(field.name())));
        }
        system.push_str("}\n\n");
        prompt_parts::push_task(&mut system, spec);
        let demos = demos::demo_turns(
            prompt,
            |out, values| prompt_parts::push_input_sections(out, spec, values),
            |values, absent| reply(spec, values, absent),
        );
        std::iter::once(Message::system(system)).chain(demos).collect()
    }

    fn history(&self, prompt: Prompt<'_>, inputs: &Values) -> Vec<Message> {
        let question = |out: &mut MessageBuilder, turn: &Values| {
            prompt_parts::push_input_sections(out, prompt.spec, turn);
        };
        history::history_turns(prompt, inputs, question, |turn| reply(prompt.spec, turn, None))
    }

    fn input(&self, prompt: Prompt<'_>, inputs: &Values) -> Message {
        let mut canvas = MessageBuilder::with_capacity(256);
        prompt_parts::push_input_sections(&mut canvas, prompt.spec, inputs);
        let text = &mut canvas.text;
        text.push_str(ANSWER_WITH);
        text.push_str("one JSON object that has the members ");
        for (index, field) in prompt.spec.outputs().enumerate() {
            let separator = if index == 0 { "" } else { ", then " };
            text.push_str(&format!("{separator}{}", Value::from(field.name())));
        }
        text.push('.');
        canvas.into_message(Role::User)
    }

    fn format(&self, spec: &SignatureSpec, capabilities: Capabilities) -> ResponseFormat {
        if capabilities.json_schema {
            let name = spec.name().chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' });
            ResponseFormat::JsonSchema {
                name: name.collect::<String>().into(),
                schema: spec.plain_reply_schema().clone(),
            }
        } else if capabilities.json_object {
            ResponseFormat::JsonObject
        } else {
            ResponseFormat::Text
        }
    }

    fn parse(&self, spec: &SignatureSpec, completion: &Completion) -> Result<Parsed, ParseError> {
        let reply = whole_reply(self.name(), completion)?;
        let start = answer_start(self.name(), reply)?;
        if calls::field(spec).is_some() {
            return parse_calls(self.name(), spec, reply, start);
        }
        let mut refused = match parse_object(self.name(), spec, reply, start) {
            Ok(parsed) => return Ok(parsed),
            Err(refused) => refused,
        };
        match other_formats::read_other(Format::Object, spec, completion) {
            Ok(parsed) => return Ok(parsed),
            Err(misses) if !names_outputs(spec, &reply[start..]) => {
                drop(refused.problems.splice(0..0, misses));
            }
            Err(_) => {}
        }
        // Some models omit the braces around the only field.
        match only_list(spec).filter(|_| starts_list(&reply[start..])) {
            Some(only) => parse_only(self.name(), only, reply, start),
            None => Err(refused),
        }
    }

    fn reader(&self, spec: &Arc<SignatureSpec>) -> Option<Box<dyn ReplyReader>> {
        Some(Box::new(JsonReader::new(spec)))
    }

    fn reply(&self, spec: &SignatureSpec, outputs: &Values) -> String {
        reply(spec, outputs, None)
    }
}

fn reply(spec: &SignatureSpec, values: &Values, absent: Option<&str>) -> String {
    let member = |field: &FieldSpec| {
        let value = match (values.get(field.name()), absent) {
            (Some(Value::String(text)), _) if field.is_code() => code::fenced_if_needed(field, text).into(),
            (Some(value), _) if field.has_f32() => value::shorten_f32(value),
            (Some(value), _) => value.clone(),
            (None, Some(text)) => text.into(),
            (None, None) => return None,
        };
        Some((field.name().to_owned(), value))
    };
    let object: Values = spec.outputs().filter_map(member).collect();
    Value::Object(object).to_string()
}

/// Returns the start offset of the answer in a reply, after its reasoning blocks.
fn answer_start(adapter: &str, reply: &str) -> Result<usize, ParseError> {
    let fail = |message: &str| {
        let problem = FieldProblem::new("", message);
        ParseError::new(ParseErrorKind::Malformed, adapter, reply, vec![problem])
    };
    let mut start = thoughts::answer(reply).ok_or_else(|| fail(UNCLOSED))?;
    if reply[start..].starts_with(calls::BOM) {
        start += calls::BOM.len_utf8();
    }
    if reply[start..].trim_start().starts_with('{')
        && serde_json::from_str::<IgnoredAny>(&reply[start..]).is_ok()
    {
        return Ok(start);
    }
    // The prompt of some models opens the reasoning block.
    let mut behind = start;
    while let Some((tag, end)) =
        thoughts::stray_end(reply, behind).filter(|(_, end)| reply[*end..].contains(['{', '[']))
    {
        let before = &reply[start..tag];
        if before.contains('{') || before.contains("```") {
            return Err(fail("a thought ends after the answer has begun; write the answer once, at the end"));
        }
        behind = end;
    }
    Ok(behind)
}

/// Reads all output fields from one JSON object in the text after `start`.
pub(super) fn parse_object(
    adapter: &str,
    spec: &SignatureSpec,
    reply: &str,
    start: usize,
) -> Result<Parsed, ParseError> {
    let fail = |kind, problems| ParseError::new(kind, adapter, reply, problems);
    let missing = || {
        let missing = spec.outputs().map(|field| {
            let message = format!("missing; write a JSON object with the member \"{}\"", field.name());
            FieldProblem::new(field.name(), message)
        });
        fail(ParseErrorKind::Malformed, missing.collect())
    };
    let plan = spec
        .reply_plan()
        .map_err(|error| fail(ParseErrorKind::Schema, vec![FieldProblem::new("", error.to_string())]))?;
    match plan.decode(&reply[start..]) {
        // Text without an object may be an apology.
        Ok(decoded) if implied_text(spec, &decoded.report) => Err(missing()),
        Ok(Decoded { value: Value::Object(values), report: part }) => {
            let mut report = ParseReport::default();
            report.shift(part, start);
            if let Some(change) =
                behind_object(spec, &reply[start..]).and_then(|behind| change(spec, behind, &values))
            {
                let message =
                    format!("`{change}` follows the object; write the answer once, and nothing after it");
                return Err(fail(ParseErrorKind::Malformed, vec![FieldProblem::new("", message)]));
            }
            Ok(Parsed { values, report })
        }
        Ok(_) => Err(fail(ParseErrorKind::Malformed, vec![FieldProblem::new("", "expected a JSON object")])),
        Err(error) => Err(fail(ParseErrorKind::Malformed, refusals("", &error))),
    }
}

/// Returns the offset of an object whose first member is an output.
fn object_start(spec: &SignatureSpec, answer: &str) -> Option<usize> {
    const MOST: usize = 64;
    answer.match_indices('{').take(MOST).map(|(at, _)| at).find(|at| {
        let inside = answer[at + 1..].trim_start().trim_start_matches(['"', '\'', '“', '`']);
        let end = inside.find(|c: char| !c.is_alphanumeric() && !matches!(c, '_' | '-' | ' ')).unwrap_or(0);
        field_index(spec, inside[..end].trim()).is_some()
    })
}

/// Returns the text after the object of a reply, if there is any.
fn behind_object<'t>(spec: &SignatureSpec, answer: &'t str) -> Option<&'t str> {
    let at = object_start(spec, answer)?;
    let mut objects = serde_json::Deserializer::from_str(&answer[at..]).into_iter::<IgnoredAny>();
    let end = match objects.next() {
        Some(Ok(_)) => at + objects.byte_offset(),
        _ => answer.rfind('}').filter(|end| *end > at)? + 1,
    };
    answer.get(end..)
}

/// Returns the change that the text after an object makes, in words or in another format.
fn change(spec: &SignatureSpec, behind: &str, values: &Values) -> Option<String> {
    if behind.trim().is_empty() {
        return None;
    }
    let change = |text: &str| trailing_text::change(spec, text, values, |_| true).map(outside::shorten);
    let elements =
        Elements::of(spec, behind).closed.into_iter().map(|element| (element.name, element.content));
    let sections = Sections::of(spec, behind).closed.into_iter().map(|section| (section.name, section.text));
    let assigned = |(name, text): (Range<usize>, Range<usize>)| {
        let text = behind[text].trim();
        change(&format!("{}: {}", &behind[name], text.lines().next().unwrap_or_default()))
    };
    change(behind).or_else(|| elements.chain(sections).find_map(assigned))
}

/// Returns whether a reply has an object that names an output: it is then an answer, or nearly one.
pub(super) fn names_outputs(spec: &SignatureSpec, answer: &str) -> bool {
    object_start(spec, answer).is_some()
}

/// Reads the reply of a signature with tool calls: one object and nothing else.
fn parse_calls(adapter: &str, spec: &SignatureSpec, reply: &str, start: usize) -> Result<Parsed, ParseError> {
    let refused = |problem| Err(ParseError::new(ParseErrorKind::Malformed, adapter, reply, vec![problem]));
    let reply = &reply[..start + calls::without_turn_end(&reply[start..]).len()];
    let Some(object) = calls::whole_object(&reply[start..]) else {
        return refused(FieldProblem::new("", "the reply is not one JSON object and nothing else"));
    };
    match parse_object(adapter, spec, reply, start) {
        Ok(parsed) => match calls::object_problem(spec, &parsed.report) {
            None => Ok(parsed),
            Some(problem) => with_calls(spec, object).map_or_else(|| refused(problem), Ok),
        },
        Err(refused) => with_calls(spec, object).ok_or(refused),
    }
}

/// Reads an object whose tool calls are in a notation other than that of their type.
fn with_calls(spec: &SignatureSpec, object: &str) -> Option<Parsed> {
    let (_, field) = calls::field(spec)?;
    let mut object = text_calls::parsed(object)?;
    if !text_calls::normalize(object.get_mut(field.name())?) {
        return None;
    }
    let decoded = spec.reply_plan().ok()?.coerce(object).ok()?;
    if calls::object_problem(spec, &decoded.report).is_some() {
        return None;
    }
    let Value::Object(values) = decoded.value else { return None };
    Some(Parsed { values, report: decoded.report })
}

/// Returns whether the whole reply was read as the value of the only field, and that field is text.
fn implied_text(spec: &SignatureSpec, report: &ParseReport) -> bool {
    report.repairs.iter().any(|repair| repair.kind == RepairKind::ImpliedKey && repair.path == "$")
        && spec.outputs().all(FieldSpec::is_text)
}

/// Returns the only output if it is a list.
fn only_list(spec: &SignatureSpec) -> Option<&FieldSpec> {
    let mut outputs = spec.outputs();
    let only = outputs.next().filter(|_| outputs.next().is_none())?;
    let kind = only.schema().get("type")?;
    let is_list =
        kind == "array" || kind.as_array().is_some_and(|kinds| kinds.iter().any(|kind| kind == "array"));
    is_list.then_some(only)
}

/// Returns whether the refused object has any of the outputs.
fn speaks_of_outputs(spec: &SignatureSpec, error: &ParseError) -> bool {
    let is_missing = |problem: &FieldProblem| {
        spec.field(&problem.field).is_some() && problem.message.starts_with("missing")
    };
    let missing = error.problems.iter().filter(|problem| is_missing(problem)).count();
    let placed = error.problems.iter().all(|problem| !problem.field.is_empty());
    placed && missing < spec.outputs().filter(|field| !field.is_optional()).count()
}

/// Returns whether a reply is a bare list, in a fence or not.
fn starts_list(answer: &str) -> bool {
    let mut text = answer.trim_start();
    if let Some(fenced) = text.strip_prefix("```") {
        text = fenced.trim_start_matches(|c: char| c.is_ascii_alphanumeric()).trim_start();
    }
    text.starts_with('[')
}

/// Reads the only field from the text after `start`.
fn parse_only(adapter: &str, only: &FieldSpec, reply: &str, start: usize) -> Result<Parsed, ParseError> {
    let fail = |problems| ParseError::new(ParseErrorKind::Malformed, adapter, reply, problems);
    let mut parsed = Parsed::default();
    let value = super::chat::read_field(only, &reply[start..], start, &mut parsed.report).map_err(fail)?;
    // Without a marker, a value in the middle of a sentence may be unrelated.
    if parsed.report.repairs.iter().any(|repair| repair.cost >= RepairKind::Mention.cost()) {
        let message = "found only in a sentence; write the value below its marker";
        return Err(fail(vec![FieldProblem::new(only.name(), message)]));
    }
    parsed.values.insert(only.name().to_owned(), value);
    Ok(parsed)
}

/// Reads a reply without any marker, whose answer starts at `start`: all fields as a JSON object or in
/// another format, or the only field as a bare value.
///
/// Bare text is not accepted for text fields, since it may be an apology.
pub(super) fn parse_unmarked(
    adapter: &str,
    spec: &SignatureSpec,
    completion: &Completion,
    start: usize,
) -> Result<Parsed, ParseError> {
    let reply = completion.text.as_str();
    let answer = &reply[start..];
    let mut refused = None;
    let mut near = None;
    if answer.contains('{') {
        match parse_object(adapter, spec, reply, start) {
            Ok(mut parsed) => {
                let other = other_formats::read_other(Format::Sections, spec, completion);
                let differs = match other {
                    Ok(other) => other.values != parsed.values,
                    Err(_) => other_formats::has_elements(spec, reply),
                };
                if differs {
                    let message = "the reply answers twice, in two formats; write it once";
                    let problem = FieldProblem::new("", message);
                    return Err(ParseError::new(ParseErrorKind::Malformed, adapter, reply, vec![problem]));
                }

                parsed.report.foreign(start..reply.len());
                return Ok(parsed);
            }
            Err(error) if speaks_of_outputs(spec, &error) => refused = Some(error),
            Err(error) if names_outputs(spec, answer) => {
                near = Some(FieldProblem::new("", other_formats::near_miss("as JSON", &error)));
            }
            Err(_) => {}
        }
    }
    let misses = match other_formats::read_other(Format::Sections, spec, completion) {
        Ok(parsed) => return Ok(parsed),
        Err(misses) => misses,
    };
    let mut outputs = spec.outputs();
    if let (Some(only), None) = (outputs.next(), outputs.next())
        && !only.is_text()
        // Without a fence, code cannot be distinguished from an apology either.
        && (!only.is_code() || code::has_fence(answer))
    {
        return parse_only(adapter, only, reply, start).map_err(|error| refused.unwrap_or(error));
    }
    if let Some(refused) = refused {
        return Err(refused);
    }
    let problems = spec.outputs().filter(|field| !field.is_optional()).map(|field| {
        FieldProblem::new(field.name(), format!("missing; write it below `[[ ## {} ## ]]`", field.name()))
    });
    let mut problems: Vec<FieldProblem> = problems.collect();
    if problems.is_empty() {
        problems.push(FieldProblem::new("", "no output field stands below its marker"));
    }
    // Problems in the format that the reply nearly has are the cause.
    problems.splice(0..0, near.into_iter().chain(misses));
    Err(ParseError::new(ParseErrorKind::Malformed, adapter, reply, problems))
}
