//! Types as a model reads them: a compact pseudo-schema instead of JSON Schema.

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
