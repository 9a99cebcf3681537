//! Earlier turns of the conversation, from `History` fields.

use serde_json::Value;

use super::Prompt;
use super::message_builder::MessageBuilder;
use crate::lm::{self, Message};
use crate::signature::{FieldError, FieldSpec, Role, SignatureSpec, Values, settle_by};
use crate::types::Place;

/// Returns the earlier turns in `inputs`, oldest first.
pub(super) fn turns<'v>(spec: &SignatureSpec, inputs: &'v Values) -> impl Iterator<Item = &'v Values> {
    let fields = spec.inputs().filter(|field| field.is_history());
    let values: Vec<&Value> = fields.filter_map(|field| inputs.get(field.name())).collect();
    values.into_iter().flat_map(messages).filter_map(Value::as_object)
}

/// Returns the turns of one field: of a serialized history, or of the bare list of its turns.
fn messages(history: &Value) -> impl Iterator<Item = &Value> {
    history.get("messages").unwrap_or(history).as_array().into_iter().flatten()
}

/// Checks that every turn of `field` consists of fields of the signature.
pub(super) fn check(spec: &SignatureSpec, field: &FieldSpec, history: &Value) -> Result<(), FieldError> {
    let fail = |message: String| Err(FieldError::new(field.name(), message));
    let spec = spec.turns().map_or(spec, |turns| turns);
    if !history.is_null() && !history.get("messages").unwrap_or(history).is_array() {
        return fail("expected a history: `{\"messages\": […]}`".into());
    }
    for (index, turn) in messages(history).enumerate() {
        let number = index + 1;
        let Some(turn) = turn.as_object() else {
            return fail(format!("turn {number} of the history is no object of fields"));
        };
        for (name, value) in turn {
            let known = spec.field(name);
            match known {
                None => {
                    let names = spec.inputs().chain(spec.outputs()).filter(|field| !field.is_history());
                    let names: Vec<_> = names.map(|field| format!("`{}`", field.name())).collect();
                    return fail(format!(
                        "turn {number} of the history has a field `{name}` that the signature lacks; its fields are {}",
                        names.join(", ")
                    ));
                }
                Some(known) if known.is_history() => {
                    if messages(value).next().is_some() {
                        return fail(format!("turn {number} contains a history in `{name}`; omit it"));
                    }
                }
                Some(known) => {
                    let absent = value.is_null();
                    if !absent && known.role() != Role::Hint && !Place::root(known.schema()).admits(value) {
                        return fail(format!(
                            "turn {number} of the history has a `{name}` that is not of the field's type, {}",
                            known.type_text().notation
                        ));
                    }
                }
            }
        }
    }
    Ok(())
}

/// Returns the earlier turns of the conversation in the form of demonstrations: `question` appends the inputs
/// of a turn, `reply` renders its outputs. Fields that a turn omits are omitted.
pub(super) fn history_turns(
    prompt: Prompt<'_>,
    inputs: &Values,
    question: impl Fn(&mut MessageBuilder, &Values),
    reply: impl Fn(&Values) -> String,
) -> Vec<Message> {
    if !prompt.spec.inputs().any(FieldSpec::is_history) {
        return Vec::new();
    }
    let mut messages = Vec::new();
    for turn in turns(prompt.spec, inputs) {
        let turn: Values = turn
            .iter()
            .filter(|(_, value)| !value.is_null())
            .map(|(name, value)| (name.clone(), settled(prompt.spec.field(name), value)))
            .collect();
        let mut canvas = MessageBuilder::default();
        question(&mut canvas, &turn);
        canvas.trim_end();
        if !canvas.is_empty() {
            messages.push(canvas.into_message(lm::Role::User));
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
