//! The common parts of the protocols: models at an address, the ladder of reply formats, several completions from
//! endpoints that return one per request, conversion of JSON Schemas to the supported subset, assembly of streamed
//! replies, and tolerant parsing of JSON.
//!
//! A protocol is a [`Codec`]: it writes bodies and reads replies, whole or by events. It does not handle connections.

mod assembly;
mod finish;
mod formats;
mod json;
mod read;
mod refused;
pub(crate) mod schema;
mod served;

pub(crate) use assembly::{Assembly, Pieces, completion_at};
pub(crate) use finish::{finish_reason, finish_word};
pub(crate) use formats::Format;
pub(crate) use json::parse;
pub(crate) use read::{
    BREAK, Source, arguments_object, completion_of, count, dollars, garbage, merge, number, read_arguments,
    string,
};
pub(crate) use refused::{Parameter, Refused};
use served::Served;

use crate::network::transport::{Answer, Failure, Route};
use crate::protocols::anthropic::Messages;
use crate::protocols::gemini::Contents;
use crate::protocols::openai::Chat;
use crate::protocols::responses::Responses;
use crate::{Endpoint, Lm, LmError, Protocol, Request, Response};

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

/// Creates a handle to the model with this name, with the protocol of its endpoint.
pub(crate) fn model(endpoint: &Endpoint, id: String, name: String) -> Result<Lm, LmError> {
    let dialect = endpoint.dialect_of(&name);
    let route = route(endpoint, dialect.protocol, &name);
    match dialect.protocol {
        Protocol::Chat => Served::lm(endpoint, id, &route, dialect, Chat::new(name, dialect)),
        Protocol::Responses => Served::lm(endpoint, id, &route, dialect, Responses::new(name, dialect)),
        Protocol::Anthropic => Served::lm(endpoint, id, &route, dialect, Messages::new(name, dialect)),
        Protocol::Gemini => Served::lm(endpoint, id, &route, dialect, Contents::new(name, dialect)),
    }
}

fn route(endpoint: &Endpoint, protocol: Protocol, name: &str) -> Route {
    // Tuned models have a separate collection.
    let collection = if name.contains('/') { "" } else { "models/" };
    let path = match protocol {
        Protocol::Chat if endpoint.deployments => {
            format!("/deployments/{}/chat/completions", endpoint.deployment.as_deref().unwrap_or(name))
        }
        Protocol::Chat => "/chat/completions".into(),
        Protocol::Responses => "/responses".into(),
        Protocol::Anthropic => "/messages".into(),
        Protocol::Gemini => format!("/{collection}{name}:generateContent"),
    };
    let stream_path =
        (protocol == Protocol::Gemini).then(|| format!("/{collection}{name}:streamGenerateContent?alt=sse"));
    Route {
        path,
        stream_path,
        root: protocol.root(),
        key_header: endpoint.key_header.or(protocol.key_header()),
        headers: protocol.headers(),
    }
}

#[cfg(test)]
mod tests;
