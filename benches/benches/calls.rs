//! The overhead of the framework: prompts, replies, whole calls in process and over loopback HTTP.
//!
//! `cargo bench -p dspy-benches --bench calls`; compare ratios on one machine, see the README.

#![allow(clippy::unwrap_used, missing_docs, reason = "a benchmark that cannot run should say so loudly")]

use std::hint::black_box;
use std::sync::Arc;
use std::time::{Duration, Instant};

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use dspy::adapter::{Adapter, ChatAdapter};
use dspy::lm::{Completion, LanguageModel, LmFuture, Message, Request, Response};
use dspy::prelude::*;
use dspy::signature::{Demo, Values};
use serde_json::json;

/// Answer the question.
#[signature]
struct Qa {
    #[input]
    question: String,
    #[output]
    answer: String,
}

#[signature]
struct FactCheck {
    #[input]
    claims: Vec<String>,
    #[output]
    verdicts: Vec<bool>,
}

const REPLY: &str =
    "[[ ## reasoning ## ]]\nIt is known.\n\n[[ ## answer ## ]]\nParis\n\n[[ ## completed ## ]]\n";

/// A model that answers immediately, so that only the framework is measured.
struct Instantly;

impl LanguageModel for Instantly {
    fn id(&self) -> &'static str {
        "instantly"
    }

    fn complete<'a>(&'a self, _: &'a Request) -> LmFuture<'a> {
        Box::pin(std::future::ready(Ok(Response::text(REPLY))))
    }
}

fn runtime() -> tokio::runtime::Runtime {
    // One core for the client, one for the server: the work on the client's core is compared.
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}

fn demos(count: usize) -> Vec<Demo> {
    let demo = |index: usize| {
        let values =
            json!({"question": format!("Question {index}?"), "reasoning": "So it is.", "answer": "Yes."});
        Demo::new(serde_json::from_value(values).unwrap())
    };
    (0..count).map(demo).collect()
}

fn in_process(c: &mut Criterion) {
    let runtime = runtime();
    let mut group = c.benchmark_group("call");
    for count in [0, 4, 64] {
        let mut program = ChainOfThought::<Qa>::new().with_lm(Lm::custom(Instantly));
        program.for_each_predictor(|_, predictor| predictor.set_demos(demos(count)));
        group.bench_function(format!("chain_of_thought/{count}_demos"), |b| {
            b.iter_custom(|rounds| {
                runtime.block_on(async {
                    let started = Instant::now();
                    for _ in 0..rounds {
                        black_box(program.call(black_box("What is the capital of France?")).await.unwrap());
                    }
                    started.elapsed()
                })
            });
        });
    }
    let predict = Predict::<Qa>::new().with_lm(Lm::custom(Instantly));
    group.bench_function("predict", |b| {
        b.iter_custom(|rounds| {
            runtime.block_on(async {
                let started = Instant::now();
                for _ in 0..rounds {
                    black_box(predict.call(black_box("What is the capital of France?")).await.unwrap());
                }
                started.elapsed()
            })
        });
    });
    group.finish();
}

fn render(c: &mut Criterion) {
    let mut program = ChainOfThought::<Qa>::new();
    program.for_each_predictor(|_, predictor| predictor.set_demos(demos(4)));
    c.bench_function("render/same_state", |b| b.iter(|| program.render(black_box("What?")).unwrap()));
    c.bench_function("render/changed_state", |b| {
        b.iter_batched(
            || {
                let mut copy = program.clone();
                copy.for_each_predictor(|_, predictor| predictor.set_instruction("Answer."));
                copy
            },
            |program| program.render(black_box("What?")).unwrap(),
            BatchSize::SmallInput,
        );
    });
}

fn decode(c: &mut Criterion) {
    let mut group = c.benchmark_group("decode");
    let spec = FactCheck::spec();
    let item = |index: usize| index.is_multiple_of(3);
    let clean = serde_json::to_string(&(0..100_000).map(item).collect::<Vec<_>>()).unwrap();
    let dirty = format!(
        "Sure! Here you go:\n```json\n[{}]\n```\nHope it helps.",
        (0..100_000).map(|index| if item(index) { "True, " } else { "'no', " }).collect::<String>()
    );
    for (name, list) in [("clean", clean), ("dirty", dirty)] {
        let reply = Completion::new(format!("[[ ## verdicts ## ]]\n{list}\n\n[[ ## completed ## ]]"));
        group.throughput(Throughput::Bytes(reply.text.len() as u64));
        group.bench_function(name, |b| {
            b.iter(|| ChatAdapter.parse(black_box(spec), black_box(&reply)).unwrap());
        });
    }
    let text =
        Completion::new(format!("[[ ## answer ## ]]\n{}\n\n[[ ## completed ## ]]", "word ".repeat(200_000)));
    group.throughput(Throughput::Bytes(text.text.len() as u64));
    group.bench_function("text", |b| b.iter(|| ChatAdapter.parse(Qa::spec(), black_box(&text)).unwrap()));
    group.finish();
}

/// The request of a bare loop, with the same messages, and the parts of the reply that it reads.
#[derive(serde::Serialize)]
struct Body<'a> {
    model: &'a str,
    messages: Vec<Turn<'a>>,
}

#[derive(serde::Serialize)]
struct Turn<'a> {
    role: &'a str,
    content: std::borrow::Cow<'a, str>,
}

#[derive(serde::Deserialize)]
struct Answer {
    choices: Vec<Choice>,
    usage: Tokens,
}

#[derive(serde::Deserialize)]
struct Choice {
    message: Said,
}

#[derive(serde::Deserialize)]
struct Said {
    content: String,
}

#[derive(serde::Deserialize)]
struct Tokens {
    completion_tokens: u64,
}

/// Measures calls over loopback HTTP: a bare `reqwest` loop with serde, the same request through `Lm`, and a
/// whole program. Server and client have a core each, so that the work on the client's core is compared.
fn over_http(c: &mut Criterion) {
    let runtime = runtime();
    let url = dspy_benches::start_server(REPLY);
    let lm = dspy::lm::Endpoint::new(format!("{url}/v1")).model("bench").unwrap();
    let program = Arc::new(ChainOfThought::<Qa>::new().with_lm(lm.clone()));
    let messages: Arc<[Message]> = program.render("What is the capital of France?").unwrap().into();
    let client = dspy_benches::bare_client();
    let mut group = c.benchmark_group("http");
    group.measurement_time(Duration::from_secs(5)).sample_size(10);
    for flight in [1usize, 64, 1024] {
        group.throughput(Throughput::Elements(flight as u64));
        group.bench_function(format!("bare/{flight}"), |b| {
            b.iter_custom(|rounds| {
                runtime.block_on(in_flight(flight, rounds, || {
                    let (client, url, messages) = (client.clone(), url.clone(), messages.clone());
                    async move {
                        let body = Body { model: "bench", messages: messages.iter().map(turn).collect() };
                        let post = client.post(format!("{url}/v1/chat/completions")).json(&body);
                        let reply: Answer = post.send().await.unwrap().json().await.unwrap();
                        assert!(
                            !reply.choices[0].message.content.is_empty() && reply.usage.completion_tokens > 0
                        );
                    }
                }))
            });
        });
        group.bench_function(format!("lm/{flight}"), |b| {
            b.iter_custom(|rounds| {
                runtime.block_on(in_flight(flight, rounds, || {
                    let (lm, messages) = (lm.clone(), messages.clone());
                    async move {
                        let reply = lm.complete(Request::new(messages.to_vec())).await.unwrap();
                        assert!(!reply.completions[0].text.is_empty() && reply.usage.completion_tokens > 0);
                    }
                }))
            });
        });
        group.bench_function(format!("program/{flight}"), |b| {
            b.iter_custom(|rounds| {
                runtime.block_on(in_flight(flight, rounds, || {
                    let program = program.clone();
                    async move { drop(program.call("What is the capital of France?").await.unwrap()) }
                }))
            });
        });
    }
    group.finish();
}

fn turn(message: &Message) -> Turn<'_> {
    Turn { role: message.role.as_str(), content: message.text() }
}

async fn in_flight<F: Future<Output = ()> + Send + 'static>(
    flight: usize,
    rounds: u64,
    call: impl Fn() -> F,
) -> Duration {
    let started = Instant::now();
    for _ in 0..rounds {
        let mut tasks: tokio::task::JoinSet<()> = (0..flight).map(|_| call()).collect();
        while let Some(done) = tasks.join_next().await {
            done.unwrap();
        }
    }
    started.elapsed()
}

fn values_round_trip(c: &mut Criterion) {
    let input = QaInput { question: "What is the capital of France?".into() };
    c.bench_function("fields/to_values", |b| b.iter(|| black_box(&input).to_values().unwrap()));
    let values: Values = input.to_values().unwrap();
    c.bench_function("fields/from_values", |b| {
        b.iter_batched(
            || values.clone(),
            |values| QaInput::from_values(values).unwrap(),
            BatchSize::SmallInput,
        );
    });
}

criterion_group!(benches, in_process, render, decode, values_round_trip, over_http);
criterion_main!(benches);
