//! Replies with format errors that still decode to the intended values.

use std::fmt::Write as _;

use serde_json::Value;

use super::shape::{COMPLETED, Shape, marker};
use crate::adapter::{Adapter, JsonAdapter};
use crate::signature::{FieldSpec, Native, SignatureSpec, Values};
use dspy_base::Rng;

const BEFORE: [&str; 3] = [
    "Sure! Here is my answer.",
    "Of course.",
    "I have thought about this carefully, and this is what I found:",
];
const AFTER: [&str; 3] =
    ["Let me know if you need anything else.", "I hope this helps!", "Note that I may be wrong."];

/// Returns the sloppy reply. For an adapter that is not the library's, it depends on the adapter whether the
/// reply decodes.
pub(super) fn reply(adapter: &dyn Adapter, spec: &SignatureSpec, values: &Values, rng: &mut Rng) -> String {
    // Models tend to omit fields without a value.
    let shown: Values = values
        .iter()
        .filter(|(name, value)| {
            let optional = spec.field(name).is_some_and(FieldSpec::is_optional);
            !(value.is_null() && optional && rng.below(2) == 0)
        })
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect();
    let shown = if shown.is_empty() { values } else { &shown };
    // Calls are read only if nothing stands beside them.
    let acts = spec.outputs().any(is_calls);
    match Shape::of(adapter, spec, shown) {
        Shape::Sections(parts) => {
            let plain = !acts && !parts.iter().any(|(field, text)| field.is_code() || text.contains("[["));
            // Some models answer in JSON whatever format the prompt asks for.
            if plain && rng.below(8) == 0 {
                return object(spec, &parse(&JsonAdapter.reply(spec, shown)), rng);
            }
            sections(parts, shown, rng)
        }
        Shape::Object(value) => object(spec, &value, rng),
        Shape::Elements(parts) => elements(parts, shown, acts, rng),
        Shape::Other => around(&adapter.reply(spec, values), rng),
    }
}

fn parse(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_default()
}

fn one<'t>(texts: &[&'t str], rng: &mut Rng) -> &'t str {
    texts[rng.below(texts.len())]
}

fn around(text: &str, rng: &mut Rng) -> String {
    match rng.below(4) {
        3 => format!("<think>\nThey want an answer. Let me see.\n</think>\n{text}"),
        0 => format!("{}\n\n{text}", one(&BEFORE, rng)),
        1 => format!("{text}\n\n{}", one(&AFTER, rng)),
        _ => format!("{}\n\n{text}\n\n{}", one(&BEFORE, rng), one(&AFTER, rng)),
    }
}

/// Returns the field's value in sloppy JSON, unless the field is a plain string.
fn careless(field: &FieldSpec, values: &Values, rng: &mut Rng) -> Option<String> {
    if field.is_text() || field.is_code() {
        return None;
    }
    let (plan, value) = (field.plan().ok()?, values.get(field.name())?);
    if is_calls(field) {
        return Some(plan.careless_json(value, rng));
    }
    plan.careless_text(value, rng)
}

fn is_calls(field: &FieldSpec) -> bool {
    field.native() == Some(Native::ToolCalls)
}

fn sections(parts: Vec<(&FieldSpec, String)>, values: &Values, rng: &mut Rng) -> String {
    let mut out = String::new();
    if rng.below(2) == 0 {
        let _ = write!(out, "{}\n\n", one(&BEFORE, rng));
    }
    let dress = rng.below(5);
    for (field, text) in parts {
        let name = field.name();
        let head = match dress {
            0 => format!("**{}**", marker(name)),
            1 => format!("[[##{name}##]]"),
            2 => format!("### {}:", marker(name)),
            3 => marker(&name.to_uppercase()),
            _ => marker(name),
        };
        // The adapter has escaped text that looks like a marker.
        let other = careless(field, values, rng).filter(|text| !text.contains("[["));
        let text = other.unwrap_or(text);
        let gap = if !text.contains('\n') && rng.below(3) == 0 { " " } else { "\n" };
        let _ = write!(out, "{head}{gap}{text}\n\n");
    }
    match rng.below(4) {
        0 => {}
        1 => {
            let _ = write!(out, "{COMPLETED}\n\n{}", one(&AFTER, rng));
        }
        2 => out.push_str("**[[ ## Completed ## ]]**"),
        _ => out.push_str(COMPLETED),
    }
    out
}

fn object(spec: &SignatureSpec, value: &Value, rng: &mut Rng) -> String {
    let json = match spec.reply_plan() {
        Ok(plan) => plan.careless_json(value, rng),
        Err(_) => value.to_string(),
    };
    let acts = spec.outputs().any(is_calls);
    match rng.below(4) {
        0 => format!("```json\n{json}\n```"),
        1 | 2 if acts => json,
        1 => around(&format!("```json\n{json}\n```"), rng),
        2 => around(&json, rng),
        _ => json,
    }
}

fn elements(parts: Vec<(&FieldSpec, String)>, values: &Values, acts: bool, rng: &mut Rng) -> String {
    let mut out = String::new();
    let capital = rng.below(3) == 0;
    for (field, text) in parts {
        let mut name = field.name().to_owned();
        if capital {
            name = name[..name.len().min(1)].to_uppercase() + name.get(1..).unwrap_or_default();
        }
        let other = careless(field, values, rng)
            .map(|text| text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;"));
        let text = other.unwrap_or(text);
        if rng.below(2) == 0 {
            let _ = writeln!(out, "<{name}>{text}</{name}>");
        } else {
            let _ = writeln!(out, "<{name}>\n{text}\n</{name}>");
        }
    }
    match rng.below(3) {
        0 => format!("```xml\n{out}```"),
        1 if !acts => around(&out, rng),
        _ => out,
    }
}
