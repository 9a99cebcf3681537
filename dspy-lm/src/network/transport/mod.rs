//! The HTTP transport: one POST with its retries, time limits and size limit, and errors without secrets.
//!
//! Request bodies and the decoding of replies belong to the codecs.

mod base_url;
mod cause;
mod client;
mod failure;
mod headers;
mod inflate;
mod report;
mod retry;
mod retry_after;
mod runtime;
mod streaming;

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use futures_util::FutureExt as _;
use reqwest::header::{CONTENT_ENCODING, HeaderMap, HeaderName, LOCATION};
use reqwest::{Method, Request, Url};
use tokio::time::Instant;
use tracing::Instrument as _;

use crate::network::live;
use crate::network::rate_limit::{self, AttemptOutcome, Estimate, RateLimiter};
use crate::network::server::Server;
use crate::observe::spans;
use crate::secret::{Secrets, mark, public_url};
use crate::{LmError, LmErrorKind, Response, Usage};
use base_url::BaseUrl;
use cause::Cause;
pub use cause::is_unsent;
pub(crate) use failure::Failure;
use failure::Lasting;
pub(crate) use report::looks_like_html;
use retry::{Failed, Patience};
pub(crate) use streaming::Events;

/// The maximum size of a reply, in bytes.
const BODY_LIMIT: usize = 32 << 20;
/// The maximum number of bytes read from the body of a failed request.
const FAILURE_LIMIT: usize = 1 << 20;
/// The maximum length of a body's or message's excerpt in an error, in bytes.
const EXCERPT: usize = 2 << 10;

/// The path below a base URL, and what requests need in addition to the server's settings.
#[derive(Debug, Default)]
pub(crate) struct Route {
    /// The path below the base URL.
    pub(crate) path: String,
    /// The path for streamed replies, if it differs.
    pub(crate) stream_path: Option<String>,
    /// The default path of a base URL without one.
    pub(crate) root: &'static str,
    /// The header that holds the key; `None` for a bearer token.
    pub(crate) key_header: Option<&'static str>,
    /// Headers required on every request.
    pub(crate) headers: &'static [(&'static str, &'static str)],
}

/// A connection to one address with its credentials, retry policy and limits.
pub(crate) struct Transport {
    model: String,
    endpoint: String,
    /// A digest, after a `#`, of what else can change the answer; empty if nothing does.
    variant: String,
    url: Url,
    stream_url: Url,
    headers: HeaderMap,
    client: reqwest::Client,
    patience: Patience,
    idle_timeout: Option<Duration>,
    rate_limiter: RateLimiter,
    /// Keeps the credentials registered, so that stored answers hide them.
    _published: Arc<Secrets>,
    secrets: Secrets,
    local: bool,
    /// The hint in the error for a refused key.
    key_hint: String,
}

/// Returns the HTTP client for requests to this address other than those to models.
///
/// # Errors
/// A message if the address is malformed.
pub fn client_for(url: &str) -> Result<reqwest::Client, String> {
    client::client(BaseUrl::parse(url, "/")?.is_local())
}

/// The body of a request and its estimated tokens.
pub(crate) struct Outgoing {
    body: Vec<u8>,
    estimate: Estimate,
}

impl Outgoing {
    /// Creates the body of a request to a model.
    pub(crate) fn new(body: Vec<u8>, request: &crate::Request) -> Self {
        Outgoing { estimate: Estimate::of_body(request, body.len()), body }
    }

    /// Creates a body for which no reply is generated.
    pub(crate) fn plain(body: Vec<u8>) -> Self {
        Outgoing { estimate: Estimate::of_text(body.len()), body }
    }
}

/// A result with its usage.
pub(crate) trait Metered {
    /// Returns the usage, if the result reports it.
    fn usage(&self) -> Option<Usage>;
}

impl Metered for Response {
    fn usage(&self) -> Option<Usage> {
        (self.usage.total_tokens() > 0).then_some(self.usage)
    }
}

/// A complete reply.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) request_id: Option<String>,
    pub(crate) body: Vec<u8>,
    headers: HeaderMap,
}

/// The headers that identify a request, in order of preference.
static REQUEST_IDS: [HeaderName; 3] = [
    HeaderName::from_static("x-request-id"),
    HeaderName::from_static("request-id"),
    HeaderName::from_static("apim-request-id"),
];

impl Answer {
    fn header(&self, name: &HeaderName) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// Returns the wait that the headers request.
    fn retry_after(&self) -> Option<Duration> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        retry_after::retry_after(self.status, &self.headers, now)
    }
}

#[cfg(test)]
impl Answer {
    /// Creates a successful reply with this body.
    pub(crate) fn of(body: &[u8]) -> Self {
        Answer { status: 200, request_id: None, body: body.to_vec(), headers: HeaderMap::new() }
    }
}

/// A reply whose head has arrived.
struct Incoming {
    answer: Answer,
    response: reqwest::Response,
    /// The compression of the body, if any. The client does not request one.
    encoding: Option<String>,
}

fn too_large() -> Failure {
    Failure::new(LmErrorKind::Decode, format!("the reply is larger than {} MiB", BODY_LIMIT >> 20))
}

impl Transport {
    /// Creates the transport to `route` below the base URL of `server`, for the model with this id.
    pub(crate) fn new(server: &Server, model: &str, route: &Route) -> Result<Self, LmError> {
        let wrong = |message: String| LmError::new(LmErrorKind::Configuration, model, message);
        let base = BaseUrl::parse(&server.base_url, route.root).map_err(wrong)?;
        let mut secrets = Secrets::default();
        for (value, is_likely) in base.query_values() {
            if is_likely {
                secrets.add_credential(value);
            } else {
                secrets.add(value);
            }
        }
        base.keys_in_path().for_each(|part| secrets.add(part));
        let keys = server.key.iter().chain(server.headers.iter().map(|(_, value)| value));
        let headers = headers::headers(server, route, &mut secrets).map_err(wrong)?;
        let varying = headers::varying(server, &headers).map_err(wrong)?;
        let hidden = base.hidden();
        let variant = if hidden.is_empty() && varying.is_empty() {
            String::new()
        } else {
            format!("#{}", mark(std::iter::once(hidden).chain(varying.iter().map(String::as_str))))
        };
        Ok(Transport {
            model: model.to_owned(),
            endpoint: base.shown(),
            variant,
            url: base.join(&route.path),
            stream_url: base.join(route.stream_path.as_deref().unwrap_or(&route.path)),
            headers,
            client: client::client(base.is_local()).map_err(wrong)?,
            patience: Patience {
                timeout: server.timeout,
                deadline: server.deadline,
                retries: server.retries,
                backoff: server.backoff,
            },
            idle_timeout: server.idle_timeout,
            rate_limiter: rate_limit::rate_limiter([&base.shown(), hidden], keys, model, &server.limits),
            _published: secrets.publish(),
            secrets,
            local: base.is_local(),
            key_hint: match (&server.key, server.key_var) {
                (None, _) => "no key was sent".into(),
                (_, Some(var)) => format!("the key came from {var}"),
                (_, None) => "check the key".into(),
            },
        })
    }

    /// Returns the identity of this address: the base URL with `path` below it, without secrets, and a digest of what
    /// else can change the answer.
    pub(crate) fn address(&self, path: &str) -> String {
        format!("{}{path}{}", self.endpoint, self.variant)
    }

    /// Posts a JSON body and reads the answer with `decode`; retries after transient failures.
    pub(crate) async fn post<T: Metered>(
        &self,
        outgoing: Outgoing,
        decode: impl Fn(&Answer) -> Result<T, Failure>,
    ) -> Result<T, LmError> {
        let Outgoing { body, estimate } = outgoing;
        let body = Bytes::from(body);
        self.repeat(estimate, |time| self.attempt(body.clone(), time, &decode)).await
    }

    /// Makes rate-limited attempts until one succeeds, the failure is permanent, or time or retries run out.
    async fn repeat<T: Metered, F: Future<Output = Result<T, Failed>>>(
        &self,
        estimate: Estimate,
        attempt: impl Fn(Duration) -> F,
    ) -> Result<T, LmError> {
        live::allow(&self.model)?;
        runtime::check(&self.model)?;
        let resend = AtomicU32::new(0);
        retry::retry(self.patience, |end| {
            let (attempt, resend) = (&attempt, &resend);
            async move {
                let entered = self.rate_limiter.enter(estimate, end).await;
                let pass = entered
                    .map_err(|refusal| Failed { error: refusal.error(&self.model).into(), hopeless: true })?;
                // The wait for a permit is no part of the attempt.
                let span = spans::attempt(resend.fetch_add(1, Ordering::Relaxed));
                let time = self.patience.attempt(pass.admitted(), end);
                let result = if span.is_disabled() {
                    attempt(time).await
                } else {
                    let result = Box::pin(attempt(time).instrument(span.clone())).await;
                    if let Err(failed) = &result {
                        spans::attempt_failed(&span, &failed.error);
                    }
                    result
                };
                pass.settle(&match &result {
                    Ok(answer) => AttemptOutcome::Answered(answer.usage()),
                    Err(failed) => AttemptOutcome::of(&failed.error),
                });
                result
            }
        })
        .await
    }

    /// Sends the request that `make` derives from an empty POST and reads the answer with `decode`; retries after
    /// failures of the kinds that `again` accepts. Bodies may be streams, as each attempt builds a new one.
    pub(crate) async fn exchange<T>(
        &self,
        make: impl Fn(Request) -> Request,
        again: impl Fn(LmErrorKind) -> bool,
        decode: impl Fn(&Answer) -> Result<T, Failure>,
    ) -> Result<T, LmError> {
        live::allow(&self.model)?;
        runtime::check(&self.model)?;
        let (make, again, decode) = (&make, &again, &decode);
        let attempt = |end| async move {
            let exchange = async {
                let request = make(self.request(&self.url, Bytes::new()));
                let mut incoming = self.execute(request, self.patience.attempt(Instant::now(), end)).await?;
                self.read_body(&mut incoming).await?;
                self.judge(incoming.answer, decode)
            };
            exchange.await.map_err(|mut failed: Failed| {
                failed.hopeless |= !again(failed.error.kind);
                failed
            })
        };
        retry::retry(self.patience, attempt).await
    }

    fn request(&self, url: &Url, body: Bytes) -> Request {
        let mut request = Request::new(Method::POST, url.clone());
        request.headers_mut().clone_from(&self.headers);
        *request.body_mut() = Some(body.into());
        request
    }

    async fn attempt<T>(
        &self,
        body: Bytes,
        time: Duration,
        decode: &impl Fn(&Answer) -> Result<T, Failure>,
    ) -> Result<T, Failed> {
        let mut incoming = self.execute(self.request(&self.url, body), time).await?;
        self.read_body(&mut incoming).await?;
        self.judge(incoming.answer, decode)
    }

    /// Decodes a complete reply, or returns its failure.
    fn judge<T>(
        &self,
        answer: Answer,
        decode: impl FnOnce(&Answer) -> Result<T, Failure>,
    ) -> Result<T, Failed> {
        let outcome = match answer.status {
            200..300 => decode(&answer),
            300..400 => {
                let target = answer.header(&LOCATION).map_or("elsewhere".into(), public_url);
                let message =
                    format!("the base URL {} redirects to {target}; give the final one", self.endpoint);
                Err(Failure::new(LmErrorKind::Configuration, message))
            }
            status => Err(Failure::of_status(status, &answer.body)),
        };
        outcome
            .map_err(|failure| Failed { error: self.error(failure, Some(&answer)).into(), hopeless: false })
    }

    /// Sends the request and waits for the head of the reply.
    fn execute(
        &self,
        mut request: Request,
        time: Duration,
    ) -> impl Future<Output = Result<Incoming, Failed>> + use<'_> {
        *request.timeout_mut() = Some(time);
        // The request is passed on here, so that the future does not hold it.
        self.head(self.client.execute(request))
    }

    async fn head(
        &self,
        sent: impl Future<Output = reqwest::Result<reqwest::Response>>,
    ) -> Result<Incoming, Failed> {
        // Without a reactor, the connection panics inside a dependency.
        let mut response = match AssertUnwindSafe(sent).catch_unwind().await {
            Ok(response) => response.map_err(|error| self.broken(&error))?,
            Err(panic) => {
                let failure = runtime::panicked(&*panic);
                return Err(Failed { error: self.error(failure, None).into(), hopeless: true });
            }
        };
        spans::http_status(response.status().as_u16());
        let headers = std::mem::take(response.headers_mut());
        let (status, body) = (response.status().as_u16(), Vec::new());
        let mut answer = Answer { status, request_id: None, body, headers };
        answer.request_id = REQUEST_IDS.iter().find_map(|name| answer.header(name)).map(str::to_owned);
        let encoding = answer.header(&CONTENT_ENCODING).map(str::to_owned);
        let encoding = encoding.filter(|encoding| !encoding.eq_ignore_ascii_case("identity"));
        Ok(Incoming { answer, response, encoding })
    }

    /// Reads the body of the reply to its end.
    async fn read_body(&self, incoming: &mut Incoming) -> Result<(), Failed> {
        let Incoming { answer, response, encoding } = incoming;
        let success = response.status().is_success();
        if let Some(encoding) = encoding {
            if !success {
                return Box::pin(self.read_reason(answer, response, encoding)).await;
            }
            let message = format!("the reply is compressed ({encoding}), which was not asked for");
            let error = self.error(Failure::new(LmErrorKind::Decode, message), Some(answer));
            return Err(Failed { error: error.into(), hopeless: true });
        }
        let limit = if success { BODY_LIMIT } else { FAILURE_LIMIT };
        loop {
            match response.chunk().await {
                Ok(Some(chunk)) if answer.body.len() + chunk.len() <= limit => {
                    answer.body.extend_from_slice(&chunk);
                }
                Ok(None) => return Ok(()),
                // The status already identifies the failure.
                Ok(Some(_)) | Err(_) if !success => return Ok(()),
                Ok(Some(_)) => {
                    let failure = too_large();
                    return Err(Failed { error: self.error(failure, Some(answer)).into(), hopeless: true });
                }
                Err(error) => return Err(self.broken(&error)),
            }
        }
    }

    /// Reads the compressed body of a failure, so that its reason is not lost.
    async fn read_reason(
        &self,
        answer: &mut Answer,
        response: &mut reqwest::Response,
        encoding: &str,
    ) -> Result<(), Failed> {
        let mut compressed = Vec::new();
        // A body that is too long or incomplete is read as far as possible.
        while let Ok(Some(chunk)) = response.chunk().await {
            if compressed.len() + chunk.len() > FAILURE_LIMIT {
                break;
            }
            compressed.extend_from_slice(&chunk);
        }
        answer.body = inflate::inflate(encoding, &compressed, FAILURE_LIMIT).unwrap_or_else(|| {
            format!("the reason is compressed ({encoding}), which was not asked for").into_bytes()
        });
        Ok(())
    }

    /// Returns the failure of an interrupted exchange.
    fn broken(&self, error: &reqwest::Error) -> Failed {
        let mut failure = Failure::of_exchange(error);
        let lasting = Lasting::of_exchange(error);
        // A remote server that refuses connections may be restarting; one on this machine was probably not started.
        let forgotten = self.local && lasting == Some(Lasting::Refused);
        if forgotten {
            failure.message.push_str("; is the server running?");
        }
        if let Some(reason) = client::no_certificates().filter(|_| lasting == Some(Lasting::Tls)) {
            failure.message = format!("{}; this machine has no root certificates: {reason}", failure.message);
        }
        let hopeless = forgotten || lasting == Some(Lasting::Tls);
        let mut lm_error = self.error(failure, None);
        lm_error.attempts = u32::from(!error.is_builder());
        lm_error.source = Cause::of(error, &self.secrets).map(|cause| Arc::new(cause) as _);
        Failed { error: lm_error.into(), hopeless }
    }

    /// Converts a failure to the caller's error: with hints, without secrets.
    fn error(&self, failure: Failure, answer: Option<&Answer>) -> LmError {
        let hint = match failure.kind {
            LmErrorKind::Auth => format!(" ({})", self.key_hint),
            LmErrorKind::NotFound => {
                format!(" (check the model's name and the base URL {})", self.endpoint)
            }
            LmErrorKind::Decode | LmErrorKind::Transport | LmErrorKind::Timeout => {
                format!(" ({})", self.endpoint)
            }
            _ => String::new(),
        };
        let message = self.secrets.excerpt(failure.message.as_bytes(), EXCERPT) + &hint;
        let mut error = LmError::new(failure.kind, &self.model, message);
        if let Some(answer) = answer {
            error.attempts = 1;
            error.status = Some(answer.status);
            error.request_id = answer.request_id.as_deref().map(|id| self.secrets.scrub(id));
            error.retry_after = answer.retry_after().or(failure.retry_after);
            error.body = Some(self.secrets.excerpt(&answer.body, EXCERPT)).filter(|body| !body.is_empty());
        }
        error
    }
}

impl std::fmt::Debug for Transport {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Neither the full address nor the headers: both may contain keys.
        f.debug_struct("Transport").field("endpoint", &self.endpoint).finish_non_exhaustive()
    }
}
