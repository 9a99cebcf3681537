//! The errors of runs.

use std::error::Error as StdError;
use std::fmt;
use std::path::PathBuf;

use dspy_core::Error;

use super::inside::Place;
use super::state::{AgentState, WaitingCall};

/// The reason why a run cannot be resumed. Nothing of it has run.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum ResumeError {
    /// The state was saved in another form.
    Version {
        /// The version of the state.
        found: u32,
        /// The version that is read.
        known: u32,
    },
    /// The file with the state cannot be read.
    Unreadable {
        /// The path of the file.
        path: PathBuf,
        /// The error of the system.
        reason: String,
    },
    /// The text is no state, or one that was changed.
    Damaged {
        /// The contradiction.
        reason: String,
    },
    /// The state is of an agent with another signature or other tools.
    OtherAgent,
    /// A decision is about a call of another run.
    OtherRun {
        /// The id of the call.
        id: String,
        /// The id of the run that was decided on.
        decided: String,
        /// The id of the run of the state.
        run: String,
    },
    /// A decision is about a call that does not wait for one.
    NotWaiting {
        /// The id of the call.
        id: String,
    },
    /// A decision is about a call with another tool or other arguments than the one that waits under its id.
    OtherCall {
        /// The call that was decided on.
        decided: Box<WaitingCall>,
        /// The call that waits.
        waiting: Box<WaitingCall>,
    },
    /// There are two decisions about one call.
    Twice {
        /// The id of the call.
        id: String,
    },
}

impl fmt::Display for ResumeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ResumeError::Version { found, known } => {
                write!(f, "the state of the agent has the form {found}; this version of the library reads form {known}")
            }
            ResumeError::Unreadable { path, reason } => {
                write!(f, "cannot read the state of an agent from {}: {reason}", path.display())
            }
            ResumeError::Damaged { reason } => {
                write!(f, "this is not a state as an agent saves it: {reason}; resume an unchanged state")
            }
            ResumeError::OtherAgent => f.write_str(
                "the state is of another agent: its signature, or the name, description or parameters of a tool, differ; \
                 resume it with the agent that it was saved from",
            ),
            ResumeError::OtherRun { id, decided, run } => {
                write!(f, "the decision about `{id}` is of the run {decided}; the state is of the run {run}")
            }
            ResumeError::NotWaiting { id } => {
                write!(f, "no call `{id}` waits for a decision; the calls that do are in `AgentState::waiting`")
            }
            ResumeError::OtherCall { decided, waiting } => {
                write!(f, "the decision is about another call: {decided}; under this id waits {waiting}")
            }
            ResumeError::Twice { id } => write!(f, "there are two decisions about the call `{id}`"),
        }
    }
}

impl StdError for ResumeError {}

impl From<ResumeError> for Error {
    fn from(error: ResumeError) -> Self {
        Error::other(error)
    }
}

/// The error of an agent that was called as a module while calls wait for approval. It holds the state, to be resumed.
#[derive(Debug, Clone)]
pub struct ApprovalNeeded {
    /// The state of the run.
    pub state: Box<AgentState>,
}

impl ApprovalNeeded {
    /// Returns the error in an error of a program or a tool, or in its sources.
    pub fn of<'e>(error: &'e (dyn StdError + 'static)) -> Option<&'e Self> {
        within(error)
    }
}

impl fmt::Display for ApprovalNeeded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let waiting: Vec<_> = self.state.waiting().iter().map(ToString::to_string).collect();
        write!(
            f,
            "calls wait for approval: {}; run the agent with `ReAct::run`, which returns its state, and continue it with \
             `ReAct::resume`",
            waiting.join(", ")
        )
    }
}

impl StdError for ApprovalNeeded {}

/// The error of an agent whose tools may need approval, and that was called where it cannot wait for it: in a tool that
/// is more than this agent, in a tool that was not called by an agent, or in a strategy that runs it several times. Nothing
/// has run.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ApprovalUnavailable {
    /// The tool around the agent, or the strategy.
    pub inside: String,
    /// Whether `inside` is a strategy that runs the agent several times.
    pub is_repeated: bool,
    /// The tools of the agent that may need approval.
    pub tools: Vec<String>,
}

impl ApprovalUnavailable {
    pub(super) fn new(place: Place, tools: Vec<String>) -> Self {
        let (inside, is_repeated) = match place {
            Place::Tool(tool) => (tool, false),
            Place::Strategy(strategy) => (strategy.to_owned(), true),
        };
        ApprovalUnavailable { inside, is_repeated, tools }
    }

    /// Returns the error in an error of a program or a tool, or in its sources.
    pub fn of<'e>(error: &'e (dyn StdError + 'static)) -> Option<&'e Self> {
        within(error)
    }
}

impl fmt::Display for ApprovalUnavailable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let tools: Vec<_> = self.tools.iter().map(|tool| format!("`{tool}`")).collect();
        if self.is_repeated {
            return write!(
                f,
                "calls of {} may need approval, which `{}` cannot wait for, since it runs the agent several times; run the \
                 agent itself, with `ReAct::run` and `ReAct::resume`, or let it return what is to be done, and do it once \
                 with the output of the strategy",
                tools.join(", "),
                self.inside
            );
        }
        write!(
            f,
            "calls of {} may need approval, which an agent inside the tool `{}` cannot wait for; make the agent itself the \
             program of a tool of another agent, or decide in the tool, with `ReAct::run` and `ReAct::resume`",
            tools.join(", "),
            self.inside
        )
    }
}

impl StdError for ApprovalUnavailable {}

/// Returns whether an error is about approval that cannot be given.
pub(crate) fn lacks_approval(error: &(dyn StdError + 'static)) -> bool {
    ApprovalNeeded::of(error).is_some() || ApprovalUnavailable::of(error).is_some()
}

/// Finds an error among the sources of another.
fn within<'e, E: StdError + 'static>(error: &'e (dyn StdError + 'static)) -> Option<&'e E> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(found) = error.downcast_ref() {
            return Some(found);
        }
        next = match error.downcast_ref() {
            // It is transparent, so that its source is that of the error in it.
            Some(Error::Other(inner)) => Some(&**inner),
            _ => error.source(),
        };
    }
    None
}

/// A run that ended with an error. The state holds what was done and paid; [`ReAct::resume`](super::ReAct::resume)
/// continues it.
#[derive(Debug)]
pub struct RunError {
    /// The state of the run.
    pub state: Box<AgentState>,
    /// The error.
    pub source: Error,
}

impl fmt::Display for RunError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let turns = self.state.turns;
        write!(
            f,
            "the agent stopped after {turns} turn{}: {}",
            if turns == 1 { "" } else { "s" },
            self.source
        )
    }
}

impl StdError for RunError {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        Some(&self.source)
    }
}

impl From<RunError> for Error {
    fn from(error: RunError) -> Self {
        error.source
    }
}
