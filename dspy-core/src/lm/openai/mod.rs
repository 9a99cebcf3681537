//! OpenAI's chat completions, as nearly every server speaks them.

mod formats;
mod request;
mod response;
mod schema;
mod stream;
mod tools;

use super::dialect::{Dialect, OPENAI_SCHEMA, PLAIN};
use super::transport::{Outgoing, Transport};
use super::{
    BoxFuture, Capabilities, DeltaSink, Endpoint, LanguageModel, LmError, LmErrorKind, Request, Response,
};
use formats::{Format, Formats};
pub(crate) use request::message_value;
pub(crate) use tools::tool_value;

/// One model of one endpoint.
#[derive(Debug)]
pub(super) struct OpenAiChat {
    id: String,
    /// The model's name on the wire.
    name: String,
    dialect: Dialect,
    formats: Formats,
    transport: Transport,
}

impl OpenAiChat {
    pub(super) fn new(endpoint: &Endpoint, id: String, name: String) -> Result<Self, LmError> {
        let mut dialect = endpoint.dialect.for_model(&name);
        if let Some(capabilities) = endpoint.capabilities {
            dialect.capabilities = capabilities;
            // Who says of a server that nobody described that it is strict means OpenAI's rules.
            if capabilities.strict && dialect.schema == PLAIN.schema {
                dialect.schema = OPENAI_SCHEMA;
            }
        }
        let transport = Transport::new(endpoint, &id, "/chat/completions")?;
        Ok(OpenAiChat { id, name, dialect, formats: Formats::default(), transport })
    }
}

impl LanguageModel for OpenAiChat {
    fn id(&self) -> &str {
        &self.id
    }

    fn endpoint(&self) -> &str {
        self.transport.endpoint()
    }

    fn capabilities(&self) -> Capabilities {
        self.dialect.capabilities
    }

    fn complete<'a>(&'a self, request: &'a Request) -> BoxFuture<'a, Result<Response, LmError>> {
        Box::pin(self.in_best_format(request, false, |body| {
            self.transport.post(body, |answer| response::read(answer, &self.name))
        }))
    }

    fn stream<'a>(
        &'a self,
        request: &'a Request,
        sink: &'a DeltaSink,
    ) -> BoxFuture<'a, Result<Response, LmError>> {
        Box::pin(self.in_best_format(request, true, |body| {
            let assembly = || stream::Assembly::new(&self.name);
            self.transport.stream(body, sink, assembly, |answer| response::read(answer, &self.name))
        }))
    }
}

impl OpenAiChat {
    /// Sends the request in the strongest format that the endpoint takes. `send` gets the body.
    async fn in_best_format<F: Future<Output = Result<Response, LmError>>>(
        &self,
        request: &Request,
        stream: bool,
        send: impl Fn(Outgoing) -> F,
    ) -> Result<Response, LmError> {
        let (ladder, mut at) = self.formats.ladder(&request.format, self.dialect);
        let mut refusal = None;
        loop {
            let body = self.body(request, ladder.format(at), stream)?;
            match send(Outgoing::new(body, request)).await {
                Ok(response) => {
                    if let Some(refusal) = &refusal {
                        self.formats.settle(&ladder, at, refusal);
                    }
                    return Ok(response);
                }
                Err(error) => match ladder.weaker(at, &error) {
                    Some(next) => (at, refusal) = (next, Some(error)),
                    None => return Err(error),
                },
            }
        }
    }

    fn body(&self, request: &Request, format: &Format, stream: bool) -> Result<Vec<u8>, LmError> {
        request::body(&self.name, request, format, self.dialect, stream).map_err(|error| {
            let message = format!("the request cannot be put into this endpoint's form: {error}");
            LmError::new(LmErrorKind::InvalidRequest, &self.id, message)
        })
    }
}
