//! Program language models instead of prompting them.

#[doc(hidden)]
pub use dspy_core::__private;
#[doc(hidden)]
pub use dspy_core::__serde_by_fields;
pub use dspy_core::{adapter, lm, predict, program, signature};
pub use dspy_macros::{field_type, module, signature};
pub use schemars::JsonSchema;
pub use serde::{Deserialize, Serialize};

/// Everything that a program usually needs: `use dspy::prelude::*;`.
pub mod prelude {
    pub use dspy_core::lm::Lm;
    pub use dspy_core::program::HasPredictors;
    pub use dspy_core::signature::{Example, FieldState, Fields, Signature};
    pub use dspy_macros::{field_type, module, signature};
}
