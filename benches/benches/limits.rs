//! The overhead of limits: a call in process without a rate limiter, and with each kind of limit.
//!
//! `cargo bench -p dspy-benches --bench limits`; the cost of a limit is the difference from `call/free`.

#![allow(clippy::unwrap_used, missing_docs, reason = "a benchmark that cannot run should say so loudly")]

use std::hint::black_box;
use std::time::{Duration, Instant};

use criterion::{Criterion, criterion_group, criterion_main};
use dspy::lm::{Circuit, LanguageModel, Limits, Lm, LmFuture, Message, Request, Response, RoundRobin, Usage};

/// A model that answers immediately, so that only the limits are measured.
struct Instantly;

impl LanguageModel for Instantly {
    fn id(&self) -> &'static str {
        "instantly"
    }

    fn complete<'a>(&'a self, _: &'a Request) -> LmFuture<'a> {
        Box::pin(std::future::ready(Ok(Response::text("x").with_usage(Usage::tokens(20, 5)))))
    }
}

fn calls(c: &mut Criterion) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let mut group = c.benchmark_group("call");
    group.sample_size(20).measurement_time(Duration::from_secs(1)).warm_up_time(Duration::from_millis(300));
    let free = || Lm::custom(Instantly);
    let most = u32::MAX;
    let all = Limits::new()
        .requests_per_minute(most)
        .tokens_per_minute(most)
        .max_concurrent(most)
        .circuit(Circuit::default());
    for (name, lm) in [
        ("free", free()),
        ("layer_only", free().limited(Limits::new())),
        ("requests_per_minute", free().limited(Limits::new().requests_per_minute(most))),
        ("tokens_per_minute", free().limited(Limits::new().tokens_per_minute(most))),
        ("max_concurrent", free().limited(Limits::new().max_concurrent(most))),
        ("circuit", free().limited(Limits::new().circuit(Circuit::default()))),
        ("all", free().limited(all)),
        ("fallback", Lm::fallback([free(), free()])),
        ("round_robin", Lm::round_robin([free(), free()])),
        ("by_request", Lm::custom(RoundRobin::new([free(), free()]).by_request())),
    ] {
        let request = Request::new(vec![Message::user("What is the capital of France?")]);
        group.bench_function(name, |b| {
            b.iter_custom(|rounds| {
                runtime.block_on(async {
                    let started = Instant::now();
                    for _ in 0..rounds {
                        black_box(lm.complete(request.clone()).await.unwrap());
                    }
                    started.elapsed()
                })
            });
        });
    }
    group.finish();
}

/// Measures the queueing of a thousand callers with a concurrency limit of sixteen.
fn queue(c: &mut Criterion) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let lm = Lm::custom(Yielding).limited(Limits::new().max_concurrent(16));
    let mut group = c.benchmark_group("queue");
    group.sample_size(10).measurement_time(Duration::from_secs(1)).warm_up_time(Duration::from_millis(300));
    group.throughput(criterion::Throughput::Elements(1_000));
    for (name, lm) in [("free", Lm::custom(Yielding)), ("sixteen_at_a_time", lm)] {
        group.bench_function(name, |b| {
            b.iter_custom(|rounds| {
                runtime.block_on(async {
                    let started = Instant::now();
                    for _ in 0..rounds {
                        let mut tasks: tokio::task::JoinSet<()> = (0..1_000)
                            .map(|_| {
                                let lm = lm.clone();
                                async move { drop(lm.complete(Request::default()).await.unwrap()) }
                            })
                            .collect();
                        while let Some(done) = tasks.join_next().await {
                            done.unwrap();
                        }
                    }
                    started.elapsed()
                })
            });
        });
    }
    group.finish();
}

/// A model that yields once before it answers, so that calls overlap.
struct Yielding;

impl LanguageModel for Yielding {
    fn id(&self) -> &'static str {
        "yielding"
    }

    fn complete<'a>(&'a self, _: &'a Request) -> LmFuture<'a> {
        Box::pin(async {
            tokio::task::yield_now().await;
            Ok(Response::text("x"))
        })
    }
}

criterion_group!(benches, calls, queue);
criterion_main!(benches);
