//! The error of a request without a usable answer.

use std::error::Error;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::OverBudget;
use dspy_base::error::{clipped, clipped_to};

/// The class of an [`LmError`], by which retries and callers decide.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum LmErrorKind {
    /// The model or its endpoint is configured incorrectly: unknown provider, malformed URL, missing key.
    Configuration,
    /// The key was refused (HTTP 401, 403).
    Auth,
    /// Too many requests (HTTP 429).
    RateLimit,
    /// The account has no credit left.
    Billing,
    /// The endpoint or model does not exist (HTTP 404): usually a wrong base URL or model name.
    NotFound,
    /// The prompt is longer than the model's context window.
    ContextWindow,
    /// A content filter refused the request or stopped the reply, or the model refuses to answer.
    ContentFilter,
    /// The endpoint refused the request for another reason (other HTTP 4xx).
    InvalidRequest,
    /// The endpoint failed or is temporarily unable to answer (HTTP 5xx, 409).
    Server,
    /// No answer arrived in time.
    Timeout,
    /// The connection could not be established, or was lost.
    Transport,
    /// The endpoint's answer does not conform to its protocol.
    Decode,
    /// The circuit breaker is open after repeated failures, and no requests are sent for the time in
    /// [`retry_after`](LmError::retry_after). See [`Circuit`](crate::Circuit).
    CircuitOpen,
    /// Requests over the network are [denied](crate::deny_live_requests); nothing was sent.
    Denied,
    /// The request would exceed a [budget](crate::Budget), or the budget's time is over; see
    /// [`LmError::budget`](field@crate::LmError::budget).
    Budget,
    /// A scripted model has no reply left.
    Exhausted,
    /// Only recorded answers are allowed, and none is recorded for this request; nothing was sent.
    Unrecorded,
    /// Anything else.
    Other,
}

impl LmErrorKind {
    /// Returns whether the same request is likely to succeed a little later.
    pub const fn is_retryable(self) -> bool {
        use LmErrorKind::{CircuitOpen, RateLimit, Server, Timeout, Transport};
        matches!(self, CircuitOpen | RateLimit | Server | Timeout | Transport)
    }

    /// Returns whether the failure is independent of the request: the same program may work with the model at
    /// another time.
    pub const fn is_outage(self) -> bool {
        use LmErrorKind::{ContentFilter, ContextWindow, InvalidRequest};
        !matches!(self, ContentFilter | ContextWindow | InvalidRequest)
    }

    /// Returns whether no request can succeed until the configuration is changed.
    pub const fn is_configuration(self) -> bool {
        use LmErrorKind::{Auth, Configuration, Denied, NotFound};
        matches!(self, Configuration | Auth | NotFound | Denied)
    }

    pub(crate) const fn describe(self) -> &'static str {
        match self {
            LmErrorKind::Configuration => "misconfigured model",
            LmErrorKind::Auth => "the key was refused",
            LmErrorKind::RateLimit => "rate limited",
            LmErrorKind::Billing => "no credit left",
            LmErrorKind::NotFound => "no such endpoint or model",
            LmErrorKind::ContextWindow => "the prompt exceeds the context window",
            LmErrorKind::ContentFilter => "refused by a content filter",
            LmErrorKind::InvalidRequest => "the request was refused",
            LmErrorKind::Server => "the endpoint failed",
            LmErrorKind::Timeout => "no answer in time",
            LmErrorKind::Transport => "the connection failed",
            LmErrorKind::Decode => "the answer cannot be read",
            LmErrorKind::CircuitOpen => "the endpoint is out of service",
            LmErrorKind::Denied => "live requests are denied",
            LmErrorKind::Budget => "the budget is exhausted",
            LmErrorKind::Exhausted => "the script has no more replies",
            LmErrorKind::Unrecorded => "no recorded answer",
            LmErrorKind::Other => "the model failed",
        }
    }
}

/// The error of a request without a usable answer. Never contains a key.
///
/// Equality compares the description of the failure, without [`source`](LmError::source) and
/// [`elapsed`](LmError::elapsed).
#[derive(Clone)]
#[non_exhaustive]
pub struct LmError {
    /// The class of the failure.
    pub kind: LmErrorKind,
    /// The name of the model, e.g. `openai/gpt-4o-mini`.
    pub model: String,
    /// A description of the failure for people.
    pub message: String,
    /// The HTTP status, if there was one.
    pub status: Option<u16>,
    /// The endpoint's id of the request.
    pub request_id: Option<String>,
    /// The time to wait before the next request, as reported by the endpoint.
    pub retry_after: Option<Duration>,
    /// The start of the body that the endpoint sent; for a reply stopped by a content filter, its text so
    /// far.
    pub body: Option<String>,
    /// The budget that refused the request, with the limit and the reason.
    pub budget: Option<Box<OverBudget>>,
    /// The number of requests sent for the answer, including retries; 0 if nothing was sent.
    pub attempts: u32,
    /// The time from the first attempt until giving up, including waits; `None` if nothing was sent.
    pub elapsed: Option<Duration>,
    /// The underlying cause, e.g. of a lost connection. Its text contains no keys and no addresses.
    pub source: Option<Arc<dyn Error + Send + Sync>>,
}

impl LmError {
    /// Creates an error of `kind` for `model`. A message of more than 16 KiB is shortened in its middle.
    pub fn new(kind: LmErrorKind, model: impl Into<String>, message: impl Into<String>) -> Self {
        LmError {
            kind,
            model: clipped(model),
            message: clipped_to(16 << 10, message.into()),
            status: None,
            request_id: None,
            retry_after: None,
            body: None,
            budget: None,
            attempts: 0,
            elapsed: None,
            source: None,
        }
    }

    /// Returns whether the same request is likely to succeed a little later.
    pub fn is_retryable(&self) -> bool {
        self.kind.is_retryable()
    }

    /// Returns whether the failure is independent of the request; see [`LmErrorKind::is_outage`].
    pub fn is_outage(&self) -> bool {
        self.kind.is_outage()
    }

    /// Returns the effort spent on the request if it was sent more than once, e.g. `after 3 attempts in 2.1
    /// s`.
    ///
    /// `Display` omits it, so that equal failures have equal texts; `Debug` adds it.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use dspy_lm::{LmError, LmErrorKind};
    /// let mut error = LmError::new(LmErrorKind::Server, "openai/gpt-4o-mini", "overloaded");
    /// assert_eq!(error.effort(), None);
    /// (error.attempts, error.elapsed) = (3, Some(Duration::from_millis(2_130)));
    /// assert_eq!(error.effort().as_deref(), Some("after 3 attempts in 2.1 s"));
    /// ```
    pub fn effort(&self) -> Option<String> {
        if self.attempts < 2 {
            return None;
        }
        let time = self.elapsed.map(|time| format!(" in {:.1} s", time.as_secs_f64()));
        Some(format!("after {} attempts{}", self.attempts, time.unwrap_or_default()))
    }

    /// Adds the attempts and the time of an earlier request for the same answer.
    pub(crate) fn add_effort(&mut self, attempts: u32, elapsed: Option<Duration>) {
        self.attempts = self.attempts.saturating_add(attempts);
        self.elapsed = match (self.elapsed, elapsed) {
            (Some(one), Some(other)) => Some(one.saturating_add(other)),
            (one, other) => one.or(other),
        };
    }
}

impl fmt::Display for LmError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.model, self.kind.describe())?;
        if let Some(status) = self.status {
            write!(f, " (HTTP {status})")?;
        }
        write!(f, ": {}", self.message)
    }
}

impl Error for LmError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.source.as_deref().map(|source| source as _)
    }
}

impl PartialEq for LmError {
    fn eq(&self, other: &Self) -> bool {
        let LmError { kind, model, message, status, request_id, retry_after, body, budget, attempts, .. } =
            self;
        *kind == other.kind
            && *model == other.model
            && *message == other.message
            && *status == other.status
            && *request_id == other.request_id
            && *retry_after == other.retry_after
            && *body == other.body
            && *budget == other.budget
            && *attempts == other.attempts
    }
}

impl fmt::Debug for LmError {
    /// Prints the text that is shown when `main` returns the error, and the fields for `{:#?}`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !f.alternate() {
            return dspy_base::error::write_chain_noting(self, self.effort().as_deref(), f);
        }
        let LmError {
            kind,
            model,
            message,
            status,
            request_id,
            retry_after,
            body,
            budget,
            attempts,
            elapsed,
            source,
        } = self;
        f.debug_struct("LmError")
            .field("kind", kind)
            .field("model", model)
            .field("message", message)
            .field("status", status)
            .field("request_id", request_id)
            .field("retry_after", retry_after)
            .field("body", body)
            .field("budget", budget)
            .field("attempts", attempts)
            .field("elapsed", elapsed)
            .field("source", source)
            .finish()
    }
}
