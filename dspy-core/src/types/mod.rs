//! Types as a model reads them: a compact pseudo-schema instead of JSON Schema.

mod constraint;
mod pseudo;
mod reasoning;

pub use pseudo::{TypeText, describe};
pub use reasoning::Reasoning;
