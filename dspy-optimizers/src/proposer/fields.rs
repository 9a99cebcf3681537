//! The fields of the prompts of optimizers.

use dspy_core::signature::{FieldSpec, FieldType, Role};

/// Returns an input field.
pub(crate) fn input<T: FieldType>(name: &str, description: &str) -> FieldSpec {
    FieldSpec::of::<T>(Role::Input, name, description)
}

/// Returns an output field of text.
pub(crate) fn output(name: &str, description: &str) -> FieldSpec {
    FieldSpec::text(Role::Output, name, description)
}
