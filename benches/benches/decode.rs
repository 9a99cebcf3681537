//! The throughput of the decoder, in bytes of reply per second.
//!
//! - `value/clean`: valid JSON; `value/dirty`: fences, prose, trailing commas, comments and bare keys as in replies
//!   of models; `value/hard`: a repair in every other token. All are read by `Plan::decode`.
//! - `serde_json`: the clean texts read as `serde_json::Value`, without a schema, repairs or a report, for
//!   comparison.
//! - `chat`: a reply with four fields with markers, read by `ChatAdapter`; the throughput is that of the whole
//!   reply.
//! - `adversarial`: a megabyte of hostile text, to check that the time is bounded.

#![allow(clippy::unwrap_used, reason = "a benchmark that cannot run should say so loudly")]

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use dspy::adapter::{Adapter as _, ChatAdapter};
use dspy::decode::Plan;
use dspy_benches::replies;

fn values(c: &mut Criterion) {
    for (group, cases) in [
        ("value/clean", replies::clean()),
        ("value/dirty", replies::dirty()),
        ("value/hard", replies::hard()),
        ("adversarial", replies::adversarial()),
    ] {
        let mut group = c.benchmark_group(group);
        for case in cases {
            let plan = Plan::new(&case.schema).unwrap();
            group.throughput(Throughput::Bytes(case.text.len() as u64));
            group.bench_function(case.name, |b| b.iter(|| plan.decode(black_box(&case.text))));
        }
        group.finish();
    }
}

fn floor(c: &mut Criterion) {
    let mut group = c.benchmark_group("serde_json");
    for case in replies::clean() {
        group.throughput(Throughput::Bytes(case.text.len() as u64));
        let read = |text: &str| serde_json::from_str::<serde_json::Value>(text).unwrap();
        group.bench_function(case.name, |b| b.iter(|| read(black_box(&case.text))));
    }
    group.finish();
}

fn chat(c: &mut Criterion) {
    let mut group = c.benchmark_group("chat");
    let spec = replies::chat_spec();
    for (name, reply) in replies::chat() {
        group.throughput(Throughput::Bytes(reply.text.len() as u64));
        ChatAdapter.parse(spec, &reply).unwrap();
        group.bench_function(name, |b| b.iter(|| ChatAdapter.parse(spec, black_box(&reply)).unwrap()));
    }
    group.finish();
}

criterion_group!(benches, values, floor, chat);
criterion_main!(benches);
