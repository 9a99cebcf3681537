//! Program language models instead of prompting them.

#[doc(hidden)]
pub use dspy_core::__private;
pub use dspy_core::predict::{ChainOfThought, Predict};
#[doc(hidden)]
pub use dspy_core::{__literal_enum, __serde_by_fields};
pub use dspy_core::{Error, Result};
pub use dspy_core::{adapter, lm, predict, program, signature};
pub use dspy_macros::{chain_of_thought, field_type, module, predict, sig, signature};
pub use schemars::JsonSchema;
pub use serde::{Deserialize, Serialize};

/// Everything that a program usually needs: `use dspy::prelude::*;`.
pub mod prelude {
    pub use dspy_core::lm::Lm;
    pub use dspy_core::predict::{ChainOfThought, Predict, Prediction};
    pub use dspy_core::program::{HasPredictors, Module};
    pub use dspy_core::signature::{Example, FieldState, Fields, Signature};
    pub use dspy_macros::{chain_of_thought, field_type, module, predict, sig, signature};
}
