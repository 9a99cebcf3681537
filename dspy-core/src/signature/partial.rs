//! Output fields of a reply that is still being streamed.

use std::any::Any;
use std::sync::Arc;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{FieldError, Values};

/// The state of an output field while its reply is streamed.
///
/// Serialized, it is an object: `{"state": "pending"}`, `{"state": "incomplete", "value": "Par"}` or
/// `{"state": "complete", "value": "Paris"}`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(tag = "state", content = "value", rename_all = "snake_case")]
pub enum FieldState<T> {
    /// No value yet.
    #[default]
    Pending,
    /// A partial value: the first part of a string, the first items of a list. Numbers, booleans and choices
    /// have no partial values.
    Incomplete(T),
    /// The final value.
    Complete(T),
}

impl<T> FieldState<T> {
    /// Returns the value so far, partial or final.
    pub fn value(&self) -> Option<&T> {
        match self {
            FieldState::Pending => None,
            FieldState::Incomplete(value) | FieldState::Complete(value) => Some(value),
        }
    }

    /// Returns whether the value is final.
    pub fn is_complete(&self) -> bool {
        matches!(self, FieldState::Complete(_))
    }
}

/// An update of an output field.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum FieldUpdate {
    /// A piece of a string, to be appended to the earlier pieces.
    More(String),
    /// The value so far, which replaces the previous one.
    SoFar(Value),
    /// The final value.
    Complete(Value),
    /// The field is complete but invalid, for this reason. The reply will be refused.
    Refused(String),
}

/// An update of one field of a reply.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct FieldChange {
    /// The output field.
    pub field: Arc<str>,
    /// The update of its value.
    pub update: FieldUpdate,
}

impl FieldChange {
    /// Creates an update of `field`.
    pub fn new(field: impl Into<Arc<str>>, update: FieldUpdate) -> Self {
        FieldChange { field: field.into(), update }
    }
}

/// The signature of [`FieldType::read`](super::FieldType::read) for a type.
pub type ReadField<T> = fn(&mut Values, &'static str, &[&str], Option<fn() -> T>) -> Result<T, FieldError>;
/// The signature of [`FieldType::write`](super::FieldType::write) for a type.
pub type WriteField<T> = fn(&T, &'static str, &mut Values) -> Result<(), FieldError>;

/// Applies an update to the state of a field. A partial value that is not yet a valid `T` leaves the state
/// unchanged.
///
/// It takes the functions of a `T` instead of a trait bound, so that rustc reports a type that does not
/// implement [`FieldType`](super::FieldType) once, with the message of that trait.
pub fn update_field<T: 'static>(
    state: &mut FieldState<T>,
    update: &FieldUpdate,
    name: &'static str,
    read: ReadField<T>,
    write: WriteField<T>,
) {
    let typed = |value: Value| {
        let mut values = Values::new();
        values.insert(name.to_owned(), value);
        read(&mut values, name, &[], None).ok()
    };
    match update {
        FieldUpdate::More(more) => {
            if let FieldState::Incomplete(value) = state
                && let Some(text) = (value as &mut dyn Any).downcast_mut::<String>()
            {
                text.push_str(more);
                return;
            }
            // Types that wrap a string have to be rebuilt from the whole string.
            let text = match state.value() {
                Some(value) => text_of(value, name, write) + more,
                None => more.clone(),
            };
            if let Some(value) = typed(text.into()) {
                *state = FieldState::Incomplete(value);
            }
        }
        FieldUpdate::SoFar(value) => {
            if let Some(value) = typed(value.clone()) {
                *state = FieldState::Incomplete(value);
            }
        }
        FieldUpdate::Complete(value) => {
            if let Some(value) = typed(value.clone()) {
                *state = FieldState::Complete(value);
            }
        }
        FieldUpdate::Refused(_) => {}
    }
}

/// The outputs of an unfinished reply, by field name, for a signature that is known only at run time.
pub type PartialValues = BTreeMap<String, FieldState<Value>>;

/// Does the same as [`update_field`] for untyped values.
pub(crate) fn update_values(partial: &mut PartialValues, change: &FieldChange) {
    let state = partial.entry(change.field.to_string()).or_default();
    match &change.update {
        FieldUpdate::More(more) => match state {
            FieldState::Incomplete(Value::String(text)) => text.push_str(more),
            _ => *state = FieldState::Incomplete(more.clone().into()),
        },
        FieldUpdate::SoFar(value) => *state = FieldState::Incomplete(value.clone()),
        FieldUpdate::Complete(value) => *state = FieldState::Complete(value.clone()),
        FieldUpdate::Refused(_) => {}
    }
}

fn text_of<T>(value: &T, name: &'static str, write: WriteField<T>) -> String {
    let mut values = Values::new();
    match write(value, name, &mut values).ok().and_then(|()| values.remove(name)) {
        Some(Value::String(text)) => text,
        _ => String::new(),
    }
}
