//! Agents as a user meets them.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "in tests a panic is the report")]

#[path = "agents/umbrella.rs"]
mod umbrella;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use dspy::Error;
use dspy::lm::{Completion, LmError, LmErrorKind, Message, Reply, Request, ScriptedLm};
use dspy::prelude::*;
use dspy::strategies::{AgentState, ApprovalNeeded, Decision, ResumeError};
use dspy::tools::ToolCall;
use dspy::types::Trajectory;
use serde_json::json;

use umbrella::{Payment, Umbrella, UmbrellaOutput, call, finish, native, script_of, text, turn};

#[dspy::field_type]
struct City {
    city: String,
}

fn weather() -> Tool {
    Tool::new("weather", "How much rain falls today.", |City { city }: City| async move {
        match city.as_str() {
            "Bergen" => Ok("12 mm"),
            "Oslo" => Ok("0 mm"),
            _ => Err(format!("no station in {city}")),
        }
    })
}

#[tokio::test]
async fn tools_run_and_finish_has_typed_outputs() {
    let both =
        json!([call("weather", json!({"city": "Bergen"})), call("weather", json!({"city": "Atlantis"}))]);
    let script = script_of([turn("Ask.", both), turn("Known.", json!([finish()]))]);
    let agent = ReAct::<Umbrella>::new([weather()]).unwrap();
    let lm = Lm::shared(script.clone());
    let settings = Settings::new().lm(lm);
    let output = settings.scope(agent.call("Bergen or Atlantis?")).await.unwrap();
    assert_eq!((output.cities.as_slice(), output.millimetres), (&["Bergen".to_owned()][..], 12.0));
    assert_eq!(output.added_as::<String>("termination").unwrap(), "finish");
    assert_eq!(output.usage().requests, 2);
    let log: Trajectory = output.added_as("trajectory").unwrap();
    let results: Vec<_> = log.turns[0].results.iter().map(|result| result.shown().into_owned()).collect();
    assert_eq!(results, ["12 mm", "error: `weather` failed: no station in Atlantis"]);
    let second = text(&script.requests()[1]);
    assert!(second.contains("weather {\"city\":\"Bergen\"}\n-> 12 mm"), "{second}");
}

#[tokio::test]
async fn native_calls_are_messages_with_their_results() {
    let first = Completion::new("I ask.").calling([
        ToolCall::new("weather", json!({"city": "Bergen"})).with_id("a"),
        ToolCall::new("weather", json!({"city": "Oslo"})).with_id("b"),
    ]);
    let last = Completion::new("").calling([ToolCall::new(
        "finish",
        json!({"cities": ["Bergen"], "millimetres": 12}),
    )
    .with_id("c")]);
    let script = native([first, last]);
    let mut agent = ReAct::<Umbrella>::new([weather()]).unwrap();
    agent.set_lm(Lm::shared(script.clone()));
    let output = agent.call("Bergen or Oslo?").await.unwrap();
    assert_eq!(output.cities, ["Bergen"]);
    let requests = script.requests();
    let names: Vec<_> = requests[0].tools.iter().map(|tool| tool.name.as_str()).collect();
    assert_eq!(names, ["weather", "finish"]);
    let messages = &requests[1].messages;
    let expected = [
        Message::calls(
            "I ask.",
            vec![
                ToolCall::new("weather", json!({"city": "Bergen"})).with_id("a"),
                ToolCall::new("weather", json!({"city": "Oslo"})).with_id("b"),
            ],
        ),
        Message::tool_result("a", "12 mm"),
        Message::tool_result("b", "0 mm"),
    ];
    assert_eq!(messages[messages.len() - 3..], expected);
    assert_eq!(
        messages[..messages.len() - 3],
        requests[0].messages[..],
        "the start of the prompt stays, for caches"
    );
}

#[tokio::test]
async fn outputs_that_do_not_fit_are_refused_with_the_reason() {
    let wrong = json!([call("finish", json!({"cities": "Bergen", "millimetres": -1}))]);
    let script = script_of([turn("Done.", wrong), turn("Again.", json!([finish()]))]);
    let mut agent = ReAct::<Umbrella>::new([weather()]).unwrap();
    agent.set_lm(Lm::shared(script.clone()));
    agent.call("Bergen?").await.unwrap();
    let second = text(&script.requests()[1]);
    assert!(second.contains("these outputs are not accepted: millimetres: rain is not negative"), "{second}");
}

#[tokio::test]
async fn a_finish_beside_a_failing_call_does_not_end_the_run() {
    let both = json!([call("weather", json!({"city": "Atlantis"})), finish()]);
    let script = script_of([turn("Both.", both), turn("Sure.", json!([finish()]))]);
    let mut agent = ReAct::<Umbrella>::new([weather()]).unwrap();
    agent.set_lm(Lm::shared(script.clone()));
    let output = agent.call("Bergen?").await.unwrap();
    assert_eq!(output.usage().requests, 2);
    let second = text(&script.requests()[1]);
    assert!(second.contains("another call of the same turn failed"), "{second}");
}

#[tokio::test]
async fn the_limit_of_turns_leads_to_extraction() {
    let ask = |city: &str| turn("More.", json!([call("weather", json!({"city": city}))]));
    let extracted =
        "[[ ## reasoning ## ]]\nSeen.\n\n[[ ## cities ## ]]\n[\"Bergen\"]\n\n[[ ## millimetres ## ]]\n12";
    let script = script_of([ask("Bergen"), ask("Oslo"), extracted.to_owned()]);
    let mut agent = ReAct::<Umbrella>::new([weather()]).unwrap().max_turns(2);
    agent.set_lm(Lm::shared(script.clone()));
    let output = agent.call("Bergen or Oslo?").await.unwrap();
    assert_eq!(output.added_as::<String>("termination").unwrap(), "max_turns");
    assert_eq!(output.reasoning(), Some("Seen."));
    assert!(text(&script.requests()[2]).contains("-> 0 mm"));
}

#[tokio::test]
async fn a_run_that_repeats_itself_or_calls_nothing_ends() {
    let extracted = "[[ ## reasoning ## ]]\n.\n\n[[ ## cities ## ]]\n[]\n\n[[ ## millimetres ## ]]\n0";
    for (reply, ended, turns) in [
        (turn("Again.", json!([call("weather", json!({"city": "Oslo"}))])), "repeats", 3),
        (turn("Hm.", json!([])), "no_calls", 2),
    ] {
        let script = Arc::new(ScriptedLm::from_fn(move |request: &Request| {
            Completion::new(if text(request).contains("[[ ## reasoning ## ]]") {
                extracted.to_owned()
            } else {
                reply.clone()
            })
        }));
        let mut agent = ReAct::<Umbrella>::new([weather()]).unwrap();
        agent.set_lm(Lm::shared(script));
        let output = agent.call("Oslo?").await.unwrap();
        assert_eq!(output.added_as::<String>("termination").unwrap(), ended);
        assert_eq!(output.added_as::<Trajectory>("trajectory").unwrap().turns.len(), turns);
    }
}

/// A tool that pays, with approval above 100, and the number of its runs.
fn pay() -> (Tool, Arc<AtomicUsize>) {
    let runs = Arc::new(AtomicUsize::new(0));
    let counted = runs.clone();
    let tool = Tool::new("pay", "Pays.", move |payment: Payment| {
        counted.fetch_add(1, Ordering::SeqCst);
        async move { format!("paid {} to {}", payment.amount, payment.to) }
    })
    .with_approval_if(|arguments| arguments["amount"].as_f64().is_none_or(|amount| amount > 100.0));
    (tool, runs)
}

/// Pay what is owed.
#[signature]
struct Settle {
    #[input]
    debts: String,
    #[output]
    report: String,
}

fn settling() -> Arc<ScriptedLm> {
    let pays = json!([
        call("pay", json!({"to": "Ann", "amount": 20})),
        call("pay", json!({"to": "Bob", "amount": 500})),
    ]);
    script_of([turn("Pay.", pays), turn("Done.", json!([call("finish", json!({"report": "settled"}))]))])
}

#[tokio::test]
async fn approval_is_an_outcome_that_another_process_resumes() {
    let (tool, runs) = pay();
    let script = settling();
    let mut agent = ReAct::<Settle>::new([tool]).unwrap();
    agent.set_lm(Lm::shared(script.clone()));
    let Outcome::Waiting(state) = agent.run("Ann 20, Bob 500").await.unwrap() else {
        panic!("it did not wait")
    };
    assert_eq!(runs.load(Ordering::SeqCst), 1, "what needs no approval has run");
    let stored = serde_json::to_string(&state).unwrap();

    // Another process: the same agent from its code, the state from a file.
    let (tool, later) = pay();
    let mut agent = ReAct::<Settle>::new([tool]).unwrap();
    agent.set_lm(Lm::shared(script.clone()));
    let state: AgentState = serde_json::from_str(&stored).unwrap();
    let waiting = state.waiting();
    assert_eq!(waiting.len(), 1);
    assert_eq!((waiting[0].tool.as_str(), &waiting[0].arguments["to"]), ("pay", &json!("Bob")));

    // Without a decision it waits on, and no model is called.
    let Outcome::Waiting(state) = agent.resume(state, []).await.unwrap() else { panic!("it did not wait") };
    assert_eq!(script.requests().len(), 1);

    let decision: Decision =
        serde_json::from_value(serde_json::to_value(waiting[0].approve()).unwrap()).unwrap();
    let Outcome::Done(output) = agent.resume(*state, [decision]).await.unwrap() else { panic!("it waits") };
    assert_eq!(output.report, "settled");
    assert_eq!((runs.load(Ordering::SeqCst), later.load(Ordering::SeqCst)), (1, 1), "nothing ran twice");
    let second = text(&script.requests()[1]);
    assert!(second.contains("-> paid 20 to Ann") && second.contains("-> paid 500 to Bob"), "{second}");
}

#[tokio::test]
async fn a_decision_is_bound_to_its_call() {
    let (tool, runs) = pay();
    let mut agent = ReAct::<Settle>::new([tool]).unwrap();
    agent.set_lm(Lm::shared(settling()));
    let Outcome::Waiting(state) = agent.run("Ann 20, Bob 500").await.unwrap() else {
        panic!("it did not wait")
    };
    let call = state.waiting().remove(0);
    let resume_error = |error: &Error| match error {
        Error::Other(source) => source.downcast_ref::<ResumeError>().cloned(),
        _ => None,
    };

    let mut other = call.clone();
    other.arguments = json!({"to": "Eve", "amount": 500.0});
    let refused = agent.resume((*state).clone(), [other.approve()]).await.unwrap_err();
    assert!(matches!(resume_error(&refused.source), Some(ResumeError::OtherCall { .. })), "{refused:?}");
    let mut unknown = call.clone();
    unknown.id = "call_9".into();
    let refused = agent.resume((*state).clone(), [unknown.approve()]).await.unwrap_err();
    assert!(matches!(resume_error(&refused.source), Some(ResumeError::NotWaiting { .. })), "{refused:?}");
    let refused = agent.resume((*state).clone(), [call.approve(), call.deny("no")]).await.unwrap_err();
    assert!(matches!(resume_error(&refused.source), Some(ResumeError::Twice { .. })), "{refused:?}");
    let stranger = ReAct::<Settle>::new([weather()]).unwrap();
    let refused = stranger.resume((*state).clone(), [call.approve()]).await.unwrap_err();
    assert!(matches!(resume_error(&refused.source), Some(ResumeError::OtherAgent)), "{refused:?}");
    assert_eq!(runs.load(Ordering::SeqCst), 1, "nothing ran");
    assert_eq!(refused.state.waiting(), std::slice::from_ref(&call), "the state is not lost");

    let Outcome::Done(_) = agent.resume(*state, [call.deny("too much")]).await.unwrap() else {
        panic!("it waits")
    };
    assert_eq!(runs.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn as_a_module_an_agent_that_waits_is_an_error_with_the_state() {
    let (tool, _) = pay();
    let mut agent = ReAct::<Settle>::new([tool]).unwrap();
    agent.set_lm(Lm::shared(settling()));
    let error = agent.call("Ann 20, Bob 500").await.unwrap_err();
    let dspy::Error::Other(source) = &error else { panic!("{error}") };
    let needed = source.downcast_ref::<ApprovalNeeded>().unwrap();
    assert_eq!(needed.state.waiting().len(), 1);
    assert!(error.to_string().contains("pay {\"to\":\"Bob\",\"amount\":500}"), "{error}");
}

#[tokio::test]
async fn tools_that_panic_hang_or_flood_are_bounded_observations() {
    let panics = Tool::new("panics", "", |_: City| async move {
        assert!(std::hint::black_box(false), "out of cheese");
        0
    });
    let hangs = Tool::new("hangs", "", |_: City| async move {
        std::future::pending::<()>().await;
        0
    });
    let floods = Tool::new("floods", "", |_: City| async move { "x".repeat(10_000_000) });
    let all = ["panics", "hangs", "floods"].map(|name| call(name, json!({"city": ""})));
    let script = script_of([turn("All.", json!(all)), turn("Done.", json!([finish()]))]);
    let mut agent = ReAct::<Umbrella>::new([panics, hangs, floods]).unwrap();
    agent.set_lm(Lm::shared(script.clone()));
    let agent = agent.tool_timeout(Duration::from_millis(50)).max_result_bytes(1000);
    let started = Instant::now();
    let output = agent.call("?").await.unwrap();
    assert!(started.elapsed() < Duration::from_secs(10));
    let log: Trajectory = output.added_as("trajectory").unwrap();
    let results = &log.turns[0].results;
    assert!(results[0].is_error && results[0].text.contains("out of cheese"), "{results:?}");
    assert!(results[1].is_error && results[1].text.contains("took longer than 50ms"), "{:?}", results[1]);
    assert!(
        results[2].text.len() < 1100 && results[2].text.contains("9999000 bytes left out"),
        "{:?}",
        results[2]
    );
}

#[tokio::test]
async fn calls_of_a_turn_run_in_parallel_and_stay_in_order() {
    // Each call waits until all three run; the first one ends last.
    let (all, last) = (Arc::new(tokio::sync::Barrier::new(3)), Arc::new(tokio::sync::Notify::new()));
    let slow = Tool::new("slow", "", move |City { city }: City| {
        let (all, last) = (all.clone(), last.clone());
        async move {
            all.wait().await;
            match city.as_str() {
                "a" => last.notified().await,
                "c" => last.notify_one(),
                _ => {}
            }
            city
        }
    });
    let calls: Vec<_> = ["a", "b", "c"].map(|city| call("slow", json!({"city": city}))).to_vec();
    let script = script_of([turn("All.", json!(calls)), turn("Done.", json!([finish()]))]);
    let mut agent = ReAct::<Umbrella>::new([slow]).unwrap();
    agent.set_lm(Lm::shared(script));
    let output = agent.call("?").await.unwrap();
    let log: Trajectory = output.added_as("trajectory").unwrap();
    let texts: Vec<_> = log.turns[0].results.iter().map(|result| result.text.as_str()).collect();
    assert_eq!(texts, ["a", "b", "c"]);
}

#[tokio::test]
async fn agents_do_not_nest_without_end() {
    // An agent whose only tool is an agent like itself.
    fn ask(depth: Arc<AtomicUsize>) -> Tool {
        Tool::new("ask", "Asks another agent.", move |City { city }: City| {
            let depth = depth.clone();
            let work: dspy::lm::BoxFuture<'static, Result<String, String>> = Box::pin(async move {
                depth.fetch_add(1, Ordering::SeqCst);
                let mut inner = ReAct::<Settle>::new([ask(depth)]).map_err(|error| error.to_string())?;
                inner.set_lm(asking());
                inner.call(city).await.map(|output| output.report.clone()).map_err(|error| error.to_string())
            });
            work
        })
    }
    fn asking() -> Lm {
        Lm::from_fn(|request: Request| async move {
            let text = text(&request);
            match text.rsplit_once("-> ") {
                None => turn("Ask.", json!([call("ask", json!({"city": "?"}))])),
                Some((_, result)) => {
                    let line = result.lines().next().unwrap_or_default();
                    turn("Pass on.", json!([call("finish", json!({ "report": line }))]))
                }
            }
        })
    }
    let depth = Arc::new(AtomicUsize::new(0));
    let mut agent = ReAct::<Settle>::new([ask(depth.clone())]).unwrap();
    agent.set_lm(asking());
    let output = agent.call("?").await.unwrap();
    assert!(output.report.contains("agents call one another 8 deep"), "{}", output.report);
    assert_eq!(depth.load(Ordering::SeqCst), 8);
}

#[tokio::test]
async fn a_run_that_is_repeated_from_a_cache_is_the_same() {
    // Limits and compaction count the tokens of cached replies, so that the second run makes no other request.
    let read =
        Tool::new("read", "", |City { city }: City| async move { format!("{city} {}", "word ".repeat(400)) });
    let calls = Arc::new(AtomicUsize::new(0));
    let counted = calls.clone();
    let lm = Lm::from_fn(move |request: Request| {
        counted.fetch_add(1, Ordering::SeqCst);
        async move {
            let prompt = text(&request);
            if prompt.contains("[[ ## summary ## ]]") {
                return "[[ ## summary ## ]]\nRead.".to_owned();
            }
            if prompt.contains("[[ ## reasoning ## ]]") {
                return "[[ ## reasoning ## ]]\n.\n\n[[ ## cities ## ]]\n[]\n\n[[ ## millimetres ## ]]\n0"
                    .to_owned();
            }
            turn("Read.", json!([call("read", json!({"city": prompt.len().to_string()}))]))
        }
    });
    let cache = dspy::lm::Cache::new();
    let mut agent =
        ReAct::<Umbrella>::new([read]).unwrap().context_tokens(1_500).max_turns(8).max_tokens(6_000);
    agent.set_lm(lm.cache(&cache));
    let first = agent.call("?").await.unwrap();
    let made = calls.load(Ordering::SeqCst);
    let second = agent.call("?").await.unwrap();
    assert_eq!(calls.load(Ordering::SeqCst), made, "all replies came from the cache");
    let told = |output: &Prediction<UmbrellaOutput>| {
        (
            output.added_as::<String>("termination").unwrap(),
            output.added_as::<Trajectory>("trajectory").unwrap(),
        )
    };
    assert_eq!(told(&first), told(&second));
    assert_eq!(told(&first).0, "max_tokens");
}

#[tokio::test]
async fn an_error_of_the_context_window_shortens_the_log_once_and_the_whole_log_stays() {
    let long =
        Tool::new("read", "", |City { city }: City| async move { format!("{city} {}", "word ".repeat(400)) });
    let window = 6_000;
    let script = Arc::new(ScriptedLm::from_async_fn(move |request: Request| async move {
        let prompt = text(&request);
        if prompt.contains("[[ ## summary ## ]]") {
            return Reply::from("[[ ## summary ## ]]\nFacts: all three were read.");
        }
        if prompt.len() > window {
            return Reply::from(LmError::new(LmErrorKind::ContextWindow, "scripted", "too long"));
        }
        let read = |city: &str| Reply::from(turn("Read.", json!([call("read", json!({"city": city}))])));
        match ["a", "b", "c"].into_iter().find(|city| {
            !prompt.contains(&format!("read {{\"city\":\"{city}\"}}")) && !prompt.contains("all three")
        }) {
            Some(city) => read(city),
            None => Reply::from(turn("Done.", json!([finish()]))),
        }
    }));
    let mut agent = ReAct::<Umbrella>::new([long]).unwrap();
    agent.set_lm(Lm::shared(script));
    let output = agent.call("?").await.unwrap();
    assert_eq!(output.added_as::<String>("termination").unwrap(), "finish");
    let log: Trajectory = output.added_as("trajectory").unwrap();
    assert!(log.turns[0].results[0].text.len() > 1900, "the log is whole");
}

#[tokio::test]
async fn a_turn_that_exceeds_the_context_window_ends_with_the_outputs_that_can_be_read() {
    for size in [600, 4_000, 40_000] {
        let long = Tool::new("read", "", move |City { city }: City| async move {
            format!("{city} {}", "word ".repeat(size))
        });
        let script = Arc::new(ScriptedLm::from_async_fn(move |request: Request| async move {
            let prompt = text(&request);
            if prompt.contains("[[ ## summary ## ]]") {
                return Reply::from("[[ ## summary ## ]]\nNothing.");
            }
            if prompt.len() > 9_000 {
                return Reply::from(LmError::new(LmErrorKind::ContextWindow, "scripted", "too long"));
            }
            if prompt.contains("`tool_calls`") {
                let calls: Vec<_> =
                    (0..5).map(|at| call("read", json!({"city": format!("c{at}")}))).collect();
                return Reply::from(turn("Read.", json!(calls)));
            }
            assert!((0..5).all(|at| prompt.contains(&format!("c{at} word"))), "each result is there");
            Reply::from("[[ ## reasoning ## ]]\nSo.\n\n[[ ## cities ## ]]\n[]\n\n[[ ## millimetres ## ]]\n1")
        }));
        let mut agent = ReAct::<Umbrella>::new([long]).unwrap();
        agent.set_lm(Lm::shared(script));
        let output = agent.call("?").await.unwrap();
        assert_eq!(output.added_as::<String>("termination").unwrap(), "context_window", "{size}");
        let log: Trajectory = output.added_as("trajectory").unwrap();
        assert!(log.turns[0].results.iter().all(|result| result.text.len() > 2_000), "the log is whole");
    }
}

#[tokio::test]
async fn agents_are_tools_whose_usage_counts() {
    let inner_reply = turn("Known.", json!([finish()]));
    let mut inner = ReAct::<Umbrella>::new([weather()]).unwrap().max_turns(3);
    inner.set_lm(Lm::scripted([inner_reply]));
    let expert = Tool::of_program("expert", "Knows the rain.", inner);
    let ask = json!([call("expert", json!({"question": "Bergen?"}))]);
    let mut outer = ReAct::<Settle>::new([expert]).unwrap();
    let script =
        script_of([turn("Ask.", ask), turn("Done.", json!([call("finish", json!({"report": "ok"}))]))]);
    outer.set_lm(Lm::shared(script.clone()));
    let output = outer.call("?").await.unwrap();
    assert_eq!(output.usage().requests, 3, "the usage of the inner agent counts");
    assert!(text(&script.requests()[1]).contains("-> {\"cities\":[\"Bergen\"],\"millimetres\":12.0}"));
}

#[tokio::test]
async fn an_outage_loses_nothing() {
    let pays = turn("Pay.", json!([call("pay", json!({"to": "Ann", "amount": 20}))]));
    let down = LmError::new(LmErrorKind::Auth, "scripted", "refused");
    let script = script_of([
        Reply::from(pays),
        Reply::from(down),
        Reply::from(turn("Done.", json!([call("finish", json!({"report": "ok"}))]))),
    ]);
    let (tool, runs) = pay();
    let mut agent = ReAct::<Settle>::new([tool]).unwrap();
    agent.set_lm(Lm::shared(script));
    let error = agent.run("Ann 20").await.unwrap_err();
    assert!(error.source.is_outage(), "{error:?}");
    let Outcome::Done(output) = agent.resume(*error.state, []).await.unwrap() else { panic!("it waits") };
    assert_eq!((output.report.as_str(), runs.load(Ordering::SeqCst)), ("ok", 1));
}

#[test]
fn names_that_collide_are_refused() {
    let twice = ReAct::<Umbrella>::new([weather(), weather()]).unwrap_err();
    assert_eq!(twice.to_string(), "two tools are named `weather`; rename one");
    let finish = Tool::new("finish", "", |_: City| async move { 0 });
    assert!(ReAct::<Umbrella>::new([finish]).unwrap_err().to_string().contains("`finish`"));
    let agent = ReAct::<Umbrella>::new([weather()]).unwrap();
    let paths: Vec<_> = agent.named_predictors().into_iter().map(|(path, _)| path).collect();
    assert_eq!(paths, ["react", "extract.predict"]);
}

#[tokio::test]
async fn demonstrations_show_native_calls_as_messages() {
    let script = native([
        Completion::new("").calling([ToolCall::new("finish", json!({"cities": [], "millimetres": 0}))])
    ]);
    let mut agent = ReAct::<Umbrella>::new([weather()]).unwrap();
    agent.set_lm(Lm::shared(script.clone()));
    let demo = json!({"question": "Oslo?", "trajectory": {"turns": []}, "tools": [], "next_thought": "Ask.",
        "tool_calls": [call("weather", json!({"city": "Oslo"}))]});
    let demo: dspy::signature::Values = demo.as_object().unwrap().clone().into_iter().collect();
    agent.for_each_predictor(|path, predictor| {
        if path == "react" {
            predictor.set_demos(vec![dspy::signature::Demo::new(demo.clone())]);
        }
    });
    agent.call("Bergen?").await.unwrap();
    let messages = &script.requests()[0].messages;
    let call = ToolCall::new("weather", json!({"city": "Oslo"})).with_id("call_0");
    assert!(messages.contains(&Message::calls("Ask.", vec![call])), "{messages:?}");
    assert!(messages.contains(&Message::tool_result("call_0", "not run")), "{messages:?}");
}
