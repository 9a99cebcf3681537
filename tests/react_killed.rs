//! Agents inside the tools of agents, whose process ends at any moment: what ran is known, and goes on where it was.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "in tests a panic is the report")]

mod agents;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use dspy::lm::ScriptedLm;
use dspy::prelude::*;
use dspy::strategies::{AgentState, RunError};
use serde_json::{Value, json};
use tokio::sync::Notify;

use agents::{Item, Order, OrderOutput, call, text, turn};

/// The moment at which the process ends.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Kill {
    Never,
    /// When this state has been stored.
    Stored(usize),
    /// When this call of a tool has done its work, before it returns.
    Ran(usize),
}

/// What outlives processes, and what ends one.
#[derive(Clone)]
struct World {
    kill: Kill,
    killed: Arc<Notify>,
    stored: Arc<Mutex<Vec<String>>>,
    ran: Arc<Mutex<Vec<String>>>,
    asked: Arc<AtomicUsize>,
    approval: bool,
}

impl World {
    fn new(kill: Kill, approval: bool) -> Self {
        World {
            kill,
            killed: Arc::default(),
            stored: Arc::default(),
            ran: Arc::default(),
            asked: Arc::default(),
            approval,
        }
    }

    fn next_process(&self) -> Self {
        World { kill: Kill::Never, killed: Arc::default(), ..self.clone() }
    }

    fn last(&self) -> AgentState {
        AgentState::from_json(self.stored.lock().unwrap().last().unwrap()).unwrap()
    }

    async fn die_if(&self, now: bool) {
        if now {
            self.killed.notify_one();
            std::future::pending::<()>().await;
        }
    }

    fn tool(&self, name: &'static str) -> Tool {
        let world = self.clone();
        Tool::new(name, "Does something with an item.", move |Item { item }: Item| {
            let world = world.clone();
            async move {
                let at = {
                    let mut ran = world.ran.lock().unwrap();
                    ran.push(item.clone());
                    ran.len()
                };
                world.die_if(world.kill == Kill::Ran(at)).await;
                format!("{name} done: {item}")
            }
        })
    }

    /// An agent whose model takes the first step that the prompt does not show yet.
    fn agent(&self, tools: Vec<Tool>, steps: fn(&str) -> Vec<Value>, receipt: &'static str) -> ReAct<Order> {
        let asked = self.asked.clone();
        let model = ScriptedLm::from_fn(move |request| {
            asked.fetch_add(1, Ordering::SeqCst);
            let prompt = text(request);
            let whose = if prompt.contains("wish-b") { "b" } else { "a" };
            let shown = |step: &Value| {
                let arguments = step[0]["arguments"].as_object().unwrap();
                arguments.values().all(|value| prompt.contains(value.as_str().unwrap()))
            };
            let next = steps(whose).into_iter().find(|step| !shown(step));
            turn(next.unwrap_or_else(|| json!([call("finish", receipt)])))
        });
        let mut agent = ReAct::<Order>::new(tools).unwrap();
        agent.set_lm(Lm::shared(Arc::new(model)));
        agent
    }

    /// Three agents, each but the last with the next as a tool.
    fn program(&self) -> ReAct<Order> {
        let (pay, look) = (self.tool("pay"), self.tool("look").repeatable());
        let buy = if self.approval { self.tool("buy").with_approval() } else { self.tool("buy") };
        let inner = self.agent(
            vec![pay.clone(), look, buy],
            |whose| {
                let item = |name: &str| format!("item-{whose}-{name}");
                vec![
                    json!([call("pay", &item("i1")), call("look", &item("l1")), call("buy", &item("i2"))]),
                    json!([call("pay", &item("i3"))]),
                ]
            },
            "inner",
        );
        let middle = self.agent(
            vec![Tool::of_program("middle", "Fulfils a wish.", inner), pay.clone()],
            |whose| {
                let item = |name: &str| format!("item-{whose}-{name}");
                vec![
                    json!([call("pay", &item("m1"))]),
                    json!([call("middle", &format!("wish-{whose} inside")), call("pay", &item("m2"))]),
                    json!([call("pay", &item("m3"))]),
                ]
            },
            "middle",
        );
        let outer = self.agent(
            vec![Tool::of_program("helper", "Fulfils a wish.", middle), pay],
            |_| {
                vec![
                    json!([call("helper", "wish-a"), call("pay", "item-o1"), call("helper", "wish-b")]),
                    json!([call("pay", "item-o2")]),
                ]
            },
            "all of it",
        );
        let world = self.clone();
        outer.on_checkpoint(move |state: AgentState| {
            let world = world.clone();
            async move {
                // A store takes its time.
                tokio::task::yield_now().await;
                let at = {
                    let mut stored = world.stored.lock().unwrap();
                    stored.push(serde_json::to_string(&state)?);
                    stored.len()
                };
                world.die_if(world.kill == Kill::Stored(at)).await;
                Ok::<_, dspy::error::BoxError>(())
            }
        })
    }

    /// Lets a process work until its end; `None` if it was killed.
    async fn live(
        &self,
        work: impl Future<Output = Result<Outcome<OrderOutput>, RunError>>,
    ) -> Option<Outcome<OrderOutput>> {
        tokio::select! {
            biased;
            outcome = work => Some(outcome.unwrap()),
            () = self.killed.notified() => None,
        }
    }

    /// Resumes the latest state in another process, with approval of all that waits, until the run is done.
    async fn complete(&self, mut outcome: Option<Outcome<OrderOutput>>) -> String {
        let world = self.next_process();
        loop {
            let (state, decisions) = match outcome {
                Some(Outcome::Done(output)) => return output.receipt.clone(),
                Some(Outcome::Waiting(state)) => {
                    let decisions =
                        state.waiting().iter().map(dspy::strategies::WaitingCall::approve).collect();
                    (*state, decisions)
                }
                None => (self.last(), Vec::new()),
                Some(other) => panic!("{other:?}"),
            };
            outcome = Some(world.program().resume(state, decisions).await.unwrap());
        }
    }

    /// Checks what ran, after a kill that left calls in flight.
    fn check(&self, in_flight: &BTreeSet<String>, whole: &World, note: &str) {
        let mut counts = BTreeMap::new();
        for item in self.ran.lock().unwrap().iter() {
            *counts.entry(item.clone()).or_insert(0) += 1;
        }
        for item in whole.ran.lock().unwrap().iter() {
            let count = counts.remove(item).unwrap_or(0);
            let repeatable = item.contains("-l");
            match count {
                1 => {}
                0 => assert!(in_flight.contains(item) && !repeatable, "{note}: {item} is lost"),
                _ => assert!(repeatable && in_flight.contains(item), "{note}: {item} ran {count} times"),
            }
        }
        assert!(counts.is_empty(), "{note}: {counts:?}");
        // At most the turns that two agents had just asked for are paid again.
        let (asked, expected) = (self.asked.load(Ordering::SeqCst), whole.asked.load(Ordering::SeqCst));
        assert!((expected..=expected + 2).contains(&asked), "{note}: {asked} requests, not {expected}");
    }
}

/// The items of the calls in flight in a stored state, and in those of the agents inside.
fn in_flight(state: &Value, items: &mut BTreeSet<String>) {
    let empty = Vec::new();
    let calls = state["log"]["turns"].as_array().and_then(|turns| turns.last());
    let calls = calls.and_then(|turn| turn["calls"].as_array()).unwrap_or(&empty);
    for (id, pending) in state["pending"].as_object().into_iter().flatten() {
        if pending == "begun" {
            let call = calls.iter().find(|call| call["id"] == **id).unwrap();
            let item = call["arguments"]["item"].as_str();
            items.insert(item.unwrap_or_else(|| panic!("the agent in {call} is lost")).to_owned());
        }
        for inner in pending.as_object().into_iter().flat_map(|kinds| kinds.values()) {
            in_flight(inner, items);
        }
    }
}

async fn unbroken(approval: bool) -> World {
    let whole = World::new(Kill::Never, approval);
    let outcome = whole.program().run("tea").await.unwrap();
    assert_eq!(whole.complete(Some(outcome)).await, "all of it");
    let ran = whole.ran.lock().unwrap().clone();
    assert_eq!(ran.len(), 2 + 2 * 7, "{ran:?}");
    whole
}

/// Kills a run at one moment, resumes it, and checks what ran. Returns whether it was killed.
async fn survives(kill: Kill, approval: bool, whole: &World) -> bool {
    let world = World::new(kill, approval);
    let mut outcome = world.live(world.program().run("tea")).await;
    if let Some(Outcome::Waiting(state)) = &outcome {
        // The same process goes on after the decisions; the state that waits is stored, too.
        world.stored.lock().unwrap().push(serde_json::to_string(state).unwrap());
        let decisions: Vec<_> = state.waiting().iter().map(dspy::strategies::WaitingCall::approve).collect();
        outcome = world.live(world.program().resume((**state).clone(), decisions)).await;
    }
    let killed = outcome.is_none();
    let mut flying = BTreeSet::new();
    if killed {
        in_flight(&serde_json::to_value(world.last()).unwrap(), &mut flying);
    }
    assert_eq!(world.complete(outcome).await, "all of it", "{kill:?}");
    world.check(&flying, whole, &format!("{kill:?}"));
    killed
}

async fn every_kill(at: impl Fn(usize) -> Kill, approval: bool) -> usize {
    let whole = unbroken(approval).await;
    let mut kills = 0;
    // The number of the state that waits is not one at which a process can be killed.
    for number in 1..200 {
        let killed = survives(at(number), approval, &whole).await;
        kills += usize::from(killed);
        if !killed && number > whole.stored.lock().unwrap().len() + 10 {
            break;
        }
    }
    kills
}

#[tokio::test]
async fn a_run_killed_at_any_of_its_states_goes_on_at_every_depth() {
    let kills = every_kill(Kill::Stored, false).await;
    assert!(kills >= 25, "{kills}");
}

#[tokio::test]
async fn a_run_killed_in_any_of_its_tools_goes_on_at_every_depth() {
    assert_eq!(every_kill(Kill::Ran, false).await, 16);
}

#[tokio::test]
async fn a_run_killed_around_decisions_goes_on_at_every_depth() {
    let kills = every_kill(Kill::Stored, true).await;
    assert!(kills >= 25, "{kills}");
    assert_eq!(every_kill(Kill::Ran, true).await, 16);
}

#[tokio::test]
async fn a_state_of_an_inner_agent_that_cannot_be_kept_ends_the_whole_run() {
    #[derive(Debug)]
    struct Full;
    impl std::fmt::Display for Full {
        fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str("the disk is full")
        }
    }
    impl std::error::Error for Full {}

    let whole = unbroken(false).await;
    let stored = whole.stored.lock().unwrap().len();
    for number in 1..=stored {
        let world = World::new(Kill::Never, false);
        let kept = Arc::new(AtomicUsize::new(0));
        let program = world.program().on_checkpoint(move |_| {
            let full = kept.fetch_add(1, Ordering::SeqCst) + 1 >= number;
            async move { if full { Err(Full) } else { Ok(()) } }
        });
        let error = program.run("tea").await.unwrap_err();
        let dspy::Error::Other(source) = &error.source else { panic!("{error}") };
        assert!(source.is::<Full>(), "the error is that of the store: {source:?}");
        // Nothing is lost, and nothing ran that is not known.
        let state = AgentState::from_json(&serde_json::to_string(&error.state).unwrap()).unwrap();
        let outcome = world.next_process().program().resume(state, []).await.unwrap();
        assert_eq!(world.complete(Some(outcome)).await, "all of it");
        let mut ran = world.ran.lock().unwrap().clone();
        let mut expected = whole.ran.lock().unwrap().clone();
        ran.sort();
        expected.sort();
        // Calls that were about to run when the store failed are told to be unknown.
        let twice: Vec<_> = ran.windows(2).filter(|pair| pair[0] == pair[1]).collect();
        assert!(twice.is_empty(), "{number}: {twice:?}");
        assert!(ran.iter().all(|item| expected.contains(item)), "{number}: {ran:?}");
    }
}

#[tokio::test]
async fn a_store_that_waits_for_a_tool_does_not_stop_the_run() {
    // The store can be used only after the tool beside the agent has ended.
    let free = Arc::new(tokio::sync::Semaphore::new(1));
    let (held, started) = (free.clone(), Arc::new(Notify::new()));
    let begins = started.clone();
    let slow = Tool::new("pay", "Holds the store.", move |_: Item| {
        let (held, begins) = (held.clone(), begins.clone());
        async move {
            let _permit = held.acquire().await;
            begins.notify_one();
            for _ in 0..50 {
                tokio::task::yield_now().await;
            }
            "paid"
        }
    });
    let inner = agents::agent([], [json!([call("finish", "inner")])]);
    let outer = agents::agent(
        [slow, agents::helper(inner)],
        [json!([call("pay", "tea"), call("helper", "tea")]), json!([call("finish", "o")])],
    );
    let outer = outer.on_checkpoint(move |_| {
        let free = free.clone();
        async move { free.acquire().await.map(drop) }
    });
    let run = async { tokio::join!(outer.run("tea"), started.notified()).0 };
    let ended = tokio::time::timeout(std::time::Duration::from_mins(1), run).await;
    assert_eq!(agents::done(ended.expect("it stands still")).receipt, "o");
}
