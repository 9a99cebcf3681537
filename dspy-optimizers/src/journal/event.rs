//! The lines of a journal.

use dspy_core::lm::{Lm, LmError, LmErrorKind, Request, Response};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// One line.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub(super) enum Event {
    /// A model has answered.
    Call {
        /// Milliseconds since the run began.
        at: u64,
        scope: String,
        #[serde(flatten)]
        id: CallId,
        outcome: Outcome,
    },
    /// An effect is finished.
    Done { at: u64, scope: String, value: Value },
}

impl Event {
    pub(super) fn at(&self) -> u64 {
        match self {
            Event::Call { at, .. } | Event::Done { at, .. } => *at,
        }
    }
}

/// What tells the calls of one scope apart.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub(super) struct CallId {
    pub(super) model: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub(super) endpoint: String,
    /// The digest of the request.
    pub(super) request: String,
    /// How often the same request was made before in this scope.
    pub(super) repeat: u32,
}

impl CallId {
    pub(super) fn first(lm: &Lm, request: &Request) -> Self {
        CallId {
            model: lm.id().to_owned(),
            endpoint: lm.deployment().into_owned(),
            request: request.digest().to_string(),
            repeat: 0,
        }
    }
}

/// How a call ended. Outages are not written down: they may have passed when the run goes on.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Outcome {
    Answered(Response),
    Refused(Refusal),
}

/// An error that is about the request itself, and would come again.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Refusal {
    reason: Reason,
    message: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    status: Option<u16>,
}

#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Reason {
    ContextWindow,
    ContentFilter,
    InvalidRequest,
}

impl Outcome {
    /// The outcome to write down, if there is one.
    pub(super) fn of(result: &Result<Response, LmError>) -> Option<Self> {
        let error = match result {
            Ok(response) => return Some(Outcome::Answered(response.clone())),
            Err(error) => error,
        };
        let reason = match error.kind {
            LmErrorKind::ContextWindow => Reason::ContextWindow,
            LmErrorKind::ContentFilter => Reason::ContentFilter,
            LmErrorKind::InvalidRequest => Reason::InvalidRequest,
            _ => return None,
        };
        Some(Outcome::Refused(Refusal { reason, message: error.message.clone(), status: error.status }))
    }

    pub(super) fn replay(&self, model: &str) -> Result<Response, LmError> {
        let refusal = match self {
            Outcome::Answered(response) => return Ok(response.clone()),
            Outcome::Refused(refusal) => refusal,
        };
        let kind = match refusal.reason {
            Reason::ContextWindow => LmErrorKind::ContextWindow,
            Reason::ContentFilter => LmErrorKind::ContentFilter,
            Reason::InvalidRequest => LmErrorKind::InvalidRequest,
        };
        let mut error = LmError::new(kind, model, refusal.message.as_str());
        error.status = refusal.status;
        Err(error)
    }
}
