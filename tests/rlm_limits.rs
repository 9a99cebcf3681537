//! The limits of `Rlm`: calls, tokens, money, time and depth, at all depths together.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "in tests a panic is the report")]

mod lines;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use dspy::lm::{Request, Response, ScriptedLm, Usage};
use dspy::prelude::*;
use dspy::strategies::{CodeTurn, Rlm};

use lines::{Find, Lines, turn};

/// A model whose parts and turns run `code` and whose answers cost 100 tokens and a cent each, with the number of its calls
/// for the code, that is, beside the turns of the first level and the last reading.
fn endless(code: String) -> (Lm, Arc<AtomicUsize>, Arc<AtomicUsize>) {
    let (all, inside) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let (counted, counted_inside) = (all.clone(), inside.clone());
    let lm = Lm::custom(ScriptedLm::from_fn(move |request: &Request| {
        counted.fetch_add(1, Ordering::SeqCst);
        let system = request.messages[0].text().into_owned();
        let text = if system.contains("`code`") {
            counted_inside.fetch_add(usize::from(!system.contains("Find the magic")), Ordering::SeqCst);
            turn(&code)
        } else if system.contains("`repl_history`") {
            "[[ ## reasoning ## ]]\nSo.\n\n[[ ## number ## ]]\n7".to_owned()
        } else {
            counted_inside.fetch_add(1, Ordering::SeqCst);
            "A".to_owned()
        };
        let usage = Usage::tokens(90, 10).at_cost(0.01);
        Response::text(text).with_usage(usage)
    }));
    (lm, all, inside)
}

fn endless_code() -> [String; 3] {
    let part = "rlm_query {\"task\": \"Go on.\", \"context\": 1}\n";
    let prompts: Vec<_> = (0..40).map(|at| format!("p{at}")).collect();
    let batch = format!("llm_query_batched {}", serde_json::json!({ "prompts": prompts }));
    let one = |at: usize| format!("llm_query {{\"prompt\": \"p{at}\"}}");
    let ones: Vec<_> = (0..40).map(one).collect();
    [part.repeat(5), batch, ones.join("\n")]
}

#[tokio::test]
async fn the_budget_bounds_the_calls_of_code_at_all_depths() {
    for code in endless_code() {
        for (depth, most) in [(0, 0), (0, 3), (1, 0), (1, 1), (1, 5), (2, 7), (3, 30), (3, 100)] {
            let (lm, all, inside) = endless(code.clone());
            let mut rlm = Rlm::<Find>::new([], Lines::default()).unwrap();
            rlm = rlm.max_calls(most).max_depth(depth).max_turns(4);
            rlm.set_lm(lm);
            assert_eq!(rlm.call("x").await.unwrap().number, 7);
            let (all, inside) = (all.load(Ordering::SeqCst), inside.load(Ordering::SeqCst));
            assert!(inside as u64 <= most, "{inside} of {most}: {code}");
            assert_eq!(all, inside + 4 + 1, "{code}");
        }
    }
}

#[tokio::test]
async fn limits_of_tokens_and_money_bound_the_whole_run() {
    for code in endless_code() {
        for calls in [1, 2, 5, 12, 30] {
            for tokens in [true, false] {
                let (lm, all, _) = endless(code.clone());
                let mut rlm = Rlm::<Find>::new([], Lines::default()).unwrap();
                rlm = rlm.max_calls(10_000).max_depth(2).max_turns(50);
                // A little less than so many calls.
                rlm = if tokens {
                    rlm.max_tokens(calls * 100 - 50)
                } else {
                    rlm.max_cost(calls as f64 * 0.01 - 0.005)
                };
                rlm.set_lm(lm);
                let output = rlm.call("x").await.unwrap();
                assert_eq!(output.number, 7);
                let made = all.load(Ordering::SeqCst) as u64;
                let in_flight = if code.contains("batched") { 7 } else { 0 };
                assert!(made > calls && made <= calls + in_flight + 1, "{made} for {calls}: {code}");
            }
        }
    }
}

#[tokio::test]
async fn programs_inside_tools_count_towards_the_limits_of_the_run() {
    let helper = Tool::of_program("helper", "Helps.", Predict::<Help>::new());
    let (lm, all, _) = endless("helper {\"wish\": \"tea\"}\n".repeat(9));
    let mut rlm = Rlm::<Find>::new([helper], Lines::default()).unwrap().max_tokens(450);
    rlm.set_lm(lm.clone());
    let output = dspy::program::Settings::new().lm(lm).scope(rlm.call("x")).await.unwrap();
    assert_eq!(output.number, 7);
    assert_eq!(all.load(Ordering::SeqCst), 6);
}

/// Help.
#[signature]
struct Help {
    #[input]
    wish: String,
    #[output]
    answer: String,
}

#[tokio::test]
async fn a_limit_of_time_ends_what_is_in_flight() {
    #[derive(Clone, Copy, Debug, PartialEq)]
    enum Hangs {
        Turn,
        Query,
        Tool,
        Part,
    }
    for hangs in [Hangs::Turn, Hangs::Query, Hangs::Tool, Hangs::Part] {
        let lm = Lm::from_fn(move |request: Request| async move {
            let system = request.messages[0].text().into_owned();
            if system.contains("`repl_history`") && !system.contains("`code`") {
                return "[[ ## reasoning ## ]]\nSo.\n\n[[ ## number ## ]]\n7".to_owned();
            }
            let is_turn = system.contains("Find the magic");
            let stops = match hangs {
                Hangs::Turn => is_turn,
                Hangs::Query | Hangs::Part => !is_turn,
                Hangs::Tool => false,
            };
            if stops {
                std::future::pending::<()>().await;
            }
            turn(match hangs {
                Hangs::Part => "rlm_query {\"task\": \"Go on.\", \"context\": 1}",
                Hangs::Tool => "wait {}",
                _ => "llm_query {\"prompt\": \"a\"}",
            })
        });
        let wait = Tool::new("wait", "Waits.", |_: Nothing| std::future::pending::<String>());
        let mut rlm = Rlm::<Find>::new([wait], Lines::default()).unwrap();
        rlm = rlm.max_depth(1).max_time(std::time::Duration::from_millis(100));
        rlm.set_lm(lm);
        let output = rlm.call("x").await.unwrap();
        assert_eq!(output.number, 7, "{hangs:?}");
        let turns = output.added_as::<Vec<CodeTurn>>("trajectory").unwrap();
        match hangs {
            Hangs::Turn => assert!(turns.is_empty()),
            Hangs::Part => {
                let output = &turns.last().unwrap().output;
                assert!(output.contains("not answered within its turns and the budget"), "{output}");
            }
            _ => assert_eq!(turns.last().unwrap().output, "(stopped, because the time is over)", "{hangs:?}"),
        }
    }
}

#[derive(serde::Deserialize, schemars::JsonSchema)]
struct Nothing {}

#[tokio::test]
async fn a_sum_of_prices_reaches_the_limit_that_it_is_equal_to() {
    let ones = &endless_code()[2];
    for cents in 1..40u32 {
        let (lm, all, _) = endless(ones.clone());
        let mut rlm = Rlm::<Find>::new([], Lines::default()).unwrap();
        rlm = rlm.max_calls(10_000).max_turns(50).max_cost(f64::from(cents) / 100.0);
        rlm.set_lm(lm);
        rlm.call("x").await.unwrap();
        // And the last reading.
        assert_eq!(all.load(Ordering::SeqCst), cents as usize + 1);
    }
}

#[tokio::test]
async fn parts_nest_as_deep_as_the_stack_allows() {
    let nests = &endless_code()[0];
    for depth in [8, 9, 1_000, usize::MAX] {
        let (lm, ..) = endless(nests.clone());
        let mut rlm = Rlm::<Find>::new([], Lines::default()).unwrap().max_depth(depth).max_turns(2);
        rlm.set_lm(lm);
        match tokio::spawn(async move { rlm.call("x").await }).await.unwrap() {
            Ok(output) => assert_eq!((output.number, depth), (7, 8)),
            Err(error) => assert!(error.to_string().contains("at most") && depth > 8, "{error}"),
        }
    }
}
