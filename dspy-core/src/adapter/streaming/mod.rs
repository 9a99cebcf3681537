//! Incremental reading of replies: reports what is certain so far, at a cost linear in the length of the
//! reply.
//!
//! Text fields are reported piece by piece. Any other value is parsed again as it grows: after every piece
//! while it is short, and each time it has grown by a sixteenth when it is long, which keeps the total cost
//! linear. The moments depend only on the length, so the size of the pieces makes no difference.

mod chat;
mod json;
mod xml;

use std::sync::Arc;

use serde_json::Value;

pub(super) use chat::ChatReader;
pub(super) use json::JsonReader;
pub(super) use xml::XmlReader;

use super::FieldProblem;
use crate::decode::Plan;
use crate::signature::{FieldChange, FieldSpec, FieldUpdate};

/// A reader of a reply that is still arriving.
pub trait ReplyReader: Send {
    /// Adds more of the reply, and appends to `changes` the field values that became certain.
    fn push(&mut self, text: &str, changes: &mut Vec<FieldChange>);
}

/// The length in bytes up to which values are parsed again after every piece.
const SHORT: usize = 4 << 10;

/// Returns the length of the longest prefix worth parsing of a value of `length` bytes.
fn milestone(length: usize) -> usize {
    let mut mark = SHORT;
    if length <= mark {
        return length;
    }
    while mark + mark / 16 <= length {
        mark += mark / 16;
    }
    mark
}

/// Returns the prefix of `text` up to the last milestone.
fn worth_reading(text: &str) -> &str {
    let mut end = milestone(text.len());
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

/// The part of one field that has been reported.
#[derive(Debug, Default)]
struct Shown {
    /// The reported length, for text fields.
    text: usize,
    value: Option<Value>,
    /// The length of the value that was last parsed.
    read: usize,
    done: bool,
}

impl Shown {
    /// Returns the prefix of an unfinished value to parse now, if any; no length is parsed twice.
    fn due<'t>(&mut self, text: &'t str) -> Option<&'t str> {
        let begun = worth_reading(text);
        let due = begun.len() > self.read;
        self.read = self.read.max(begun.len());
        due.then_some(begun)
    }

    /// Reports the value that `plan` decodes from unfinished text.
    fn begin(&mut self, field: &FieldSpec, plan: &Plan, text: &str, changes: &mut Vec<FieldChange>) {
        if let Some(value) = plan.decode_partial(text).value {
            self.so_far(field, value, changes);
        }
    }

    /// Reports the value so far if it has changed.
    fn so_far(&mut self, field: &FieldSpec, value: Value, changes: &mut Vec<FieldChange>) {
        match &value {
            Value::String(text) if field.is_text() => {
                if let Some(more) = text.get(self.text..).filter(|more| !more.is_empty()) {
                    changes.push(change(field, FieldUpdate::More(more.to_owned())));
                    self.text = text.len();
                }
            }
            // An open bracket alone may turn out to be part of a sentence.
            Value::Array(items) if items.is_empty() => {}
            Value::Object(members) if members.is_empty() => {}
            _ if self.value.as_ref() == Some(&value) => {}
            // The meaning of malformed text can change as it grows. The reported value stays until the end.
            _ if self.value.as_ref().is_some_and(|shown| !grows(shown, &value)) => {}
            _ => {
                changes.push(change(field, FieldUpdate::SoFar(value.clone())));
                self.value = Some(value);
            }
        }
    }

    /// Reports the final value, once.
    fn complete(&mut self, field: &FieldSpec, value: Value, changes: &mut Vec<FieldChange>) {
        self.end(field, Ok(value), changes);
    }

    /// Reports the result for a field that has arrived completely, once.
    fn end(
        &mut self,
        field: &FieldSpec,
        read: Result<Value, Vec<FieldProblem>>,
        changes: &mut Vec<FieldChange>,
    ) {
        let refused = |problems: Vec<FieldProblem>| {
            let below = |problem: &FieldProblem| match problem.field.strip_prefix(field.name()) {
                Some("") | None => problem.message.clone(),
                Some(path) => format!("{path}: {}", problem.message),
            };
            FieldUpdate::Refused(problems.iter().map(below).collect::<Vec<_>>().join("; "))
        };
        if !std::mem::replace(&mut self.done, true) {
            self.value = None;
            changes.push(change(field, read.map_or_else(refused, FieldUpdate::Complete)));
        }
    }
}

/// Returns whether `begun` can be an earlier state of `value`.
pub(crate) fn grows(begun: &Value, value: &Value) -> bool {
    match (begun, value) {
        (Value::String(begun), Value::String(text)) => text.starts_with(begun.as_str()),
        (Value::Array(begun), Value::Array(items)) => {
            begun.len() <= items.len() && begun.iter().zip(items).all(|(a, b)| grows(a, b))
        }
        (Value::Object(begun), Value::Object(members)) => {
            begun.iter().all(|(key, a)| members.get(key).is_some_and(|b| grows(a, b)))
        }
        _ => begun == value,
    }
}

fn change(field: &FieldSpec, update: FieldUpdate) -> FieldChange {
    FieldChange { field: field.shared_name(), update }
}

/// Returns the initial state for each output field of a signature.
fn nothing_shown(spec: &Arc<crate::signature::SignatureSpec>) -> Vec<Shown> {
    spec.outputs().map(|_| Shown::default()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn milestones_are_few_and_never_far_behind() {
        let mut seen = std::collections::BTreeSet::new();
        for length in 0..1_000_000 {
            let mark = milestone(length);
            assert!(mark <= length && length - mark <= length / 16 + 1, "{length}: {mark}");
            seen.insert(mark);
        }
        assert!(seen.range(SHORT + 1..).count() < 100);
    }

    #[test]
    fn what_was_shown_stays_until_the_end() {
        let field = FieldSpec::new(
            crate::signature::Role::Output,
            "out",
            "",
            serde_json::json!({"type": "array", "items": {"type": "integer"}}),
        );
        let (mut shown, mut changes) = (Shown::default(), Vec::new());
        for value in [serde_json::json!([1, 2]), serde_json::json!([1, 3]), serde_json::json!([1, 2, 3])] {
            shown.so_far(&field, value, &mut changes);
        }
        shown.complete(&field, serde_json::json!([4]), &mut changes);
        let updates: Vec<_> = changes.into_iter().map(|change| change.update).collect();
        assert_eq!(
            updates,
            [
                FieldUpdate::SoFar(serde_json::json!([1, 2])),
                FieldUpdate::SoFar(serde_json::json!([1, 2, 3])),
                FieldUpdate::Complete(serde_json::json!([4])),
            ]
        );
    }
}
