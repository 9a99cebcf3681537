//! Replies that cannot be decoded without inventing something.

use std::fmt::Write as _;

use serde_json::Value;

use super::shape::{COMPLETED, Shape, marker};
use super::values;
use crate::adapter::Adapter;
use crate::signature::{FieldSpec, SignatureSpec, Values};
use dspy_base::Rng;

const REFUSALS: [&str; 3] = [
    "I'm sorry, but I can't help with that.",
    "As a language model I have no opinion on this.",
    "<!DOCTYPE html>\n<html><body><h1>502 Bad Gateway</h1></body></html>",
];

/// Returns a reply that must be an error.
pub(super) fn reply(adapter: &dyn Adapter, spec: &SignatureSpec, values: &Values, rng: &mut Rng) -> String {
    let fault = rng.below(6);
    if fault == 0 {
        return ["", "\n\n"][rng.below(2)].to_owned();
    }
    let (parts, close) = match Shape::of(adapter, spec, values) {
        Shape::Sections(parts) => (parts, Close::Section),
        Shape::Elements(parts) => (parts, Close::Element),
        Shape::Object(value) => return object(spec, value, fault, rng).unwrap_or_else(|| refusal(rng)),
        // In prose or an unknown format, only an empty reply is sure to be unreadable.
        Shape::Other => return String::new(),
    };
    let broken = match fault {
        1 => without_one(parts, rng),
        2 | 3 => with_garble(parts, rng),
        4 => with_contradiction(adapter, spec, values, parts, close, rng),
        _ => None,
    };
    broken.map_or_else(|| refusal(rng), |parts| write(&parts, close))
}

fn refusal(rng: &mut Rng) -> String {
    REFUSALS[rng.below(REFUSALS.len())].to_owned()
}

#[derive(Debug, Clone, Copy)]
enum Close {
    Section,
    Element,
}

type Parts<'s> = Vec<(&'s FieldSpec, String)>;

fn write(parts: &[(&FieldSpec, String)], close: Close) -> String {
    let mut out = String::new();
    for (field, text) in parts {
        let name = field.name();
        let _ = match close {
            Close::Section => write!(out, "{}\n{text}\n\n", marker(name)),
            Close::Element => writeln!(out, "<{name}>\n{text}\n</{name}>"),
        };
    }
    if matches!(close, Close::Section) {
        out.push_str(COMPLETED);
    }
    out
}

/// Removes a required field.
fn without_one<'s>(mut parts: Parts<'s>, rng: &mut Rng) -> Option<Parts<'s>> {
    let needed: Vec<usize> = (0..parts.len()).filter(|index| !parts[*index].0.is_optional()).collect();
    parts.remove(*needed.get(rng.below(needed.len()))?);
    Some(parts)
}

/// Replaces the value of a field with one that does not fit its type.
fn with_garble<'s>(mut parts: Parts<'s>, rng: &mut Rng) -> Option<Parts<'s>> {
    let count = parts.len();
    let first = rng.below(count);
    for step in 0..count {
        let (field, text) = &mut parts[(first + step) % count];
        if let Some(garble) = field.plan().ok().and_then(|plan| plan.impossible_text(rng)) {
            *text = garble;
            return Some(parts);
        }
    }
    None
}

/// Duplicates a field with a different value.
fn with_contradiction<'s>(
    adapter: &dyn Adapter,
    spec: &'s SignatureSpec,
    values: &Values,
    mut parts: Parts<'s>,
    close: Close,
    rng: &mut Rng,
) -> Option<Parts<'s>> {
    let (field, text) = parts[rng.below(parts.len())].clone();
    let mut others = values.clone();
    others.insert(field.name().to_owned(), values::one(spec, field, rng).ok()?);
    let (Shape::Sections(again) | Shape::Elements(again)) = Shape::of(adapter, spec, &others) else {
        return None;
    };
    let (_, other) = again.into_iter().find(|(again, _)| again.name() == field.name())?;
    if other == text {
        return None;
    }
    let at = match close {
        Close::Section => parts.len(),
        Close::Element => rng.below(parts.len() + 1),
    };
    parts.insert(at, (field, other));
    Some(parts)
}

/// Returns a broken JSON object, if this fault is possible with these fields.
fn object(spec: &SignatureSpec, mut value: Value, fault: usize, rng: &mut Rng) -> Option<String> {
    let members = value.as_object_mut()?;
    let needed: Vec<&FieldSpec> = spec.outputs().filter(|field| !field.is_optional()).collect();
    match fault {
        1 => {
            members.shift_remove(needed.get(rng.below(needed.len()))?.name());
            Some(value.to_string())
        }
        2 | 3 => {
            let outputs: Vec<&FieldSpec> = spec.outputs().collect();
            let field = outputs[rng.below(outputs.len())];
            let garble = field.plan().ok()?.impossible_text(rng)?;
            members.insert(field.name().to_owned(), garble.into());
            Some(value.to_string())
        }
        4 => {
            // Truncated without a finish reason. A cut before the last member cannot be mistaken for a
            // complete reply.
            let last = spec.outputs().rfind(|field| members.contains_key(field.name()))?.name().to_owned();
            let whole = value.to_string();
            let end = whole.rfind(&format!("{}:", Value::from(last)))?;
            let end = 1 + rng.below(end.saturating_sub(1).max(1));
            let cut = (0..=end).rev().find(|end| whole.is_char_boundary(*end))?;
            (!needed.is_empty()).then(|| whole[..cut].to_owned())
        }
        _ => None,
    }
}
