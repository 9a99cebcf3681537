//! What happens in a program, as it happens.

use std::sync::Arc;
use std::time::Duration;

use dspy_lm::observe::CallId;
use serde_json::Value;

use super::LmCall;
use crate::lm::{LmError, Response, Usage};
use crate::signature::{FieldChange, Values};

/// Something that happened in a running program.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Event {
    /// Where: the path of a predictor (`generate_query.predict`), the type of a module, the name of a tool.
    pub source: Arc<str>,
    /// Tells the calls of this process apart, concurrent ones included.
    pub call: u64,
    /// The call in which this one was made; nothing for one that no other made.
    pub parent: Option<u64>,
    /// How long ago the call began; next to nothing at its start.
    pub elapsed: Duration,
    /// What happened.
    pub kind: EventKind,
}

impl Event {
    /// What happens now in a call.
    pub(crate) fn of(id: CallId, source: Arc<str>, kind: EventKind) -> Self {
        Event { source, call: id.call, parent: id.parent, elapsed: id.elapsed(), kind }
    }
}

/// The kinds of [`Event`]. What begins ends with exactly one of the kinds that say so.
///
/// Streams have the pieces of the reply between start and end of a predictor, [observers](super::Observer) the
/// calls of models and what was cancelled.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum EventKind {
    /// A predictor is called.
    Started {
        /// Its input values.
        inputs: Values,
    },
    /// Something of an output field of a predictor has arrived.
    Field(FieldChange),
    /// More of the reasoning that the model returns beside its reply.
    Reasoning(String),
    /// What has arrived of the reply of a predictor is void and comes anew: the connection broke, the reply was refused,
    /// or it was damaged and means something else as a whole than what had arrived of it.
    Restarted {
        /// What was wrong with the reply; empty if the connection broke.
        problems: String,
    },
    /// A predictor has its outputs.
    Finished {
        /// The output values.
        outputs: Values,
        /// What the call cost, all attempts included.
        usage: Usage,
    },
    /// A call has failed.
    Failed {
        /// The error, as it is shown.
        error: String,
    },
    /// A module begins.
    ModuleStarted,
    /// A module is done.
    ModuleFinished {
        /// What all calls in it cost.
        usage: Usage,
    },
    /// A tool is called.
    ToolStarted {
        /// Its arguments.
        arguments: Value,
    },
    /// A tool has answered.
    ToolFinished {
        /// Its answer.
        result: Value,
    },
    /// A request is sent to a model.
    LmStarted {
        /// What is asked of whom.
        call: Arc<LmCall>,
    },
    /// An attempt to send a request has failed, and another one will follow.
    LmRetried {
        /// What is asked of whom.
        call: Arc<LmCall>,
        /// Why it failed.
        error: Box<LmError>,
        /// How long the next attempt waits.
        wait: Duration,
    },
    /// A model has answered.
    LmFinished {
        /// What was asked of whom.
        call: Arc<LmCall>,
        /// The answer.
        response: Arc<Response>,
        /// How long the first piece of a streamed reply took.
        first_token: Option<Duration>,
        /// How often the request was sent again.
        retries: u32,
    },
    /// A model gave no answer.
    LmFailed {
        /// What was asked of whom.
        call: Arc<LmCall>,
        /// Why.
        error: Box<LmError>,
        /// How often the request was sent again.
        retries: u32,
    },
    /// A call of a model was dropped before its end.
    LmCancelled {
        /// What was asked of whom.
        call: Arc<LmCall>,
    },
    /// A call of a predictor, module or tool was dropped before its end.
    Cancelled,
    /// What the program itself says of its progress; see [`status`](super::status).
    Status(String),
}
