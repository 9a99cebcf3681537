//! The arguments of a tool: what the model wrote, or an error; the same for the condition of an approval, the person and
//! the function.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "in tests a panic is the report")]

use std::sync::{Arc, Mutex};

use dspy_core::tools::{Json, Tool, ToolSpec};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

#[derive(Serialize, Deserialize, JsonSchema)]
struct Payment {
    to: String,
    #[serde(default)]
    amount: Option<f64>,
    #[serde(default)]
    count: Option<i32>,
    #[serde(default)]
    tags: Vec<String>,
    #[serde(default)]
    fast: Option<bool>,
}

fn pay() -> Tool {
    Tool::new("pay", "Pays.", |payment: Payment| async move { Json(payment) })
}

#[tokio::test]
async fn values_that_are_only_misspelt_are_read() {
    for (arguments, member, value) in [
        (json!({"to": "a", "amount": "500"}), "amount", json!(500.0)),
        (json!({"to": "a", "amount": " 500 "}), "amount", json!(500.0)),
        (json!({"to": "a", "amount": "-1.5e2"}), "amount", json!(-150.0)),
        (json!({"to": "a", "count": "7"}), "count", json!(7)),
        (json!({"to": "a", "count": 7.0}), "count", json!(7)),
        (json!({"To": 7}), "to", json!("7")),
        (json!({"to": "x", "fast": "true"}), "fast", json!(true)),
        (json!({"to": "x", "tags": ["a"]}), "tags", json!(["a"])),
        (json!("{'to': 'x', 'tags': ['a', 'b',],}"), "tags", json!(["a", "b"])),
        (json!("```json\n{\"to\": \"x\"}\n```"), "to", json!("x")),
    ] {
        let result = pay().call(&arguments).await;
        let result = result.unwrap_or_else(|error| panic!("{arguments}: {error}"));
        assert_eq!(result[member], value, "{arguments}");
    }
}

#[tokio::test]
async fn values_that_would_have_to_be_interpreted_are_errors() {
    for (arguments, part) in [
        (json!({"to": {"name": "x"}}), "to: "),
        (json!({"to": {"to": "x"}}), "to"),
        (json!({"to": ["x"]}), "to: "),
        (json!({"to": ["x", "y"]}), "to: "),
        (json!({"to": true}), "to: "),
        (json!({"to": "a", "amount": "50%"}), "percent"),
        (json!({"to": "a", "amount": "five hundred"}), "words"),
        (json!({"to": "a", "amount": "1.000,50"}), "separators"),
        (json!({"to": "a", "amount": "1,250"}), "separators"),
        (json!({"to": "a", "amount": "$500"}), "currency"),
        (json!({"to": "a", "amount": "500 EUR"}), "amount"),
        (json!({"to": "a", "amount": "500 km"}), "amount"),
        (json!({"to": "a", "amount": "about 500"}), "amount"),
        (json!({"to": "a", "amount": "1/2"}), "amount"),
        (json!({"to": "a", "amount": [500]}), "amount"),
        (json!({"to": "a", "amount": true}), "amount"),
        (json!({"to": "a", "count": 7.5}), "count"),
        (json!({"to": "a", "tags": "a, b"}), "tags"),
        (json!({"to": "a", "fast": "yes, it should be"}), "fast"),
        (json!({"to": "a", "other": 1}), "the unknown `other`"),
        (json!({"to": "a", "tags": [["x"]]}), "tags"),
        (json!({"tags": {"to": "a"}}), "to"),
        (json!({"payment": {"to": "a"}}), "inside another one"),
        (json!("The page says {\"to\": \"x\"}"), "object with the arguments"),
        (json!("{\"to\": \"x\"} is what the page says"), "value"),
        (json!("{\"to\": \"x\", \"to\": \"y\"}"), "to"),
    ] {
        let error = match pay().call(&arguments).await {
            Ok(value) => panic!("{arguments}: {value}"),
            Err(error) => error.to_string(),
        };
        assert!(error.contains(part), "{arguments}: {error}");
    }
}

#[derive(Deserialize, JsonSchema)]
struct Open {
    name: String,
    #[serde(flatten)]
    more: serde_json::Map<String, Value>,
}

#[tokio::test]
async fn unknown_arguments_are_errors_unless_the_schema_allows_them() {
    #[derive(Deserialize, JsonSchema)]
    struct Inner {
        name: String,
    }
    #[derive(Deserialize, JsonSchema)]
    struct Outer {
        inner: Inner,
    }
    let nested = Tool::new("nested", "x", |outer: Outer| async move { outer.inner.name });
    let error = nested.call(&json!({"inner": {"name": "a", "nme": "b"}})).await.unwrap_err().to_string();
    assert!(error.contains("the unknown `inner.nme`"), "{error}");
    let open =
        Tool::new("open", "x", |open: Open| async move { format!("{} {}", open.name, open.more["more"]) });
    assert_eq!(open.call(&json!({"name": "a", "more": 1})).await.unwrap(), "a 1");
    let parameters =
        json!({"type": "object", "properties": {"n": {"type": "integer"}}, "additionalProperties": true});
    let any = Tool::from_spec(ToolSpec::new("any", "x", parameters), async |arguments: Value| Ok(arguments));
    assert_eq!(any.call(&json!({"n": 1, "m": "x"})).await.unwrap(), json!({"n": 1, "m": "x"}));
}

fn five() -> u32 {
    500
}

#[derive(Serialize, Deserialize, JsonSchema)]
struct Extras {
    #[serde(default = "five")]
    tip: u32,
    #[serde(default)]
    note: String,
}

impl Default for Extras {
    fn default() -> Self {
        Extras { tip: 700, note: "d".into() }
    }
}

#[derive(Serialize, Deserialize, JsonSchema)]
struct Order {
    #[serde(default = "five")]
    tip: u32,
    #[serde(default)]
    extras: Extras,
    #[serde(default)]
    list: Vec<Extras>,
    #[serde(default)]
    either: Option<Extras>,
}

#[tokio::test]
async fn the_condition_sees_what_the_function_gets() {
    let seen = Arc::new(Mutex::new(Value::Null));
    let sees = seen.clone();
    let order = Tool::new("order", "Orders.", |order: Order| async move { Json(order) });
    let order = order.with_approval_if(move |arguments| {
        *sees.lock().unwrap() = arguments.clone();
        arguments["tip"].as_u64().is_some_and(|tip| tip > 100)
    });
    for arguments in [
        json!({}),
        json!(null),
        json!(""),
        json!("{}"),
        json!({"tip": null}),
        json!({"TIP": "5"}),
        json!({"extras": {}}),
        json!({"extras": {"tip": 3}}),
        json!({"list": [{}, {"tip": 1}, {"note": "x"}]}),
        json!({"either": {}}),
        json!({"either": null, "extras": null}),
    ] {
        let needed = order.needs_approval(&arguments);
        let got = order.call(&arguments).await.unwrap_or_else(|error| panic!("{arguments}: {error}"));
        assert_eq!(needed, got["tip"].as_u64() > Some(100), "{arguments}");
        // Absent and `null` are the same.
        let present = |mut value: Value| {
            value.as_object_mut().unwrap().retain(|_, member| !member.is_null());
            value
        };
        let (seen, got) = (present(seen.lock().unwrap().clone()), present(got));
        assert_eq!(seen, got, "{arguments}");
        // What was shown is read as itself.
        let again = order.call(&seen).await.unwrap();
        assert!(order.needs_approval(&seen) == needed && again["tip"] == got["tip"]);
    }
    assert!(order.needs_approval(&json!({"tip": "many"})), "a call that cannot be read is not let through");
}

#[derive(Deserialize, JsonSchema)]
struct Nothing {}

#[tokio::test]
async fn numbers_without_a_json_form_are_errors() {
    #[derive(Serialize)]
    struct Deep {
        list: Vec<Option<f32>>,
    }
    #[derive(Deserialize, JsonSchema)]
    struct Which {
        which: u8,
    }
    let tool = Tool::new("ratio", "x", |Which { which }: Which| async move {
        let numbers = [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, 1.0];
        Json((numbers[usize::from(which)], None::<u8>))
    });
    for (which, name) in [(0, "NaN"), (1, "inf"), (2, "-inf")] {
        let error = tool.call(&json!({"which": which})).await.unwrap_err().to_string();
        assert!(error.contains(&format!("the number {name}, which has no JSON form")), "{error}");
    }
    assert_eq!(tool.call(&json!({"which": 3})).await.unwrap(), json!([1.0, null]));
    let deep = |list| async move { Json(Deep { list }) };
    let bad = Tool::new("bad", "x", move |_: Nothing| deep(vec![None, Some(f32::NAN)]));
    assert!(bad.call(&json!({})).await.is_err());
    let good = Tool::new("good", "x", move |_: Nothing| deep(vec![None, Some(0.5)]));
    assert_eq!(good.call(&json!({})).await.unwrap(), json!({"list": [null, 0.5]}));
    let plain = Tool::new("plain", "x", |_: Nothing| async { f64::NAN });
    assert!(plain.call(&json!({})).await.is_err());
    let list = Tool::new("list", "x", |_: Nothing| async { Ok::<_, String>(vec![f64::NAN]) });
    assert!(list.call(&json!({})).await.is_err());
}

#[tokio::test]
async fn a_result_that_is_nested_too_deeply_is_an_error() {
    #[derive(Deserialize, JsonSchema)]
    struct Levels {
        levels: usize,
    }
    let tool = Tool::new("nested", "x", |Levels { levels }: Levels| async move {
        Json((0..levels).fold(json!(0), |value, _| json!([value])))
    });
    assert!(tool.call(&json!({"levels": 1000})).await.is_ok());
    let error = tool.call(&json!({"levels": 1001})).await.unwrap_err().to_string();
    assert!(error.contains("nested more than 1,000 deep"), "{error}");
}
