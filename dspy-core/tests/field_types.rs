//! What a field of each type becomes in each format, and that it comes back.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "in tests a panic is the report")]

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::fmt::Debug;

use dspy_core::adapter::{Adapter, ChatAdapter, JsonAdapter, ParseError, XmlAdapter};
use dspy_core::lm::Completion;
use dspy_core::signature::{FieldSpec, FieldType, Role, SignatureSpec, Values};
use dspy_core::types::{BigInt, Citation, Citations, Code, language};
use proptest::prelude::*;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;

const ADAPTERS: [&dyn Adapter; 3] = [&ChatAdapter, &JsonAdapter, &XmlAdapter];

fn spec<T: FieldType>() -> SignatureSpec {
    let field = FieldSpec::new(Role::Output, "field", "", T::schema());
    let note = FieldSpec::text(Role::Output, "note", "");
    SignatureSpec::new("One", "", [FieldSpec::text(Role::Input, "question", ""), field, note])
}

fn read<T: FieldType>(adapter: &dyn Adapter, reply: &str) -> Result<T, ParseError> {
    let mut parsed = adapter.parse(&spec::<T>(), &Completion::new(reply))?;
    Ok(T::read(&mut parsed.values, "field", &[], None).unwrap())
}

/// The law: what is rendered is read back, in every format.
fn comes_back<T: FieldType + Debug + PartialEq>(value: &T) {
    let spec = spec::<T>();
    let mut values = Values::new();
    value.write("field", &mut values).unwrap();
    values.insert("note".into(), "[[ ## field ## ]]".into());
    for adapter in ADAPTERS {
        let reply = adapter.reply(&spec, &values);
        let back = read::<T>(adapter, &reply);
        let back = back.unwrap_or_else(|error| panic!("{}: {error}\n{reply}", adapter.name()));
        assert_eq!(&back, value, "{}: {reply}", adapter.name());
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
enum Size {
    Small,
    /// The usual one.
    Medium,
    Large,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
enum Shape {
    Point,
    Circle(f64),
    Line(i32, i32),
    Named { name: String, inner: Option<Box<Shape>> },
    Sized(Size),
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "snake_case")]
enum Event {
    Opened { by: String },
    Closed { by: Option<String>, shape: Shape },
}

#[test]
fn options() {
    comes_back(&Some(3_u8));
    comes_back(&None::<u8>);
    comes_back(&Some(true));
    comes_back(&Some(vec![1.5_f32, 0.1]));
    comes_back(&None::<Vec<f32>>);
    comes_back(&vec![Some(1_i64), None, Some(-1)]);
    comes_back(&Some("text".to_owned()));
    comes_back(&None::<String>);
    comes_back(&Some(Size::Large));
    comes_back(&None::<Size>);
    comes_back(&Some(Shape::Point));
    comes_back(&Some(Shape::Named { name: "a".into(), inner: None }));
    comes_back(&Some(BTreeMap::from([("a".to_owned(), None), ("b".to_owned(), Some(1_u8))])));
    comes_back(&Some(BigInt::from(u128::MAX)));
    comes_back(&Some((1_u8, None::<String>)));
}

#[test]
fn tuples() {
    comes_back(&(1_u8, "two".to_owned(), 3.5_f64));
    comes_back(&((1_u8, true), vec![(Size::Small, -1_i8)]));
    comes_back(&vec![('x', 0.25_f32)]);
    comes_back(&[1_u16, 2, 3]);
}

#[test]
fn maps_with_keys_of_all_kinds() {
    comes_back(&BTreeMap::from([(-1_i32, "a".to_owned()), (10, "b".to_owned())]));
    comes_back(&BTreeMap::from([(0_u64, 1_u8), (u64::MAX, 2)]));
    comes_back(&BTreeMap::from([(Size::Small, 1_u8), (Size::Large, 2)]));
    comes_back(&BTreeMap::from([(true, "yes".to_owned()), (false, "no".to_owned())]));
    comes_back(&BTreeMap::from([('a', 1_u8), ('ß', 2), ('"', 3)]));
    comes_back(&HashMap::from([("k".to_owned(), vec![Some(1_u8)])]));
    comes_back(&BTreeMap::<String, BTreeMap<i8, bool>>::from([(
        "k".to_owned(),
        BTreeMap::from([(1, true)]),
    )]));
    comes_back(&BTreeMap::<String, u8>::new());
    comes_back(&HashSet::from([1_u8, 2, 3]));
    comes_back(&BTreeSet::from([Size::Small, Size::Medium]));
}

#[test]
fn enums_with_data() {
    let inner = Shape::Named { name: "inner".into(), inner: Some(Box::new(Shape::Line(1, -1))) };
    for shape in [
        Shape::Point,
        Shape::Circle(0.1),
        Shape::Line(1, 2),
        Shape::Sized(Size::Medium),
        Shape::Named { name: "x".into(), inner: Some(Box::new(inner)) },
    ] {
        comes_back(&shape);
        comes_back(&vec![shape.clone()]);
        comes_back(&Event::Closed { by: None, shape });
    }
    comes_back(&Event::Opened { by: "[[ ## note ## ]]".into() });
}

#[test]
fn any_json() {
    for value in [
        json!(null),
        json!(true),
        json!(-1.5),
        json!("text"),
        json!("12"),
        json!(""),
        json!([]),
        json!({}),
        json!({"a": [1, {"b": null}], "[[ ## note ## ]]": "</field>"}),
    ] {
        comes_back(&value);
    }
}

#[test]
fn citations() {
    comes_back(&Citations::default());
    comes_back(&Citations(vec![Citation { document: 2, quote: "so \"it\" is".into() }]));
    let reply =
        "[[ ## field ## ]]\n[{\"document\": 0, \"quote\": \"x\"}]\n[[ ## note ## ]]\n\n[[ ## completed ## ]]";
    assert!(read::<Citations>(&ChatAdapter, reply).unwrap_err().to_string().contains("at least 1"));
}

type Python = Code<language::Python>;

#[test]
fn code_is_what_stands_in_the_fence() {
    let chat =
        |code: &str| format!("[[ ## field ## ]]\n{code}\n\n[[ ## note ## ]]\nx\n\n[[ ## completed ## ]]");
    let xml = |code: &str| format!("<field>\n{code}\n</field>\n<note>\nx\n</note>");
    let json = |code: &str| json!({"field": code, "note": "x"}).to_string();
    let wild = |code: &str| [chat(code), json(code), xml(code)];
    for (code, expected) in [
        ("```python\nprint(1)\n```", "print(1)"),
        ("print(1)", "print(1)"),
        ("```\nif a < b and b > c:\n    pass\n```", "if a < b and b > c:\n    pass"),
    ] {
        for (adapter, reply) in ADAPTERS.iter().zip(wild(code)) {
            assert_eq!(read::<Python>(*adapter, &reply).unwrap(), expected, "{reply}");
            assert_eq!(read::<Option<Python>>(*adapter, &reply).unwrap().unwrap(), expected, "{reply}");
        }
    }
    for reply in [chat("Either\n```\na\n```\nor\n```\nb\n```"), xml("```\na\n```\n```\nb\n```")] {
        let adapter = ADAPTERS[usize::from(reply.starts_with('<')) * 2];
        assert!(read::<Python>(adapter, &reply).unwrap_err().to_string().contains("several code fences"));
    }
    comes_back(&None::<Python>);
    comes_back(&Some(Python::from("null")));
    // Without a marker, only a fence tells code from talk.
    let only: SignatureSpec =
        SignatureSpec::new("C", "", [FieldSpec::new(Role::Output, "code", "", Python::schema())]);
    let bare = |reply: &str| ChatAdapter.parse(&only, &Completion::new(reply));
    assert_eq!(bare("Sure:\n```python\nx\n```").unwrap().values["code"], "x");
    assert!(bare("I cannot help with that.").is_err());
}

#[test]
fn the_prompt_asks_for_a_fence() {
    let prompt = |adapter: &dyn Adapter| {
        let spec = spec::<Python>();
        let prompt = dspy_core::adapter::Prompt { spec: &spec, demos: &[] };
        adapter.input(prompt, &Values::new()).text().into_owned()
    };
    assert!(prompt(&ChatAdapter).contains("`[[ ## field ## ]]` (code in Python, in one fence of backticks)"));
    assert!(prompt(&XmlAdapter).contains("`<field>` (code in Python, in one fence of backticks)"));
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(150) })]

    #[test]
    fn code_comes_back_exactly(
        pieces in prop::collection::vec(
            prop_oneof![
                Just("```".to_owned()), Just("\n".to_owned()), Just("\r\n".to_owned()), Just("    ".to_owned()),
                Just("[[ ## note ## ]]".to_owned()), Just("</field>".to_owned()), Just("&lt;".to_owned()),
                Just("\\".to_owned()), Just("~~~".to_owned()), "\\PC{0,5}",
            ],
            0..8,
        ),
    ) {
        comes_back(&Python::from(pieces.concat()));
        comes_back(&Some(Python::from(pieces.concat())));
    }

    #[test]
    fn large_numbers_come_back(text in "-?[1-9][0-9]{0,40}") {
        comes_back(&text.parse::<BigInt>().unwrap());
        comes_back(&vec![text.parse::<BigInt>().unwrap()]);
        comes_back(&BTreeMap::from([("n".to_owned(), text.parse::<BigInt>().unwrap())]));
    }

    #[test]
    fn maps_come_back(
        map in prop::collection::hash_map(any::<i64>(), prop::collection::hash_set(any::<bool>(), 0..2), 0..5),
    ) {
        comes_back(&map);
    }
}

/// Maps of other orders are the same prompt.
#[test]
fn prompts_do_not_depend_on_the_order_of_a_map() {
    let names: Vec<String> = (0..40).map(|number| format!("name {number}")).collect();
    let map: HashMap<String, usize> = names.iter().cloned().zip(0..).collect();
    let other: HashMap<String, usize> = names.iter().rev().cloned().zip((0..40).rev()).collect();
    let field = FieldSpec::new(Role::Input, "map", "", HashMap::<String, usize>::schema());
    let spec = SignatureSpec::new("M", "", [field, FieldSpec::text(Role::Output, "answer", "")]);
    let prompt = dspy_core::adapter::Prompt { spec: &spec, demos: &[] };
    for adapter in ADAPTERS {
        let render = |map: &HashMap<String, usize>| {
            let mut values = Values::new();
            map.write("map", &mut values).unwrap();
            adapter.input(prompt, &values)
        };
        assert_eq!(render(&map), render(&other));
    }
}
