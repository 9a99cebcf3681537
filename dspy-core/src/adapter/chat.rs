//! Sections below markers: the format that every chat model can write.

use std::sync::Arc;

use super::canvas::Canvas;
use super::error::{FieldProblem, ParseError, ParseErrorKind};
use super::incoming::ChatReader;
use super::{Adapter, Parsed, Prompt, ReplyReader, layout, markers, value, whole_reply};
use crate::decode::ParseReport;
use crate::lm::{Completion, Message, Role};
use crate::signature::{FieldSpec, SignatureSpec, Values};

/// Each field in a section of its own below `[[ ## field ## ]]`, the reply closed by `[[ ## completed ## ]]`.
///
/// The markers are those of Python DSPy, so that prompts, demonstrations and fine-tuned models carry over.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ChatAdapter;

impl Adapter for ChatAdapter {
    fn name(&self) -> &'static str {
        "chat"
    }

    fn preamble(&self, prompt: Prompt<'_>) -> Vec<Message> {
        let spec = prompt.spec;
        let mut system = String::new();
        layout::push_fields(&mut system, spec);
        system.push_str("\nEvery field stands below its own marker, in this layout:\n\n");
        for field in spec.shown_inputs().chain(spec.outputs()) {
            markers::push(&mut system, field.name());
            system.push_str("\n{");
            system.push_str(field.name());
            system.push_str("}\n\n");
        }
        markers::push(&mut system, markers::COMPLETED);
        system.push_str("\n\n");
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
        text.push_str("Answer with ");
        for (index, field) in prompt.spec.outputs().enumerate() {
            text.push_str(if index == 0 { "`" } else { ", then `" });
            markers::push(text, field.name());
            text.push('`');
            if !field.is_text() {
                text.push_str(" (");
                text.push_str(&field.type_text().notation);
                text.push_str(if field.is_code() { layout::IN_A_FENCE } else { ")" });
            }
        }
        text.push_str(", and end with `");
        markers::push(text, markers::COMPLETED);
        text.push_str("`.");
        canvas.into_message(Role::User)
    }

    fn parse(&self, spec: &SignatureSpec, completion: &Completion) -> Result<Parsed, ParseError> {
        let reply = whole_reply(self.name(), completion)?;
        let mut sections = Sections::read(spec, reply);
        if sections.is_empty() {
            // Some models answer a single short field with nothing else, or all fields as JSON.
            return super::json::parse_unmarked(self.name(), spec, reply);
        }
        let mut parsed = Parsed { values: Values::new(), report: ParseReport::default() };
        let mut problems = std::mem::take(&mut sections.problems);
        for (index, field) in spec.outputs().enumerate() {
            match sections.found[index] {
                Some(Section { text: section, name }) => {
                    let at = offset_of(reply, name);
                    parsed.report.called(field.name(), name, at..at + name.len());
                    match read_field(field, section, offset_of(reply, section), &mut parsed.report) {
                        Ok(value) => drop(parsed.values.insert(field.name().to_owned(), value)),
                        Err(message) => problems.push(FieldProblem::new(field.name(), message)),
                    }
                }
                None if field.is_optional() => {}
                None => {
                    let message = format!("missing; write it below `[[ ## {} ## ]]`", field.name());
                    problems.push(FieldProblem::new(field.name(), message));
                }
            }
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
    let mut canvas = Canvas::default();
    layout::push_sections(&mut canvas, spec.outputs(), values, absent);
    markers::push(&mut canvas.text, markers::COMPLETED);
    canvas.text.push('\n');
    canvas.text
}

/// The byte offset of `part`, a slice of `whole`.
fn offset_of(whole: &str, part: &str) -> usize {
    part.as_ptr() as usize - whole.as_ptr() as usize
}

pub(super) fn read_field(
    field: &FieldSpec,
    section: &str,
    offset: usize,
    report: &mut ParseReport,
) -> Result<serde_json::Value, String> {
    if field.is_text() && !field.has_constraints() {
        return Ok(value::text_of(section).into_owned().into());
    }
    let plan = field.plan().map_err(ToString::to_string)?;
    let text = match field {
        field if field.is_text() => value::text_of(section),
        field if field.is_code() => markers::unescape(section),
        _ => section.trim().into(),
    };
    let decoded = plan.decode(&text).map_err(|error| error.to_string())?;
    report.absorb(decoded.report, field.name(), offset);
    Ok(decoded.value)
}

/// What stands below a marker.
#[derive(Debug, Clone, Copy)]
struct Section<'a> {
    text: &'a str,
    /// What the marker calls the field.
    name: &'a str,
}

/// The sections of a reply, by output field.
struct Sections<'a> {
    found: Vec<Option<Section<'a>>>,
    problems: Vec<FieldProblem>,
}

impl<'a> Sections<'a> {
    fn read(spec: &SignatureSpec, reply: &'a str) -> Self {
        let mut sections = Sections { found: vec![None; spec.outputs().count()], problems: Vec::new() };
        let mut open: Option<(usize, &'a str, usize)> = None;
        for marker in markers::find(reply) {
            let index = field_index(spec, marker.name);
            let completed = index.is_none() && marker.name.eq_ignore_ascii_case(markers::COMPLETED);
            let known = index.is_some() || completed;
            // Something like a marker in the middle of a text is part of the text unless it names a field.
            if !known && !marker.starts_line {
                continue;
            }
            if let Some((index, name, start)) = open.take() {
                sections.close(spec, index, name, &reply[start..marker.before.max(start)]);
            }
            if completed {
                return sections;
            }
            open = index.map(|index| (index, marker.name, marker.after));
        }
        if let Some((index, name, start)) = open {
            sections.close(spec, index, name, &reply[start..]);
        }
        sections
    }

    fn close(&mut self, spec: &SignatureSpec, index: usize, name: &'a str, text: &'a str) {
        let text = text.trim();
        match self.found[index] {
            None => self.found[index] = Some(Section { text, name }),
            Some(first) if first.text == text => {}
            Some(_) => {
                let name = spec.outputs().nth(index).map(FieldSpec::name).unwrap_or_default();
                let message = "stands there twice with different values; write it once";
                self.problems.push(FieldProblem::new(name, message));
            }
        }
    }

    fn is_empty(&self) -> bool {
        self.found.iter().all(Option::is_none)
    }
}

/// The output field that a marker means: the one of its name, or else of the same letters and digits, or else of an
/// alias.
pub(super) fn field_index(spec: &SignatureSpec, marker: &str) -> Option<usize> {
    spec.outputs().position(|field| field.name() == marker).or_else(|| {
        let fold = |name: &str| -> String {
            name.chars().filter(|c| c.is_alphanumeric()).flat_map(char::to_lowercase).collect()
        };
        if marker.eq_ignore_ascii_case(markers::COMPLETED) {
            return None;
        }
        let wanted = fold(marker);
        let by_name = spec.outputs().position(|field| fold(field.name()) == wanted);
        by_name.or_else(|| spec.outputs().position(|field| field.has_alias(|alias| fold(alias) == wanted)))
    })
}
