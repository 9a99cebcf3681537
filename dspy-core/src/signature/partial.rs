//! Output fields of a reply that is still arriving.

use std::collections::HashMap;

use serde_json::Value;

use super::FieldType;

/// How far an output field has arrived.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum FieldState<T> {
    /// Nothing that can be shown yet.
    #[default]
    Pending,
    /// A beginning: the first part of a text, the first items of a list.
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

/// The output values that have arrived so far, untyped.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct PartialValues {
    fields: HashMap<String, FieldState<Value>>,
}

impl PartialValues {
    /// Sets the state of a field.
    pub fn set(&mut self, name: impl Into<String>, state: FieldState<Value>) {
        self.fields.insert(name.into(), state);
    }

    /// The state of a field, typed. A beginning that is not yet a `T` is still pending.
    pub fn field<T: FieldType>(&self, name: &'static str) -> FieldState<T> {
        let read = |value: &Value| {
            let mut values = super::Values::new();
            values.insert(name.to_owned(), value.clone());
            T::read(&mut values, name, &[], None).ok()
        };
        match self.fields.get(name) {
            None | Some(FieldState::Pending) => FieldState::Pending,
            Some(FieldState::Incomplete(value)) => {
                read(value).map_or(FieldState::Pending, FieldState::Incomplete)
            }
            Some(FieldState::Complete(value)) => {
                read(value).map_or(FieldState::Pending, FieldState::Complete)
            }
        }
    }
}
