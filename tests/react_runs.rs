//! Runs of agents: the calls of a turn, repetition, and the state that is stored.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "in tests a panic is the report")]

mod agents;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use dspy::lm::{Capabilities, Completion, Request, ScriptedLm};
use dspy::prelude::*;
use dspy::strategies::{AgentState, ResumeError};
use dspy::tools::ToolCall;
use dspy::types::Trajectory;
use serde_json::{Value, json};

use agents::{Item, Order, resume_error, turn};

mod changed {
    use dspy::prelude::*;

    /// Fulfil the wish, whatever it costs.
    #[signature]
    pub(crate) struct Order {
        #[input]
        wish: String,
        #[output]
        receipt: String,
    }
}

sig!(Chat: "history: History<Chat>, question -> answer");
sig!(Asked: "question -> reply");
sig!(Other: "history: History<Asked>, question -> answer");

/// A tool, and the number of its runs.
fn counted(name: &str, description: &str) -> (Tool, Arc<AtomicUsize>) {
    let runs = Arc::new(AtomicUsize::new(0));
    let counter = runs.clone();
    let tool = Tool::new(name, description, move |Item { item }: Item| {
        counter.fetch_add(1, Ordering::SeqCst);
        async move { format!("seen {item}") }
    });
    (tool, runs)
}

fn call(name: &str, item: impl ToString) -> Value {
    json!({"name": name, "arguments": {"item": item.to_string()}})
}

fn finish(receipt: &str) -> Value {
    json!({"name": "finish", "arguments": {"receipt": receipt}})
}

const EXTRACTED: &str = "[[ ## reasoning ## ]]\nr\n\n[[ ## receipt ## ]]\nextracted";

fn agent(tools: impl IntoIterator<Item = Tool>, replies: impl IntoIterator<Item = String>) -> ReAct<Order> {
    let mut agent = ReAct::<Order>::new(tools).unwrap();
    agent.set_lm(Lm::scripted(replies));
    agent
}

async fn waiting(agent: &ReAct<Order>) -> AgentState {
    match agent.run("tea").await.unwrap() {
        Outcome::Waiting(state) => *state,
        other => panic!("it did not wait: {other:?}"),
    }
}

fn json_of(state: &AgentState) -> Value {
    serde_json::to_value(state).unwrap()
}

#[tokio::test]
async fn calls_beyond_the_limit_of_a_turn_are_not_run_and_the_model_is_told() {
    let many = (0..100).map(|item| call("look", item)).chain([finish("early")]).collect();
    let script = Arc::new(ScriptedLm::new([turn(Value::Array(many)), turn(json!([finish("end")]))]));
    let (tool, runs) = counted("look", "");
    let mut agent = ReAct::<Order>::new([tool]).unwrap();
    agent.set_lm(Lm::shared(script.clone()));
    let output = agent.call("tea").await.unwrap();
    assert_eq!((output.receipt.as_str(), runs.load(Ordering::SeqCst)), ("end", 64));
    let log: Trajectory = output.added_as("trajectory").unwrap();
    let results = &log.turns[0].results;
    assert_eq!(results.len(), 101);
    assert_eq!(results[63].shown(), "seen 63");
    assert_eq!(
        results[64].shown(),
        "error: not run, because a turn may have at most 64 calls; call it in a later turn"
    );
    assert!(results[100].text.starts_with("not finished"), "{:?}", results[100]);
    let prompt: String =
        script.requests()[1].messages.iter().map(|message| message.text().into_owned()).collect();
    assert_eq!(prompt.matches("a turn may have at most 64 calls").count(), 36);
}

#[tokio::test]
async fn the_work_of_a_turn_grows_no_faster_than_its_calls() {
    // At a cubic rate this takes hours.
    let count = 10_000;
    let calls = (0..count).map(|item| ToolCall::new("look", json!({"item": item.to_string()})));
    let ends = (0..count).map(|_| ToolCall::new("finish", json!({"receipt": "end"})));
    let script = [Completion::new("").calling(calls), Completion::new("").calling(ends)];
    let script = ScriptedLm::new(script).with_capabilities(Capabilities::NONE.tools(true));
    let (tool, runs) = counted("look", "");
    let mut agent = ReAct::<Order>::new([tool]).unwrap().max_calls_per_turn(count);
    agent.set_lm(Lm::custom(script));
    let output = agent.call("tea").await.unwrap();
    assert_eq!((output.receipt.as_str(), runs.load(Ordering::SeqCst)), ("end", count));
    let log: Trajectory = output.added_as("trajectory").unwrap();
    let order = log.turns[0].calls.iter().zip(&log.turns[0].results);
    assert!(
        order.into_iter().all(|(call, result)| call.id.as_ref() == Some(&result.id)),
        "they are in order"
    );
    assert_eq!(log.turns[1].results.len(), count);
}

#[tokio::test]
async fn other_tasks_run_between_the_calls() {
    let ticks = Arc::new(AtomicUsize::new(0));
    let counter = ticks.clone();
    let ticking = tokio::spawn(async move {
        loop {
            counter.fetch_add(1, Ordering::SeqCst);
            tokio::task::yield_now().await;
        }
    });
    let (tool, _) = counted("look", "");
    let calls = (0..64).map(|item| call("look", item)).collect();
    let agent = agent([tool], [turn(Value::Array(calls)), turn(json!([finish("end")]))]).concurrency(4);
    agent.call("tea").await.unwrap();
    ticking.abort();
    assert!(ticks.load(Ordering::SeqCst) >= 16, "{ticks:?}");
}

#[tokio::test]
async fn repeated_sequences_of_turns_end_a_run() {
    for (length, turns) in [(1, 3), (2, 6), (3, 9), (4, 12), (5, 20)] {
        let asked = AtomicUsize::new(0);
        let script = ScriptedLm::from_fn(move |request: &Request| {
            let prompt = request.messages[0].text().into_owned();
            if prompt.contains("reasoning") {
                return Completion::new(EXTRACTED);
            }
            Completion::new(turn(json!([call("look", asked.fetch_add(1, Ordering::SeqCst) % length)])))
        });
        let mut agent = ReAct::<Order>::new([counted("look", "").0]).unwrap();
        agent.set_lm(Lm::custom(script));
        let output = agent.call("tea").await.unwrap();
        let expected = if length > 4 { "max_turns" } else { "repeats" };
        assert_eq!(output.added_as::<String>("termination").unwrap(), expected, "{length}");
        assert_eq!(output.added_as::<Trajectory>("trajectory").unwrap().turns.len(), turns, "{length}");
    }
}

#[tokio::test]
async fn a_call_that_was_reported_waits_for_its_decision_whatever_the_tool_now_says() {
    let (tool, runs) = counted("buy", "Buys.");
    let replies = || [turn(json!([call("buy", "tea")])), turn(json!([finish("end")]))];
    let state = waiting(&agent([tool.clone().with_approval()], replies())).await;
    for tool in [tool.clone(), tool.with_approval_if(|_| false)] {
        let free = agent([tool], replies().into_iter().skip(1));
        let Outcome::Waiting(still) = free.resume(state.clone(), []).await.unwrap() else {
            panic!("it did not wait")
        };
        assert_eq!((still.waiting(), runs.load(Ordering::SeqCst)), (state.waiting(), 0));
        let Outcome::Done(_) = free.resume(*still, [state.waiting()[0].deny("no")]).await.unwrap() else {
            panic!("it waits")
        };
        assert_eq!(runs.load(Ordering::SeqCst), 0);
    }
}

#[tokio::test]
async fn decisions_are_bound_to_their_run_and_its_id_is_in_no_prompt() {
    let script = Arc::new(ScriptedLm::from_fn(|request: &Request| {
        let prompt: String = request.messages.iter().map(|message| message.text().into_owned()).collect();
        Completion::new(turn(json!([if prompt.contains("-> seen") {
            finish("end")
        } else {
            call("buy", "tea")
        }])))
    }));
    let (tool, runs) = counted("buy", "Buys.");
    let mut agent = ReAct::<Order>::new([tool.with_approval()]).unwrap();
    agent.set_lm(Lm::shared(script.clone()));
    let (first, second) = (waiting(&agent).await, waiting(&agent).await);
    assert_ne!(first.run_id(), second.run_id());
    assert_eq!(first.waiting()[0].id, second.waiting()[0].id);
    let of_first = first.waiting()[0].approve();
    let error = agent.resume(second, [of_first.clone()]).await.unwrap_err();
    assert!(matches!(resume_error(&error), ResumeError::OtherRun { .. }), "{error:?}");
    assert_eq!(runs.load(Ordering::SeqCst), 0);
    let run = first.run_id().to_owned();
    let Outcome::Done(output) = agent.resume(first, [of_first]).await.unwrap() else { panic!("it waits") };
    assert_eq!(runs.load(Ordering::SeqCst), 1);
    assert!(
        !format!("{:?}", script.requests()).contains(&run),
        "prompts and keys of caches do not depend on it"
    );
    assert!(!output.added_as::<Value>("trajectory").unwrap().to_string().contains(&run));
}

#[tokio::test]
async fn a_state_belongs_to_an_agent_with_the_same_words() {
    let replies = || [turn(json!([call("buy", "tea")])), turn(json!([finish("end")]))];
    let buy = |description: &str| counted("buy", description).0.with_approval();
    let state = waiting(&agent([buy("Buys.")], replies())).await;
    let other = agent([buy("Buys for anybody.")], replies());
    let error = other.resume(state.clone(), []).await.unwrap_err();
    assert_eq!(resume_error(&error), &ResumeError::OtherAgent);
    let other = ReAct::<changed::Order>::new([buy("Buys.")]).unwrap();
    let error = other.resume(state.clone(), []).await.unwrap_err();
    assert_eq!(resume_error(&error), &ResumeError::OtherAgent);
    assert!(matches!(agent([buy("Buys.")], replies()).resume(state, []).await, Ok(Outcome::Waiting(_))));
}

#[tokio::test]
async fn a_state_of_another_version_cannot_be_read() {
    let state =
        waiting(&agent([counted("buy", "").0.with_approval()], [turn(json!([call("buy", "tea")]))])).await;
    for (version, text) in [(1, "has the form 1;"), (99, "has the form 99;")] {
        // Another version may have other members, too.
        let mut other = json_of(&state);
        other["version"] = json!(version);
        other["soul"] = json!({"weight": 21});
        let error = AgentState::from_json(&other.to_string()).unwrap_err();
        assert!(matches!(error, ResumeError::Version { found, .. } if found == version), "{error:?}");
        let error = serde_json::from_value::<AgentState>(other).unwrap_err().to_string();
        assert!(error.contains(text), "{error}");
    }
    for text in ["", "[]", "{}", "{\"version\": -1}", "{\"version\": 3}"] {
        let error = AgentState::from_json(text).unwrap_err();
        assert!(matches!(error, ResumeError::Damaged { .. }), "{text}: {error:?}");
    }
    assert_eq!(json_of(&AgentState::from_json(&json_of(&state).to_string()).unwrap()), json_of(&state));
}

#[tokio::test]
async fn a_state_that_would_run_a_finished_call_again_cannot_be_read() {
    let replies = [
        turn(json!([call("look", "a")])),
        turn(json!([call("look", "b"), call("buy", "tea"), call("buy", "gold")])),
    ];
    let (look, _) = counted("look", "");
    let (buy, _) = counted("buy", "");
    let state = waiting(&agent([look, buy.with_approval()], replies)).await;
    let damaged = |change: &dyn Fn(&mut Value)| {
        let mut state = json_of(&state);
        change(&mut state);
        match AgentState::from_json(&state.to_string()) {
            Err(ResumeError::Damaged { reason }) => assert!(!reason.contains("digest"), "{reason}"),
            other => panic!("{other:?}: {state}"),
        }
    };
    for turn in 0..2 {
        for id in ["", "x", "call_1_1", "call_2_1", "call_2_2"] {
            let path = format!("/log/turns/{turn}/results/0/id");
            if json_of(&state).pointer(&path) != Some(&json!(id)) {
                damaged(&|state| *state.pointer_mut(&path).unwrap() = json!(id));
            }
            let path = format!("/log/turns/{turn}/calls/0/id");
            if json_of(&state).pointer(&path) != Some(&json!(id)) {
                damaged(&|state| *state.pointer_mut(&path).unwrap() = json!(id));
            }
        }
        damaged(&|state| state["log"]["turns"][turn]["results"] = json!([]));
        damaged(&|state| {
            let results = state["log"]["turns"][turn]["results"].as_array_mut().unwrap();
            results.push(results[0].clone());
        });
    }
    damaged(&|state| drop(state["pending"].as_object_mut().unwrap().remove("call_2_2")));
    damaged(&|state| state["pending"]["call_2_1"] = json!("decision"));
    damaged(&|state| state["pending"]["call_9_9"] = json!("decision"));
    damaged(&|state| state["log"]["turns"] = json!([]));
    damaged(&|state| state["view"]["from"] = json!(3));
}

#[tokio::test]
async fn the_error_of_a_run_says_why() {
    let agent = agent([counted("look", "").0], [turn(json!([call("look", "a")]))]);
    let error = agent.run("tea").await.unwrap_err();
    let text = error.to_string();
    assert!(
        text.starts_with("the agent stopped after 1 turn: scripted: the script has no more replies"),
        "{text}"
    );
}

#[tokio::test]
async fn earlier_turns_are_shown_with_the_fields_of_the_signature() {
    let mut history = History::new();
    history.push(Chat { history: History::new(), question: "Who?".into(), answer: "Me.".into() });
    let input = || ChatInput { history: history.clone(), question: "When?".into() };
    let end = || json!({"answer": "Now."});
    for native in [true, false] {
        let reply = if native {
            Completion::new("").calling([ToolCall::new("finish", end())])
        } else {
            Completion::new(turn(json!([{"name": "finish", "arguments": end()}])))
        };
        let able = Capabilities::NONE.tools(native);
        let script = Arc::new(ScriptedLm::new([reply]).with_capabilities(able));
        let mut agent = ReAct::<Chat>::new([counted("look", "").0]).unwrap();
        agent.set_lm(Lm::shared(script.clone()));
        let output = agent.call(input()).await.unwrap();
        assert_eq!(output.answer, "Now.");
        let texts = &script.requests()[0].messages;
        let texts: Vec<_> = texts.iter().map(|message| message.text().into_owned()).collect();
        assert_eq!(texts.len(), 4, "{texts:?}");
        assert_eq!(texts[1], "[[ ## question ## ]]\nWho?");
        assert_eq!(texts[2], "[[ ## answer ## ]]\nMe.\n\n[[ ## completed ## ]]\n");
    }
    // A turn is still checked, by the fields of the signature.
    let mut agent = ReAct::<Other>::new([]).unwrap();
    agent.set_lm(Lm::scripted(["x"]));
    let history = [Asked { question: "Who?".into(), reply: "Me.".into() }].into_iter().collect();
    let error = agent.call(OtherInput { history, question: "When?".into() }).await.unwrap_err();
    assert!(error.to_string().contains("a field `reply` that the signature lacks"), "{error}");
}
