//! Types as a model reads them, a compact pseudo-schema instead of JSON Schema; and the field types of the library.
//!
//! Any type with serde's traits and `JsonSchema` can stand in a field. Those here are more than their JSON: prompts
//! show [`Image`], [`Audio`] and [`File`] as media, [`History`] as turns, [`Document`] numbered, [`Code`] in a fence;
//! the quotes of [`Citations`] can be verified, and [`BigInt`] loses no digit.

mod big_int;
mod code;
mod constraint;
mod document;
mod history;
mod media;
mod place;
mod pseudo;
mod reasoning;

pub use big_int::{BigInt, BigIntError};
pub use code::{Code, Language, language};
pub(crate) use document::show_documents;
pub use document::{
    Citation, CitationError, CitationErrorKind, CitationProblem, Citations, Document, Passage,
};
pub use history::History;
pub(crate) use media::media_of;
pub use media::{Audio, File, Image, MAX_MEDIA_BYTES, MediaError};
pub(crate) use place::{Place, mentions};
pub use pseudo::{TypeText, describe};
pub use reasoning::Reasoning;
