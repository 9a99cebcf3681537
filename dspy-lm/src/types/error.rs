//! What can go wrong between a request and its answer.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use thiserror::Error;

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
#[derive(Clone, PartialEq, Error)]
#[error("{model}: {}{}: {message}", kind.describe(), status.map(|s| format!(" (HTTP {s})")).unwrap_or_default())]
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
}

impl fmt::Debug for LmError {
    /// The text, as a `main` shows it that returns the error; the parts for `{:#?}`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !f.alternate() {
            return dspy_base::error::write_chain(self, f);
        }
        let LmError { kind, model, message, status, request_id, retry_after, body, budget } = self;
        f.debug_struct("LmError")
            .field("kind", kind)
            .field("model", model)
            .field("message", message)
            .field("status", status)
            .field("request_id", request_id)
            .field("retry_after", retry_after)
            .field("body", body)
            .field("budget", budget)
            .finish()
    }
}
