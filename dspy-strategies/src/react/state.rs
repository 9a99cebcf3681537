//! The state of a run, and the decisions that it can wait for.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fmt;

use dspy_core::lm::Usage;
use dspy_core::predict::Prediction;
use dspy_core::signature::Values;
use dspy_core::tools::ToolCall;
use dspy_core::types::Trajectory;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::FINISH;
use super::compaction::View;
use super::errors::ResumeError;
use crate::account::Spent;

/// The version of the form of a saved state.
pub(super) const VERSION: u32 = 3;

/// Separates the ids of calls in the id of a call of an inner agent.
pub(super) const INSIDE: char = '/';

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
/// It has the inputs, the whole log, what was spent and the states of inner agents, but neither tools nor
/// models nor keys: those are the agent's. A stored state has a digest of its content; one of another version, or one that
/// was changed, cannot be read. The digest protects from mistakes, not from attackers: whoever can write the state can
/// write any. The order of members and the notation of numbers may change, as they do in databases.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, remote = "Self")]
pub struct AgentState {
    version: u32,
    /// The id of the run.
    pub(super) run: String,
    /// A digest of the signature and the tools of the agent.
    pub(super) agent: String,
    pub(super) inputs: Values,
    pub(super) log: Trajectory,
    pub(super) view: View,
    /// The number of turns so far, unreadable replies included.
    pub(super) turns: usize,
    pub(super) spent: Spent,
    /// The number of prompt tokens of the latest turn.
    pub(super) prompt_tokens: u64,
    /// The calls of the last turn that wait, by their id. All others have a result, or are `finish`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(super) pending: BTreeMap<String, Pending>,
    /// The agents inside calls of the last turn that failed, by the id of the call, which has the error as its result.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(super) broken: BTreeMap<String, Box<AgentState>>,
}

/// The reason why a call waits.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Pending {
    /// A decision about it.
    Decision,
    /// Decisions about calls of the agent inside the tool.
    Agent(Box<AgentState>),
    /// Nothing: the agent inside the tool failed or was stopped, and is to go on.
    Broken(Box<AgentState>),
    /// Nothing: the agent inside the tool is to begin. It has done nothing yet, or its state would be here.
    Unbegun,
    /// Nothing: the tool was called, and its result is not known.
    Begun,
}

impl AgentState {
    pub(super) fn new(run: String, agent: String, inputs: Values) -> Self {
        AgentState {
            version: VERSION,
            run,
            agent,
            inputs,
            log: Trajectory::default(),
            view: View::default(),
            turns: 0,
            spent: Spent::default(),
            prompt_tokens: 0,
            pending: BTreeMap::new(),
            broken: BTreeMap::new(),
        }
    }

    /// Returns the id of the run. It is random, and the same in all parts of the run; tools receive it as
    /// [`ToolContext::run_id`](dspy_core::tools::ToolContext::run_id).
    pub fn run_id(&self) -> &str {
        &self.run
    }

    /// Returns the calls that wait for a decision: those of this agent, and those of agents inside its tools. The id of
    /// the latter is the path of calls to it, such as `call_1_1/call_1_2`.
    pub fn waiting(&self) -> Vec<WaitingCall> {
        let mut calls = Vec::new();
        self.collect_waiting(&self.run, "", &mut calls);
        calls
    }

    fn collect_waiting(&self, run: &str, path: &str, waiting: &mut Vec<WaitingCall>) {
        let Some(turn) = self.log.turns.last() else { return };
        for call in &turn.calls {
            let id = call.id.as_deref().unwrap_or_default();
            match self.pending.get(id) {
                None | Some(Pending::Begun | Pending::Unbegun | Pending::Broken(_)) => {}
                Some(Pending::Decision) => waiting.push(WaitingCall {
                    run: run.to_owned(),
                    id: format!("{path}{id}"),
                    tool: call.name.clone(),
                    arguments: call.arguments.clone(),
                }),
                Some(Pending::Agent(inner)) => {
                    inner.collect_waiting(run, &format!("{path}{id}{INSIDE}"), waiting);
                }
            }
        }
    }

    /// Returns all turns so far. No result is removed from it, whatever the model still sees.
    pub fn trajectory(&self) -> &Trajectory {
        &self.log
    }

    /// Returns the usage of all parts of the run so far, including that of the programs inside its tools.
    pub fn usage(&self) -> Usage {
        self.spent.usage
    }

    /// Prepares the state to be continued: agents inside the last turn that failed go on where they were, in place of the
    /// errors that they had.
    pub(super) fn reopen(&mut self) {
        let broken = std::mem::take(&mut self.broken);
        let Some(turn) = self.log.turns.last_mut().filter(|_| !broken.is_empty()) else { return };
        turn.results.retain(|result| !broken.contains_key(&result.id));
        self.pending.extend(broken.into_iter().map(|(id, inner)| (id, Pending::Broken(inner))));
    }

    /// Checks that every call has one result or waits, and that every result is of a call. Otherwise a call that has run
    /// would run again.
    pub(super) fn consistent(&self) -> Result<(), ResumeError> {
        let turns = self.log.turns.len();
        let mut known = HashSet::new();
        for (at, turn) in self.log.turns.iter().enumerate() {
            let mut open = HashMap::new();
            for call in &turn.calls {
                let id = call.id.as_deref().unwrap_or_default();
                if id.is_empty() || id.contains(INSIDE) || !known.insert(id) {
                    return Err(damaged(format!("`{id}` is not the id of one call")));
                }
                open.insert(id, call);
            }
            for result in &turn.results {
                if open.remove(result.id.as_str()).is_none() {
                    return Err(damaged(format!(
                        "`{}` is the id of a result, but not of its call",
                        result.id
                    )));
                }
            }
            let last = at + 1 == turns;
            let waits = |call: &ToolCall, id: &str| match self.pending.get(id) {
                None => call.name == FINISH,
                Some(Pending::Decision | Pending::Broken(_) | Pending::Begun | Pending::Unbegun) => {
                    call.name != FINISH
                }
                Some(Pending::Agent(inner)) => call.name != FINISH && !inner.waiting().is_empty(),
            };
            if let Some((id, _)) = open.iter().find(|(id, call)| !last || !waits(call, id)) {
                return Err(damaged(format!("the call `{id}` has no result and does not wait")));
            }
            if last && let Some(id) = self.pending.keys().find(|id| !open.contains_key(id.as_str())) {
                return Err(damaged(format!(
                    "the call `{id}` waits, but has a result or is not of the last turn"
                )));
            }
        }
        if turns == 0 && !self.pending.is_empty() {
            return Err(damaged("calls wait, but there are none"));
        }
        let failed = |id: &str| self.log.turns.last()?.result(id).filter(|result| result.is_error);
        if let Some(id) = self.broken.keys().find(|id| failed(id).is_none()) {
            return Err(damaged(format!("the agent inside the call `{id}` failed, but the call has not")));
        }
        self.view.fits(turns).then_some(()).ok_or_else(|| damaged("more turns are hidden than there are"))
    }

    /// Checks that the state is of this agent and that the decisions are about its calls.
    pub(super) fn check(&self, agent: &str, decisions: &[Decision]) -> Result<(), ResumeError> {
        if self.agent != agent {
            return Err(ResumeError::OtherAgent);
        }
        let waiting = self.waiting();
        let waiting: HashMap<_, _> = waiting.iter().map(|call| (call.id.as_str(), call)).collect();
        let mut decided = HashSet::new();
        for Decision { call, .. } in decisions {
            let id = || call.id.clone();
            if call.run != self.run {
                let (decided, run) = (call.run.clone(), self.run.clone());
                return Err(ResumeError::OtherRun { id: id(), decided, run });
            }
            if !decided.insert(&call.id) {
                return Err(ResumeError::Twice { id: id() });
            }
            match waiting.get(call.id.as_str()) {
                None => return Err(ResumeError::NotWaiting { id: id() }),
                Some(waiting) if *waiting != call => {
                    let waiting = (*waiting).clone().into();
                    return Err(ResumeError::OtherCall { decided: call.clone().into(), waiting });
                }
                Some(_) => {}
            }
        }
        Ok(())
    }
}

pub(super) fn damaged(reason: impl Into<String>) -> ResumeError {
    ResumeError::Damaged { reason: reason.into() }
}

/// A call that waits for a decision.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct WaitingCall {
    /// The id of the run.
    pub run: String,
    /// The id of the call, unique in the run. For a call of an agent inside a tool it begins with that of the tool:
    /// `call_1_1/call_1_2`.
    pub id: String,
    /// The name of the tool.
    pub tool: String,
    /// The arguments.
    pub arguments: Value,
}

impl WaitingCall {
    /// Approves this call of this tool with these arguments in this run, and nothing else.
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

/// Decisions about the calls of an agent and of the agents inside its tools, by the id of its call.
#[derive(Debug, Default)]
pub(super) struct Decisions {
    own: HashMap<String, Verdict>,
    inside: HashMap<String, Vec<Decision>>,
}

impl Decisions {
    pub(super) fn new(decisions: Vec<Decision>) -> Self {
        let mut sorted = Decisions::default();
        for Decision { call, verdict } in decisions {
            match call.id.split_once(INSIDE) {
                None => drop(sorted.own.insert(call.id, verdict)),
                Some((outer, inner)) => {
                    let (outer, id) = (outer.to_owned(), inner.to_owned());
                    let decision = Decision { call: WaitingCall { id, ..call }, verdict };
                    sorted.inside.entry(outer).or_default().push(decision);
                }
            }
        }
        sorted
    }

    /// Takes the decision about a call.
    pub(super) fn about(&mut self, id: &str) -> Option<Verdict> {
        self.own.remove(id)
    }

    /// Takes the decisions about calls of the run inside a call.
    pub(super) fn inside(&mut self, id: &str, run: &str) -> Vec<Decision> {
        let mut decisions = self.inside.remove(id).unwrap_or_default();
        decisions.iter_mut().for_each(|decision| run.clone_into(&mut decision.call.run));
        decisions
    }
}
