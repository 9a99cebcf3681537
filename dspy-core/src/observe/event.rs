//! Events of running programs.

use std::sync::Arc;
use std::time::Duration;

use dspy_lm::observe::CallId;
use serde_json::Value;

use super::LmCall;
use crate::lm::{LmError, Response, Usage};
use crate::signature::{FieldChange, Values};

/// An event of a running program.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Event {
    /// The source: the path of a predictor (`generate_query.predict`), the type of a module, or the name of a
    /// tool.
    pub source: Arc<str>,
    /// The id of the call, unique in this process.
    pub call: u64,
    /// The id of the call in which this one was made; `None` for an outermost call.
    pub parent: Option<u64>,
    /// The time since the call began; close to zero for its first event.
    pub elapsed: Duration,
    /// The kind of the event.
    pub kind: EventKind,
}

impl Event {
    /// Creates an event of the call `id` at the present time.
    pub(crate) fn of(id: CallId, source: Arc<str>, kind: EventKind) -> Self {
        Event { source, call: id.call, parent: id.parent, elapsed: id.elapsed(), kind }
    }
}

/// The kinds of [`Event`]. Each start of a predictor, module, tool or model call is followed by exactly one
/// event that ends it.
///
/// Streams also receive the pieces of the reply between start and end of a predictor;
/// [observers](super::Observer) also receive model calls and cancellations.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum EventKind {
    /// A predictor is called.
    Started {
        /// The input values.
        inputs: Values,
    },
    /// More of an output field of a predictor has arrived.
    Field(FieldChange),
    /// More of the reasoning that the model returns separately from its reply.
    Reasoning(String),
    /// The part of a predictor's reply that has arrived is void and will be sent again: the connection broke,
    /// the reply was refused, or its end changed the meaning of what had arrived.
    Restarted {
        /// The problems of the reply; empty if the connection broke.
        problems: String,
    },
    /// A predictor has returned its outputs.
    Finished {
        /// The output values.
        outputs: Values,
        /// The usage of the call, all attempts included.
        usage: Usage,
    },
    /// A call has failed.
    Failed {
        /// The error message.
        error: String,
    },
    /// A module call starts.
    ModuleStarted,
    /// A module call has ended.
    ModuleFinished {
        /// The usage of all calls in it.
        usage: Usage,
    },
    /// A tool is called.
    ToolStarted {
        /// The arguments.
        arguments: Value,
    },
    /// A tool has returned a result.
    ToolFinished {
        /// The result.
        result: Value,
    },
    /// A request is sent to a model.
    LmStarted {
        /// The request and its model.
        call: Arc<LmCall>,
    },
    /// An attempt to send a request has failed, and another one will follow.
    LmRetried {
        /// The request and its model.
        call: Arc<LmCall>,
        /// The error of the attempt.
        error: Box<LmError>,
        /// The delay before the next attempt.
        wait: Duration,
    },
    /// A model has answered.
    LmFinished {
        /// The request and its model.
        call: Arc<LmCall>,
        /// The response.
        response: Arc<Response>,
        /// The time until the first piece of a streamed reply.
        first_token: Option<Duration>,
        /// The number of retries.
        retries: u32,
    },
    /// A model call has failed.
    LmFailed {
        /// The request and its model.
        call: Arc<LmCall>,
        /// The error.
        error: Box<LmError>,
        /// The number of retries.
        retries: u32,
    },
    /// A model call was dropped before it ended.
    LmCancelled {
        /// The request and its model.
        call: Arc<LmCall>,
    },
    /// A call of a predictor, module or tool was dropped before it ended.
    Cancelled,
    /// A progress message of the program itself; see [`status`](super::status).
    Status(String),
}
