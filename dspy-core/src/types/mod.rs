//! Types as a model reads them: a compact pseudo-schema instead of JSON Schema.

mod constraint;
mod pseudo;

pub use pseudo::{TypeText, describe};
