//! Output fields of a reply that is still arriving.

use std::any::Any;
use std::sync::Arc;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{FieldError, Values};

/// How far an output field has arrived.
///
/// Serialized, it is an object that says so: `{"state": "pending"}`, `{"state": "incomplete", "value": "Par"}` or
/// `{"state": "complete", "value": "Paris"}`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(tag = "state", content = "value", rename_all = "snake_case")]
pub enum FieldState<T> {
    /// Nothing that can be shown yet.
    #[default]
    Pending,
    /// A beginning: the first part of a text, the first items of a list. Numbers, truth values and choices have no
    /// beginning.
    Incomplete(T),
    /// The final value.
    Complete(T),
}

impl<T> FieldState<T> {
    /// The value so far.
    pub fn value(&self) -> Option<&T> {
        match self {
            FieldState::Pending => None,
            FieldState::Incomplete(value) | FieldState::Complete(value) => Some(value),
        }
    }

    /// Whether the value is final.
    pub fn is_complete(&self) -> bool {
        matches!(self, FieldState::Complete(_))
    }
}

/// What arrived of an output field.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum FieldUpdate {
    /// More of a text, to be added to what came before.
    More(String),
    /// The value so far, in place of what came before.
    SoFar(Value),
    /// The final value.
    Complete(Value),
    /// The field has arrived in full and cannot be read, for this reason. The reply will be refused.
    Refused(String),
}

/// What arrived of a reply.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct FieldChange {
    /// The output field.
    pub field: Arc<str>,
    /// What arrived of it.
    pub update: FieldUpdate,
}

impl FieldChange {
    /// A change of `field`.
    pub fn new(field: impl Into<Arc<str>>, update: FieldUpdate) -> Self {
        FieldChange { field: field.into(), update }
    }
}

/// [`FieldType::read`](super::FieldType::read) of a type.
pub type ReadField<T> = fn(&mut Values, &'static str, &[&str], Option<fn() -> T>) -> Result<T, FieldError>;
/// [`FieldType::write`](super::FieldType::write) of a type.
pub type WriteField<T> = fn(&T, &'static str, &mut Values) -> Result<(), FieldError>;

/// Brings the state of a field up to date. A beginning that is not yet a `T` leaves the state as it was.
///
/// It takes the functions of a `T` instead of a bound on it, so that rustc reports a type that is no
/// [`FieldType`](super::FieldType) once, in the words of that trait.
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
            // Types that wrap a text have to be made anew.
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

/// The outputs of an unfinished reply to a signature that is known only at run time, by field name.
pub type PartialValues = BTreeMap<String, FieldState<Value>>;

/// [`update_field`] for values without a type.
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
