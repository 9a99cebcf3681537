//! Parsing of language model replies into typed values.
//!
//! Models wrap values in prose and code fences, forget quotes and commas, and answer "Yes, it is." or "about
//! 1,200 km". This crate reads such text as a value of a JSON Schema. It tolerates errors of notation and
//! never invents values: every deviation from the text is recorded in a [`ParseReport`], and text that could
//! mean two values is an error.
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
//! # Rules
//! - A bare `String` is the whole text, byte for byte: white space, quotes and fences are kept. For
//!   `Option<String>`, only `null` and `None` mean `None`; all other text is the string.
//! - JSON that satisfies the schema is taken unchanged.
//! - Of several readings, the one that requires the least interpretation is taken; a tie between different
//!   values is [`ProblemKind::Ambiguous`].
//! - Keys that the schema does not declare are dropped, unless it has `additionalProperties` or declares no
//!   members.
//! - A malformed structure is repaired if exactly one edit of a bracket, comma, colon or quotation mark makes
//!   it JSON of its type. Several such edits with different values, or an edit where an item or a member may
//!   have been lost, are an error.
//! - No value is filled in. A member may be absent only if the schema does not require it.
//! - A truncated list is never returned as a shorter list: truncated values are [`ProblemKind::Truncated`].
//! - Limits of the schema (`minimum`, `maxLength`, `pattern`, …) apply to the final value; values are neither
//!   clamped nor rounded.
//!
//! # Aliases
//! Three schema extensions declare alternative spellings: `"x-aliases": ["…"]` in a member's schema for its
//! key, `"x-aliases"` beside a `const` for that choice, and `"x-enum-aliases": {"value": ["…"]}` beside an
//! `enum`.
//!
//! # Code
//! A string whose schema has `"x-code": true` holds code. If it is the whole reply, its value is the content
//! of the only code fence or, without a fence, the text without the blank lines around it; two fences with
//! different contents are [`ProblemKind::Ambiguous`]. Inside JSON a fence is removed only if it is the whole
//! content of the string.

#![cfg_attr(docsrs, feature(doc_cfg))]

mod block;
mod candidates;
mod code;
mod coerce;
mod docs;
mod error;
mod loose;
mod path;
mod plan;
mod repair;
mod report;
mod root;
mod sample;
mod show;
mod soundness;
mod strict;
mod text;
#[doc(hidden)]
pub mod thoughts;
mod tree;
mod type_text;
mod yaml;

#[cfg(test)]
mod tests;

use std::any::TypeId;
use std::collections::HashMap;
use std::sync::{Arc, LazyLock, RwLock};

use dspy_base::locks::RwLockExt as _;
use schemars::JsonSchema;
use serde::de::DeserializeOwned;
use serde_json::Value;

pub use error::{DecodeError, Problem, ProblemKind, SchemaError};
pub use path::ValuePath;
pub use report::{Decoded, ParseReport, Repair, RepairKind};
pub use root::Partial;
pub use type_text::{TypeText, describe};

/// Internals that `dspy-core` uses. Not covered by semantic versioning.
#[doc(hidden)]
pub mod internal {
    pub use crate::docs::{brief, shorten};
    pub use crate::root::text_reply::{is_nothing, may_be_nothing};
    pub use crate::sample::words;
    pub use crate::type_text::Definitions;
}

/// The maximum nesting depth of brackets; deeper replies are [`ProblemKind::TooDeep`].
///
/// ```
/// use dspy_decode::{decode, MAX_DEPTH, ProblemKind};
/// let reply = "[".repeat(MAX_DEPTH + 1);
/// assert!(decode::<serde_json::Value>(&reply).unwrap_err().is(ProblemKind::TooDeep));
/// ```
pub const MAX_DEPTH: usize = 64;

/// The maximum length of a reply in bytes. Longer replies are [`ProblemKind::TooLarge`], except for a bare
/// string, which is not parsed.
///
/// ```
/// assert_eq!(dspy_decode::MAX_BYTES, 16 * 1024 * 1024);
/// ```
pub const MAX_BYTES: usize = 16 * 1024 * 1024;

/// Decodes a reply as a value of type `T`. The schema of `T` is compiled once per process.
///
/// ```
/// let read = dspy_decode::decode::<Option<f64>>("$1,250.50")?;
/// assert_eq!(read.value, Some(1250.5));
/// # Ok::<(), dspy_decode::DecodeError>(())
/// ```
///
/// # Errors
/// If the text holds no such value, several, or a truncated one; see [`ProblemKind`].
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

/// Returns the plan of a type, compiled once per process.
fn plan_of<T: JsonSchema + 'static>() -> Result<Plan, SchemaError> {
    // The number of types is fixed at compile time, so the map does not grow with the input.
    static PLANS: LazyLock<RwLock<HashMap<TypeId, Result<Plan, SchemaError>>>> =
        LazyLock::new(RwLock::default);
    let id = TypeId::of::<T>();
    if let Some(plan) = PLANS.read_any().get(&id) {
        return plan.clone();
    }
    let schema = schemars::SchemaGenerator::default().into_root_schema_for::<T>();
    let plan = Plan::new(schema.as_value());
    PLANS.write_any().insert(id, plan.clone());
    plan
}

/// Decodes a reply as a value of a JSON Schema.
///
/// ```
/// let schema = serde_json::json!({"enum": ["billing", "bug"]});
/// let read = dspy_decode::decode_value("This is a **Bug**.", &schema)?;
/// assert_eq!(read.value, "bug");
/// # Ok::<(), dspy_decode::DecodeError>(())
/// ```
///
/// # Errors
/// The same as for [`decode`]; an unusable schema is a problem of kind [`ProblemKind::Refused`]. Create a
/// [`Plan`] to distinguish the two and to compile the schema only once.
pub fn decode_value(text: &str, schema: &Value) -> Result<Decoded<Value>, DecodeError> {
    Plan::new(schema).map_err(root::unusable)?.decode(text)
}

/// A JSON Schema compiled for decoding. Clones are cheap, and a plan can be shared between threads.
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
    /// If no value can satisfy the schema, or replies could not be assigned to its choices; see
    /// [`SchemaError`].
    pub fn new(schema: &Value) -> Result<Self, SchemaError> {
        Ok(Self { schema: Arc::new(plan::Schema::compile(schema)?) })
    }

    /// Returns the type in the notation that prompts use.
    ///
    /// ```
    /// let plan = dspy_decode::Plan::new(&serde_json::json!({"type": "boolean"}))?;
    /// assert_eq!(plan.type_text().notation, "boolean");
    /// # Ok::<(), dspy_decode::SchemaError>(())
    /// ```
    pub fn type_text(&self) -> TypeText {
        self.schema.text()
    }

    /// Decodes a reply.
    ///
    /// ```
    /// let plan = dspy_decode::Plan::new(&serde_json::json!({"type": "boolean"}))?;
    /// assert_eq!(plan.decode("**True**")?.value, true);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// If the text holds no such value, several, or a truncated one; see [`ProblemKind`].
    pub fn decode(&self, text: &str) -> Result<Decoded<Value>, DecodeError> {
        root::decode(&self.schema, text)
    }

    /// Decodes a JSON value (native structured output, tool arguments). Keys, spellings and types inside it
    /// are matched as leniently as in text.
    ///
    /// ```
    /// let plan = dspy_decode::Plan::new(&serde_json::json!({"properties": {"age": {"type": "integer"}}}))?;
    /// assert_eq!(plan.coerce(serde_json::json!({"Age": "41"}))?.value, serde_json::json!({"age": 41}));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// The same as for [`decode`](Self::decode).
    pub fn coerce(&self, value: Value) -> Result<Decoded<Value>, DecodeError> {
        root::coerce(&self.schema, value)
    }

    /// Decodes the beginning of a reply and returns the part that is certain. It never fails, and parts that
    /// were returned do not change as the text grows.
    ///
    /// ```
    /// let schema = serde_json::json!({"properties": {"a": {"type": "string"}, "n": {"type": "integer"}}});
    /// let plan = dspy_decode::Plan::new(&schema)?;
    /// let so_far = plan.decode_partial(r#"{"a": "Par"#);
    /// assert_eq!(so_far.value, Some(serde_json::json!({"a": "Par"})));
    /// assert!(!so_far.complete);
    /// // A number may have more digits, so it is withheld.
    /// assert_eq!(plan.decode_partial(r#"{"n": 4"#).value, Some(serde_json::json!({})));
    /// # Ok::<(), dspy_decode::SchemaError>(())
    /// ```
    pub fn decode_partial(&self, text: &str) -> Partial {
        root::decode_partial(&self.schema, text)
    }
}

/// Compiles the README's examples as doc tests.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
