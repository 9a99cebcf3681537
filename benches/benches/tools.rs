//! The overhead of a call of a tool: decoding of the arguments, dispatch, conversion of the result.
//!
//! `cargo bench -p dspy-benches --bench tools`

#![allow(clippy::unwrap_used, missing_docs, reason = "a benchmark that cannot run should say so loudly")]
#![allow(clippy::unused_async, reason = "the tools are async as usual, and do nothing")]

use std::hint::black_box;
use std::sync::Arc;
use std::time::Instant;

use criterion::{Criterion, criterion_group, criterion_main};
use dspy::prelude::*;
use dspy::tools::ToolCall;
use serde_json::json;

/// Returns a number.
#[tool]
async fn small(number: i64) -> i64 {
    number
}

#[field_type]
struct Hit {
    title: String,
    score: f64,
}

/// Searches.
#[tool]
async fn search(
    query: String,
    #[tool(default = 5)] limit: u8,
    language: Option<String>,
) -> Result<Vec<Hit>, String> {
    let _ = (limit, language);
    Ok(vec![Hit { title: query, score: 0.5 }])
}

struct Shared;

#[tool]
impl Shared {
    /// Returns a number.
    async fn with_context(&self, cx: &ToolContext, number: i64) -> i64 {
        number + i64::from(cx.call_id().is_some())
    }
}

fn dispatch(c: &mut Criterion) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let mut group = c.benchmark_group("tool");
    for (name, tool, arguments) in [
        ("one_argument", small::tool(), json!({"number": 42})),
        ("three_arguments", search::tool(), json!({"query": "owls", "limit": 3, "language": "en"})),
        ("method", Arc::new(Shared).with_context_tool(), json!({"number": 42})),
    ] {
        group.bench_function(name, |b| {
            b.iter_custom(|rounds| {
                runtime.block_on(async {
                    let started = Instant::now();
                    for _ in 0..rounds {
                        let context = ToolContext::new().with_call_id("call_1");
                        black_box(tool.call_with(black_box(&arguments), context).await.unwrap());
                    }
                    started.elapsed()
                })
            });
        });
    }
    let calls =
        (0..8).map(|index| ToolCall::new("small", json!({"number": index})).with_id(format!("c{index}")));
    let (calls, tools): (ToolCalls, _) = (calls.collect(), [small::tool()]);
    group.bench_function("eight_calls_at_once", |b| {
        b.iter_custom(|rounds| {
            runtime.block_on(async {
                let started = Instant::now();
                for _ in 0..rounds {
                    black_box(black_box(&calls).run(&tools).await);
                }
                started.elapsed()
            })
        });
    });
    group.finish();
}

criterion_group!(benches, dispatch);
criterion_main!(benches);
