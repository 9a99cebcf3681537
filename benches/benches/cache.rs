//! The cost of a cache hit.

#![allow(clippy::unwrap_used, missing_docs, reason = "a benchmark that cannot run should say so loudly")]

use std::hint::black_box;
use std::time::{Duration, Instant};

use criterion::{Criterion, criterion_group, criterion_main};
use dspy::lm::{Cache, Message, Request, ScriptedLm};
use dspy::prelude::*;

/// Returns a request with a prompt of about 1,200 bytes; the reply of [`lm`] has about 600.
fn request(number: u64) -> Request {
    let rules = "Answer the question in one short sentence, and say so if you do not know. ".repeat(15);
    Request::new(vec![Message::system(rules), Message::user(format!("What is question {number} about?"))])
}

fn lm(cache: &Cache) -> Lm {
    let reply = "It is about the price of fish. ".repeat(20);
    Lm::custom(ScriptedLm::from_fn(move |_| reply.clone())).cache(cache)
}

fn one_thread() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}

fn workers() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap()
}

/// Measures repetitions of the same request; all but the first are cache hits.
async fn again(lm: &Lm, rounds: u64) -> Duration {
    let request = request(0);
    assert!(!lm.complete(request.clone()).await.unwrap().completions.is_empty());
    let started = Instant::now();
    for _ in 0..rounds {
        assert!(black_box(lm.complete(request.clone()).await.unwrap()).cached);
    }
    started.elapsed()
}

fn hits(c: &mut Criterion) {
    let dir = std::env::temp_dir().join(format!("dspy-bench-cache-{}", std::process::id()));
    let mut group = c.benchmark_group("cache");
    group.warm_up_time(Duration::from_secs(1)).measurement_time(Duration::from_secs(2)).sample_size(20);
    group.bench_function("memory_hit", |b| {
        let (runtime, lm) = (one_thread(), lm(&Cache::new()));
        b.iter_custom(|rounds| runtime.block_on(again(&lm, rounds)));
    });
    let on_disk = || Cache::builder().dir(&dir).memory_bytes(0).build();
    group.bench_function("disk_hit/one_thread", |b| {
        let (runtime, lm) = (one_thread(), lm(&on_disk()));
        b.iter_custom(|rounds| runtime.block_on(again(&lm, rounds)));
    });
    group.bench_function("disk_hit/workers", |b| {
        let (runtime, lm) = (workers(), lm(&on_disk()));
        b.iter_custom(|rounds| {
            let lm = lm.clone();
            runtime.block_on(async { tokio::spawn(async move { again(&lm, rounds).await }).await.unwrap() })
        });
    });
    group.bench_function("miss", |b| {
        let (runtime, lm) = (one_thread(), lm(&Cache::builder().memory_bytes(1 << 20).build()));
        let mut number = 0;
        b.iter_custom(|rounds| {
            runtime.block_on(async {
                let started = Instant::now();
                for _ in 0..rounds {
                    number += 1;
                    black_box(lm.complete(request(number)).await.unwrap());
                }
                started.elapsed()
            })
        });
    });
    group.finish();
    let _ = std::fs::remove_dir_all(dir);
}

criterion_group!(benches, hits);
criterion_main!(benches);
