//! What a language model wrote becomes what a type says, or an error that knows why.
//!
//! Models wrap values in prose and code fences, forget quotes and commas, answer "Yes, it is." and "about 1,200 km".
//! This module reads such text guided by a JSON Schema. It is forgiving about notation and never inventive about
//! values: every liberty is recorded in a [`ParseReport`], and a text that could mean two values is an error.
//!
//! ```
//! use dspy_decode::{decode, ProblemKind};
//!
//! #[derive(Debug, PartialEq, serde::Deserialize, schemars::JsonSchema)]
//! struct Review { stars: u8, tags: Vec<String> }
//!
//! let reply = "Here you go:\n```json\n{stars: \"4\", 'tags': ['fast', 'cheap',]}\n```";
//! assert_eq!(decode::<Review>(reply)?.value, Review { stars: 4, tags: vec!["fast".into(), "cheap".into()] });
//!
//! assert!(decode::<u8>("somewhere between 3 and 5").unwrap_err().is(ProblemKind::Ambiguous));
//! # Ok::<(), dspy_decode::DecodeError>(())
//! ```
//!
//! # Rules worth knowing
//! - A bare `String` is the whole text, byte for byte: no trimming, no unquoting, no unfencing. For `Option<String>`
//!   only `null` and `None` are nothing; every other text is text.
//! - JSON that satisfies the schema as it stands is taken as it stands.
//! - Of several readings the one that invents least wins; a draw between different values is
//!   [`ProblemKind::Ambiguous`].
//! - Keys that the schema does not know are dropped, unless it says `additionalProperties` or names no members at all.
//! - A structure that does not add up is read by the one edit of a bracket, comma, colon or quotation mark that makes it
//!   JSON of its type. If there are several such edits with different values, or if an item or a member may have been
//!   lost where the edit is, it is an error.
//! - Nothing is filled in. A member may be absent only when the schema does not require it.
//! - A cut list is never a shorter list: what breaks off is [`ProblemKind::Truncated`].
//! - Limits of the schema (`minimum`, `maxLength`, `pattern`, …) hold for the final value; nothing is clamped or rounded.
//!
//! # Aliases
//! Three schema extensions name other spellings: `"x-aliases": ["…"]` on a member's schema for its key, `"x-aliases"`
//! beside a `const` for that choice, and `"x-enum-aliases": {"value": ["…"]}` beside an `enum`.
//!
//! # Code
//! A string whose schema says `"x-code": true` holds code. As a whole reply it is the content of the only code fence,
//! or, without a fence, the text as it stands without the blank lines around it; two fences with different contents
//! are [`ProblemKind::Ambiguous`]. Inside JSON a fence is taken off only where it is all that the string holds.

#![cfg_attr(docsrs, feature(doc_cfg))]

mod candidates;
mod code;
mod coerce;
mod docs;
mod error;
mod escape;
mod loose;
mod partial;
mod path;
mod plan;
mod quoted;
mod repair;
mod report;
mod root;
mod sample;
mod show;
mod soundness;
mod strict;
mod text;
mod text_reply;
#[doc(hidden)]
pub mod thoughts;
mod tree;
mod type_text;
mod yaml;

#[cfg(test)]
mod tests;

use std::any::TypeId;
use std::collections::HashMap;
use std::sync::{Arc, LazyLock, PoisonError, RwLock};

use schemars::JsonSchema;
use serde::de::DeserializeOwned;
use serde_json::Value;

pub use error::{DecodeError, Problem, ProblemKind, SchemaError};
pub use partial::Partial;
pub use path::ValuePath;
pub use report::{Decoded, ParseReport, Repair, RepairKind};
pub use type_text::{TypeText, describe};

/// Parts that `dspy-core` uses. Not covered by semantic versioning.
#[doc(hidden)]
pub mod internal {
    pub use crate::docs::{brief, shorten};
    pub use crate::sample::words;
    pub use crate::text_reply::{is_nothing, may_be_nothing};
    pub use crate::type_text::Definitions;
}

/// Brackets may be nested this deeply.
///
/// ```
/// use dspy_decode::{decode, MAX_DEPTH, ProblemKind};
/// let reply = "[".repeat(MAX_DEPTH + 1);
/// assert!(decode::<serde_json::Value>(&reply).unwrap_err().is(ProblemKind::TooDeep));
/// ```
pub const MAX_DEPTH: usize = 64;

/// Longer texts are refused, except for a bare string, which needs no reading.
///
/// ```
/// assert_eq!(dspy_decode::MAX_BYTES, 16 * 1024 * 1024);
/// ```
pub const MAX_BYTES: usize = 16 * 1024 * 1024;

/// Reads a reply as a type.
///
/// ```
/// let read = dspy_decode::decode::<Option<f64>>("$1,250.50")?;
/// assert_eq!(read.value, Some(1250.5));
/// # Ok::<(), dspy_decode::DecodeError>(())
/// ```
///
/// # Errors
/// When the text does not hold such a value, holds several, or breaks off; see [`ProblemKind`].
pub fn decode<T: DeserializeOwned + JsonSchema + 'static>(text: &str) -> Result<Decoded<T>, DecodeError> {
    let plan = plan_of::<T>().map_err(root::unusable)?;
    let Decoded { value, report } = plan.decode(text)?;
    match T::deserialize(value) {
        Ok(value) => Ok(Decoded { value, report }),
        Err(refusal) => {
            let schema = schemars::SchemaGenerator::default().into_root_schema_for::<T>();
            Err(root::refused(&schema, text, &refusal))
        }
    }
}

/// The plan of a type, compiled once in a process.
fn plan_of<T: JsonSchema + 'static>() -> Result<Plan, SchemaError> {
    // A program has as many types as its source has: nothing here grows with its input.
    static PLANS: LazyLock<RwLock<HashMap<TypeId, Result<Plan, SchemaError>>>> =
        LazyLock::new(RwLock::default);
    let id = TypeId::of::<T>();
    if let Some(plan) = PLANS.read().unwrap_or_else(PoisonError::into_inner).get(&id) {
        return plan.clone();
    }
    let schema = schemars::SchemaGenerator::default().into_root_schema_for::<T>();
    let plan = Plan::new(schema.as_value());
    PLANS.write().unwrap_or_else(PoisonError::into_inner).insert(id, plan.clone());
    plan
}

/// Reads a reply as a JSON Schema says.
///
/// ```
/// let schema = serde_json::json!({"enum": ["billing", "bug"]});
/// let read = dspy_decode::decode_value("This is a **Bug**.", &schema)?;
/// assert_eq!(read.value, "bug");
/// # Ok::<(), dspy_decode::DecodeError>(())
/// ```
///
/// # Errors
/// As [`decode`]; a schema that cannot be used is a problem of kind [`ProblemKind::Refused`]. Make a [`Plan`] to tell
/// the two apart and to compile the schema only once.
pub fn decode_value(text: &str, schema: &Value) -> Result<Decoded<Value>, DecodeError> {
    Plan::new(schema).map_err(root::unusable)?.decode(text)
}

/// A schema compiled for decoding. Cheap to clone, and shared between threads.
///
/// ```
/// use dspy_decode::Plan;
/// let plan = Plan::new(&serde_json::json!({"type": "array", "items": {"type": "integer"}}))?;
/// assert_eq!(plan.decode("- 3\n- 4")?.value, serde_json::json!([3, 4]));
/// assert_eq!(plan.decode("[1, 2]")?.value, serde_json::json!([1, 2]));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone)]
pub struct Plan {
    schema: Arc<plan::Schema>,
}

impl Plan {
    /// Compiles a schema.
    ///
    /// ```
    /// use dspy_decode::{Plan, SchemaError};
    /// let error = Plan::new(&serde_json::json!({"$ref": "#/$defs/Missing"})).unwrap_err();
    /// assert!(matches!(error, SchemaError::DanglingRef { .. }));
    /// ```
    ///
    /// # Errors
    /// When no value could ever satisfy the schema or a reply could not be told apart; see [`SchemaError`].
    pub fn new(schema: &Value) -> Result<Self, SchemaError> {
        Ok(Self { schema: Arc::new(plan::Schema::compile(schema)?) })
    }

    /// Returns the type in the notation of prompts.
    ///
    /// ```
    /// let plan = dspy_decode::Plan::new(&serde_json::json!({"type": "boolean"}))?;
    /// assert_eq!(plan.type_text().notation, "boolean");
    /// # Ok::<(), dspy_decode::SchemaError>(())
    /// ```
    pub fn type_text(&self) -> TypeText {
        self.schema.text()
    }

    /// Reads a text.
    ///
    /// ```
    /// let plan = dspy_decode::Plan::new(&serde_json::json!({"type": "boolean"}))?;
    /// assert_eq!(plan.decode("**True**")?.value, true);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// When the text does not hold such a value, holds several, or breaks off; see [`ProblemKind`].
    pub fn decode(&self, text: &str) -> Result<Decoded<Value>, DecodeError> {
        root::decode(&self.schema, text)
    }

    /// Reads what already is JSON (native structured output, tool arguments) with the same forgiveness for what is
    /// inside.
    ///
    /// ```
    /// let plan = dspy_decode::Plan::new(&serde_json::json!({"properties": {"age": {"type": "integer"}}}))?;
    /// assert_eq!(plan.coerce(serde_json::json!({"Age": "41"}))?.value, serde_json::json!({"age": 41}));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// As [`decode`](Self::decode).
    pub fn coerce(&self, value: Value) -> Result<Decoded<Value>, DecodeError> {
        root::coerce(&self.schema, value)
    }

    /// Reads the beginning of a text: what is certain so far. Never an error; as the text grows, what was shown stays.
    ///
    /// ```
    /// let schema = serde_json::json!({"properties": {"a": {"type": "string"}, "n": {"type": "integer"}}});
    /// let plan = dspy_decode::Plan::new(&schema)?;
    /// let so_far = plan.decode_partial(r#"{"a": "Par"#);
    /// assert_eq!(so_far.value, Some(serde_json::json!({"a": "Par"})));
    /// assert!(!so_far.complete);
    /// // A number may still grow, so it is held back.
    /// assert_eq!(plan.decode_partial(r#"{"n": 4"#).value, Some(serde_json::json!({})));
    /// # Ok::<(), dspy_decode::SchemaError>(())
    /// ```
    pub fn decode_partial(&self, text: &str) -> Partial {
        partial::decode(&self.schema, text)
    }
}

/// The README's code compiles.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
