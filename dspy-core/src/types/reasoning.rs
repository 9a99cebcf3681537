//! The reasoning of a model as a field.

use std::borrow::Cow;
use std::fmt;
use std::ops::Deref;

use dspy_base::keyword;
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::{Deserialize, Serialize};

/// The reasoning behind an answer, as the type of an output field. Dereferences to `str`.
///
/// If the endpoint returns the model's own reasoning, the field holds that and is not requested in the
/// prompt; it is empty if the model did not reason. Otherwise it is an ordinary string field that the model
/// is asked to write.
///
/// ```
/// use dspy_core::types::Reasoning;
/// let reasoning = Reasoning::from("Paris is the seat of government.");
/// assert!(reasoning.starts_with("Paris"));
/// assert_eq!(serde_json::to_value(&reasoning)?, "Paris is the seat of government.");
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Reasoning(pub String);

impl Deref for Reasoning {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Reasoning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl From<&str> for Reasoning {
    fn from(text: &str) -> Self {
        Reasoning(text.to_owned())
    }
}

impl From<String> for Reasoning {
    fn from(text: String) -> Self {
        Reasoning(text)
    }
}

impl PartialEq<str> for Reasoning {
    fn eq(&self, other: &str) -> bool {
        self.0 == other
    }
}

impl PartialEq<&str> for Reasoning {
    fn eq(&self, other: &&str) -> bool {
        self.0 == *other
    }
}

impl JsonSchema for Reasoning {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Reasoning".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        schemars::json_schema!({"type": "string", (keyword::NATIVE): "reasoning"})
    }
}
