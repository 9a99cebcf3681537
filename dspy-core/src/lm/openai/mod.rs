//! OpenAI's chat completions, as nearly every server speaks them.

mod request;
mod response;
mod stream;

use super::dialect::Dialect;
use super::transport::Transport;
use super::{
    BoxFuture, Capabilities, DeltaSink, Endpoint, LanguageModel, LmError, LmErrorKind, Request, Response,
};

/// One model of one endpoint.
#[derive(Debug)]
pub(super) struct OpenAiChat {
    id: String,
    /// The model's name on the wire.
    name: String,
    dialect: Dialect,
    transport: Transport,
}

impl OpenAiChat {
    pub(super) fn new(endpoint: &Endpoint, id: String, name: String) -> Result<Self, LmError> {
        let mut dialect = endpoint.dialect.for_model(&name);
        if let Some(capabilities) = endpoint.capabilities {
            dialect.capabilities = capabilities;
        }
        let transport = Transport::new(endpoint, &id, "/chat/completions")?;
        Ok(OpenAiChat { id, name, dialect, transport })
    }

    fn body(&self, request: &Request, stream: bool) -> Result<Vec<u8>, LmError> {
        request::body(&self.name, request, self.dialect, stream).map_err(|error| {
            let message = format!("the request cannot be put into this endpoint's form: {error}");
            LmError::new(LmErrorKind::InvalidRequest, &self.id, message)
        })
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
        Box::pin(async move {
            let body = self.body(request, false)?;
            self.transport.post(body, |answer| response::read(answer, &self.name)).await
        })
    }

    fn stream<'a>(
        &'a self,
        request: &'a Request,
        sink: &'a DeltaSink,
    ) -> BoxFuture<'a, Result<Response, LmError>> {
        Box::pin(async move {
            let body = self.body(request, true)?;
            let assembly = || stream::Assembly::new(&self.name);
            self.transport.stream(body, sink, assembly, |answer| response::read(answer, &self.name)).await
        })
    }
}
