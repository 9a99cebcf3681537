//! The state of a run, and the decisions that it can wait for.

use std::fmt;

use dspy_core::lm::Usage;
use dspy_core::predict::Prediction;
use dspy_core::signature::Values;
use dspy_core::tools::ToolCall;
use dspy_core::types::{Observation, Trajectory, Turn};
use dspy_core::{Error, Result};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::compaction::View;

/// The version of the form of a saved state.
const VERSION: u32 = 1;

/// The result of a run of an agent.
#[derive(Debug)]
#[non_exhaustive]
pub enum Outcome<O> {
    /// The outputs.
    Done(Prediction<O>),
    /// Calls wait for a decision. Save the state, decide, and resume it.
    Waiting(Box<AgentState>),
}

/// The state of a run: a value that can be stored, and resumed by another process.
///
/// It has the inputs, the whole log and what was spent, but neither tools nor models nor keys: those are the agent's.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AgentState {
    version: u32,
    /// A digest of the signature and the tools of the agent.
    pub(super) agent: String,
    pub(super) inputs: Values,
    pub(super) log: Trajectory,
    pub(super) view: View,
    /// The number of turns so far, unreadable replies included.
    pub(super) turns: usize,
    pub(super) usage: Usage,
    /// The number of prompt tokens of the latest turn.
    pub(super) prompt_tokens: u64,
}

impl AgentState {
    pub(super) fn new(agent: String, inputs: Values) -> Self {
        AgentState {
            version: VERSION,
            agent,
            inputs,
            log: Trajectory::default(),
            view: View::default(),
            turns: 0,
            usage: Usage::default(),
            prompt_tokens: 0,
        }
    }

    /// Returns the calls that wait for a decision.
    pub fn waiting(&self) -> Vec<WaitingCall> {
        let Some(turn) = self.log.turns.last() else { return Vec::new() };
        let open = |call: &&ToolCall| {
            let id = call.id.as_deref().unwrap_or_default();
            call.name != super::FINISH && turn.result(id).is_none()
        };
        turn.calls.iter().filter(open).map(WaitingCall::of).collect()
    }

    /// Returns all turns so far. No result is removed from it, whatever the model still sees.
    pub fn trajectory(&self) -> &Trajectory {
        &self.log
    }

    /// Returns the usage of the calls of all parts of the run so far.
    pub fn usage(&self) -> Usage {
        self.usage
    }

    /// Checks that the state is of this agent and that the decisions are about its calls.
    pub(super) fn check(&self, agent: &str, decisions: &[Decision]) -> Result<(), ResumeError> {
        if self.version != VERSION {
            return Err(ResumeError::Version { found: self.version, known: VERSION });
        }
        if self.agent != agent {
            return Err(ResumeError::OtherAgent);
        }
        let waiting = self.waiting();
        for (at, Decision { call, .. }) in decisions.iter().enumerate() {
            if decisions[..at].iter().any(|other| other.call.id == call.id) {
                return Err(ResumeError::Twice { id: call.id.clone() });
            }
            match waiting.iter().find(|waiting| waiting.id == call.id) {
                None => return Err(ResumeError::NotWaiting { id: call.id.clone() }),
                Some(waiting) if waiting != call => {
                    return Err(ResumeError::OtherCall {
                        decided: call.clone().into(),
                        waiting: waiting.clone().into(),
                    });
                }
                Some(_) => {}
            }
        }
        Ok(())
    }
}

/// A call that waits for a decision.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct WaitingCall {
    /// The id of the call, unique in the run.
    pub id: String,
    /// The name of the tool.
    pub tool: String,
    /// The arguments.
    pub arguments: Value,
}

impl WaitingCall {
    fn of(call: &ToolCall) -> Self {
        let id = call.id.clone().unwrap_or_default();
        WaitingCall { id, tool: call.name.clone(), arguments: call.arguments.clone() }
    }

    /// Approves this call of this tool with these arguments, and nothing else.
    pub fn approve(&self) -> Decision {
        self.decide(Verdict::Approved)
    }

    /// Denies the call. The model reads the reason.
    pub fn deny(&self, reason: impl Into<String>) -> Decision {
        self.decide(Verdict::Denied(reason.into()))
    }

    /// Answers the call with a result that was obtained elsewhere; the tool does not run.
    pub fn answer(&self, value: impl Into<Value>) -> Decision {
        self.decide(Verdict::Value(value.into()))
    }

    /// Answers the call with an error that was met elsewhere; the tool does not run.
    pub fn fail(&self, error: impl Into<String>) -> Decision {
        self.decide(Verdict::Failed(error.into()))
    }

    fn decide(&self, verdict: Verdict) -> Decision {
        Decision { call: self.clone(), verdict }
    }
}

impl fmt::Display for WaitingCall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} ({})", visible(&self.tool), visible(&self.arguments.to_string()), visible(&self.id))
    }
}

/// Returns text as a person is to see it: with escapes for characters that a terminal obeys, or that change the order or
/// the look of the others. JSON itself escapes only the first 32.
fn visible(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        let hides = matches!(c, '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}')
            || matches!(c, '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}');
        if c.is_control() || hides {
            c.encode_utf16(&mut [0; 2]).iter().for_each(|unit| out.push_str(&format!("\\u{unit:04x}")));
        } else {
            out.push(c);
        }
    }
    out
}

/// A decision about a [`WaitingCall`]. It holds the whole call, so that it applies to no other.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Decision {
    pub(super) call: WaitingCall,
    pub(super) verdict: Verdict,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Verdict {
    Approved,
    Denied(String),
    Value(Value),
    Failed(String),
}

/// The reason why a run cannot be resumed. Nothing has run.
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
    /// The state is of an agent with another signature or other tools.
    OtherAgent,
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
            ResumeError::OtherAgent => f.write_str(
                "the state is of another agent: its signature, or the name or parameters of a tool, differ; resume it \
                 with the agent that it was saved from",
            ),
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

impl std::error::Error for ResumeError {}

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

impl std::error::Error for ApprovalNeeded {}

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
        write!(f, "the agent stopped after {} turns", self.state.turns)
    }
}

impl std::error::Error for RunError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.source)
    }
}

impl From<RunError> for Error {
    fn from(error: RunError) -> Self {
        error.source
    }
}

/// Inserts a result where its call stands among the calls of the turn.
pub(super) fn insert_result(turn: &mut Turn, result: Observation) {
    let place = |id: &str| turn.calls.iter().position(|call| call.id.as_deref() == Some(id));
    let own = place(&result.id);
    let at = turn.results.iter().position(|other| place(&other.id) > own);
    turn.results.insert(at.unwrap_or(turn.results.len()), result);
}
