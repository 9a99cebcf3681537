//! One JSON object: for models that can be held to a schema, and the fallback when sections fail.

use std::sync::Arc;

use serde_json::Value;

use super::canvas::Canvas;
use super::error::{FieldProblem, ParseError, ParseErrorKind};
use super::incoming::JsonReader;
use super::{Adapter, Parsed, Prompt, ReplyReader, code, layout, markers, value, whole_reply};
use crate::decode::{ParseReport, RepairKind};
use crate::lm::{Capabilities, Completion, Message, ResponseFormat, Role};
use crate::signature::{FieldSpec, SignatureSpec, Values};

/// The reply is one JSON object with a member for each output field. Where the model can enforce a JSON Schema or
/// at least a JSON object, it is asked to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct JsonAdapter;

impl Adapter for JsonAdapter {
    fn name(&self) -> &'static str {
        "json"
    }

    fn preamble(&self, prompt: Prompt<'_>) -> Vec<Message> {
        let spec = prompt.spec;
        let mut system = String::new();
        layout::push_fields(&mut system, spec);
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
        layout::push_task(&mut system, spec);
        let demos = layout::demo_turns(
            prompt,
            |out, values| layout::push_input_sections(out, spec, values),
            |values, absent| reply(spec, values, absent),
        );
        std::iter::once(Message::system(system)).chain(demos).collect()
    }

    fn history(&self, prompt: Prompt<'_>, inputs: &Values) -> Vec<Message> {
        let question = |out: &mut Canvas, turn: &Values| layout::push_input_sections(out, prompt.spec, turn);
        layout::history_turns(prompt, inputs, question, |turn| reply(prompt.spec, turn, None))
    }

    fn input(&self, prompt: Prompt<'_>, inputs: &Values) -> Message {
        let mut canvas = Canvas::with_capacity(256);
        layout::push_input_sections(&mut canvas, prompt.spec, inputs);
        let text = &mut canvas.text;
        text.push_str("Answer with one JSON object that has the members ");
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
        parse_object(self.name(), spec, reply)
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

/// Reads all output fields out of one JSON object.
fn parse_object(adapter: &str, spec: &SignatureSpec, reply: &str) -> Result<Parsed, ParseError> {
    let fail = |kind, problems| ParseError::new(kind, adapter, reply, problems);
    let plan = spec
        .reply_plan()
        .map_err(|error| fail(ParseErrorKind::Schema, vec![FieldProblem::new("", error.to_string())]))?;
    match plan.decode(reply) {
        // A bare text may as well be an apology.
        Ok(decoded) if implied_text(spec, &decoded.report) => {
            let missing = spec.outputs().map(|field| {
                FieldProblem::new(
                    field.name(),
                    format!("missing; write a JSON object with the member \"{}\"", field.name()),
                )
            });
            Err(fail(ParseErrorKind::Malformed, missing.collect()))
        }
        Ok(decoded) => match decoded.value {
            Value::Object(values) => Ok(Parsed { values, report: decoded.report }),
            _ => Err(fail(ParseErrorKind::Malformed, vec![FieldProblem::new("", "expected a JSON object")])),
        },
        Err(error) => {
            let problems = error.problems.iter().map(|problem| {
                let path = problem.path.trim_start_matches(['$', '.']);
                FieldProblem::new(path, format!("expected {}, found {}", problem.expected, problem.found))
            });
            Err(fail(ParseErrorKind::Malformed, problems.collect()))
        }
    }
}

/// Whether the whole reply was taken for the value of the only field, and that is a text.
fn implied_text(spec: &SignatureSpec, report: &ParseReport) -> bool {
    report.repairs.iter().any(|repair| repair.kind == RepairKind::ImpliedKey && repair.path == "$")
        && spec.outputs().all(FieldSpec::is_text)
}

/// Reads a reply without any marker: all fields as a JSON object, or the only field as a bare value.
///
/// A bare text is not taken for a text field: it may as well be an apology.
pub(super) fn parse_unmarked(adapter: &str, spec: &SignatureSpec, reply: &str) -> Result<Parsed, ParseError> {
    let as_object = reply.contains('{').then(|| parse_object(adapter, spec, reply).ok()).flatten();
    if let Some(parsed) = as_object {
        return Ok(parsed);
    }
    let mut outputs = spec.outputs();
    if let (Some(only), None) = (outputs.next(), outputs.next())
        && !only.is_text()
        // Without a fence, code cannot be told from an apology either.
        && (!only.is_code() || code::has_fence(reply))
    {
        let mut parsed = Parsed::default();
        return match super::chat::read_field(only, reply, 0, &mut parsed.report) {
            // Without a marker a value in the middle of a sentence may be about anything.
            Ok(_) if parsed.report.repairs.iter().any(|repair| repair.cost >= RepairKind::Mention.cost()) => {
                let message = "found only in a sentence; write the value below its marker";
                let problem = FieldProblem::new(only.name(), message);
                Err(ParseError::new(ParseErrorKind::Malformed, adapter, reply, vec![problem]))
            }
            Ok(value) => {
                parsed.values.insert(only.name().to_owned(), value);
                Ok(parsed)
            }
            Err(message) => {
                let problem = FieldProblem::new(only.name(), message);
                Err(ParseError::new(ParseErrorKind::Malformed, adapter, reply, vec![problem]))
            }
        };
    }
    let missing = spec.outputs().filter(|field| !field.is_optional()).map(|field| {
        FieldProblem::new(field.name(), format!("missing; write it below `[[ ## {} ## ]]`", field.name()))
    });
    Err(ParseError::new(ParseErrorKind::Malformed, adapter, reply, missing.collect()))
}
