//! Runs of agents that are continued after an error or after the end of their process.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "in tests a panic is the report")]

mod agents;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use dspy::lm::{Budget, LmError, LmErrorKind, Reply, ScriptedLm};
use dspy::prelude::*;
use dspy::strategies::{AgentState, ApprovalNeeded, Parallel};
use serde_json::json;

use agents::{Item, Log, Order, OrderInput, agent, call, done, helper, stored, text, turn, waiting};

fn down() -> Reply {
    LmError::new(LmErrorKind::Transport, "scripted", "the endpoint is down").into()
}

fn replies(agent: &mut ReAct<Order>, replies: impl IntoIterator<Item = Reply>) -> Arc<ScriptedLm> {
    let script = Arc::new(ScriptedLm::new(replies));
    agent.set_lm(Lm::shared(script.clone()));
    script
}

fn reply(calls: serde_json::Value) -> Reply {
    turn(calls).into()
}

#[tokio::test]
async fn an_inner_agent_that_failed_goes_on_when_the_outer_run_does() {
    let log = Log::default();
    let mut inner = agent([log.tool("pay")], []);
    let script = replies(
        &mut inner,
        [reply(json!([call("pay", "tea")])), down(), reply(json!([call("finish", "paid")]))],
    );
    let mut outer = agent([helper(inner), log.tool("note")], []);
    let ask = json!([call("note", "x"), call("helper", "tea")]);
    let outer_script = replies(&mut outer, [reply(ask), down(), reply(json!([call("finish", "o")]))]);
    let error = outer.run("tea").await.unwrap_err();
    assert_eq!(log.take(), ["note x", "pay tea"]);
    // The model would have read what the inner agent did.
    let asked = text(&outer_script.requests()[1]);
    assert!(asked.contains("the endpoint is down") && asked.contains("-> pay done: tea"), "{asked}");

    let output = done(outer.resume(stored(&error.state), []).await);
    assert_eq!(output.receipt, "o");
    assert_eq!(log.take(), [""; 0], "nothing ran twice");
    let results = text(&outer_script.requests()[2]);
    assert!(results.contains(r#"-> {"receipt":"paid"}"#), "{results}");
    assert!(text(&script.requests()[2]).contains("pay done: tea"), "nothing is lost");
}

#[tokio::test]
async fn an_inner_agent_that_failed_before_its_first_turn_begins_when_the_outer_run_goes_on() {
    let log = Log::default();
    let mut inner = agent([log.tool("pay")], []);
    let script = replies(
        &mut inner,
        [down(), reply(json!([call("pay", "tea")])), reply(json!([call("finish", "paid")]))],
    );
    let mut outer = agent([helper(inner)], []);
    let ask = json!([call("helper", "tea")]);
    let outer_script = replies(&mut outer, [reply(ask), down(), reply(json!([call("finish", "o")]))]);
    let error = outer.run("tea").await.unwrap_err();
    let told = text(&outer_script.requests()[1]);
    assert!(told.contains("the endpoint is down") && told.contains("Before that, it did nothing."), "{told}");
    assert_eq!(log.take(), [""; 0]);

    done(outer.resume(stored(&error.state), []).await);
    assert_eq!(log.take(), ["pay tea"]);
    let results = text(&outer_script.requests()[2]);
    assert!(results.contains(r#"-> {"receipt":"paid"}"#) && !results.contains("is down"), "{results}");
    assert_eq!(text(&script.requests()[0]), text(&script.requests()[1]), "with the same inputs");
}

#[tokio::test]
async fn an_inner_agent_without_a_budget_for_its_first_turn_begins_when_there_is_one() {
    let log = Log::default();
    for calls in 1..4 {
        let turns = [json!([call("pay", "tea")]), json!([call("finish", "paid")])];
        let inner = agent([log.tool("pay")], turns);
        let outer = agent([helper(inner)], [json!([call("helper", "tea")]), json!([call("finish", "o")])]);
        let error = Budget::calls(calls).scope(outer.run("tea")).await.unwrap_err();
        let state = stored(&error.state);
        done(outer.resume(state, []).await);
        assert_eq!(log.take(), ["pay tea"], "{calls}");
    }
}

#[tokio::test]
async fn an_inner_agent_that_failed_goes_on_beside_a_call_that_waits() {
    let log = Log::default();
    let mut inner = agent([log.tool("pay")], []);
    replies(&mut inner, [reply(json!([call("pay", "tea")])), down(), reply(json!([call("finish", "paid")]))]);
    let mut outer = agent([helper(inner), log.tool("buy").with_approval()], []);
    let ask = json!([call("helper", "tea"), call("buy", "cup")]);
    replies(&mut outer, [reply(ask), reply(json!([call("finish", "o")]))]);
    let state = waiting(outer.run("tea").await);
    assert_eq!(log.take(), ["pay tea"]);
    let state = stored(&state);
    let decisions = [state.waiting()[0].approve()];
    let output = done(outer.resume(state, decisions).await);
    assert_eq!(output.receipt, "o");
    assert_eq!(log.take(), ["buy cup"]);
}

#[tokio::test]
async fn an_inner_agent_that_was_stopped_goes_on() {
    let log = Log::default();
    let slow = Tool::new("slow", "Waits.", |Item { item }: Item| async move {
        tokio::time::sleep(Duration::from_mins(1)).await;
        item
    });
    let mut inner = agent([log.tool("pay"), slow], []);
    let both = json!([call("pay", "tea"), call("slow", "tea")]);
    let script = replies(&mut inner, [reply(both), reply(json!([call("finish", "paid")]))]);
    let mut outer = agent([helper(inner)], []).tool_timeout(Duration::from_millis(100));
    let end = json!([call("finish", "o")]);
    let outer_script = replies(&mut outer, [reply(json!([call("helper", "tea")])), down(), reply(end)]);
    let error = outer.run("tea").await.unwrap_err();
    let told = text(&outer_script.requests()[1]);
    assert!(told.contains("pay done: tea") && told.contains("unknown whether this call ran"), "{told}");
    done(outer.resume(stored(&error.state), []).await);
    assert_eq!(log.take(), ["pay tea"]);
    assert!(text(&script.requests()[1]).contains("unknown whether this call ran"));
}

#[tokio::test]
async fn a_turn_of_the_outer_agent_ends_what_failed_before() {
    let log = Log::default();
    let mut inner = agent([log.tool("pay")], []);
    replies(&mut inner, [reply(json!([call("pay", "tea")])), down()]);
    let mut outer = agent([helper(inner), log.tool("buy").with_approval()], []);
    replies(
        &mut outer,
        [
            reply(json!([call("helper", "tea")])),
            reply(json!([call("buy", "cup")])),
            reply(json!([call("finish", "o")])),
        ],
    );
    let state = waiting(outer.run("tea").await);
    let decisions = [state.waiting()[0].approve()];
    done(outer.resume(stored(&state), decisions).await);
    assert_eq!(log.take(), ["pay tea", "buy cup"], "the model has read the error and goes on");
}

/// An agent that keeps its states, as they would be stored.
fn kept(agent: ReAct<Order>) -> (ReAct<Order>, Arc<Mutex<Vec<AgentState>>>) {
    let states: Arc<Mutex<Vec<AgentState>>> = Arc::default();
    let store = states.clone();
    let agent = agent.on_checkpoint(move |state: AgentState| {
        store.lock().unwrap().push(stored(&state));
        async { Ok::<_, dspy::Error>(()) }
    });
    (agent, states)
}

#[tokio::test]
async fn every_state_of_a_run_continues_it_and_no_tool_runs_again() {
    let log = Log::default();
    let build =
        |turns: &[serde_json::Value]| agent([log.tool("pay"), log.tool("look").repeatable()], turns.to_vec());
    let first = json!([call("look", "a"), call("pay", "tea")]);
    let second = json!([call("pay", "cup")]);
    let end = json!([call("finish", "o")]);
    let turns = [first, second, end];
    let (program, states) = kept(build(&turns));
    done(program.run("tea").await);
    assert_eq!(log.take(), ["look a", "pay tea", "pay cup"]);
    let states = states.lock().unwrap().clone();
    // Before each turn, and before the calls of a turn.
    let expected: [(usize, &[&str], usize); 5] = [
        (0, &["look a", "pay tea", "pay cup"], 0),
        (0, &["look a", "pay cup"], 1),
        (1, &["pay cup"], 1),
        (1, &[], 2),
        (2, &[], 2),
    ];
    assert_eq!(states.len(), expected.len());
    for (state, (done_turns, runs, next)) in states.iter().zip(expected) {
        let complete = state.trajectory().turns.iter().filter(|turn| turn.results.len() == turn.calls.len());
        assert_eq!(complete.count(), done_turns);
        let mut program = build(&[]);
        let script = replies(&mut program, turns[next..].iter().cloned().map(reply));
        assert_eq!(done(program.resume(state.clone(), []).await).receipt, "o");
        assert_eq!(log.take(), runs);
        // What was in flight and may not be repeated is told.
        let unknown = text(&script.requests()[0]).contains("unknown whether this call ran");
        assert_eq!(unknown, done_turns < next);
    }
}

#[tokio::test]
async fn a_state_that_cannot_be_kept_ends_the_run_before_anything_runs() {
    let log = Log::default();
    let program = agent([log.tool("pay")], [json!([call("pay", "tea")])]);
    let program = program.on_checkpoint(|state: AgentState| async move {
        if state.trajectory().turns.is_empty() { Ok(()) } else { Err("the disk is full") }
    });
    let error = program.run("tea").await.unwrap_err();
    assert!(error.to_string().contains("the disk is full"), "{error}");
    assert_eq!(log.take(), [""; 0]);
}

#[tokio::test]
async fn each_agent_in_parallel_has_its_own_outcome_and_can_be_resumed() {
    let log = Log::default();
    let order = |item: &str| {
        let turns = [json!([call("look", item), call("buy", item)]), json!([call("finish", item)])];
        agent([log.tool("look"), log.tool("buy").with_approval()], turns)
    };
    let ready = agent([log.tool("look")], [json!([call("look", "map")]), json!([call("finish", "map")])]);
    let mut broken = agent([], []);
    replies(&mut broken, [down()]);
    let agents = [order("tea"), ready, broken, order("cup")];
    let rows = Parallel::new(agents.clone()).call("all").await.unwrap().into_output();
    let mut looked = log.take();
    looked.sort();
    assert_eq!(looked, ["look cup", "look map", "look tea"], "nothing that needs approval has run");
    assert_eq!(rows[1].as_ref().unwrap().receipt, "map");
    assert!(rows[2].as_ref().unwrap_err().as_lm().is_some());
    // Those that wait have their states, and each goes on with a decision of its own.
    let state = |row: usize| ApprovalNeeded::of(rows[row].as_ref().unwrap_err()).unwrap().state.clone();
    let (tea, cup) = (stored(&state(0)), stored(&state(3)));
    assert_ne!(tea.run_id(), cup.run_id());
    let decisions = [tea.waiting()[0].approve()];
    assert_eq!(done(agents[0].resume(tea, decisions).await).receipt, "tea");
    let decisions = [cup.waiting()[0].deny("not today")];
    assert_eq!(done(agents[3].resume(cup, decisions).await).receipt, "cup");
    assert_eq!(log.take(), ["buy tea"], "nothing ran twice");

    // The same in `pairs`, in a batch, and in a program of another type.
    let inputs = ["tea", "cup"].map(|wish| OrderInput { wish: wish.into() });
    let rows = Parallel::new([order("tea").boxed(), order("cup").boxed()]).pairs(inputs).await.unwrap();
    for row in &rows {
        assert_eq!(ApprovalNeeded::of(row.as_ref().unwrap_err()).unwrap().state.waiting().len(), 1);
    }
    let one = order("tea");
    let rows = one.batch(["tea"]).collect().await;
    let state = ApprovalNeeded::of(rows[0].as_ref().unwrap_err()).unwrap().state.clone();
    let decisions = [state.waiting()[0].approve()];
    assert_eq!(done(one.resume(*state, decisions).await).receipt, "tea");
    assert_eq!(log.take().iter().filter(|ran| ran.starts_with("buy")).count(), 1);
}
