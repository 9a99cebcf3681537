//! A model behind an address.

use std::sync::atomic::{AtomicBool, Ordering};

use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use serde_json::Value;

use super::Codec;
use super::formats::{Format, Formats};
use super::refused::{Memory, Parameter, Refused, objection};
use crate::network::transport::{Outgoing, Transport};
use crate::protocols::dialect::Dialect;
use crate::{Capabilities, DeltaSink, LanguageModel, Lm, LmError, LmErrorKind, LmFuture, Request, Response};

/// One model of one endpoint.
#[derive(Debug)]
pub(super) struct Served<C> {
    id: String,
    address: String,
    dialect: Dialect,
    formats: Formats,
    /// The parameters that the endpoint has refused.
    refused: Memory,
    /// Whether the warning about omitted stop sequences was logged.
    noted_stop: AtomicBool,
    transport: Transport,
    codec: C,
}

/// The maximum number of requests in flight for a request of several completions.
const FAN_OUT: usize = 8;

impl<C: Codec> Served<C> {
    pub(super) fn lm(transport: Transport, id: String, address: String, dialect: Dialect, codec: C) -> Lm {
        let (formats, refused, noted_stop) = (Formats::default(), Memory::default(), AtomicBool::new(false));
        Lm::custom(Served { id, address, dialect, formats, refused, noted_stop, transport, codec })
    }

    /// Answers with as many requests as the endpoint needs.
    async fn answer(&self, request: &Request, sink: Option<&DeltaSink>) -> Result<Response, LmError> {
        match request.params.n.filter(|n| *n > 1) {
            None => self.in_best_format(request, sink).await,
            // Boxed because few requests need it; the future of the others stays small.
            Some(n) => Box::pin(self.several(request, n, sink)).await,
        }
    }

    /// Answers with several completions.
    async fn several(
        &self,
        request: &Request,
        n: u32,
        sink: Option<&DeltaSink>,
    ) -> Result<Response, LmError> {
        if self.dialect.capabilities.n && !self.refused.get().has(Parameter::Count) {
            match self.in_best_format(request, sink).await {
                Err(error)
                    if self.objection(&error, request, self.refused.get(), sink.is_some())
                        == Some(Parameter::Count) =>
                {
                    self.note_refusal(Parameter::Count, &error);
                }
                answer => return answer,
            }
            let whole = self.fan_out(request, n, sink).await?;
            self.refused.add(Refused::default().with(Parameter::Count));
            return Ok(whole);
        }
        self.fan_out(request, n, sink).await
    }

    /// Requests one completion `n` times; only the first is streamed. If one fails, the others are cancelled.
    async fn fan_out(
        &self,
        request: &Request,
        n: u32,
        sink: Option<&DeltaSink>,
    ) -> Result<Response, LmError> {
        let one = |number: u32| async move {
            let mut one = request.clone();
            one.params.n = None;
            // The same seed would return the same completion each time.
            one.params.seed = one.params.seed.map(|seed| seed.wrapping_add(number.into()));
            self.in_best_format(&one, sink.filter(|_| number == 0)).await
        };
        let mut answers = stream::iter((0..n).map(one)).buffered(FAN_OUT);
        let mut whole = Response::default();
        let mut first = true;
        while let Some(answer) = answers.try_next().await? {
            if std::mem::take(&mut first) {
                whole = answer;
            } else {
                whole.completions.extend(answer.completions);
                whole.usage += answer.usage;
            }
        }
        Ok(whole)
    }

    /// Sends the request with the strongest format that the endpoint supports.
    async fn in_best_format(&self, request: &Request, sink: Option<&DeltaSink>) -> Result<Response, LmError> {
        let (ladder, mut at) = self.formats.ladder(&request.format, self.dialect);
        let mut refusal: Option<LmError> = None;
        loop {
            match self.send(request, ladder.format(at), sink).await {
                Ok(response) => {
                    if let Some(refusal) = &refusal {
                        self.formats.settle(&ladder, at, refusal);
                    }
                    return Ok(response);
                }
                Err(mut error) => {
                    if let Some(refusal) = &refusal {
                        error.add_effort(refusal.attempts, refusal.elapsed);
                    }
                    match ladder.weaker(at, &error) {
                        Some(next) => (at, refusal) = (next, Some(error)),
                        None => return Err(error),
                    }
                }
            }
        }
    }

    /// Sends the request without the parameters that the endpoint refuses, some of which only its reply may show.
    async fn send(
        &self,
        request: &Request,
        format: &Format,
        sink: Option<&DeltaSink>,
    ) -> Result<Response, LmError> {
        if !self.dialect.stop && !request.params.stop.is_empty() {
            self.note_stop();
        }
        let known = self.refused.get();
        let mut refused = known;
        let mut effort = (0, None);
        loop {
            let mut error = match self.attempt(request, format, refused, sink).await {
                Ok(response) => {
                    self.refused.add(refused);
                    return Ok(response);
                }
                Err(error) => error,
            };
            error.add_effort(effort.0, effort.1);
            let objection = self.objection(&error, request, refused, sink.is_some());
            // Several completions are requested one by one in `several`.
            match objection.filter(|parameter| !refused.has(*parameter) && *parameter != Parameter::Count) {
                Some(parameter) => {
                    self.note_refusal(parameter, &error);
                    refused = refused.with(parameter);
                    effort = (error.attempts, error.elapsed);
                }
                None => return Err(error),
            }
        }
    }

    async fn attempt(
        &self,
        request: &Request,
        format: &Format,
        refused: Refused,
        sink: Option<&DeltaSink>,
    ) -> Result<Response, LmError> {
        let sink = sink.filter(|_| !refused.has(Parameter::Stream));
        let outgoing = self.outgoing(request, format, refused, sink.is_some())?;
        let whole = |answer: &_| self.codec.read(answer);
        match sink {
            None => self.transport.post(outgoing, whole).await,
            Some(sink) => {
                Box::pin(self.transport.stream(outgoing, sink, || self.codec.events(), whole)).await
            }
        }
    }

    fn outgoing(
        &self,
        request: &Request,
        format: &Format,
        refused: Refused,
        streamed: bool,
    ) -> Result<Outgoing, LmError> {
        let taken = refused.apply(request);
        let body = self.codec.body(&taken, format, refused, streamed).map_err(|why| {
            let message = format!("the request cannot be expressed for this endpoint: {why}");
            LmError::new(LmErrorKind::InvalidRequest, &self.id, message)
        })?;
        Ok(Outgoing::new(body, request))
    }

    /// Returns the parameter that the endpoint refuses by `error`, if the request is possible without it.
    fn objection(
        &self,
        error: &LmError,
        request: &Request,
        refused: Refused,
        streamed: bool,
    ) -> Option<Parameter> {
        // Nothing was sent, or the failure is of another kind: for most errors the body need not be searched.
        if error.kind != LmErrorKind::InvalidRequest || error.status.is_none() {
            return None;
        }
        let taken = refused.apply(request);
        let streamed = streamed && !refused.has(Parameter::Stream);
        let body = self.codec.body(&taken, &Format::Text, refused, streamed).ok()?;
        let body: Value = serde_json::from_slice(&body).ok()?;
        objection(error, &body, &request.params.extra, self.dialect.protocol)
    }

    fn note_refusal(&self, parameter: Parameter, error: &LmError) {
        let (model, refusal) = (&*self.id, &*error.message);
        tracing::warn!(model, ?parameter, refusal, "the endpoint refuses a parameter; retrying without it");
    }

    fn note_stop(&self) {
        if !self.noted_stop.swap(true, Ordering::Relaxed) {
            tracing::warn!(model = &*self.id, "reasoning models take no stop sequences: `stop` is left out");
        }
    }
}

impl<C: Codec> LanguageModel for Served<C> {
    fn id(&self) -> &str {
        &self.id
    }

    fn endpoint(&self) -> &str {
        &self.address
    }

    fn capabilities(&self) -> Capabilities {
        self.dialect.capabilities
    }

    fn complete<'a>(&'a self, request: &'a Request) -> LmFuture<'a> {
        Box::pin(self.answer(request, None))
    }

    fn stream<'a>(&'a self, request: &'a Request, sink: &'a DeltaSink) -> LmFuture<'a> {
        Box::pin(self.answer(request, Some(sink)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::network::server::Server;
    use crate::network::transport::Route;
    use crate::protocols::openai::Chat;

    /// Futures are moved into one another and finally into a box, so each byte is copied with each call.
    #[test]
    fn futures_stay_small() {
        let dialect = crate::protocols::dialect::PLAIN;
        let route = Route { path: "/chat/completions".into(), root: "/v1", ..Route::default() };
        let server = Server::new("http://127.0.0.1:1/v1".into());
        let transport = Transport::new(&server, "m", &route).unwrap();
        let codec = Chat::new("m".into(), dialect);
        let (formats, refused, noted_stop) = (Formats::default(), Memory::default(), AtomicBool::new(false));
        let (id, address) = ("m".to_owned(), String::new());
        let served = Served { id, address, dialect, formats, refused, noted_stop, transport, codec };
        let request = Request::new(Vec::new());
        let sizes = [
            ("the model's answer", size_of_val(&served.answer(&request, None)), 1_700),
            ("a call of a handle", size_of_val(&Lm::scripted([""]).complete(request.clone())), 1_100),
        ];
        for (what, size, most) in sizes {
            assert!(size <= most, "{what} takes {size} bytes");
        }
    }
}
