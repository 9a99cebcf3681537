//! OpenAI's responses.
//!
//! Source for all facts in this module: OpenAI, "Responses API reference" and "Streaming events", "Migrate to the
//! Responses API" (November 2026).

mod input;
mod request;
mod response;
mod stream;

use crate::network::transport::{Answer, Failure};
use crate::protocols::dialect::Dialect;
use crate::protocols::wire::{Assembly, Codec, Format, Refused, Source};
use crate::{Request, Response};

/// The codec of responses for one model.
#[derive(Debug)]
pub(crate) struct Responses {
    /// The model's name in requests.
    name: String,
    dialect: Dialect,
}

impl Responses {
    pub(crate) fn new(name: String, dialect: Dialect) -> Self {
        Responses { name, dialect }
    }
}

/// Returns the source of encrypted reasoning.
fn source(model: &str) -> Source<'_> {
    Source { protocol: "responses", model }
}

impl Codec for Responses {
    type Pieces = stream::ResponseStream;

    fn body(
        &self,
        request: &Request,
        format: &Format,
        refused: Refused,
        stream: bool,
    ) -> Result<Vec<u8>, String> {
        let body = self.request(request, format, refused, stream)?;
        serde_json::to_vec(&body).map_err(|error| error.to_string())
    }

    fn read(&self, answer: &Answer) -> Result<Response, Failure> {
        response::read(answer, &self.name)
    }

    fn events(&self) -> Assembly<'_, Self::Pieces> {
        Assembly::new(&self.name)
    }
}
