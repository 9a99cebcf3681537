//! The overhead of budgets, usage tracking and prices per call.
//!
//! `cargo bench -p dspy-benches --bench budget`; the target is at most one microsecond per call within a
//! budget.

#![allow(clippy::unwrap_used, missing_docs, reason = "a benchmark that cannot run should say so loudly")]

use std::future::Future;
use std::hint::black_box;
use std::sync::Arc;
use std::time::Instant;

use criterion::measurement::WallTime;
use criterion::{BenchmarkGroup, Criterion, criterion_group, criterion_main};
use dspy::lm::{
    BoxFuture, Budget, LanguageModel, Lm, LmFuture, Message, Price, PriceTable, Request, Response, Usage,
    track_usage,
};

/// A model that answers immediately, so that only the overhead is measured.
struct Instantly;

impl LanguageModel for Instantly {
    fn id(&self) -> &'static str {
        "instantly"
    }

    fn complete<'a>(&'a self, _: &'a Request) -> LmFuture<'a> {
        Box::pin(std::future::ready(Ok(Response::text("yes").with_usage(Usage::tokens(100, 1)))))
    }
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}

/// Measures calls in a scope that is entered once.
fn calls<F: Future<Output = std::time::Duration>>(
    group: &mut BenchmarkGroup<'_, WallTime>,
    name: &str,
    scope: impl Fn(BoxFuture<'static, std::time::Duration>) -> F,
    lm: &Lm,
) {
    let runtime = runtime();
    group.bench_function(name, |b| {
        b.iter_custom(|rounds| {
            let lm = lm.clone();
            let request = Request::new(vec![Message::system("x".repeat(2_000)), Message::user("?")]);
            runtime.block_on(scope(Box::pin(async move {
                let started = Instant::now();
                for _ in 0..rounds {
                    black_box(lm.complete(black_box(request.clone())).await.unwrap());
                }
                started.elapsed()
            })))
        });
    });
}

fn one_call(c: &mut Criterion) {
    let mut group = c.benchmark_group("call");
    let bare = Lm::custom(Instantly);
    let priced = bare.clone().price(Price::per_million(1e-6, 1e-6).max_output(100)).max_tokens(10);
    calls(&mut group, "bare", |calls| calls, &bare);
    calls(&mut group, "tracked", |calls| async { track_usage(calls).await.0 }, &bare);
    calls(&mut group, "priced", |calls| calls, &priced);
    calls(&mut group, "budget_of_calls", |calls| Budget::calls(u64::MAX).scope(calls), &bare);
    let all = || Budget::calls(u64::MAX).tokens(u64::MAX >> 4).usd(1e6);
    calls(&mut group, "budget_of_calls_tokens_dollars", |calls| all().scope(calls), &priced);
    calls(&mut group, "two_budgets", |calls| all().scope(all().scope(calls)), &priced);
    let wall = std::time::Duration::from_hours(1);
    calls(&mut group, "budget_of_time", |calls| Budget::UNLIMITED.time(wall).scope(calls), &bare);
    group.finish();
}

/// Measures a thousand calls that wait for a budget with room for eight; each starts when another one ends.
fn contended(c: &mut Criterion) {
    struct Yielding;
    impl LanguageModel for Yielding {
        fn id(&self) -> &'static str {
            "yielding"
        }
        fn complete<'a>(&'a self, _: &'a Request) -> LmFuture<'a> {
            Box::pin(async {
                tokio::task::yield_now().await;
                Ok(Response::text("yes").with_usage(Usage::tokens(0, 1)))
            })
        }
    }
    let runtime = runtime();
    let lm = Arc::new(Lm::custom(Yielding).max_tokens(1_000_000));
    let mut group = c.benchmark_group("contended");
    group.throughput(criterion::Throughput::Elements(1_000));
    for (name, budget) in [("without", Budget::UNLIMITED), ("within", Budget::UNLIMITED.tokens(8_500_000))] {
        group.bench_function(name, |b| {
            b.iter(|| {
                runtime.block_on(budget.scope(async {
                    let tasks: Vec<_> = (0..1_000)
                        .map(|_| {
                            let lm = lm.clone();
                            dspy::spawn(async move { lm.ask("?").await })
                        })
                        .collect();
                    for task in tasks {
                        task.await.unwrap().unwrap();
                    }
                }));
            });
        });
    }
    group.finish();
}

fn price_table(c: &mut Criterion) {
    let table = PriceTable::built_in();
    let mut group = c.benchmark_group("price");
    for (name, model) in [
        ("known", "openai/gpt-6-luna"),
        ("dated", "anthropic/claude-haiku-4-5-20251001"),
        ("unknown", "ollama/llama3.2"),
    ] {
        let endpoint = "https://api.openai.com/v1";
        group.bench_function(name, |b| b.iter(|| table.price(black_box(model), black_box(endpoint))));
    }
    group.finish();
}

criterion_group!(benches, one_call, contended, price_table);
criterion_main!(benches);
