//! Sections below markers: the format that every chat model can write.

use std::borrow::Cow;
use std::sync::Arc;

use dspy_base::prompt_format::{ANSWER_WITH, COMPLETED};
use serde_json::Value;

use super::error::{FieldProblem, ParseError, ParseErrorKind, refusals};
use super::message_builder::MessageBuilder;
use super::sections::{Section, Sections};
use super::streaming::ChatReader;
use super::{
    Adapter, Parsed, Prompt, ReplyReader, calls, demos, history, markers, outside, prompt_parts,
    trailing_text, value, whole_reply,
};
use crate::decode::{ParseReport, SchemaError};
use crate::lm::{Completion, Message, Role};
use crate::signature::{FieldSpec, SignatureSpec, Values};

/// Adapter that puts each field in its own section below `[[ ## field ## ]]` and ends the reply with
/// `[[ ## completed ## ]]`.
///
/// The markers are those of Python DSPy, so prompts, demonstrations and fine-tuned models carry over.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ChatAdapter;

impl Adapter for ChatAdapter {
    fn name(&self) -> &'static str {
        "chat"
    }

    fn preamble(&self, prompt: Prompt<'_>) -> Vec<Message> {
        let spec = prompt.spec;
        let mut system = String::new();
        prompt_parts::push_fields(&mut system, spec);
        system.push_str("\nEvery field stands below its own marker, in this layout:\n\n");
        for field in spec.shown_inputs().chain(spec.outputs()) {
            markers::push(&mut system, field.name());
            system.push_str("\n{");
            system.push_str(field.name());
            system.push_str("}\n\n");
        }
        markers::push(&mut system, COMPLETED);
        system.push_str("\n\n");
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
        for (index, field) in prompt.spec.outputs().enumerate() {
            text.push_str(if index == 0 { "`" } else { ", then `" });
            markers::push(text, field.name());
            text.push('`');
            prompt_parts::push_reminder(text, field);
        }
        text.push_str(", and end with `");
        markers::push(text, COMPLETED);
        text.push_str("`.");
        canvas.into_message(Role::User)
    }

    fn parse(&self, spec: &SignatureSpec, completion: &Completion) -> Result<Parsed, ParseError> {
        let reply = whole_reply(self.name(), completion)?;
        let sections = Sections::of(spec, reply);
        let name_of = |index: usize| spec.outputs().nth(index).map(FieldSpec::name).unwrap_or_default();
        let mut problems: Vec<FieldProblem> = sections
            .problems
            .iter()
            .map(|(index, message)| FieldProblem::new(index.map(name_of).unwrap_or_default(), message))
            .collect();
        let acts = calls::field(spec).is_some();
        if sections.closed.is_empty() && problems.is_empty() && !sections.marked && !acts {
            // Some models reply with nothing but a single short field, or with all fields as JSON.
            return super::json::parse_unmarked(self.name(), spec, completion, sections.base());
        }
        problems.extend(calls::section_problem(spec, reply, &sections));
        // The first section of each output, and whether another one says something else.
        let mut found: Vec<(Option<&Section>, bool)> = vec![(None, false); spec.outputs().count()];
        let text_of = |section: &Section| markers::without_loose_fence(reply[section.text.clone()].trim());
        for section in &sections.closed {
            match &mut found[section.index] {
                (first @ None, _) => *first = Some(section),
                (Some(first), twice) => *twice |= text_of(first) != text_of(section),
            }
        }
        let mut parsed =
            Parsed { values: Values::with_capacity(found.len()), report: ParseReport::default() };
        for (index, field) in spec.outputs().enumerate() {
            let told = problems.iter().any(|problem| problem.field == field.name());
            match found[index] {
                (Some(_), true) if told => {}
                (Some(_), true) => {
                    let message = "duplicate, with different values; write it once";
                    problems.push(FieldProblem::new(field.name(), message));
                }
                (Some(section), false) => {
                    parsed.report.called(field.name(), &reply[section.name.clone()], section.name.clone());
                    let mut text = text_of(section);
                    if acts && calls::is_calls(field) && section.text.end == reply.len() {
                        text = calls::without_turn_end(text);
                    }
                    match read_field(field, text, offset_of(reply, text), &mut parsed.report) {
                        Ok(value) => drop(parsed.values.insert(field.name().to_owned(), value)),
                        Err(refused) => problems.extend(refused),
                    }
                }
                (None, _) if field.is_optional() || told => {}
                (None, _) => {
                    let message = format!("missing; write it below `[[ ## {} ## ]]`", field.name());
                    problems.push(FieldProblem::new(field.name(), message));
                }
            }
        }
        if problems.is_empty()
            && !sections.ended()
            && let Some(last) = sections.closed.last()
        {
            problems.extend(end_of_answer(spec, last.index, text_of(last), &parsed.values));
        }
        if sections.closed.is_empty() && problems.is_empty() {
            problems.push(FieldProblem::new("", "no output field stands below its marker"));
        }
        if problems.is_empty() {
            return Ok(parsed);
        }
        Err(ParseError::new(ParseErrorKind::Malformed, self.name(), reply, problems))
    }

    fn reader(&self, spec: &Arc<SignatureSpec>) -> Option<Box<dyn ReplyReader>> {
        Some(Box::new(ChatReader::new(spec)))
    }

    fn reply(&self, spec: &SignatureSpec, outputs: &Values) -> String {
        reply(spec, outputs, None)
    }
}

fn reply(spec: &SignatureSpec, values: &Values, absent: Option<&str>) -> String {
    let mut canvas = MessageBuilder::default();
    prompt_parts::push_sections(&mut canvas, spec.outputs(), values, absent);
    markers::push(&mut canvas.text, COMPLETED);
    canvas.text.push('\n');
    canvas.text
}

/// Returns the problem of the last section of a reply without its closing marker: a number that ends after
/// its decimal point, or text after a number or a boolean that changes another output.
fn end_of_answer(spec: &SignatureSpec, index: usize, text: &str, values: &Values) -> Option<FieldProblem> {
    let field = spec.outputs().nth(index)?;
    let kind = field.schema().get("type")?;
    let is = |name: &str| {
        kind == name || kind.as_array().is_some_and(|kinds| kinds.iter().any(|kind| kind == name))
    };
    if is("number")
        && text.strip_suffix('.').is_some_and(|digits| digits.ends_with(|c: char| c.is_ascii_digit()))
    {
        let digits = text.trim_end_matches('.').trim_start_matches(['-', '+']);
        if digits.chars().all(|c| c.is_ascii_digit()) {
            return Some(FieldProblem::new(
                field.name(),
                "is truncated after the point; write the whole number",
            ));
        }
    }
    let single = is("number") || is("integer") || is("boolean");
    let (_, behind) = text.split_once('\n').filter(|_| single)?;
    let change = trailing_text::change(spec, behind, values, |other| other != index)?;
    let message = format!(
        "`{}` follows the answer; write the answer once, and nothing after it",
        outside::shorten(change)
    );
    Some(FieldProblem::new("", message))
}

/// Returns the byte offset of `part`, a slice of `whole`.
fn offset_of(whole: &str, part: &str) -> usize {
    part.as_ptr() as usize - whole.as_ptr() as usize
}

pub(super) fn read_field(
    field: &FieldSpec,
    section: &str,
    offset: usize,
    report: &mut ParseReport,
) -> Result<Value, Vec<FieldProblem>> {
    if field.is_text() && !field.has_constraints() {
        return Ok(value::text_of(section).into_owned().into());
    }
    if field.is_optional_text() {
        let text = value::optional_text_of(section).map(Cow::into_owned);
        return optional_text(field, text, offset, report);
    }
    let plan = field.plan().map_err(|error| unusable(field, error))?;
    let text = match field {
        field if field.is_text() => value::text_of(section),
        field if field.is_code() => markers::unescape(section),
        _ => section.trim().into(),
    };
    if calls::is_calls(field) {
        return calls::read(field, &text, offset, report);
    }
    let decoded = plan.decode(&text).map_err(|error| refusals(field.name(), &error))?;
    report.absorb(decoded.report, field.name(), offset);
    Ok(decoded.value)
}

/// Returns the problem of a field whose type no reply can be read as.
pub(super) fn unusable(field: &FieldSpec, error: &SchemaError) -> Vec<FieldProblem> {
    vec![FieldProblem::new(field.name(), error.to_string())]
}

/// Returns the value of an optional text field.
pub(super) fn optional_text(
    field: &FieldSpec,
    text: Option<String>,
    offset: usize,
    report: &mut ParseReport,
) -> Result<Value, Vec<FieldProblem>> {
    let value = text.map_or(Value::Null, Value::String);
    let plan = field.plan().map_err(|error| unusable(field, error))?;
    let decoded = plan.coerce(value).map_err(|error| refusals(field.name(), &error))?;
    report.absorb(decoded.report, field.name(), offset);
    Ok(decoded.value)
}
