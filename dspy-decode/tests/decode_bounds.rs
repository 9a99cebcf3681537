//! The bounds of decoding: no stack overflow on a small stack, time in proportion to the text, bounded memory.
#![allow(
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test that cannot go on should stop"
)]

#[path = "work/mod.rs"]
mod work;

use dspy_decode::Plan;
use serde_json::{Value, json};

fn schemas() -> Vec<(&'static str, Value)> {
    let node = json!({
        "$ref": "#/$defs/Node",
        "$defs": {"Node": {
            "type": "object",
            "properties": {"next": {"anyOf": [{"$ref": "#/$defs/Node"}, {"type": "null"}]}, "v": {"type": "string"}}
        }}
    });
    let tree = json!({
        "$ref": "#/$defs/Tree",
        "$defs": {"Tree": {
            "type": "object",
            "properties": {"kids": {"type": "array", "items": {"$ref": "#/$defs/Tree"}}, "v": {"type": "integer"}},
            "required": ["v"]
        }}
    });
    let nested = json!({"$ref": "#/$defs/L", "$defs": {"L": {"anyOf": [
        {"type": "array", "items": {"$ref": "#/$defs/L"}}, {"type": "integer"}, {"type": "string"}
    ]}}});
    vec![
        ("any", json!({})),
        ("boolean", json!({"type": "boolean"})),
        ("integer", json!({"type": "integer"})),
        ("choice", json!({"enum": ["OPEN", "CLOSED"]})),
        ("strings", json!({"type": "array", "items": {"type": "string"}})),
        ("integers", json!({"type": "array", "items": {"type": "integer"}})),
        ("map", json!({"type": "object", "additionalProperties": {"type": "string"}})),
        ("recursive", node),
        ("tree", tree),
        ("nested", nested),
        (
            "rows",
            json!({"type": "array", "items": {"type": "object",
            "properties": {"a": {"type": "string"}, "b": {"type": "integer"}}, "required": ["a"]}}),
        ),
    ]
}

/// Texts that grow with `n`, each about `n` bytes long.
fn hostile(n: usize) -> Vec<(&'static str, String)> {
    let fill = |piece: &str| piece.repeat(n / piece.len() + 1);
    vec![
        ("next", fill("next: ")),
        ("next on lines", fill("next:\n")),
        ("next in quotes", fill("\"next\": ")),
        ("braces", fill("{")),
        ("brackets", fill("[")),
        ("round", fill("(")),
        ("members", fill("{\"next\": ")),
        ("kids", fill("{\"v\": 1, \"kids\": [")),
        ("labels", fill("a:")),
        ("labels and yes", format!("{} yes", fill("a: "))),
        ("commas", format!("[{}]", fill(","))),
        ("quotes", fill("\"")),
        ("list of quotes", format!("[{}", fill("\", "))),
        ("stray quotes", format!("{{\"v\": \"{}\"}}", fill("a \"b\" "))),
        ("fences", fill("```\n")),
        ("fences of json", fill("```json\n{\n```\n")),
        ("colons", fill(":")),
        ("numbers", fill("1 ")),
        ("numbers with signs", fill("-1 and ")),
        ("choices", fill("OPEN or ")),
        ("items in other quotes", format!("[{}'12']", fill("'12', "))),
        ("items over lines", format!("[{}\"x\"]", fill("\"a\nb\", "))),
        ("rows", format!("[{}]", fill("{\"a\": \"x\", \"b\": 1},"))),
        ("damaged rows", format!("[{}{{\"a: \"x\"}}]", fill("{\"a\": \"x\", \"b\": 1},"))),
        (
            "damaged at the start",
            format!("[{{\"a: \"x\"}},{}{{\"a\": \"x\"}}]", fill("{\"a\": \"x\", \"b\": 1},")),
        ),
        ("escapes", format!("[\"{}\"]", fill("\\\\\\\""))),
        ("bullets", fill("- a [b]\n")),
        ("thoughts", fill("<think>")),
        ("text", fill("some words, and more. ")),
        ("blanks", fill("\u{3000}")),
        ("strings in strings", {
            let mut text = "1".to_owned();
            while text.len() < n.min(4_000) {
                text = format!("[{}]", Value::String(text));
            }
            text
        }),
    ]
}

fn on_a_small_stack(work: impl FnOnce() + Send + 'static) {
    std::thread::Builder::new()
        .stack_size(512 * 1024)
        .spawn(work)
        .expect("a thread")
        .join()
        .expect("no panic");
}

#[test]
fn no_text_overflows_a_small_stack() {
    on_a_small_stack(|| {
        for (_, schema) in schemas() {
            let plan = Plan::new(&schema).expect("a schema");
            for n in [300, 3_000] {
                for (_, text) in hostile(n) {
                    drop(plan.decode(&text));
                    drop(plan.decode_partial(&text));
                }
            }
        }
    });
}

#[test]
fn deep_values_are_refused_and_not_followed() {
    on_a_small_stack(|| {
        for (_, schema) in schemas() {
            let plan = Plan::new(&schema).expect("a schema");
            let mut value = json!(1);
            for _ in 0..120 {
                value = json!([{ "next": value }]);
            }
            drop(plan.decode(&value.to_string()));
            drop(plan.coerce(value));
        }
    });
}

#[test]
fn any_text_is_read_in_linear_time() {
    for (name, schema) in schemas() {
        let plan = Plan::new(&schema).expect("a schema");
        for (i, (text, _)) in hostile(1).iter().enumerate() {
            let texts = |n: usize| hostile(n).swap_remove(i).1;
            let (small, large) = (texts(30_000), texts(120_000));
            work::assert_linear(&format!("{text} as {name}"), 30_000, |n| {
                drop(plan.decode(if n == 30_000 { &small } else { &large }));
            });
        }
    }
}

/// A report has at most a thousand repairs and one for every sixteen bytes.
#[test]
fn reports_stay_small() {
    for (name, schema) in schemas() {
        let plan = Plan::new(&schema).expect("a schema");
        for (text_name, text) in hostile(20_000) {
            let repairs = match plan.decode(&text) {
                Ok(read) => read.report.repairs.len(),
                Err(error) => error.problems.len(),
            };
            assert!(
                repairs <= text.len() / 16 + 1_100,
                "{name}, {text_name}: {repairs} for {} bytes",
                text.len()
            );
        }
    }
}
