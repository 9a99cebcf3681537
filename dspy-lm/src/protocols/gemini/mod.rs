//! Gemini's `generateContent`.
//!
//! Source for all facts in this module: Gemini API, "Generating content" (reference), "Gemini thinking", "Thought
//! signatures", "Structured output" (November 2026).

mod content;
mod request;
mod response;
mod stream;
mod thinking;

use crate::network::transport::{Answer, Failure};
use crate::protocols::dialect::Dialect;
use crate::protocols::wire::{Assembly, Codec, Format, Refused, Source};
use crate::{Request, Response};

/// The codec of `generateContent` for one model.
#[derive(Debug)]
pub(crate) struct Contents {
    /// The model's name in requests.
    name: String,
    dialect: Dialect,
}

impl Contents {
    pub(crate) fn new(name: String, dialect: Dialect) -> Self {
        Contents { name, dialect }
    }
}

/// Returns the source of thought signatures.
fn source(model: &str) -> Source<'_> {
    Source { protocol: "gemini", model }
}

impl Codec for Contents {
    type Pieces = stream::ContentStream;

    fn body(&self, request: &Request, format: &Format, refused: Refused, _: bool) -> Result<Vec<u8>, String> {
        let body = self.request(request, format, refused)?;
        serde_json::to_vec(&body).map_err(|error| error.to_string())
    }

    fn read(&self, answer: &Answer) -> Result<Response, Failure> {
        response::read(answer, &self.name)
    }

    fn events(&self) -> Assembly<'_, Self::Pieces> {
        Assembly::new(&self.name)
    }
}
