//! The structure of a reply: the formats of the library's adapters, detected by their appearance.

use serde_json::Value;

use crate::adapter::Adapter;
use crate::signature::{FieldSpec, SignatureSpec, Values};

/// A reply split into its parts.
#[derive(Debug)]
pub(super) enum Shape<'s> {
    /// Sections below markers: each field with its text.
    Sections(Vec<(&'s FieldSpec, String)>),
    /// One JSON object.
    Object(Value),
    /// Elements: each field with its text, escaped.
    Elements(Vec<(&'s FieldSpec, String)>),
    /// Prose, or the format of a custom adapter.
    Other,
}

pub(super) const COMPLETED: &str = "[[ ## completed ## ]]";

pub(super) fn marker(name: &str) -> String {
    format!("[[ ## {name} ## ]]")
}

impl<'s> Shape<'s> {
    /// Returns the structure of the reply that `adapter` would show for these values.
    pub(super) fn of(adapter: &dyn Adapter, spec: &'s SignatureSpec, values: &Values) -> Self {
        let reply = adapter.reply(spec, values);
        let Some(first) = spec.outputs().find(|field| values.contains_key(field.name())) else {
            return Shape::Other;
        };
        if let Ok(object @ Value::Object(_)) = serde_json::from_str(&reply) {
            return Shape::Object(object);
        }
        let parts = |text: &dyn Fn(&FieldSpec, &str) -> Option<String>| -> Option<Vec<_>> {
            let fields = spec.outputs().filter(|field| values.contains_key(field.name()));
            fields.map(|field| Some((field, text(field, &alone(adapter, spec, field, values))?))).collect()
        };
        if reply.starts_with(&marker(first.name())) {
            let text = |field: &FieldSpec, reply: &str| {
                let text = reply.strip_prefix(&marker(field.name()))?.trim_end().strip_suffix(COMPLETED)?;
                Some(text.trim_start_matches('\n').trim_end_matches('\n').to_owned())
            };
            return parts(&text).map_or(Shape::Other, Shape::Sections);
        }
        if reply.starts_with(&format!("<{}>", first.name())) {
            let text = |field: &FieldSpec, reply: &str| {
                let text = reply.trim_end().strip_prefix(&format!("<{}>", field.name()))?;
                Some(text.strip_suffix(&format!("</{}>", field.name()))?.trim().to_owned())
            };
            return parts(&text).map_or(Shape::Other, Shape::Elements);
        }
        Shape::Other
    }
}

/// Returns the reply as if this were the only output.
fn alone(adapter: &dyn Adapter, spec: &SignatureSpec, field: &FieldSpec, values: &Values) -> String {
    let others = spec.outputs().filter(|other| other.name() != field.name());
    let spec = others.fold(spec.clone(), |spec, other| spec.hiding(other.name()));
    adapter.reply(&spec, values)
}
