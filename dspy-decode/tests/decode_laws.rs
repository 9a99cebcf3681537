//! The laws of decoding, for random schemas, values and texts.
#![allow(
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test that cannot go on should stop"
)]

use dspy_decode::{Partial, Plan, decode_value};
use proptest::prelude::*;
use serde_json::{Map, Value, json};

/// A schema together with a value that satisfies it.
fn typed(depth: u32) -> BoxedStrategy<(Value, Value)> {
    let text = prop_oneof![
        "[ -~]{0,12}",
        "[a-zA-Z \"'`,:{}\\[\\]\\\\/#\n\t.é“”-]{0,16}",
        any::<String>(),
        Just("```json\n{\"a\": 1}\n```".to_owned()),
        Just("null".to_owned()),
    ];
    let leaf = prop_oneof![
        text.clone().prop_map(|s| (json!({"type": "string"}), json!(s))),
        any::<i64>().prop_map(|n| (json!({"type": "integer", "format": "int64"}), json!(n))),
        any::<u64>().prop_map(|n| (json!({"type": "integer", "format": "uint64", "minimum": 0}), json!(n))),
        any::<f64>()
            .prop_filter("finite", |f| f.is_finite())
            .prop_map(|f| (json!({"type": "number"}), json!(f))),
        any::<bool>().prop_map(|b| (json!({"type": "boolean"}), json!(b))),
        Just((json!({"type": ["integer", "null"]}), json!(null))),
        Just((json!({"type": ["string", "null"]}), json!(null))),
        prop_oneof![Just("Low"), Just("very high"), Just("C++")]
            .prop_map(|s| (json!({"enum": ["Low", "high", "very high", "C", "C++"]}), json!(s))),
    ];
    if depth == 0 {
        return leaf.boxed();
    }
    let inner = typed(depth - 1);
    prop_oneof![
        3 => leaf,
        1 => (inner.clone(), 0_usize..4).prop_map(|((s, v), n)| {
            (json!({"type": "array", "items": s}), Value::Array(vec![v; n]))
        }),
        1 => proptest::collection::vec(inner.clone(), 2).prop_map(|all| {
            let (s, v): (Vec<_>, Vec<_>) = all.into_iter().unzip();
            (json!({"type": "array", "prefixItems": s, "items": false, "minItems": 2}), Value::Array(v))
        }),
        1 => (inner.clone(), proptest::collection::vec(text, 0..3)).prop_map(|((s, v), keys)| {
            let map: Map<_, _> = keys.into_iter().map(|k| (k, v.clone())).collect();
            (json!({"type": "object", "additionalProperties": s}), Value::Object(map))
        }),
        3 => proptest::collection::vec((inner.clone(), any::<bool>()), 1..4).prop_map(|members| {
            let names = ["name", "user_age", "itemList", "x"];
            let (mut props, mut map, mut required) = (Map::new(), Map::new(), Vec::new());
            for (((schema, value), must), name) in members.into_iter().zip(names) {
                props.insert(name.into(), schema);
                if must { required.push(name); }
                map.insert(name.into(), value);
            }
            (json!({"type": "object", "properties": props, "required": required}), Value::Object(map))
        }),
    ]
    .boxed()
}

/// A typed value that is a structure, so that prose around it cannot be part of it.
fn structured() -> impl Strategy<Value = (Value, Value)> {
    typed(3).prop_filter("a structure", |(_, v)| v.is_object() || v.is_array())
}

fn same(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Number(a), Value::Number(b)) => a.as_f64() == b.as_f64(),
        (Value::Array(a), Value::Array(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(a, b)),
        (Value::Object(a), Value::Object(b)) => {
            a.len() == b.len() && a.iter().all(|(k, a)| b.get(k).is_some_and(|b| same(a, b)))
        }
        _ => a == b,
    }
}

/// Whether what was shown earlier still stands: strings may grow, lists and objects may gain.
fn grows(early: &Value, late: &Value) -> bool {
    match (early, late) {
        (Value::String(a), Value::String(b)) => b.starts_with(a.as_str()),
        (Value::Array(a), Value::Array(b)) => a.len() <= b.len() && a.iter().zip(b).all(|(a, b)| grows(a, b)),
        (Value::Object(a), Value::Object(b)) => a.iter().all(|(k, a)| b.get(k).is_some_and(|b| grows(a, b))),
        _ => early == late,
    }
}

fn reversed(value: &Value) -> Value {
    match value {
        Value::Object(map) => {
            Value::Object(map.iter().rev().map(|(k, v)| (k.clone(), reversed(v))).collect())
        }
        Value::Array(items) => Value::Array(items.iter().map(reversed).collect()),
        other => other.clone(),
    }
}

/// Replies made of the pieces that trip parsers.
fn hostile() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        Just("{"),
        Just("}"),
        Just("["),
        Just("]"),
        Just("("),
        Just(")"),
        Just("\""),
        Just("'"),
        Just("`"),
        Just("```"),
        Just("```json\n"),
        Just("\n"),
        Just(","),
        Just(":"),
        Just("//"),
        Just("/*"),
        Just("*/"),
        Just("#"),
        Just("\\"),
        Just("\\u"),
        Just("\\ud83d"),
        Just("“"),
        Just("”"),
        Just("«"),
        Just("\"\"\""),
        Just("name"),
        Just("user_age"),
        Just("\"name\": "),
        Just("- "),
        Just("1. "),
        Just("1,234.5"),
        Just("50%"),
        Just("$"),
        Just("€"),
        Just("-"),
        Just("yes"),
        Just("not"),
        Just("true"),
        Just("None"),
        Just("very high"),
        Just("C++"),
        Just("é"),
        Just("\u{0}"),
        Just("\u{feff}"),
        Just("½"),
        Just("3"),
        Just("e5"),
        Just("..."),
        Just("<think>"),
        Just("</think>"),
        Just(" "),
        Just("out of"),
        Just("minus"),
        Just("hundred"),
        Just("="),
        Just("=>"),
        Just(";"),
        Just("~~~"),
        Just("<!--"),
    ];
    proptest::collection::vec(piece, 0..40).prop_map(|pieces| pieces.concat())
}

fn schemas() -> Vec<Plan> {
    [
        json!({"type": "string"}),
        json!({"type": "string", "maxLength": 3, "format": "date"}),
        json!({"type": "integer"}),
        json!({"type": "number", "minimum": 0, "maximum": 1}),
        json!({"type": "boolean"}),
        json!({"enum": ["Low", "high", "very high", "C", "C++", 3, null, true]}),
        json!({"type": "array", "items": {"type": "string"}}),
        json!({"type": "array", "items": {"type": "number"}}),
        json!({"type": "object", "properties": {"name": {"type": "string"}, "user_age": {"type": ["integer", "null"]}}, "required": ["name"]}),
        json!({"type": "object", "properties": {"name": {"type": "array", "items": {"$ref": "#"}}}}),
        json!({"type": "object", "additionalProperties": {"type": "integer"}}),
        json!({"anyOf": [{"type": "integer"}, {"type": "string"}, {"type": "array", "items": {"type": "boolean"}}, {"type": "null"}]}),
        json!({"$defs": {"E": {"anyOf": [{"type": "number"}, {"properties": {"name": {"$ref": "#/$defs/E"}, "x": {"$ref": "#/$defs/E"}}, "required": ["name"]}, {"properties": {"name": {"$ref": "#/$defs/E"}}, "required": ["name"]}]}}, "$ref": "#/$defs/E"}),
        json!(true),
    ]
    .iter()
    .map(|s| Plan::new(s).unwrap())
    .collect()
}

/// Found by fuzzing: each round bracket that is no tuple was tried again at every level around it.
#[test]
fn brackets_in_brackets_take_linear_time() {
    for reply in [
        "[((((((j(((…,((((((((((((j(((…,(((((`…,((((((((((((j(((…,(((((```json\n…,(((((`…,((((((((((((j(((…,(((,(",
        "{a: ((, ((, ((, ((, ((, ((, ((, ((, ((, ((, ((, ((, ((, ((, ((, ((, ((, ((, ((, ((, ((, ((, ((",
    ] {
        for plan in schemas() {
            let _ = plan.decode(reply);
            let _ = plan.decode_partial(reply);
        }
    }
}

fn check_spans(plan: &Plan, text: &str) {
    match plan.decode(text) {
        Ok(read) => {
            for repair in read.report.repairs {
                assert!(text.get(repair.span.clone()).is_some(), "{repair:?} in {text:?}");
            }
        }
        Err(error) => {
            for problem in error.problems {
                let span = problem.span.clone().unwrap_or(0..0);
                assert!(text.get(span).is_some(), "{problem:?} in {text:?}");
            }
        }
    }
}

/// Found by fuzzing: places were counted from the opening mark, whatever its width.
#[test]
fn places_inside_wide_quotes_lie_within_the_text() {
    let plan = Plan::new(&json!({"type": "array", "items": {"type": "array", "items": {"type": "boolean"}}}))
        .unwrap();
    for text in ["[«é»]", "[“– a\n– ``“\n”]", "['''yes\nné''']", "[\"\\u00e9\\nno, é\"]"] {
        check_spans(&plan, text);
        for plan in schemas() {
            check_spans(&plan, "“a\",1.\t\0\0enm\"\"na \0A\"lnam, \0\"\0\"");
        }
    }
}

/// Found by fuzzing.
#[test]
fn odd_beginnings_only_grow() {
    for text in [
        "[7]",
        "{\"\0\"\u{e}[\"1\", \"\u{e}[2\"]\0a\":,",
        "[{bx\": 1}, {\"x\":",
        "[\"\\u0000\", 0]",
        "{\"name\": \"a\", \"user_age\": 5",
        "[1](x)",
        "name[[\"name\"//, \"b\"",
        "{\"name\": \"\\ud83d\\ude00\"}",
    ] {
        for plan in schemas() {
            let mut last: Option<Value> = None;
            for end in (0..=text.len()).filter(|&i| text.is_char_boundary(i)) {
                let now = plan.decode_partial(&text[..end]);
                if let Some(early) = &last {
                    assert!(
                        now.value.as_ref().is_some_and(|late| grows(early, late)),
                        "{early} then {now:?} at {}",
                        &text[..end]
                    );
                }
                if now.complete {
                    break;
                }
                last = now.value.or(last);
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn rendering_and_reading_gives_the_value_back((schema, value) in structured()) {
        for text in [value.to_string(), serde_json::to_string_pretty(&value).unwrap()] {
            let read = decode_value(&text, &schema).unwrap();
            prop_assert!(same(&read.value, &value), "{text}");
            prop_assert!(read.report.is_clean());
        }
    }

    #[test]
    fn scalars_come_back_too((schema, value) in typed(0)) {
        let text = match &value { Value::String(s) => s.clone(), other => other.to_string() };
        let read = decode_value(&text, &schema);
        // The words that stand for nothing are the one exception: an optional string cannot hold them as text.
        prop_assert!(read.is_ok_and(|r| same(&r.value, &value)));
    }

    #[test]
    fn words_and_fences_around_change_nothing((schema, value) in structured()) {
        let (line, pretty) = (value.to_string(), serde_json::to_string_pretty(&value).unwrap());
        for text in [
            format!("Here is the result you asked for:\n\n{pretty}\n\nLet me know if you need anything else!"),
            format!("```json\n{pretty}\n```"),
            format!("Sure.\n\n```\n{line}\n```\nIt was a pleasure."),
            format!("~~~\n{line}\n~~~"),
            format!("```json\n{pretty}"),
            format!("<think>Is it {{a}} or [b]?</think>\n{line}"),
            format!("// the answer\n{pretty}"),
            format!("{line}\n/* done */"),
        ] {
            let read = decode_value(&text, &schema);
            prop_assert!(read.as_ref().is_ok_and(|r| same(&r.value, &value)), "{text}\n{read:?}");
        }
    }

    #[test]
    fn the_order_of_keys_is_neutral((schema, value) in structured()) {
        let read = decode_value(&reversed(&value).to_string(), &schema).unwrap();
        prop_assert!(same(&read.value, &value));
    }

    #[test]
    fn coercing_a_good_value_keeps_it((schema, value) in typed(3)) {
        let read = Plan::new(&schema).unwrap().coerce(value.clone()).unwrap();
        prop_assert_eq!(read.value, value);
    }

    #[test]
    fn prefixes_only_grow((schema, value) in structured(), fenced in any::<bool>()) {
        let plan = Plan::new(&schema).unwrap();
        let pretty = serde_json::to_string_pretty(&value).unwrap();
        let text = if fenced { format!("Here:\n```json\n{pretty}\n```") } else { pretty };
        let mut last: Option<Value> = None;
        for end in (0..=text.len()).filter(|&i| text.is_char_boundary(i)) {
            let partial = plan.decode_partial(&text[..end]);
            // What is not open is finished, and so it is what it will be.
            for (name, shown) in partial.value.as_ref().and_then(Value::as_object).into_iter().flatten() {
                let last = value.get(name);
                prop_assert!(partial.is_open(name) || last.is_some_and(|v| same(v, shown)), "{name} at {}", &text[..end]);
            }
            let Partial { value: now, complete, .. } = partial;
            if let Some(early) = &last {
                prop_assert!(now.as_ref().is_some_and(|late| grows(early, late)), "{early} then {now:?} at {}", &text[..end]);
            }
            if let Some(now) = &now {
                prop_assert!(grows(now, &value), "{now} is no beginning of {value} at {}", &text[..end]);
            }
            prop_assert!(!complete || now.as_ref().is_some_and(|n| same(n, &value)));
            last = now.or(last);
        }
        prop_assert!(plan.decode_partial(&text).complete);
    }

    #[test]
    fn a_cut_reply_is_never_a_whole_one((schema, value) in structured(), at in 0.0_f64..1.0) {
        let text = serde_json::to_string_pretty(&value).unwrap();
        let mut cut = (text.len() as f64 * at) as usize;
        while !text.is_char_boundary(cut) { cut -= 1; }
        if let Ok(read) = decode_value(&text[..cut], &schema) {
            // Only a closing bracket may be missing, and only when nothing can have been lost.
            prop_assert!(same(&read.value, &value), "{} gave {}", &text[..cut], read.value);
        }
    }

    #[test]
    fn nothing_panics(text in hostile(), noise in any::<String>()) {
        for plan in schemas() {
            check_spans(&plan, &text);
            let _ = plan.decode_partial(&text);
            check_spans(&plan, &noise);
            let _ = plan.decode_partial(&format!("{{\"name\": {noise}"));
            let _ = plan.coerce(json!({"name": text}));
        }
    }

    /// Texts of marks that have a meaning only together: comments, arrows, fences, quotes.
    #[test]
    fn beginnings_of_any_text_only_grow(
        start in prop::sample::select(vec![
            "", "{", "[", "{\"a\": \"x\", ", "{\"name\": \"Ana\", ", "Use {\"a\": 1} and [b", "[{\"a\": \"x\"", "```json\n{",
        ]),
        tokens in prop::collection::vec(
            prop::sample::select(vec![
                "{", "}", "[", "]", "\"", "\"name\"", "\"a\"", "name", "a", "n", ":", ": ", "=", "=>", " = ", ", ", ",",
                "\"Ana\"", "x", " ", "\n", "/", "//", "/*", "*/", "#", "```", "```json\n", "`", " and ", "1", "'", "\\",
                "<!--", "-->", "null", "tr",
            ]),
            0..14,
        ),
    ) {
        let text = start.to_owned() + &tokens.concat();
        // Empty brackets show nothing.
        let shown = |value: Option<Value>| value.filter(|v| *v != json!({}) && *v != json!([]));
        for schema in [
            json!({"type": "object", "properties": {"name": {"type": "string"}, "n": {"type": "integer"}}, "required": ["name"]}),
            json!({"type": "array", "items": {"type": "object", "properties": {"a": {"type": "string"}}, "required": ["a"]}}),
            json!({"anyOf": [
                {"type": "object", "properties": {"a": {"type": "string"}}, "required": ["a"]},
                {"type": "object", "properties": {"name": {"type": "string"}}, "required": ["name"]},
            ]}),
        ] {
            let plan = Plan::new(&schema).unwrap();
            let mut last: Option<Value> = None;
            for end in 0..=text.len() {
                let now = shown(plan.decode_partial(&text[..end]).value);
                if let Some(early) = &last {
                    prop_assert!(
                        now.as_ref().is_some_and(|late| grows(early, late)),
                        "{early} then {now:?} at {:?}", &text[..end]
                    );
                }
                last = now;
            }
        }
    }
}
