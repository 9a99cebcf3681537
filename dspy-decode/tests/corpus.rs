//! Runs the corpus: raw replies with the value or the kind of error that is right for them.
//!
//! `corpus/*.jsonl`: a line with `schema` sets the type for the cases below it; a case has a `name`, a `reply`, and a
//! `value` or an `error`; lines that start with `//` are for the reader.
#![allow(
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test that cannot go on should stop"
)]

use std::fs;
use std::path::Path;

use dspy_decode::Plan;
use serde_json::Value;

/// Equality in which `1` and `1.0` are the same number.
fn same(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Number(a), Value::Number(b)) => a == b || a.as_f64() == b.as_f64(),
        (Value::Array(a), Value::Array(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(a, b)),
        (Value::Object(a), Value::Object(b)) => {
            a.len() == b.len() && a.iter().all(|(k, a)| b.get(k).is_some_and(|b| same(a, b)))
        }
        _ => a == b,
    }
}

/// What is wrong with a case, if anything.
fn fault(plan: &Plan, case: &Value) -> Option<String> {
    let reply = case["reply"].as_str().expect("a reply");
    match (plan.decode(reply), case.get("value"), case.get("error")) {
        (Ok(read), Some(value), None) if same(&read.value, value) => None,
        (Err(error), None, Some(kind)) => {
            let kinds: Vec<_> = error.problems.iter().map(|p| format!("{:?}", p.kind)).collect();
            let fits = kind == "Any" || kinds.iter().any(|k| Some(k.as_str()) == kind.as_str());
            (!fits).then(|| format!("wanted {kind}, got {kinds:?}: {error}"))
        }
        (Ok(read), value, error) => Some(format!("SILENT: wanted {}, got {}", value.or(error)?, read.value)),
        (Err(error), value, _) => Some(format!("wanted {}, got an error: {error}", value?)),
    }
}

#[test]
fn every_reply_is_read_as_it_should_be() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/corpus");
    let mut files: Vec<_> =
        fs::read_dir(folder).expect("the corpus").map(|f| f.expect("a file").path()).collect();
    files.sort();
    let (mut total, mut faults) = (0, Vec::new());
    for file in files {
        let topic = file.file_stem().expect("a name").to_string_lossy().into_owned();
        let text = fs::read_to_string(&file).expect("a readable file");
        let (mut plan, mut count, mut passed) = (None, 0, 0);
        for (number, line) in text.lines().enumerate() {
            if line.is_empty() || line.starts_with("//") {
                continue;
            }
            let entry: Value =
                serde_json::from_str(line).unwrap_or_else(|e| panic!("{topic}:{}: {e}", number + 1));
            if let Some(schema) = entry.get("schema") {
                plan = Some(Plan::new(schema).unwrap_or_else(|e| panic!("{topic}:{}: {e}", number + 1)));
                continue;
            }
            count += 1;
            match fault(plan.as_ref().expect("a schema before the first case"), &entry) {
                None => passed += 1,
                Some(fault) => {
                    faults.push(format!(
                        "{topic}:{} {} {}\n    {fault}",
                        number + 1,
                        entry["name"],
                        entry["reply"]
                    ));
                }
            }
        }
        println!("{topic:<12} {passed:>4} of {count:>4}");
        total += count;
    }
    assert!(total >= 400, "only {total} cases");
    assert!(faults.is_empty(), "{} of {total} cases fail:\n{}", faults.len(), faults.join("\n"));
}
