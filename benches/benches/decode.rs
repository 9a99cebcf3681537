//! Reading replies: bytes per second for clean JSON, for what models really write, and for the worst of it.
#![allow(clippy::unwrap_used, reason = "a benchmark that cannot run should say so loudly")]

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use dspy::decode::Plan;
use serde_json::json;

fn decode(c: &mut Criterion) {
    let person = json!({"type": "object", "properties": {
        "name": {"type": "string"}, "age": {"type": "integer"}, "notes": {"type": "array", "items": {"type": "string"}},
    }, "required": ["name", "age"]});
    let people = Plan::new(&json!({"type": "array", "items": person})).unwrap();
    let verdicts = Plan::new(&json!({"type": "array", "items": {"type": "boolean"}})).unwrap();
    let numbers = Plan::new(&json!({"type": "array", "items": {"type": "integer"}})).unwrap();
    let clean = json!({"name": "Ada Lovelace", "age": 36, "notes": ["wrote the first program", "London"]});
    let dirty = "{name: 'Ada Lovelace', age: '36', \"notes\": ['wrote the first program', \"London\",],}";
    let many = |item: &str, count: usize| format!("[{}]", vec![item; count].join(", "));
    let cases = [
        ("clean/one", &people, many(&clean.to_string(), 1)),
        ("clean/list", &people, many(&clean.to_string(), 500)),
        ("clean/pretty", &people, serde_json::to_string_pretty(&vec![clean; 500]).unwrap()),
        ("clean/booleans", &verdicts, many("true", 2_000)),
        ("dirty/one", &people, format!("Here you go:\n```json\n[{dirty}]\n```\nAnything else?")),
        ("dirty/list", &people, format!("Here you go:\n```json\n{}\n```\nAnything else?", many(dirty, 500))),
        ("dirty/100_000 repairs", &verdicts, many("True", 100_000)),
        ("dirty/texts for numbers", &numbers, many("'12'", 20_000)),
    ];
    let mut group = c.benchmark_group("decode");
    for (name, plan, reply) in &cases {
        plan.decode(reply).unwrap();
        group.throughput(Throughput::Bytes(reply.len() as u64));
        group.bench_function(*name, |b| b.iter(|| plan.decode(black_box(reply)).unwrap()));
    }
    group.finish();
}

criterion_group!(benches, decode);
criterion_main!(benches);
