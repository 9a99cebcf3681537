//! The overhead of strategies beyond the model: a turn of an agent, many samples.
//!
//! `cargo bench -p dspy-benches --bench strategies`; divide the time of a run of `react` by its turns.

#![allow(clippy::unwrap_used, missing_docs, reason = "a benchmark that cannot run should say so loudly")]
#![allow(clippy::unused_async, reason = "the tool is async as usual, and does nothing")]

use std::hint::black_box;
use std::time::Instant;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use dspy::lm::{Capabilities, Completion, LanguageModel, LmFuture, Request, Response, Usage};
use dspy::prelude::*;
use dspy::tools::ToolCall;
use serde_json::json;

/// Answer the question.
#[signature]
struct Qa {
    #[input]
    question: String,
    #[output]
    answer: String,
}

/// Searches the archive.
#[tool]
async fn search(query: String) -> String {
    format!("three texts about {query}, of which one is long and the others are short")
}

/// A model that replies immediately: it searches until its prompt has the results of `turns`, then it finishes.
struct Searching {
    turns: usize,
    native: bool,
}

impl LanguageModel for Searching {
    fn id(&self) -> &'static str {
        "searching"
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities::NONE.tools(self.native)
    }

    fn complete<'a>(&'a self, request: &'a Request) -> LmFuture<'a> {
        let found = |text: &str| text.matches("three texts").count();
        // The last messages hold the log, so that little time is spent here.
        let seen = if self.native {
            (request.messages.len().saturating_sub(2)) / 2
        } else {
            request.messages.last().map_or(0, |message| found(&message.text()))
        };
        let (name, arguments) = if seen + 1 < self.turns {
            ("search", json!({"query": format!("owls {seen}")}))
        } else {
            ("finish", json!({"answer": "Owls."}))
        };
        let completion = if self.native {
            Completion::new("I search.").calling([ToolCall::new(name, arguments).with_id(format!("c{seen}"))])
        } else {
            let calls = json!([{"name": name, "arguments": arguments}]);
            Completion::new(format!(
                "[[ ## next_thought ## ]]\nI search.\n\n[[ ## tool_calls ## ]]\n{calls}\n\n[[ ## completed ## ]]"
            ))
        };
        let mut response = Response::default().with_usage(Usage::tokens(100, 10));
        response.completions = vec![completion];
        Box::pin(std::future::ready(Ok(response)))
    }
}

fn react(c: &mut Criterion) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let mut group = c.benchmark_group("react");
    for native in [true, false] {
        for turns in [2usize, 8, 32, 128] {
            let mut agent = ReAct::<Qa>::new([search::tool()]).unwrap().max_turns(turns + 1);
            agent.set_lm(Lm::custom(Searching { turns, native }));
            group.throughput(Throughput::Elements(turns as u64));
            let name = if native { "native" } else { "text" };
            group.bench_function(format!("{name}/{turns}_turns"), |b| {
                b.iter_custom(|rounds| {
                    runtime.block_on(async {
                        let started = Instant::now();
                        for _ in 0..rounds {
                            let output = agent.call(black_box("What do owls eat?")).await.unwrap();
                            assert_eq!(output.usage().requests, turns as u64);
                        }
                        started.elapsed()
                    })
                });
            });
        }
    }
    group.finish();
}

/// A model that always answers the same.
struct Owls;

impl LanguageModel for Owls {
    fn id(&self) -> &'static str {
        "owls"
    }

    fn complete<'a>(&'a self, _: &'a Request) -> LmFuture<'a> {
        Box::pin(std::future::ready(Ok(Response::text("[[ ## answer ## ]]\nOwls.\n\n[[ ## completed ## ]]"))))
    }
}

fn samples(c: &mut Criterion) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let mut group = c.benchmark_group("best_of_n");
    for count in [1usize, 8, 64] {
        let short = |_: &QaInput, output: &QaOutput| output.answer.len() < 10;
        let mut best = BestOfN::new(Predict::<Qa>::new(), count, short);
        best.set_lm(Lm::custom(Owls));
        group.throughput(Throughput::Elements(count as u64));
        group.bench_function(format!("{count}_samples"), |b| {
            b.iter_custom(|rounds| {
                runtime.block_on(async {
                    let started = Instant::now();
                    for _ in 0..rounds {
                        black_box(best.call(black_box("What do owls eat?")).await.unwrap());
                    }
                    started.elapsed()
                })
            });
        });
    }
    group.finish();
}

criterion_group!(benches, react, samples);
criterion_main!(benches);
