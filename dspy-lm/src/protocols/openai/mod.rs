//! OpenAI's chat completions, supported by nearly every server.

mod calls;
mod logprobs;
mod plain;
mod request;
mod response;
mod stream;
mod tools;

pub(crate) use logprobs::read as read_logprobs;
pub use request::message_value;
pub use tools::tool_value;
pub(crate) use tools::{arguments_text, parameters};

use crate::network::transport::{Answer, Failure};
use crate::protocols::dialect::Dialect;
use crate::protocols::wire::{Assembly, Codec, Format, Refused, Source};
use crate::{Request, Response};

/// The codec of chat completions for one model.
#[derive(Debug)]
pub(crate) struct Chat {
    /// The model's name in requests.
    name: String,
    dialect: Dialect,
}

impl Chat {
    pub(crate) fn new(name: String, dialect: Dialect) -> Self {
        Chat { name, dialect }
    }
}

/// Returns the source of `reasoning_details`.
fn source(model: &str) -> Source<'_> {
    Source { protocol: "chat", model }
}

impl Codec for Chat {
    type Pieces = stream::ChatStream;

    fn body(
        &self,
        request: &Request,
        format: &Format,
        refused: Refused,
        stream: bool,
    ) -> Result<Vec<u8>, String> {
        let dialect = refused.dialect(self.dialect);
        request::body(&self.name, request, format, dialect, stream).map_err(|error| error.to_string())
    }

    fn read(&self, answer: &Answer) -> Result<Response, Failure> {
        response::read(answer, &self.name)
    }

    fn events(&self) -> Assembly<'_, Self::Pieces> {
        Assembly::new(&self.name)
    }
}
