//! The cost of reading a reply while it arrives. The throughput should not depend on the length of the reply,
//! because the cost of a piece depends only on its new text.

use std::hint::black_box;
use std::sync::Arc;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use dspy::adapter::{Adapter, ChatAdapter, JsonAdapter, XmlAdapter};
use dspy::signature::{SignatureSpec, Values};
use serde_json::Value;

/// The approximate size of a token, in bytes.
const PIECE: usize = 5;

fn read(adapter: &dyn Adapter, spec: &Arc<SignatureSpec>, reply: &str) -> usize {
    let Some(mut reader) = adapter.reader(spec) else { return 0 };
    let (mut changes, mut seen) = (Vec::new(), 0);
    for at in (0..reply.len()).step_by(PIECE) {
        reader.push(&reply[at..(at + PIECE).min(reply.len())], &mut changes);
        seen += changes.len();
        changes.clear();
    }
    seen
}

fn streaming(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("streaming");
    group.sample_size(10);
    for (kind, signature) in [("text", "q -> out"), ("list", "q -> out: list[str]")] {
        let Ok(spec) = signature.parse::<SignatureSpec>() else { continue };
        let spec = Arc::new(spec);
        for kilobytes in [10, 100, 1000] {
            let line = "a line of some thirty characters";
            let lines = (0..kilobytes * 30).map(|_| Value::from(line));
            let value =
                if kind == "text" { line.repeat(kilobytes * 30).into() } else { lines.collect::<Value>() };
            let values: Values = [("out".to_owned(), value)].into_iter().collect();
            for adapter in [&ChatAdapter as &dyn Adapter, &JsonAdapter, &XmlAdapter] {
                let reply = adapter.reply(&spec, &values);
                group.throughput(Throughput::Bytes(reply.len() as u64));
                let id = BenchmarkId::new(format!("{kind}/{}", adapter.name()), format!("{kilobytes} kB"));
                group.bench_with_input(id, &reply, |bench, reply| {
                    bench.iter(|| black_box(read(adapter, &spec, reply)));
                });
            }
        }
    }
    group.finish();
}

criterion_group!(benches, streaming);
criterion_main!(benches);
