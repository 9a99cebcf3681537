//! The error of a request that got no usable answer.

use std::error::Error;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::OverBudget;
use dspy_base::error::{clipped, clipped_to};

/// The class of an [`LmError`], on which retries and callers decide.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum LmErrorKind {
    /// The model or its endpoint is not configured well: unknown provider, malformed URL, missing key.
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
    /// The endpoint failed, or cannot answer just now (HTTP 5xx, 409).
    Server,
    /// No answer in time.
    Timeout,
    /// The connection could not be made or broke.
    Transport,
    /// The endpoint answered with something that is not an answer in its protocol.
    Decode,
    /// The endpoint has failed so often in a row that nothing is sent to it for a while;
    /// [`retry_after`](LmError::retry_after) says for how long. See [`Circuit`](crate::Circuit).
    CircuitOpen,
    /// Requests over the network are [denied](crate::deny_live_requests); nothing was sent.
    Denied,
    /// A [budget](crate::Budget) would be exceeded by this request, or its time is over; see
    /// [`LmError::budget`](field@crate::LmError::budget).
    Budget,
    /// A scripted model has no reply left.
    Exhausted,
    /// Only recorded answers may be given, and there is none for this request; nothing was sent.
    Unrecorded,
    /// Anything else.
    Other,
}

impl LmErrorKind {
    /// Whether the same request may well succeed a little later.
    pub const fn is_retryable(self) -> bool {
        use LmErrorKind::{CircuitOpen, RateLimit, Server, Timeout, Transport};
        matches!(self, CircuitOpen | RateLimit | Server | Timeout | Transport)
    }

    /// Whether the failure says nothing about the request itself: the same program may work with the model tomorrow.
    pub const fn is_outage(self) -> bool {
        use LmErrorKind::{ContentFilter, ContextWindow, InvalidRequest};
        !matches!(self, ContentFilter | ContextWindow | InvalidRequest)
    }

    /// Whether no request can succeed before something is set up differently.
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
            LmErrorKind::Budget => "the budget is used up",
            LmErrorKind::Exhausted => "the script is used up",
            LmErrorKind::Unrecorded => "no recorded answer",
            LmErrorKind::Other => "the model failed",
        }
    }
}

/// A request that got no usable answer. Never holds a key.
///
/// Two errors are equal if they say the same about the failure; [`source`](LmError::source) and
/// [`elapsed`](LmError::elapsed) are not compared.
#[derive(Clone)]
#[non_exhaustive]
pub struct LmError {
    /// The class of the failure.
    pub kind: LmErrorKind,
    /// The model that was asked, e.g. `openai/gpt-4o-mini`.
    pub model: String,
    /// What happened, for a person to read.
    pub message: String,
    /// The HTTP status, where there was one.
    pub status: Option<u16>,
    /// The endpoint's id of the request.
    pub request_id: Option<String>,
    /// How long the endpoint asked to wait.
    pub retry_after: Option<Duration>,
    /// The start of the body that the endpoint sent; of a reply that a content filter stopped, what there is of it.
    pub body: Option<String>,
    /// Which limit of which budget stood against the request.
    pub budget: Option<Box<OverBudget>>,
    /// The number of requests that were sent for the answer, retries included; 0 where nothing was sent.
    pub attempts: u32,
    /// The time from the first attempt until giving up, waits included; `None` where nothing was sent.
    pub elapsed: Option<Duration>,
    /// The cause in the layers below, e.g. of a broken connection. Its text holds no keys and no addresses.
    pub source: Option<Arc<dyn Error + Send + Sync>>,
}

impl LmError {
    /// An error of `kind` for `model`. A message of more than 16 KiB is shortened in its middle.
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

    /// Whether the same request may well succeed a little later.
    pub fn is_retryable(&self) -> bool {
        self.kind.is_retryable()
    }

    /// See [`LmErrorKind::is_outage`].
    pub fn is_outage(&self) -> bool {
        self.kind.is_outage()
    }

    /// Returns what was spent on the request if it was sent more than once, e.g. `after 3 attempts in 2.1 s`.
    ///
    /// The text of `Display` leaves this out, so that equal failures have equal texts; `Debug` adds it.
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

    /// Adds what an earlier request for the same answer took.
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
    /// The text, as a `main` shows it that returns the error; the parts for `{:#?}`.
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
