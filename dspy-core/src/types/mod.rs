//! The notation for types in prompts, a compact pseudo-schema instead of JSON Schema; and the field types of
//! the library.
//!
//! Any type with serde's traits and `JsonSchema` can be the type of a field. The types of this module have
//! special support: prompts show [`Image`], [`Audio`] and [`File`] as media, [`History`] as turns,
//! [`Document`] numbered and [`Code`] in a fence; the quotes of [`Citations`] can be verified, and [`BigInt`]
//! keeps every digit.
//!
//! # The notation
//!
//! Prompts describe a type in a notation like TypeScript's, which says the same as its JSON Schema in a
//! fraction of the tokens. [`describe`] writes it from the plan that replies are decoded by, so that the
//! prompt and the decoder cannot disagree: every value that the notation describes is accepted, and every
//! value that is accepted without repairs is described. Other spellings that the decoder accepts, such as
//! aliases, are not shown.
//!
//! ```text
//! type     = ["|"] limited { "|" limited }
//! limited  = list [ "/*" limit { "; " limit } "*/" ]
//! list     = single { "[]" }
//! single   = "string" | "number" | "integer" | "boolean" | "null" | "any" | "never" | "object"
//!          | constant | "(" type ")" | tuple | members | own | Name
//! tuple    = "[" [ item { "," item } ] "]"          item   = type [ "?" ] | "..." list
//! members  = "{" [ member { "," member } ] "}"      member = name [ "?" ] ":" type
//!                                                          | "[key:" type "]:" type
//! own      = "image" | "audio" | "file" | "history" | "document" | "code" [ "in" words ]
//! name     = letters, digits, "_", "$", "-"  |  a JSON string
//! constant = a string, a number, true or false as JSON has them
//! limit    = ("at least" | "at most" | "greater than" | "less than" | "a multiple of") number
//!          | "from" number "to" number
//!          | ("exactly" | "at least" | "at most" | number "to") number ("characters" | "items" | "entries")
//!          | "no duplicates" | a format in words | "matches /" pattern "/"
//! ```
//!
//! - A comma may follow the last part of a tuple or of an object.
//! - `// …` up to the end of a line documents the part before it and restricts nothing; `/* … */` contains
//!   the limits of the type before it. Inside, `*/` is written `*\/`. A pattern comes last.
//! - An object has the members that are named and no others; one marked `?` may be absent. `[key: K]: T`
//!   allows any number of further members whose names are a `K`; one that limits its keys goes before one
//!   that does not. `object` is an object with any members.
//! - `integer` is an integer of 32 bits unless limits say otherwise. If the Rust type has 64 bits, larger
//!   numbers are accepted, too: describing the widths of 32 and 64 bits is not worth the tokens.
//! - A `Name` is defined once, below `Types:`. A type gets a name if it contains itself, needs several lines,
//!   or is long and mentioned twice. Names are those of the schema; two types never share one, except in
//!   different fields of a signature, where the definitions are then listed by field.
//! - The limits (`Must be: …`) and the descriptions of variants of a field's own type are written beside the
//!   field, not in the type. A variant is listed by its value, its tag or its only key; one without any of
//!   these by its type.
//!
//! Documentation comes from doc comments, up to the first heading or code fence: examples and `# Errors` are
//! for readers of rustdoc. `#[schemars(description = "…")]` overrides a doc comment.
//!
//! ```
//! use dspy_core::types::describe;
//! use schemars::{JsonSchema, schema_for};
//!
//! #[derive(JsonSchema)]
//! struct Circle {
//!     radius: f64,
//! }
//!
//! #[derive(JsonSchema)]
//! #[serde(tag = "shape")]
//! enum Shape {
//!     /// Round.
//!     Circle(Circle),
//!     Named { name: String, tags: Vec<u8> },
//! }
//!
//! let text = describe(schema_for!(Vec<Shape>).as_value());
//! assert_eq!(text.notation, "Shape[]");
//! let shape = "(
//!   | { shape: \"Circle\", radius: number } // Round.
//!   | { shape: \"Named\", name: string, tags: (integer /* from 0 to 255 */)[] }
//! )";
//! assert_eq!(text.definitions["Shape"], shape);
//! ```

mod big_int;
mod code;
mod document;
mod finite;
mod history;
mod media;
mod reasoning;
mod schema;
mod schema_walk;
mod shown_turns;
mod tool_calls;
mod trajectory;

pub(crate) use crate::decode::internal::{Definitions, shorten};
pub use crate::decode::{TypeText, describe};
pub use big_int::{BigInt, BigIntError};
pub use code::{Code, Language, language};
pub(crate) use document::show_documents;
pub use document::{
    Citation, CitationError, CitationErrorKind, CitationProblem, Citations, Document, Passage,
};
pub(crate) use finite::{is_too_deep, non_finite};
pub use history::History;
pub use media::{Audio, File, Image, MAX_MEDIA_BYTES, MediaError};
pub(crate) use media::{Captured, media_form, media_of, parts};
pub use reasoning::Reasoning;
pub(crate) use schema::{root_schema, schema_of_members};
pub(crate) use schema_walk::{Place, mentions};
#[doc(hidden)]
pub use shown_turns::ShownTurns;
pub use tool_calls::ToolCalls;
pub(crate) use trajectory::calls_with_results;
pub use trajectory::{Observation, Thought, Trajectory, Turn};
