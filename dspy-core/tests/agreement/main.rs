//! What a prompt says of a type and what the decoder accepts are one set: for schemas at random, for types with every
//! attribute of serde, and for what fake models make up. `DSPY_LONG=25` for a thorough run.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "in tests a panic is the report")]

mod draw;
mod reader;
mod schemas;
mod types;

use dspy_core::decode::Plan;
use dspy_core::types::{TypeText, describe};
use dspy_core::{Rng, Seed};
use reader::Notation;
use serde_json::{Value, json};

/// How many times longer the laws are tried.
pub(crate) fn times() -> u64 {
    std::env::var("DSPY_LONG").ok().and_then(|times| times.parse().ok()).unwrap_or(1)
}

/// A type with all that is said of it.
pub(crate) fn show(text: &TypeText) -> String {
    let mut out = format!("{}\n", text.notation);
    for (name, definition) in &text.definitions {
        out.push_str(&format!("{name} = {definition}\n"));
    }
    format!("{out}{:?} {:?}", text.constraints, text.choices)
}

/// Whether the plan takes the value as it is.
pub(crate) fn accepts(plan: &Plan, value: &Value) -> bool {
    plan.coerce(value.clone()).is_ok_and(|read| read.report.is_clean() && read.value == *value)
}

/// A value with something wrong or different somewhere.
pub(crate) fn changed(value: &Value, rng: &mut Rng) -> Value {
    let others =
        [json!(null), json!(true), json!(-3), json!(1.5), json!("zzz"), json!([]), json!({}), json!(300)];
    match value {
        Value::Array(items) if !items.is_empty() && rng.below(4) > 0 => {
            let mut items = items.clone();
            let at = rng.below(items.len());
            match rng.below(3) {
                0 => drop(items.remove(at)),
                1 => items.push(items[at].clone()),
                _ => items[at] = changed(&items[at], rng),
            }
            Value::Array(items)
        }
        Value::Object(members) if !members.is_empty() && rng.below(4) > 0 => {
            let mut members = members.clone();
            let name = members.keys().nth(rng.below(members.len())).unwrap().clone();
            match rng.below(4) {
                0 => drop(members.shift_remove(&name)),
                1 => drop(members.insert("zzz".into(), others[rng.below(others.len())].clone())),
                _ => {
                    let member = changed(&members[&name], rng);
                    members.insert(name, member);
                }
            }
            Value::Object(members)
        }
        _ => others[rng.below(others.len())].clone(),
    }
}

/// The law for one schema; `values` are some of its values.
pub(crate) fn agree(schema: &Value, values: &[Value], seed: u64) -> (Plan, Notation) {
    let plan = Plan::new(schema).unwrap_or_else(|error| panic!("{error}: {schema}"));
    let text = describe(schema);
    let notation = Notation::read(&text);
    let say = || format!("{}\n{schema}", show(&text));
    let mut all = values.to_vec();
    for value in values {
        assert!(notation.admits(value), "not described: {value}\n{}", say());
        assert!(accepts(&plan, value), "not accepted: {value}\n{}", say());
    }
    for draw in 0..6 {
        let value = notation.draw(seed ^ (draw << 40));
        let read = plan.coerce(value.clone());
        assert!(accepts(&plan, &value), "drawn and not accepted: {value}\n{read:?}\n{}", say());
        all.push(value);
    }
    let rng = &mut Seed::new(seed).branch("changes").rng();
    for value in &all {
        if value.is_object() || value.is_array() {
            for text in [value.to_string(), serde_json::to_string_pretty(value).unwrap()] {
                let read = plan.decode(&text).unwrap_or_else(|error| panic!("{error}\n{text}\n{}", say()));
                assert_eq!(read.value, *value, "{text}\n{}", say());
            }
        }
        for _ in 0..4 {
            let other = changed(value, rng);
            assert_eq!(notation.admits(&other), accepts(&plan, &other), "{other}\n{}", say());
        }
    }
    (plan, notation)
}

#[test]
fn random_schemas_are_described_by_what_they_are_read_by() {
    let mut usable = 0;
    for seed in 0..1500 * times() {
        let rng = &mut Seed::new(seed).branch("schema").rng();
        let schema = schemas::schema(rng);
        // Two variants whose names differ in case only, and the like.
        if Plan::new(&schema).is_err() {
            continue;
        }
        usable += 1;
        let values: Vec<Value> = (0..4).filter_map(|_| schemas::value(&schema, &schema, rng, 0)).collect();
        agree(&schema, &values, seed);
    }
    assert!(usable > 1200 * times(), "{usable}");
}

#[test]
fn keys_that_several_patterns_match_are_read_by_all_of_them() {
    let integer = json!({"type": "integer"});
    let plan = |patterns: Value| {
        Plan::new(&json!({"patternProperties": patterns, "additionalProperties": false})).unwrap()
    };
    let same = plan(json!({"^x": integer, "1$": integer}));
    assert_eq!(same.decode(r#"{"x1": 2,}"#).unwrap().value, json!({"x1": 2}));
    assert_eq!(same.decode(r#"{"x1": 2}"#).unwrap().value, json!({"x1": 2}));
    assert!(same.decode(r#"{"x1": "two or three"}"#).is_err());
    let limits =
        plan(json!({"^x": {"type": "integer", "minimum": 2}, "1$": {"type": "integer", "maximum": 5}}));
    assert_eq!(
        limits.decode(r#"{"x1": "3", "x": 9, "1": 0}"#).unwrap().value,
        json!({"x1": 3, "x": 9, "1": 0})
    );
    assert!(limits.decode(r#"{"x1": 9}"#).is_err());
    assert!(limits.decode(r#"{"x1": 1}"#).is_err());
    // No value is both; a key that matches both patterns cannot be there.
    let never = plan(json!({"^x": {"type": "integer"}, "1$": {"type": "string"}}));
    assert!(never.decode(r#"{"x1": 1}"#).is_err());
    assert_eq!(never.decode(r#"{"x": 1, "1": "a"}"#).unwrap().value, json!({"x": 1, "1": "a"}));
    // More overlaps than are worked out are an error, not a loss.
    let many: serde_json::Map<String, Value> =
        (0..6).map(|at| (format!("^.{{{at}}}"), json!({"type": "integer", "minimum": at}))).collect();
    assert!(plan(Value::Object(many)).decode(r#"{"abc": 9,}"#).is_err());
}

#[test]
fn what_is_required_and_not_described_is_kept() {
    let schema = json!({"properties": {"a": {"type": "integer"}}, "required": ["a", "b"]});
    let plan = Plan::new(&schema).unwrap();
    assert_eq!(plan.decode(r#"{"a": 1, "b": [2],}"#).unwrap().value, json!({"a": 1, "b": [2]}));
    assert!(plan.decode(r#"{"a": 1}"#).is_err());
    assert_eq!(describe(&schema).notation, "{ a: integer, b: any }");
    agree(&schema, &[json!({"a": 1, "b": null})], 1);
}

/// Fake models draw from the plan, too.
#[tokio::test]
async fn what_fake_models_make_up_is_described() {
    use dspy_core::lm::Lm;
    use dspy_core::predict::DynPredict;
    use dspy_core::program::{Module as _, Settings};
    use dspy_core::signature::{FieldSpec, Role, SignatureSpec, Values};
    use dspy_core::testing::FakeLm;
    for seed in 0..60 * times() {
        let rng = &mut Seed::new(seed).branch("fake").rng();
        let schema = schemas::schema(rng);
        if Plan::new(&schema).is_err() {
            continue;
        }
        let notation = Notation::read(&describe(&schema));
        let output = FieldSpec::new(Role::Output, "value", "", schema.clone());
        let spec = SignatureSpec::new("Fake", "", [FieldSpec::text(Role::Input, "text", ""), output]);
        let fake = std::sync::Arc::new(FakeLm::new(seed).keep(1));
        let inputs: Values = [("text".to_owned(), json!("x"))].into_iter().collect();
        let settings = Settings::new().lm(Lm::shared(fake.clone()));
        let read = settings.scope(DynPredict::new(spec).call(inputs)).await;
        let log = fake.log();
        let Some(reply) = log.last() else { continue };
        let intended = reply.intended.get("value").cloned().unwrap_or_default();
        assert!(notation.admits(&intended), "{intended}\n{schema}");
        assert!(read.is_ok(), "{read:?}\n{schema}");
    }
}
