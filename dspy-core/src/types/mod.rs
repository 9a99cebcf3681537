//! Types as a model reads them: a compact pseudo-schema instead of JSON Schema.

mod constraint;
mod place;
mod pseudo;

pub(crate) use place::{Place, mentions};
pub use pseudo::{TypeText, describe};
