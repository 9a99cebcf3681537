//! OpenAI's chat completions, as nearly every server speaks them.

mod formats;
mod request;
mod response;
mod schema;
mod tools;

use super::dialect::{Dialect, OPENAI_SCHEMA, PLAIN};
use super::transport::Transport;
use super::{BoxFuture, Capabilities, Endpoint, LanguageModel, LmError, LmErrorKind, Request, Response};
use formats::{Format, Formats};

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
        let send = move |body| self.transport.post(body, move |answer| response::read(answer, &self.name));
        Box::pin(self.in_best_format(request, send))
    }
}

impl OpenAiChat {
    /// Sends the request in the strongest format that the endpoint takes. `send` gets the body.
    async fn in_best_format<T, F: Future<Output = Result<T, LmError>>>(
        &self,
        request: &Request,
        send: impl Fn(Vec<u8>) -> F,
    ) -> Result<T, LmError> {
        let (ladder, mut at) = self.formats.ladder(&request.format, self.dialect);
        let mut refusal = None;
        loop {
            let body = self.body(request, ladder.format(at))?;
            match send(body).await {
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

    fn body(&self, request: &Request, format: &Format) -> Result<Vec<u8>, LmError> {
        request::body(&self.name, request, format, self.dialect).map_err(|error| {
            let message = format!("the request is not JSON: {error}");
            LmError::new(LmErrorKind::InvalidRequest, &self.id, message)
        })
    }
}
