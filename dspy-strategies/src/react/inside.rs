//! Agents inside the tools of agents: their ids, and how they wait for decisions.

use std::hash::BuildHasher as _;
use std::hash::RandomState;
use std::sync::atomic::{AtomicUsize, Ordering};

use std::sync::{Arc, Mutex};

use dspy_base::locks::MutexExt as _;
use dspy_core::tools::CurrentCall;

use super::errors::ResumeError;
use super::flight::Keeper;
use super::state::{AgentState, Decision};

/// The place of an agent inside one call of a tool of another agent.
#[derive(Debug)]
pub(super) struct Slot {
    /// The id of the outer run with the call.
    path: String,
    /// Whether the outer agent can wait.
    can_wait: bool,
    /// The way of the agent's states to the outer agent, if that one keeps them.
    pub(super) keeper: Option<Keeper>,
    /// The number of runs that began here.
    runs: AtomicUsize,
    held: Mutex<Option<Held>>,
}

/// A run that is handed over between an agent and the one around it.
#[derive(Debug)]
pub(super) enum Held {
    /// To be continued with decisions.
    Resumed(Resumed),
    /// Calls wait for decisions.
    Waiting(Box<AgentState>),
    /// The run failed, or was stopped.
    Broken(Box<AgentState>),
    /// The run cannot be continued; nothing of it has run.
    Refused(Box<AgentState>, ResumeError),
}

/// A run to be continued, with decisions about its calls.
#[derive(Debug)]
pub(super) struct Resumed {
    pub(super) state: Box<AgentState>,
    pub(super) decisions: Vec<Decision>,
}

impl Slot {
    pub(super) fn new(
        path: String,
        can_wait: bool,
        resumed: Option<Resumed>,
        keeper: Option<Keeper>,
    ) -> Self {
        let held = Mutex::new(resumed.map(Held::Resumed));
        Slot { path, can_wait, keeper, runs: AtomicUsize::new(0), held }
    }

    /// Takes the run that is to be continued, if there is one.
    pub(super) fn resumed(&self) -> Option<Resumed> {
        let mut held = self.held.lock_any();
        match held.take()? {
            Held::Resumed(resumed) => Some(resumed),
            other => {
                *held = Some(other);
                None
            }
        }
    }

    pub(super) fn hold(&self, held: Held) {
        *self.held.lock_any() = Some(held);
    }

    /// Takes what the agent left here.
    pub(super) fn held(&self) -> Option<Held> {
        self.held.lock_any().take()
    }

    fn next_run(&self) -> String {
        match self.runs.fetch_add(1, Ordering::Relaxed) {
            0 => self.path.clone(),
            earlier => format!("{}#{}", self.path, earlier + 1),
        }
    }
}

/// The state of a run that the place of its agent receives if the run fails or is stopped.
pub(super) struct Kept {
    pub(super) state: Box<AgentState>,
    slot: Option<Arc<Slot>>,
}

impl Kept {
    pub(super) fn new(state: Box<AgentState>, slot: Option<Arc<Slot>>) -> Self {
        Kept { state, slot }
    }

    /// Ends the run: nothing is left to be continued.
    pub(super) fn end(mut self) {
        self.slot = None;
    }

    /// Leaves the state of a run that waits in its place, and returns it.
    pub(super) fn wait(mut self) -> Box<AgentState> {
        let state = self.state.clone();
        if let Some(slot) = self.slot.take() {
            slot.hold(Held::Waiting(state.clone()));
        }
        state
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        if let Some(slot) = self.slot.take() {
            slot.hold(Held::Broken(self.state.clone()));
        }
    }
}

/// The way in which an agent that is called as a module can wait for a decision.
pub(super) enum Standing {
    /// No tool is around it: the state goes into the error.
    Alone,
    /// It is the program of another agent's tool: that agent holds the state.
    Held(Arc<Slot>),
    /// It runs where a run cannot be continued in the middle.
    Unheld(Place),
}

/// A place where an agent cannot wait.
pub(super) enum Place {
    /// Somewhere in a tool.
    Tool(String),
    /// In one of the runs of a strategy that repeats its program.
    Strategy(&'static str),
}

tokio::task_local! {
    /// The strategy that runs the program of the current task several times.
    static REPEATED: &'static str;
}

/// Runs one of `count` runs of a program by a strategy, in which agents cannot wait.
pub(crate) async fn repeated<F: Future>(strategy: &'static str, count: usize, run: F) -> F::Output {
    if count > 1 { REPEATED.scope(strategy, run).await } else { run.await }
}

impl Standing {
    pub(super) fn current() -> Self {
        let Some(call) = CurrentCall::get() else {
            return REPEATED
                .try_with(|strategy| Standing::Unheld(Place::Strategy(strategy)))
                .unwrap_or(Standing::Alone);
        };
        match call.caller::<Slot>() {
            Some(slot) if slot.can_wait && call.pauses() => Standing::Held(slot),
            _ => Standing::Unheld(Place::Tool(call.tool().to_owned())),
        }
    }
}

/// Returns the id of a new run: random, or inside a tool of an agent the outer run with the call, so that it is the same
/// whenever that call is repeated.
pub(super) fn run_id() -> String {
    if let Some(slot) = CurrentCall::get().and_then(|call| call.caller::<Slot>()) {
        return slot.next_run();
    }
    let random = || RandomState::new().hash_one(std::process::id());
    format!("{:016x}{:016x}", random(), random())
}
