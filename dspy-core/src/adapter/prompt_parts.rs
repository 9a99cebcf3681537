//! The parts that the prompts of all adapters share.

use std::fmt::Write as _;

use dspy_base::prompt_format::{INPUT_FIELDS, OUTPUT_FIELDS, TASK};

use super::message_builder::MessageBuilder;
use super::{markers, value};
use crate::signature::check::checks_in_words;
use crate::signature::{FieldSpec, SignatureSpec, Values};
use crate::types::Definitions;

/// Suffix of a type that says how to write code.
const IN_A_FENCE: &str = ", in one fence of backticks)";

/// The largest length of a notation, without labels, that is repeated in reminders.
const SHORT: usize = 40;

/// Appends a reminder of the type of an output to a request: its notation if it is short. Labels and long
/// types appear only once in a prompt, in the description of the fields.
pub(super) fn push_reminder(out: &mut String, field: &FieldSpec) {
    if field.is_text() {
        return;
    }
    let notation = &*field.type_text().notation;
    let short = notation.len() <= SHORT && !notation.contains(['"', '\n']);
    let (shown, end) =
        (if short { notation } else { "type as above" }, if field.is_code() { IN_A_FENCE } else { ")" });
    let _ = write!(out, " ({shown}{end}");
}

/// Appends the description of the fields: their meaning and their type.
pub(super) fn push_fields(out: &mut String, spec: &SignatureSpec) {
    push_group(out, INPUT_FIELDS, spec.shown_inputs());
    push_group(out, OUTPUT_FIELDS, spec.outputs());
    for rules in checks_in_words(spec.checks()) {
        let _ = writeln!(out, "All outputs together. {rules}");
    }
    push_definitions(out, spec.shown_inputs().chain(spec.outputs()));
}

/// Appends the types that the notations of the fields mention by name.
pub(super) fn push_definitions<'a>(out: &mut String, fields: impl Iterator<Item = &'a FieldSpec> + Clone) {
    let Definitions { common, own } = Definitions::of(fields.map(|field| (field.name(), field.type_text())));
    if !common.is_empty() {
        out.push_str("Types:\n");
    }
    for (name, text) in common {
        let _ = writeln!(out, "{name} = {text}");
    }
    for (field, texts) in own {
        let _ = writeln!(out, "Types of `{field}`:");
        for (name, text) in texts {
            let _ = writeln!(out, "{name} = {text}");
        }
    }
}

fn push_group<'a>(out: &mut String, title: &str, fields: impl Iterator<Item = &'a FieldSpec>) {
    for (index, field) in fields.enumerate() {
        if index == 0 {
            out.push_str(title);
            out.push('\n');
        }
        push_field(out, index + 1, field);
    }
}

fn push_field(out: &mut String, number: usize, field: &FieldSpec) {
    let text = field.type_text();
    let _ = write!(out, "{number}. `{}` ({})", field.name(), text.notation);
    if !field.description().is_empty() {
        let _ = write!(out, ": {}", field.description().replace('\n', "\n   "));
    }
    out.push('\n');
    if !text.constraints.is_empty() {
        let _ = writeln!(out, "   Must be: {}", text.constraints.join("; "));
    }
    for rules in checks_in_words(field.checks()) {
        let _ = writeln!(out, "   {rules}");
    }
    for (choice, description) in &text.choices {
        let _ = writeln!(out, "   - {choice}: {description}");
    }
}

/// Appends the instruction, indented so that nothing in it can be read as a part of the prompt.
pub(super) fn push_task(out: &mut String, spec: &SignatureSpec) {
    out.push_str(TASK);
    for line in spec.instruction().lines() {
        out.push_str("\n        ");
        out.push_str(line);
    }
}

/// Appends the inputs of a demonstration below their markers.
pub(super) fn push_input_sections(out: &mut MessageBuilder, spec: &SignatureSpec, values: &Values) {
    push_sections(out, spec.shown_inputs(), values, None);
}

/// Appends field values below their markers.
pub(super) fn push_sections<'a>(
    out: &mut MessageBuilder,
    fields: impl Iterator<Item = &'a FieldSpec>,
    values: &Values,
    absent: Option<&str>,
) {
    for field in fields {
        let value = values.get(field.name());
        if value.is_none() && absent.is_none() {
            continue;
        }
        markers::push(&mut out.text, field.name());
        out.text.push('\n');
        match (value, absent) {
            (Some(value), _) => value::push(out, field, value),
            (None, Some(text)) => out.text.push_str(text),
            (None, None) => {}
        }
        out.text.push_str("\n\n");
    }
}
