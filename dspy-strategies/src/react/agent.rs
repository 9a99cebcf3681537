//! The loop of an agent, without types: turns, calls, results.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use dspy_core::error::Error;
use dspy_core::lm::LmErrorKind;
use dspy_core::predict::{Attempt, Predictor};
use dspy_core::signature::Values;
use dspy_core::tools::{Tool, ToolCall, ToolCalls, ToolContext, ToolValue};
use dspy_core::types::{Observation, Turn};
use dspy_core::{Result, lm};
use serde::Deserialize as _;
use serde_json::Value;

use super::compaction::{Shown, View};
use super::errors::{ResumeError, lacks_approval};
use super::flight::{Keeper, Places};
use super::inside::{Held, Resumed, Slot};
use super::limits::{Limits, Termination};
use super::saved::is_deeper;
use super::state::{AgentState, Decision, Decisions, INSIDE, Pending, Verdict};
use super::{CALLS, FINISH, THOUGHT, TOOLS, TRAJECTORY};
use crate::account::Account;

/// The longest id of an endpoint, in bytes, that a call keeps.
const LONGEST_ID: usize = 128;

/// Checks the arguments of `finish`; an error that can be parsed is told to the model.
pub(super) type Accept<'a> = &'a (dyn Fn(Values) -> Result<()> + Sync);

pub(super) struct Agent<'a> {
    pub(super) react: &'a Predictor,
    pub(super) summarizer: &'a Predictor,
    pub(super) tools: &'a [Tool],
    /// The tools and `finish`, as the model sees them.
    pub(super) specs: &'a Value,
    pub(super) limits: Limits,
    pub(super) context_tokens: Option<u64>,
    pub(super) accept: Accept<'a>,
    pub(super) account: &'a Arc<Account>,
    /// Whether the caller can hold the state until there are decisions.
    pub(super) can_wait: bool,
    pub(super) places: Places,
}

/// The end of a part of a run.
pub(super) enum End {
    Finished(Values),
    Waiting,
    Stopped(Termination),
}

/// A call that is to run, its tool, and the agent inside that goes on.
pub(super) struct Ready<'t> {
    pub(super) call: ToolCall,
    tool: Option<&'t Tool>,
    resumed: Option<Resumed>,
}

/// The number of levels that the arguments of a call may have, so that every state can be stored.
const DEEPEST_ARGUMENTS: usize = 64;

/// The result of a call that was in flight when its run was stopped.
const UNKNOWN: &str = "it is unknown whether this call ran, because the run was stopped in the middle of it; find out what it \
                       did before you call it again";

/// The result of a call whose agent was stopped with the one around it.
const STOPPED: &str = "it was stopped";

/// The end of one call.
pub(super) enum Ran {
    Result(Observation),
    /// The agent inside waits for decisions.
    Waiting(Box<AgentState>),
    /// The agent inside cannot be continued; nothing of it has run.
    Refused(Box<AgentState>, Error),
    /// The agent inside failed or was stopped, and can be continued. The result says so.
    Broken(Box<AgentState>, Observation),
    /// The call needs approval where it cannot be given.
    Unapproved(Observation, Error),
}

impl Agent<'_> {
    /// Continues a run until it ends or has to wait. The state has all that was done, also after an error.
    pub(super) async fn advance(&self, state: &mut AgentState, decisions: Vec<Decision>) -> Result<End> {
        let mut decisions = Decisions::new(decisions);
        let calls = state.log.turns.iter().flat_map(|turn| &turn.calls);
        let mut taken: HashSet<String> = calls.filter_map(|call| call.id.clone()).collect();
        let mut shortened = false;
        let mut shown = Shown::default();
        // Those of all turns.
        let mut inputs = state.inputs.clone();
        inputs.insert(TOOLS.to_owned(), self.specs.clone());
        state.reopen();
        loop {
            // Models and tools may answer at once; other tasks run between the turns nevertheless.
            tokio::task::yield_now().await;
            if let Some(end) = self.settle(state, &mut decisions).await? {
                return Ok(end);
            }
            if let Some(stop) = self.limits.reached(state, self.account.reached()) {
                return Ok(End::Stopped(stop));
            }
            self.keep(state).await?;
            if View::is_full(state.prompt_tokens, self.context_tokens) {
                // Measured again by the next turn.
                state.prompt_tokens = 0;
                let AgentState { view, log, .. } = &mut *state;
                view.shorten(log, self.summarizer, false).await?;
            }
            match self.turn(state, &mut inputs, &mut shown, &mut taken).await {
                Ok(turn) => {
                    shortened = false;
                    state.turns += 1;
                    state.broken.clear();
                    state.log.turns.push(turn);
                }
                Err(error) if error.as_lm().is_some_and(|error| error.kind == LmErrorKind::ContextWindow) => {
                    let AgentState { view, log, .. } = &mut *state;
                    if shortened || !view.shorten(log, self.summarizer, true).await? {
                        return Ok(End::Stopped(Termination::ContextWindow));
                    }
                    shortened = true;
                }
                Err(Error::Parse(error)) => {
                    state.turns += 1;
                    state.broken.clear();
                    let note = format!("The last reply could not be read: {}", error.problems_text());
                    let mut turn = Turn::default();
                    turn.note = Some(self.limits.clipped(&note));
                    state.log.turns.push(turn);
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// Hands out the state, if there is a place for it.
    async fn keep(&self, state: &mut AgentState) -> Result<()> {
        if !self.places.any() {
            return Ok(());
        }
        state.spent = self.account.spent();
        self.places.clone().keep(state.clone()).await
    }

    /// Requests the calls of the next turn.
    async fn turn(
        &self,
        state: &mut AgentState,
        inputs: &mut Values,
        shown: &mut Shown,
        taken: &mut HashSet<String>,
    ) -> Result<Turn> {
        let turns = shown.of(&state.view, &state.log);
        let prediction = self.react.call_showing(inputs, TRAJECTORY, turns).await?;
        if let Some(usage) = prediction.attempts().iter().filter_map(Attempt::usage).next_back() {
            state.prompt_tokens = usage.prompt_tokens;
        }
        let opaque = prediction.completions().first().and_then(|completion| completion.opaque.clone());
        let values = prediction.into_output();
        let thought = values.get(THOUGHT).and_then(Value::as_str).unwrap_or_default().to_owned();
        let calls =
            values.get(CALLS).and_then(|calls| ToolCalls::deserialize(calls).ok()).unwrap_or_default();
        if let Some(call) = calls.iter().find(|call| is_deeper(&call.arguments, DEEPEST_ARGUMENTS)) {
            let mut turn = Turn::default();
            turn.note = Some(format!(
                "No tool was called: the arguments of `{}` are nested deeper than {DEEPEST_ARGUMENTS} levels.",
                call.name
            ));
            return Ok(turn);
        }
        let mut turn = Turn::new(thought, with_ids(calls, state.turns + 1, taken));
        turn.opaque = opaque.filter(|_| !turn.calls.is_empty());
        if turn.calls.is_empty() {
            turn.note = Some(format!(
                "No tool was called; a call that is quoted in the text is none. Call the tools that help, or `{FINISH}` with \
                 the outputs."
            ));
        }
        Ok(turn)
    }

    /// Runs the calls of the last turn that have no result yet, and ends the run if one is an accepted `finish`.
    async fn settle(&self, state: &mut AgentState, decisions: &mut Decisions) -> Result<Option<End>> {
        let ready = self.plan(state, decisions);
        if !ready.is_empty() {
            // Whoever reads the state from here on knows that these calls may have run.
            self.keep(state).await?;
        }
        let failed = self.fly(state, ready).await;
        let AgentState { log, pending, .. } = state;
        let Some(turn) = log.turns.last_mut() else { return Ok(None) };
        insert_results(turn, []);
        match failed {
            Some(error) => Err(error),
            None if !pending.is_empty() => Ok(Some(End::Waiting)),
            None => self.finish(turn),
        }
    }

    /// Returns the calls of the last turn that are to run, which are marked as begun. The others have a result or wait.
    fn plan<'s>(&'s self, state: &mut AgentState, decisions: &mut Decisions) -> Vec<Ready<'s>> {
        let AgentState { log, pending, .. } = state;
        let (mut ready, mut answered) = (Vec::new(), Vec::new());
        let Some(turn) = log.turns.last_mut() else { return ready };
        let done: HashSet<&str> = turn.results.iter().map(|result| result.id.as_str()).collect();
        let tools: HashMap<&str, &Tool> = self.tools.iter().map(|tool| (tool.name(), tool)).collect();
        let mut waiting = std::mem::take(pending);
        let calls = turn.calls.iter().filter(|call| call.name != FINISH);
        for (number, call) in calls.enumerate() {
            let tool = tools.get(call.name.as_str()).copied();
            let id = id(call);
            let run = |resumed| Some(Ready { call: call.clone(), tool, resumed });
            let wait = |pending: &mut BTreeMap<_, _>, reason| {
                pending.insert(id.to_owned(), reason);
                None
            };
            let next = match waiting.remove(id) {
                None if done.contains(id) => None,
                None if number >= self.limits.calls => {
                    answered.push(self.beyond(call));
                    None
                }
                None if tool.is_some_and(|tool| tool.needs_approval(&call.arguments)) => {
                    wait(pending, Pending::Decision)
                }
                None | Some(Pending::Unbegun) => run(None),
                Some(Pending::Decision) => match decisions.about(id) {
                    // Once it was said to wait, it does, whatever the tool now says.
                    None => wait(pending, Pending::Decision),
                    Some(verdict) => match self.decided(call, verdict) {
                        Some(result) => {
                            answered.push(result);
                            None
                        }
                        None => run(None),
                    },
                },
                Some(Pending::Agent(inner)) => match decisions.inside(id, &inner.run) {
                    decisions if decisions.is_empty() => wait(pending, Pending::Agent(inner)),
                    decisions => run(Some(Resumed { state: inner, decisions })),
                },
                Some(Pending::Broken(inner)) => run(Some(Resumed { state: inner, decisions: Vec::new() })),
                Some(Pending::Begun) if tool.is_some_and(Tool::is_repeatable) => run(None),
                Some(Pending::Begun) => {
                    answered.push(Observation::error(id, &call.name, UNKNOWN));
                    None
                }
            };
            if let Some(ready) = &next {
                pending.insert(id.to_owned(), self.begun(ready));
            }
            ready.extend(next);
        }
        insert_results(turn, answered);
        ready
    }

    /// Returns how a state describes a call that runs. An agent inside hands out its state before it does anything, if
    /// states are kept; until then, it is where it was.
    fn begun(&self, ready: &Ready<'_>) -> Pending {
        let keeps = self.places.any() && self.can_wait && ready.tool.is_some_and(Tool::pauses);
        match &ready.resumed {
            _ if !keeps => Pending::Begun,
            None => Pending::Unbegun,
            Some(Resumed { state, decisions }) if decisions.is_empty() => Pending::Broken(state.clone()),
            Some(Resumed { state, .. }) => Pending::Agent(state.clone()),
        }
    }

    /// Returns the result of a call beyond the limit of calls of a turn.
    fn beyond(&self, call: &ToolCall) -> Observation {
        let limit = self.limits.calls;
        let text = format!("not run, because a turn may have at most {limit} calls; call it in a later turn");
        Observation::error(id(call), &call.name, text)
    }

    /// Returns the result that a decision gives to a call, or `None` if it is to run.
    fn decided(&self, call: &ToolCall, verdict: Verdict) -> Option<Observation> {
        let error = |text: String| Some(Observation::error(id(call), &call.name, self.limits.clipped(&text)));
        match verdict {
            Verdict::Approved => None,
            Verdict::Denied(reason) => error(format!("the call was denied: {reason}")),
            Verdict::Failed(text) => error(text),
            Verdict::Value(value) => Some(self.observed(call, &value.into())),
        }
    }

    /// Runs one call. Whatever the tool does, the result is an observation, in bounded time and space, unless an agent
    /// inside has to wait.
    pub(super) async fn run(&self, run: &str, ready: Ready<'_>, keeper: Option<Keeper>) -> Ran {
        let Ready { ref call, tool, resumed } = ready;
        let error = |text: String| Observation::error(id(call), &call.name, self.limits.clipped(&text));
        let Some(tool) = tool else {
            let names: Vec<_> = self.tools.iter().map(|tool| format!("`{}`", tool.name())).collect();
            let text =
                format!("there is no tool `{}`; there are {}, `{FINISH}`", call.name, names.join(", "));
            return Ran::Result(error(text));
        };
        let refused = |resumed: Resumed| Ran::Refused(resumed.state, ResumeError::OtherAgent.into());
        let resumed = match resumed {
            Some(resumed) if !tool.pauses() => return refused(resumed),
            resumed => resumed,
        };
        let slot = Arc::new(Slot::new(format!("{run}{INSIDE}{}", id(call)), self.can_wait, resumed, keeper));
        let context = ToolContext::new().with_call_id(id(call)).with_run_id(run);
        let work = tool.call_by(&call.arguments, context, slot.clone());
        let work = tokio::time::timeout(self.limits.tool_time, work);
        let result = match self.account.guard() {
            Some(guard) => lm::with_layer(guard, work).await,
            None => work.await,
        };
        let broken = match slot.held() {
            Some(Held::Waiting(state)) => return Ran::Waiting(state),
            Some(Held::Refused(state, error)) => return Ran::Refused(state, error.into()),
            Some(Held::Resumed(resumed)) => return refused(resumed),
            Some(Held::Broken(state)) => Some(state),
            None => None,
        };
        let result = match result {
            Err(_) => {
                error(format!("`{}` took longer than {:?} and was stopped", call.name, self.limits.tool_time))
            }
            Ok(Err(failure)) if lacks_approval(&failure) => {
                let text =
                    format!("`{}` needs an approval that cannot be given; do not call it again", call.name);
                return Ran::Unapproved(error(text), Error::other(failure));
            }
            Ok(Err(failure)) => error(failure.to_string()),
            Ok(Ok(value)) => self.observed(call, &value),
        };
        match broken.filter(|_| result.is_error) {
            Some(inner) => {
                let text = after(&result.text, &inner);
                Ran::Broken(inner, error(text))
            }
            None => Ran::Result(result),
        }
    }

    /// Returns a result as the model sees it, in bounded space.
    fn observed(&self, call: &ToolCall, value: &ToolValue) -> Observation {
        if value.parts().is_empty() {
            let text = self.limits.clipped(&value.text());
            return Observation::new(id(call), &call.name, text);
        }
        Observation::new(id(call), &call.name, "").with_parts(self.limits.clipped_parts(value.parts()))
    }

    /// Ends the run if the turn finishes it.
    fn finish(&self, turn: &mut Turn) -> Result<Option<End>> {
        let done: HashSet<&str> = turn.results.iter().map(|result| result.id.as_str()).collect();
        let open = |call: &&ToolCall| call.name == FINISH && !done.contains(id(call));
        let finishing: Vec<ToolCall> = turn.calls.iter().filter(open).cloned().collect();
        let Some(call) = finishing.first() else { return Ok(None) };
        let refusal = if finishing.iter().any(|other| other.arguments != call.arguments) {
            format!("`{FINISH}` was called more than once with different outputs; call it once")
        } else if turn.results.iter().any(|result| result.is_error) {
            "not finished, because another call of the same turn failed; consider its error first".to_owned()
        } else {
            match (self.accept)(values_of(&call.arguments)) {
                Ok(()) => {
                    let accepted = |call| Observation::new(id(call), FINISH, "accepted");
                    insert_results(turn, finishing.iter().map(accepted));
                    return Ok(Some(End::Finished(values_of(&call.arguments))));
                }
                Err(error) => match error.as_parse() {
                    Some(problems) => format!("these outputs are not accepted: {}", problems.problems_text()),
                    None => return Err(error),
                },
            }
        };
        let refusal = self.limits.clipped(&refusal);
        // One of them has the whole text, which may be long.
        let text = |at: usize| if at == 0 { refusal.as_str() } else { "not accepted, as above" };
        let refused = finishing.iter().enumerate();
        insert_results(turn, refused.map(|(at, call)| Observation::error(id(call), FINISH, text(at))));
        Ok(None)
    }
}

/// Returns the error of an agent that failed or was stopped with what it did before, as a model reads it.
fn after(error: &str, state: &AgentState) -> String {
    if state.log.turns.is_empty() {
        return format!("{error}\nBefore that, it did nothing.");
    }
    format!("{error}\nBefore that, it did the following:\n{}", done_by(state))
}

/// Returns what an agent did that failed or was stopped, as a model reads it.
fn done_by(state: &AgentState) -> String {
    let mut log = state.log.clone();
    if let Some(turn) = log.turns.last_mut() {
        let stopped = state.pending.iter().filter_map(|(id, pending)| match pending {
            Pending::Begun => Some(Observation::error(id, "", UNKNOWN)),
            Pending::Unbegun => Some(Observation::error(id, "", "not run")),
            Pending::Broken(inner) => Some(Observation::error(id, "", after(STOPPED, inner))),
            Pending::Decision | Pending::Agent(_) => None,
        });
        turn.results.extend(stopped);
    }
    log.to_string()
}

pub(super) fn id(call: &ToolCall) -> &str {
    call.id.as_deref().unwrap_or_default()
}

fn values_of(arguments: &Value) -> Values {
    arguments.as_object().map(|members| members.clone().into_iter().collect()).unwrap_or_default()
}

/// Inserts results where their calls stand among the calls of the turn.
pub(super) fn insert_results(turn: &mut Turn, results: impl IntoIterator<Item = Observation>) {
    turn.results.extend(results);
    let places: HashMap<&str, usize> =
        turn.calls.iter().enumerate().map(|(at, call)| (id(call), at)).collect();
    turn.results.sort_by_key(|result| places.get(result.id.as_str()).copied());
}

/// Gives each call an id that is unique in the run. Ids of the endpoint stay if they are, and if they can be part of a
/// path.
fn with_ids(calls: ToolCalls, turn: usize, taken: &mut HashSet<String>) -> Vec<lm::ToolCall> {
    let fits = |id: &String| (1..=LONGEST_ID).contains(&id.len()) && !id.contains(INSIDE);
    let mut named = Vec::with_capacity(calls.len());
    for (index, mut call) in calls.into_iter().enumerate() {
        let own = call.id.take().filter(|id| fits(id) && !taken.contains(id));
        let id = own.unwrap_or_else(|| {
            // Ids of the endpoint may look like these; each round makes another one.
            let mut id = format!("call_{turn}_{}", index + 1);
            while taken.contains(&id) {
                id.push('_');
            }
            id
        });
        taken.insert(id.clone());
        named.push(call.with_id(id));
    }
    named
}
