//! The calls of a turn in flight, and the states that are kept meanwhile.

use std::future::poll_fn;
use std::sync::Arc;
use std::task::Poll;

use dspy_core::error::{BoxError, Error};
use dspy_core::{Result, lm};
use futures_util::{FutureExt as _, StreamExt as _, stream};
use tokio::sync::{mpsc, oneshot};

use super::agent::{Agent, Ran, Ready, id, insert_results};
use super::state::{AgentState, Pending};

/// Keeps a state while its run goes on.
pub(super) type Checkpoint = dyn Fn(AgentState) -> lm::BoxFuture<'static, Result<(), BoxError>> + Send + Sync;

/// The places in which the states of a run are kept while it goes on.
#[derive(Clone)]
pub(super) struct Places {
    /// That of the agent itself.
    pub(super) own: Option<Arc<Checkpoint>>,
    /// The state of the agent around it.
    pub(super) outer: Option<Keeper>,
}

impl Places {
    /// Returns whether there is one.
    pub(super) fn any(&self) -> bool {
        self.own.is_some() || self.outer.is_some()
    }

    /// Keeps a state in all places.
    pub(super) async fn keep(self, state: AgentState) -> Result<()> {
        match (self.own, self.outer) {
            (None, None) => Ok(()),
            (Some(own), None) => own(state).await.map_err(Error::other),
            (None, Some(outer)) => outer.keep(state).await,
            (Some(own), Some(outer)) => {
                own(state.clone()).await.map_err(Error::other)?;
                outer.keep(state).await
            }
        }
    }
}

/// The way of the states of an agent inside a call to the agent around it, which keeps them within its own.
#[derive(Debug, Clone)]
pub(super) struct Keeper {
    /// The id of the call.
    id: String,
    states: mpsc::UnboundedSender<ToKeep>,
}

/// A state of an agent inside a call. The agent goes on once it is kept.
#[derive(Debug)]
struct ToKeep {
    id: String,
    state: Box<AgentState>,
    kept: oneshot::Sender<Result<(), String>>,
}

impl Keeper {
    /// Returns once the state is kept, so that each agent has at most one on its way.
    async fn keep(self, state: AgentState) -> Result<()> {
        let (kept, answer) = oneshot::channel();
        // If nothing receives it, the answer says so.
        let _ = self.states.send(ToKeep { id: self.id, state: Box::new(state), kept });
        match answer.await {
            Ok(kept) => kept.map_err(Error::other),
            Err(_) => Err(Error::other("the agent around this one has ended")),
        }
    }
}

/// An event while calls are in flight.
enum Event {
    Ran(String, Ran),
    ToKeep(ToKeep),
    Kept(Result<()>),
    /// Nothing is in flight any more.
    Ended,
}

impl Agent<'_> {
    /// Runs calls of the last turn and returns an error that ends the run, if there was one. Meanwhile the states of agents
    /// inside are kept within that of the run.
    pub(super) async fn fly(&self, state: &mut AgentState, ready: Vec<Ready<'_>>) -> Option<Error> {
        if ready.is_empty() {
            return None;
        }
        let run = state.run.clone();
        let (sender, mut states) = mpsc::unbounded_channel();
        let running = ready.into_iter().map(|ready| {
            let (run, id) = (run.as_str(), id(&ready.call).to_owned());
            let keeper = self.places.any().then(|| Keeper { id: id.clone(), states: sender.clone() });
            async move { (id, self.run(run, ready, keeper).await) }
        });
        // Collected, so that the type of the stream names no closure.
        let running: Vec<_> = running.collect();
        let mut running = stream::iter(running).buffer_unordered(self.limits.concurrency);
        // One at a time, so that no state takes the place of a later one. The calls go on meanwhile.
        let mut keeping: Option<lm::BoxFuture<'static, Result<()>>> = None;
        let mut asked = Vec::new();
        let mut failed = None;
        loop {
            let event = poll_fn(|cx| {
                match &mut keeping {
                    Some(keep) => {
                        if let Poll::Ready(kept) = keep.poll_unpin(cx) {
                            return Poll::Ready(Event::Kept(kept));
                        }
                    }
                    None => {
                        if let Poll::Ready(Some(one)) = states.poll_recv(cx) {
                            return Poll::Ready(Event::ToKeep(one));
                        }
                    }
                }
                match running.poll_next_unpin(cx) {
                    Poll::Ready(Some((id, ran))) => Poll::Ready(Event::Ran(id, ran)),
                    Poll::Ready(None) if keeping.is_none() => Poll::Ready(Event::Ended),
                    _ => Poll::Pending,
                }
            });
            match event.await {
                Event::Ran(id, ran) => {
                    failed = failed.or(ended(state, id, ran));
                    // Other tasks run between calls. Not at the start of each: calls start in their order.
                    tokio::task::yield_now().await;
                }
                Event::ToKeep(first) => {
                    let more = std::iter::from_fn(|| states.try_recv().ok());
                    for ToKeep { id, state: inner, kept } in std::iter::once(first).chain(more) {
                        // The call may have been stopped meanwhile.
                        if !kept.is_closed() && state.pending.contains_key(&id) {
                            state.pending.insert(id, Pending::Broken(inner));
                            asked.push(kept);
                        }
                    }
                    if !asked.is_empty() {
                        state.spent = self.account.spent();
                        let mut whole = state.clone();
                        whole.log.turns.last_mut().into_iter().for_each(|turn| insert_results(turn, []));
                        keeping = Some(Box::pin(self.places.clone().keep(whole)));
                    }
                }
                Event::Kept(kept) => {
                    keeping = None;
                    let answer = kept.as_ref().map(drop).map_err(ToString::to_string);
                    // An agent that has been stopped reads no answer.
                    asked.drain(..).for_each(|asked| drop(asked.send(answer.clone())));
                    failed = failed.or(kept.err());
                }
                Event::Ended => return failed,
            }
        }
    }
}

/// Writes the end of a call into the state at once: the run may be stopped before the other calls have theirs. Returns an
/// error that ends the run.
fn ended(state: &mut AgentState, id: String, ran: Ran) -> Option<Error> {
    let AgentState { log, pending, broken, .. } = state;
    let results = &mut log.turns.last_mut()?.results;
    pending.remove(&id);
    match ran {
        Ran::Result(result) => results.push(result),
        Ran::Waiting(inner) => drop(pending.insert(id, Pending::Agent(inner))),
        Ran::Broken(inner, result) => {
            results.push(result);
            broken.insert(id, inner);
        }
        Ran::Refused(inner, error) => {
            let waits = !inner.waiting().is_empty();
            let inner = if waits { Pending::Agent(inner) } else { Pending::Broken(inner) };
            pending.insert(id, inner);
            return Some(error);
        }
        Ran::Unapproved(result, error) => {
            results.push(result);
            return Some(error);
        }
    }
    None
}
