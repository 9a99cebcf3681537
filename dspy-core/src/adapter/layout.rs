//! The parts that the prompts of all adapters share.

use std::fmt::Write as _;

use serde_json::Value;

use super::message_builder::Canvas;
use super::{Prompt, history, markers, value};
use crate::lm::{Message, Role};
use crate::signature::check::checks_in_words;
use crate::signature::{Demo, FieldSpec, SignatureSpec, Values, settle_by};
use crate::types::Definitions;

/// Placeholder for an output that a demonstration lacks.
pub(super) const NOT_GIVEN: &str = "(not given in this example)";

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
    push_group(out, "Input fields:\n", spec.shown_inputs());
    push_group(out, "Output fields:\n", spec.outputs());
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
    out.push_str("Your task:");
    for line in spec.instruction().lines() {
        out.push_str("\n        ");
        out.push_str(line);
    }
}

/// Appends the inputs of a demonstration below their markers.
pub(super) fn push_input_sections(out: &mut Canvas, spec: &SignatureSpec, values: &Values) {
    push_sections(out, spec.shown_inputs(), values, None);
}

/// Appends field values below their markers.
pub(super) fn push_sections<'a>(
    out: &mut Canvas,
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

/// Returns the demonstrations as turns of the conversation, incomplete ones first. `question` appends inputs;
/// `reply` renders outputs and receives the placeholder for missing ones.
pub(super) fn demo_turns(
    prompt: Prompt<'_>,
    question: impl Fn(&mut Canvas, &Values),
    reply: impl Fn(&Values, Option<&str>) -> String,
) -> impl Iterator<Item = Message> {
    let complete = |demo: &&Demo| {
        let mut fields = prompt.spec.shown_inputs().chain(prompt.spec.outputs());
        fields.all(|field| field.is_optional() || demo.values.contains_key(field.name()))
    };
    let usable = move |demo: &&Demo| {
        let has = |field: &FieldSpec| demo.values.get(field.name()).is_some_and(|value| !value.is_null());
        (prompt.spec.shown_inputs().next().is_none() || prompt.spec.shown_inputs().any(has))
            && prompt.spec.outputs().any(has)
    };
    let incomplete = prompt.demos.iter().filter(usable).filter(move |demo| !complete(demo));
    let whole = prompt.demos.iter().filter(usable).filter(complete);
    let turns = incomplete.map(|demo| (demo, true)).chain(whole.map(|demo| (demo, false)));
    turns
        .flat_map(|(demo, partial)| {
            let mut canvas = Canvas::default();
            if partial {
                canvas.text.push_str("An example of the task that lacks some of its fields.\n\n");
            }
            question(&mut canvas, &demo.values);
            canvas.trim_end();
            let answer = reply(&demo.values, partial.then_some(NOT_GIVEN));
            [canvas.into_message(Role::User), Message::assistant(answer)]
        })
        .collect::<Vec<_>>()
        .into_iter()
}

/// Returns the earlier turns of the conversation in the form of demonstrations: `question` appends the inputs
/// of a turn, `reply` renders its outputs. Fields that a turn omits are omitted.
pub(super) fn history_turns(
    prompt: Prompt<'_>,
    inputs: &Values,
    question: impl Fn(&mut Canvas, &Values),
    reply: impl Fn(&Values) -> String,
) -> Vec<Message> {
    if !prompt.spec.inputs().any(FieldSpec::is_history) {
        return Vec::new();
    }
    let mut messages = Vec::new();
    for turn in history::turns(prompt.spec, inputs) {
        let turn: Values = turn
            .iter()
            .filter(|(_, value)| !value.is_null())
            .map(|(name, value)| (name.clone(), settled(prompt.spec.field(name), value)))
            .collect();
        let mut canvas = Canvas::default();
        question(&mut canvas, &turn);
        canvas.trim_end();
        if !canvas.is_empty() {
            messages.push(canvas.into_message(Role::User));
        }
        if prompt.spec.outputs().any(|field| turn.contains_key(field.name())) {
            messages.push(Message::assistant(reply(&turn)));
        }
    }
    messages
}

/// Returns the value with its maps and sets in a fixed order, since the type of a turn may have serialized
/// them in any order.
fn settled(field: Option<&FieldSpec>, value: &Value) -> Value {
    let mut value = value.clone();
    if let Some(field) = field {
        settle_by(field.schema(), &mut value);
    }
    value
}
