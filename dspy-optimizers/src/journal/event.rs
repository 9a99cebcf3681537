//! The events of a journal, one per line after the header.

use dspy_core::lm::{Lm, LmError, LmErrorKind, Request, Response, Usage};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::report::CallKind;

/// An event, which is one line of the file.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub(super) enum Event {
    /// A call of a model was answered, or refused for a permanent reason.
    Call {
        /// Milliseconds since the run began.
        at: u64,
        scope: String,
        /// The phase of the study, and the purpose of the call.
        #[serde(default, skip_serializing_if = "String::is_empty")]
        phase: String,
        #[serde(default, skip_serializing_if = "is_program")]
        kind: CallKind,
        #[serde(flatten)]
        id: CallId,
        outcome: Outcome,
    },
    /// An effect has finished with a result.
    Done { at: u64, scope: String, value: Value },
    /// A nested study has begun.
    Began { at: u64, scope: String, header: Map<String, Value> },
    /// The results of failed runs of the program under this name no longer count, as a program that failed on every
    /// row ended the run.
    Voided { at: u64, scope: String },
    /// A call is about to start, with its worst-case cost. Without a matching `Settled` event, it may have
    /// been charged.
    Reserved {
        at: u64,
        call: u64,
        /// The name of the account; empty for that of the whole study.
        #[serde(default, skip_serializing_if = "String::is_empty")]
        account: String,
        #[serde(flatten)]
        cost: Cost,
    },
    /// The call with this number has ended, with its actual cost.
    Settled {
        at: u64,
        call: u64,
        #[serde(flatten)]
        cost: Cost,
    },
}

/// Picodollars in a dollar.
const PICOS: f64 = 1e12;

/// The cost of a call.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub(super) struct Cost {
    #[serde(default, skip_serializing_if = "is_zero")]
    pub(super) calls: u64,
    #[serde(default, skip_serializing_if = "is_zero")]
    pub(super) tokens: u64,
    /// An integer, so that sums do not depend on the order of their terms.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub(super) picodollars: u64,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde wants it so")]
fn is_zero(count: &u64) -> bool {
    *count == 0
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde wants it so")]
fn is_program(kind: &CallKind) -> bool {
    *kind == CallKind::Program
}

impl Cost {
    pub(super) fn of(usage: &Usage) -> Self {
        let picodollars = usage.cost_usd.map_or(0, |usd| (usd * PICOS).round() as u64);
        Cost { calls: usage.requests, tokens: usage.total_tokens(), picodollars }
    }

    pub(super) fn add(&mut self, other: Cost) {
        self.calls = self.calls.saturating_add(other.calls);
        self.tokens = self.tokens.saturating_add(other.tokens);
        self.picodollars = self.picodollars.saturating_add(other.picodollars);
    }

    /// Returns the maximum of each member.
    pub(super) fn max(self, other: Cost) -> Self {
        Cost {
            calls: self.calls.max(other.calls),
            tokens: self.tokens.max(other.tokens),
            picodollars: self.picodollars.max(other.picodollars),
        }
    }

    /// Converts the cost to the usage with which an account is reopened; calls count as requests.
    pub(super) fn usage(self) -> Usage {
        let mut usage = Usage::tokens(self.tokens, 0);
        (usage.requests, usage.cost_usd) = (self.calls, Some(self.picodollars as f64 / PICOS));
        usage
    }
}

impl Event {
    pub(super) fn at(&self) -> u64 {
        match self {
            Event::Call { at, .. }
            | Event::Done { at, .. }
            | Event::Began { at, .. }
            | Event::Voided { at, .. }
            | Event::Reserved { at, .. }
            | Event::Settled { at, .. } => *at,
        }
    }
}

/// The identity of a call within its scope.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub(super) struct CallId {
    pub(super) model: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub(super) endpoint: String,
    /// The digest of the request.
    pub(super) request: String,
    /// The number of equal requests before this one in the scope.
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

/// The outcome of a call. Outages are not recorded, as they may be over when the run resumes.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Outcome {
    Answered(Response),
    Refused(Refusal),
}

/// An error that is caused by the request itself and would recur.
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
    /// Returns the outcome to record; `None` for an outage.
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_model_refuses_is_an_outcome_and_an_outage_is_none() {
        for kind in [LmErrorKind::ContextWindow, LmErrorKind::ContentFilter, LmErrorKind::InvalidRequest] {
            let mut error = LmError::new(kind, "m", "no");
            error.status = Some(400);
            let replayed = Outcome::of(&Err(error)).unwrap().replay("m").unwrap_err();
            assert_eq!((replayed.kind, replayed.status, replayed.message.as_str()), (kind, Some(400), "no"));
        }
        for kind in [LmErrorKind::Server, LmErrorKind::RateLimit, LmErrorKind::Budget, LmErrorKind::Auth] {
            assert!(Outcome::of(&Err(LmError::new(kind, "m", "no"))).is_none(), "{kind:?}");
        }
    }
}
