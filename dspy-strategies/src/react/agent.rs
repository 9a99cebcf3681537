//! The loop of an agent, without types: turns, calls, results.

use std::collections::HashMap;

use dspy_core::error::Error;
use dspy_core::lm::LmErrorKind;
use dspy_core::predict::{Attempt, Predictor};
use dspy_core::signature::Values;
use dspy_core::tools::{Tool, ToolCall, ToolCalls, ToolContext, ToolValue};
use dspy_core::types::{Observation, Turn};
use dspy_core::{Result, lm};
use futures_util::{StreamExt as _, stream};
use serde::Deserialize as _;
use serde_json::Value;

use super::limits::{Limits, Termination};
use super::state::{AgentState, Decision, Verdict, insert_result};
use super::{CALLS, FINISH, THOUGHT, TOOLS, TRAJECTORY};

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
}

/// The end of a part of a run.
pub(super) enum End {
    Finished(Values),
    Waiting,
    Stopped(Termination),
}

impl Agent<'_> {
    /// Continues a run until it ends or has to wait. The state has all that was done, also after an error.
    pub(super) async fn advance(&self, state: &mut AgentState, decisions: Vec<Decision>) -> Result<End> {
        let mut decisions: HashMap<String, Verdict> =
            decisions.into_iter().map(|decision| (decision.call.id, decision.verdict)).collect();
        let mut shortened = false;
        loop {
            if let Some(end) = self.settle(state, &mut decisions).await? {
                return Ok(end);
            }
            if let Some(stop) = self.limits.reached(state) {
                return Ok(End::Stopped(stop));
            }
            if super::compaction::View::is_full(state.prompt_tokens, self.context_tokens) {
                // Measured again by the next turn.
                state.prompt_tokens = 0;
                let AgentState { view, log, .. } = &mut *state;
                view.shorten(log, self.summarizer, false).await?;
            }
            match self.turn(state).await {
                Ok(turn) => {
                    shortened = false;
                    state.turns += 1;
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
                    for failed in error.earlier.iter().chain([&*error]) {
                        state.usage += failed.usage().unwrap_or_default();
                    }
                    state.turns += 1;
                    let note = format!("The last reply could not be read: {}", error.problems_text());
                    let mut turn = Turn::default();
                    turn.note = Some(self.limits.clipped(&note));
                    state.log.turns.push(turn);
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// Requests the calls of the next turn.
    async fn turn(&self, state: &mut AgentState) -> Result<Turn> {
        let shown = serde_json::to_value(state.view.of(&state.log)).map_err(Error::other)?;
        let mut inputs = state.inputs.clone();
        inputs.insert(TRAJECTORY.to_owned(), shown);
        inputs.insert(TOOLS.to_owned(), self.specs.clone());
        let prediction = self.react.call(inputs).await?;
        // Replies from a cache or a journal count as well, so that a run that is repeated from them is the same.
        let usages = prediction.attempts().iter().filter_map(Attempt::usage);
        for usage in usages {
            state.usage += usage;
            state.prompt_tokens = usage.prompt_tokens;
        }
        let opaque = prediction.completions().first().and_then(|completion| completion.opaque.clone());
        let values = prediction.into_output();
        let thought = values.get(THOUGHT).and_then(Value::as_str).unwrap_or_default().to_owned();
        let calls =
            values.get(CALLS).and_then(|calls| ToolCalls::deserialize(calls).ok()).unwrap_or_default();
        let mut turn = Turn::new(thought, with_ids(calls, state));
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
    async fn settle(
        &self,
        state: &mut AgentState,
        decisions: &mut HashMap<String, Verdict>,
    ) -> Result<Option<End>> {
        let Some(turn) = state.log.turns.last_mut() else { return Ok(None) };
        let open = |turn: &Turn, call: &ToolCall| turn.result(id(call)).is_none();
        let (mut ready, mut answered, mut waits) = (Vec::new(), Vec::new(), false);
        for call in turn.calls.iter().filter(|call| call.name != FINISH && open(turn, call)) {
            let tool = self.tools.iter().find(|tool| tool.name() == call.name);
            match (decisions.remove(id(call)), tool) {
                (Some(verdict), tool) => match self.decided(call, verdict) {
                    Some(result) => answered.push(result),
                    None => ready.push((call, tool)),
                },
                (None, Some(tool)) if tool.needs_approval(&call.arguments) => waits = true,
                (None, tool) => ready.push((call, tool)),
            }
        }
        let running: Vec<_> = ready.into_iter().map(|(call, tool)| self.run(call, tool)).collect();
        let mut running = stream::iter(running).buffer_unordered(self.limits.concurrency);
        while let Some(result) = running.next().await {
            answered.push(result);
        }
        drop(running);
        answered.into_iter().for_each(|result| insert_result(turn, result));
        if waits {
            return Ok(Some(End::Waiting));
        }
        self.finish(turn)
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

    /// Runs one call. Whatever the tool does, the result is an observation, in bounded time and space.
    async fn run(&self, call: &ToolCall, tool: Option<&Tool>) -> Observation {
        let error = |text: String| Observation::error(id(call), &call.name, self.limits.clipped(&text));
        let Some(tool) = tool else {
            let names: Vec<_> = self.tools.iter().map(|tool| format!("`{}`", tool.name())).collect();
            return error(format!(
                "there is no tool `{}`; there are {}, `{FINISH}`",
                call.name,
                names.join(", ")
            ));
        };
        let context = ToolContext::new().with_call_id(id(call));
        let result = tool.call_with(&call.arguments, context);
        match tokio::time::timeout(self.limits.tool_time, result).await {
            Err(_) => {
                error(format!("`{}` took longer than {:?} and was stopped", call.name, self.limits.tool_time))
            }
            Ok(Err(failure)) => error(failure.to_string()),
            Ok(Ok(value)) => self.observed(call, &value),
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
        let open = |call: &&ToolCall| call.name == FINISH && turn.result(id(call)).is_none();
        let finishing: Vec<ToolCall> = turn.calls.iter().filter(open).cloned().collect();
        let Some(call) = finishing.first() else { return Ok(None) };
        let refusal = if finishing.iter().any(|other| other.arguments != call.arguments) {
            format!("`{FINISH}` was called more than once with different outputs; call it once")
        } else if turn.results.iter().any(|result| result.is_error) {
            "not finished, because another call of the same turn failed; consider its error first".to_owned()
        } else {
            match (self.accept)(values_of(&call.arguments)) {
                Ok(()) => {
                    let accepted =
                        finishing.iter().map(|call| Observation::new(id(call), FINISH, "accepted"));
                    accepted.for_each(|result| insert_result(turn, result));
                    return Ok(Some(End::Finished(values_of(&call.arguments))));
                }
                Err(error) => match error.as_parse() {
                    Some(problems) => format!("these outputs are not accepted: {}", problems.problems_text()),
                    None => return Err(error),
                },
            }
        };
        for call in &finishing {
            insert_result(turn, Observation::error(id(call), FINISH, self.limits.clipped(&refusal)));
        }
        Ok(None)
    }
}

fn id(call: &ToolCall) -> &str {
    call.id.as_deref().unwrap_or_default()
}

fn values_of(arguments: &Value) -> Values {
    arguments.as_object().map(|members| members.clone().into_iter().collect()).unwrap_or_default()
}

/// Gives each call an id that is unique in the run. Ids of the endpoint stay if they are.
fn with_ids(calls: ToolCalls, state: &AgentState) -> Vec<lm::ToolCall> {
    let mut taken: Vec<String> =
        state.log.turns.iter().flat_map(|turn| &turn.calls).filter_map(|call| call.id.clone()).collect();
    let mut named = Vec::with_capacity(calls.len());
    for (index, mut call) in calls.into_iter().enumerate() {
        let own = call.id.take().filter(|id| !id.is_empty() && !taken.contains(id));
        let id = own.unwrap_or_else(|| {
            // Ids of the endpoint may look like these; each round makes another one.
            let mut id = format!("call_{}_{}", state.turns + 1, index + 1);
            while taken.contains(&id) {
                id.push('_');
            }
            id
        });
        taken.push(id.clone());
        named.push(call.with_id(id));
    }
    named
}
