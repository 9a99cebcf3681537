//! Signatures: the inputs and outputs of a step, typed for users and as plain data for the rest of the
//! library.
//!
//! `#[signature]` on a struct implements [`Signature`] and [`Fields`]. Strategies and optimizers work on the
//! [`SignatureSpec`] alone.

pub(crate) mod check;
mod choices;
mod demo;
mod field;
mod field_properties;
mod field_trait;
mod map_order;
mod native;
mod partial;
mod playbook;
mod reply_schema;
pub(crate) mod schema_keywords;
#[doc(hidden)]
pub mod shape;
mod spec;
mod string_form;
mod traits;

pub use check::{CheckFailure, CheckPanic, CheckSpec};
pub use demo::Demo;
pub use field::{FieldSpec, Role};
#[doc(hidden)]
pub use field_trait::ErasedField;
pub use field_trait::{FieldType, property_schema};
pub(crate) use map_order::settle_by;
pub(crate) use native::Native;
pub(crate) use partial::update_values;
pub use partial::{FieldChange, FieldState, FieldUpdate, PartialValues};
#[doc(hidden)]
pub use partial::{ReadField, WriteField, update_field};
pub use playbook::{Playbook, PlaybookItem};
pub use spec::SignatureSpec;
pub use string_form::GrammarError;
pub use traits::{Example, FieldError, Fields, IntoInput, Signature};

/// Field values by field name, in the order of the signature.
pub type Values = serde_json::Map<String, serde_json::Value>;
