//! Anthropic's messages.
//!
//! Source for all facts in this module: Anthropic, "Messages API reference", "Streaming messages", "Errors" (November
//! 2026).

mod content;
mod models;
mod request;
mod response;
mod stream;

use crate::network::transport::{Answer, Failure};
use crate::protocols::dialect::Dialect;
use crate::protocols::wire::{Assembly, Codec, Format, Refused, Source};
use crate::{Request, Response};
use models::Family;

/// Returns whether the model with this name supports `temperature` and `top_p`.
pub(crate) fn takes_sampling(model: &str) -> bool {
    models::family(model).sampling
}

/// The codec of messages for one model.
#[derive(Debug)]
pub(crate) struct Messages {
    /// The model's name in requests.
    name: String,
    dialect: Dialect,
    family: Family,
}

impl Messages {
    pub(crate) fn new(name: String, dialect: Dialect) -> Self {
        Messages { family: models::family(&name), name, dialect }
    }

    /// Returns the source of reasoning signatures.
    fn source(&self) -> Source<'_> {
        source(&self.name)
    }
}

fn source(model: &str) -> Source<'_> {
    Source { protocol: "anthropic", model }
}

impl Codec for Messages {
    type Pieces = stream::MessageStream;

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
