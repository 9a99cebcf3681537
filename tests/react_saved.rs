//! Stored states of agents: in files, in databases, and changed.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "in tests a panic is the report")]

mod agents;

use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use dspy::lm::{LmError, LmErrorKind, Reply, ScriptedLm};
use dspy::prelude::*;
use dspy::strategies::{AgentState, Outcome, ResumeError};
use dspy::tools::Json;
use serde_json::{Map, Value, json};

use agents::{Log, Order, agent, call, done, helper, stored, turn, waiting};

/// A folder that is removed at the end.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("dspy-react-saved-{}-{name}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        Folder(path)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// Returns states of all kinds: with calls that wait here and inside, with agents inside that failed, and in flight.
async fn states() -> Vec<AgentState> {
    let log = Log::default();
    let states: Arc<Mutex<Vec<AgentState>>> = Arc::default();
    let down = || Reply::from(LmError::new(LmErrorKind::Transport, "scripted", "down"));
    let calls = |calls: Value| Reply::from(turn(calls));
    let mut inner = agent([log.tool("look"), log.tool("buy").with_approval()], []);
    let bought = [calls(json!([call("look", "a")])), calls(json!([call("buy", "cup"), call("look", "b")]))];
    inner.set_lm(Lm::custom(ScriptedLm::new(bought)));
    let mut broken = agent([log.tool("look")], []);
    broken.set_lm(Lm::custom(ScriptedLm::new([calls(json!([call("look", "c")])), down(), down()])));
    let fails = Tool::of_program("fails", "Fails.", broken);
    let store = states.clone();
    let mut outer = agent([helper(inner), fails, log.tool("pay").with_approval()], []);
    let first =
        json!([call("pay", "x"), call("helper", "tea"), {"name": "fails", "arguments": {"wish": "no"}}]);
    outer.set_lm(Lm::custom(ScriptedLm::new([calls(json!([call("look", "z")])), calls(first)])));
    let outer = outer.on_checkpoint(move |state: AgentState| {
        store.lock().unwrap().push(state);
        async { Ok::<_, dspy::Error>(()) }
    });
    let state = waiting(outer.run("tea").await);
    let mut states = std::mem::take(&mut *states.lock().unwrap());
    states.push(state);
    states
}

/// Returns all values that differ from `value` in one place.
fn changed(value: &Value) -> Vec<Value> {
    let mut all = match value {
        Value::Null => vec![json!(0)],
        Value::Bool(is) => vec![json!(!is), Value::Null],
        Value::Number(number) => {
            let next = number.as_u64().map_or(json!(0.5), |number| json!(number.wrapping_add(1)));
            vec![json!(number.as_f64().unwrap() * 2.0 + 1.5), next, json!(number.to_string())]
        }
        Value::String(text) => {
            vec![json!(format!("{text}x")), json!(text.to_uppercase() + "y"), json!(text.len())]
        }
        Value::Array(items) => {
            let without = (0..items.len()).map(|at| {
                let mut items = items.clone();
                items.remove(at);
                Value::Array(items)
            });
            let twice = (0..items.len()).map(|at| {
                let mut items = items.clone();
                items.push(items[at].clone());
                Value::Array(items)
            });
            without.chain(twice).chain([Value::Null]).collect()
        }
        Value::Object(members) => {
            let without = members.keys().map(|name| {
                let mut members = members.clone();
                members.remove(name);
                Value::Object(members)
            });
            let mut more = members.clone();
            more.insert("more".to_owned(), Value::Null);
            without.chain([Value::Object(more), Value::Null]).collect()
        }
    };
    match value {
        Value::Array(items) => {
            for at in 0..items.len() {
                all.extend(changed(&items[at]).into_iter().map(|item| {
                    let mut items = items.clone();
                    items[at] = item;
                    Value::Array(items)
                }));
            }
        }
        Value::Object(members) => {
            for (name, member) in members {
                all.extend(changed(member).into_iter().map(|member| {
                    let mut members = members.clone();
                    members.insert(name.clone(), member);
                    Value::Object(members)
                }));
            }
        }
        _ => {}
    }
    all
}

#[tokio::test]
async fn a_state_that_was_changed_anywhere_cannot_be_read() {
    let mut tried = 0;
    for state in states().await {
        let value = serde_json::to_value(&state).unwrap();
        for changed in changed(&value) {
            tried += 1;
            match AgentState::from_json(&changed.to_string()) {
                Err(ResumeError::Damaged { .. } | ResumeError::Version { .. }) => {}
                other => panic!("{other:?}: {changed}"),
            }
        }
    }
    assert!(tried > 1_000, "{tried}");
}

/// Writes JSON as some databases do: other members first, and numbers in other notations.
fn rewritten(value: &Value) -> Value {
    match value {
        Value::Object(members) => Value::Object(
            members.iter().rev().map(|(name, value)| (name.clone(), rewritten(value))).collect::<Map<_, _>>(),
        ),
        Value::Array(items) => Value::Array(items.iter().map(rewritten).collect()),
        // `1.0` as `1`, and `1e16` as `10000000000000000`.
        Value::Number(number) => match number.as_f64().filter(|_| number.is_f64()) {
            Some(float) => serde_json::from_str(&float.to_string()).unwrap(),
            None => value.clone(),
        },
        other => other.clone(),
    }
}

#[derive(serde::Deserialize, schemars::JsonSchema)]
struct Numbers {
    numbers: Vec<f64>,
}

#[tokio::test]
async fn a_state_that_a_database_wrote_in_its_own_way_can_be_read() {
    let measure =
        Tool::new("measure", "Measures.", |Numbers { numbers }: Numbers| async move { Json(numbers) });
    let numbers = json!([0, -0.0, 1.0, 1, 1e16, 1e300, -2.5e-7, 0.1, u64::MAX, i64::MIN]);
    let turns = [json!([{"name": "measure", "arguments": {"numbers": numbers}}])];
    let state = waiting(agent([measure.with_approval()], turns).run("tea").await);
    for state in states().await.into_iter().chain([state]) {
        let value = serde_json::to_value(&state).unwrap();
        let other = serde_json::to_string_pretty(&rewritten(&value)).unwrap();
        let read = AgentState::from_json(&other).unwrap();
        assert_eq!(read.run_id(), state.run_id());
        assert_eq!(read.waiting().len(), state.waiting().len());
    }
}

#[tokio::test]
async fn each_run_has_a_file_of_its_own_that_is_always_whole() {
    let dir = Folder::new("whole");
    let runs = dir.0.join("states").join("runs");
    let states = states().await;
    let id = states[0].run_id().to_owned();
    let path = states[0].save_in(&runs).unwrap();
    // Read while it is written.
    let writer = std::thread::spawn({
        let (states, runs) = (states.clone(), runs.clone());
        move || {
            for _ in 0..20 {
                states.iter().for_each(|state| drop(state.save_in(&runs).unwrap()));
            }
        }
    });
    let mut read = 0;
    while !writer.is_finished() || read == 0 {
        assert_eq!(AgentState::load(&path).unwrap().run_id(), id);
        read += 1;
    }
    writer.join().unwrap();
    assert_eq!(std::fs::read_dir(&runs).unwrap().count(), 1, "one run, and nothing unfinished");
    let last = serde_json::to_value(states.last().unwrap()).unwrap();
    assert_eq!(serde_json::to_value(AgentState::load(&path).unwrap()).unwrap(), last);
}

#[tokio::test]
async fn agents_inside_have_files_of_their_own_whatever_the_ids_of_their_calls() {
    let dir = Folder::new("inside");
    let long = "x".repeat(128);
    let ids = ["..", "a b", "c:1", "C:1", "d\\e", "ü\u{0}", long.as_str(), "%2e"];
    let names = Arc::new(Mutex::new(Vec::new()));
    let inner = |level: usize| {
        let (names, dir) = (names.clone(), dir.0.clone());
        move |state: AgentState| {
            let saved = state.save_in(&dir);
            names.lock().unwrap().extend(saved.as_ref().ok().cloned());
            let read = saved.and_then(|path| AgentState::load(path).map_err(std::io::Error::other));
            std::future::ready(read.map(|read| assert_eq!((read.run_id(), level), (state.run_id(), level))))
        }
    };
    let end = || json!([call("finish", "o")]);
    let calls =
        |name: &str| json!(ids.map(|id| json!({"id": id, "name": name, "arguments": {"wish": "tea"}})));
    let able = dspy::lm::Capabilities::NONE.tools(true);
    let native = |first: Value| {
        let calls = first.as_array().unwrap().iter().map(|call| {
            let made = dspy::tools::ToolCall::new(call["name"].as_str().unwrap(), call["arguments"].clone());
            match call["id"].as_str() {
                Some(id) => made.with_id(id),
                None => made,
            }
        });
        dspy::lm::Completion::new("").calling(calls)
    };
    let mut lowest = ReAct::<Order>::new([]).unwrap();
    lowest.set_lm(Lm::custom(ScriptedLm::from_fn(move |_| turn(end()))));
    let mut middle =
        ReAct::<Order>::new([Tool::of_program("low", "Low.", lowest.on_checkpoint(inner(2)))]).unwrap();
    let (low, over) = (native(calls("low")), native(end()));
    middle.set_lm(Lm::custom(
        ScriptedLm::from_fn(move |request| {
            let is_first = request.messages.len() < 3;
            if is_first { low.clone() } else { over.clone() }
        })
        .with_capabilities(able),
    ));
    let mut outer =
        ReAct::<Order>::new([Tool::of_program("mid", "Mid.", middle.on_checkpoint(inner(1)))]).unwrap();
    outer.set_lm(Lm::custom(ScriptedLm::new([native(calls("mid")), native(end())]).with_capabilities(able)));
    done(outer.on_checkpoint(inner(0)).run("tea").await);
    let mut names = std::mem::take(&mut *names.lock().unwrap());
    names.sort();
    names.dedup();
    assert_eq!(names.len(), 1 + 8 + 64, "{names:?}");
    assert!(names.iter().all(|name| name.parent() == Some(dir.0.as_path())), "{names:?}");
    let lower: std::collections::HashSet<_> =
        names.iter().map(|name| name.to_string_lossy().to_lowercase()).collect();
    assert_eq!(lower.len(), names.len());
}

#[test]
fn errors_of_files_name_them() {
    let dir = Folder::new("errors");
    let path = dir.0.join("none.json");
    let error = AgentState::load(&path).unwrap_err();
    assert!(matches!(error, ResumeError::Unreadable { .. }), "{error:?}");
    assert!(error.to_string().contains("none.json"), "{error}");
    std::fs::write(&path, "{\"version\": 3, \"run\"").unwrap();
    assert!(matches!(AgentState::load(&path), Err(ResumeError::Damaged { .. })));
}

#[derive(serde::Deserialize, schemars::JsonSchema)]
struct Anything {
    #[serde(rename = "x")]
    _x: Value,
}

#[tokio::test]
async fn every_state_can_be_stored_however_deep_arguments_are_nested() {
    for depth in (1..140).chain([1_000, 100_000]) {
        let deep = "[".repeat(depth) + &"]".repeat(depth);
        let tool = Tool::new("deep", "Goes deep.", |_: Anything| async { "seen" });
        let mut agent = ReAct::<Order>::new([tool.with_approval()]).unwrap();
        let reply = format!(
            "[[ ## next_thought ## ]]\nSo.\n\n[[ ## tool_calls ## ]]\n[{{\"name\": \"deep\", \"arguments\": {{\"x\": {deep}}}}}]"
        );
        agent.set_lm(Lm::scripted([
            reply,
            turn(json!([call("finish", "o")])),
            turn(json!([call("finish", "o")])),
        ]));
        match agent.run("tea").await.unwrap() {
            Outcome::Waiting(state) => {
                assert!(depth < 64, "{depth}");
                assert_eq!(stored(&state).waiting(), state.waiting());
            }
            _ => assert!(depth >= 64, "{depth}"),
        }
    }
}
