//! The common parts of the protocols: models at an address, the ladder of reply formats, several completions from
//! endpoints that return one per request, conversion of JSON Schemas to the supported subset, and assembly of streamed
//! replies.
//!
//! A protocol is a [`Codec`]: it writes bodies and reads replies, whole or by events. It does not handle connections.

mod assembly;
mod finish;
mod formats;
mod read;
mod refused;
pub(crate) mod schema;
mod served;

pub(crate) use assembly::{Assembly, Pieces, completion_at};
pub(crate) use finish::{finish_reason, finish_word};
pub(crate) use formats::Format;
pub(crate) use read::{BREAK, Source, arguments_object, completion_of, garbage, merge, read_arguments};
pub(crate) use refused::{Parameter, Refused};
use served::Served;

use crate::network::transport::{Answer, Failure, Transport};
use crate::protocols::anthropic::Messages;
use crate::protocols::dialect::Dialect;
use crate::protocols::gemini::Contents;
use crate::protocols::openai::Chat;
use crate::protocols::responses::Responses;
use crate::{Lm, Protocol, Request, Response};

/// Returns the line above the media in a tool's result, for endpoints that take them outside of it.
pub(crate) fn media_title(call: &str) -> String {
    format!("In the result of the call {call}:")
}

/// The encoder and decoder of one protocol, for one model.
pub(crate) trait Codec: std::fmt::Debug + Send + Sync + 'static {
    /// The protocol's part of the decoder for streamed replies.
    type Pieces: Pieces;

    /// Returns the body of a request, without the parameters that the endpoint has `refused`, or the reason why the
    /// protocol cannot express the request.
    fn body(
        &self,
        request: &Request,
        format: &Format,
        refused: Refused,
        stream: bool,
    ) -> Result<Vec<u8>, String>;

    /// Reads a whole reply.
    fn read(&self, answer: &Answer) -> Result<Response, Failure>;

    /// Creates a decoder for a streamed reply.
    fn events(&self) -> Assembly<'_, Self::Pieces>;
}

/// Creates a handle to the model with this name behind `transport`, with the protocol of `dialect`. `address` is its
/// [`endpoint`](Lm::endpoint).
pub(crate) fn model(transport: Transport, id: String, address: String, dialect: Dialect, name: String) -> Lm {
    match dialect.protocol {
        Protocol::Chat => Served::lm(transport, id, address, dialect, Chat::new(name, dialect)),
        Protocol::Responses => Served::lm(transport, id, address, dialect, Responses::new(name, dialect)),
        Protocol::Anthropic => Served::lm(transport, id, address, dialect, Messages::new(name, dialect)),
        Protocol::Gemini => Served::lm(transport, id, address, dialect, Contents::new(name, dialect)),
    }
}

#[cfg(test)]
mod tests;
