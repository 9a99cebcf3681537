//! Laws that every adapter keeps: what it renders it reads back, and what stands around a reply changes nothing.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "in tests a panic is the report")]

mod damage;
mod forms;
mod lost;
mod streams;
#[path = "../../../dspy-decode/tests/work/mod.rs"]
mod work;

use std::collections::BTreeMap;

use dspy_core::adapter::{Adapter, ChatAdapter, JsonAdapter, XmlAdapter};
use dspy_core::lm::Completion;
use dspy_core::signature::{FieldSpec, FieldType, Role, SignatureSpec, Values};
use dspy_core::types::{Code, language::Rust};
use proptest::prelude::*;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// The adapters under test.
const ADAPTERS: [&dyn Adapter; 3] = [&ChatAdapter, &JsonAdapter, &XmlAdapter];

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum Kind {
    /// The usual one.
    Plain,
    Fancy {
        level: u8,
        names: Vec<String>,
    },
    Note(String),
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
struct Tree {
    label: String,
    children: Vec<Tree>,
}

/// All outputs of the signature under test.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Outputs {
    text: String,
    maybe: Option<i64>,
    number: f64,
    single: f32,
    yes: bool,
    list: Vec<String>,
    pair: (i32, bool),
    map: BTreeMap<String, u64>,
    kind: Kind,
    tree: Tree,
    code: Code<Rust>,
    said: Option<String>,
}

fn spec() -> SignatureSpec {
    let field = |name: &'static str, schema: Value| FieldSpec::new(Role::Output, name, "", schema);
    SignatureSpec::new(
        "Everything",
        "",
        [
            FieldSpec::text(Role::Input, "question", ""),
            field("text", String::schema()),
            field("maybe", Option::<i64>::schema()),
            field("number", f64::schema()),
            field("single", f32::schema()),
            field("yes", bool::schema()),
            field("list", Vec::<String>::schema()),
            field("pair", <(i32, bool)>::schema()),
            field("map", BTreeMap::<String, u64>::schema()),
            field("kind", Kind::schema()),
            field("tree", Tree::schema()),
            field("code", Code::<Rust>::schema()),
            field("said", Option::<String>::schema()),
        ],
    )
}

/// Text with all that could upset an adapter: markers, markup, quotes, space at the edges.
fn text() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        Just("[[ ## text ## ]]".to_owned()),
        Just("[[ ## completed ## ]]".to_owned()),
        Just("</text>".to_owned()),
        Just("<list>".to_owned()),
        Just("&amp;".to_owned()),
        Just("```json\n".to_owned()),
        Just("{\"text\": 1}".to_owned()),
        Just("\\".to_owned()),
        Just("<think>".to_owned()),
        Just("</think>".to_owned()),
        Just("[ ## text ## ]]".to_owned()),
        Just("```\n".to_owned()),
        Just("\n```".to_owned()),
        Just("`[[ ## answer ## ]]`".to_owned()),
        Just(" ".to_owned()),
        Just("\n".to_owned()),
        Just("\u{a0}".to_owned()),
        "\\PC{0,6}",
    ];
    prop::collection::vec(piece, 0..6).prop_map(|pieces| pieces.concat())
}

fn outputs() -> impl Strategy<Value = Outputs> {
    let kind = prop_oneof![
        Just(Kind::Plain),
        (any::<u8>(), prop::collection::vec(text(), 0..3))
            .prop_map(|(level, names)| Kind::Fancy { level, names }),
        text().prop_map(Kind::Note),
    ];
    let leaf = text().prop_map(|label| Tree { label, children: Vec::new() });
    let tree = leaf.prop_recursive(3, 12, 3, |inner| {
        (text(), prop::collection::vec(inner, 0..3)).prop_map(|(label, children)| Tree { label, children })
    });
    let scalars = (text(), any::<Option<i64>>(), -1e12f64..1e12, -1e6f32..1e6, any::<bool>());
    let lists = (
        prop::collection::vec(text(), 0..4),
        any::<(i32, bool)>(),
        prop::collection::btree_map(text(), any::<u64>(), 0..4),
    );
    let said = prop_oneof![Just(None), text().prop_map(Some), "null\\.?|None| null|".prop_map(Some)];
    (scalars, lists, kind, tree, text(), said).prop_map(
        |((text, maybe, number, single, yes), (list, pair, map), kind, tree, code, said)| Outputs {
            text,
            maybe,
            number,
            single,
            yes,
            list,
            pair,
            map,
            kind,
            tree,
            code: code.as_str().into(),
            said,
        },
    )
}

fn values(outputs: &Outputs) -> Values {
    serde_json::from_value(json!(outputs)).unwrap()
}

fn read(adapter: &dyn Adapter, spec: &SignatureSpec, reply: &str) -> Outputs {
    let parsed = adapter.parse(spec, &Completion::new(reply));
    let parsed = parsed.unwrap_or_else(|error| panic!("{}: {error}\n{reply}", adapter.name()));
    serde_json::from_value(Value::Object(parsed.values)).unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(150) })]

    #[test]
    fn what_is_rendered_is_read_back(outputs in outputs()) {
        let spec = spec();
        for adapter in ADAPTERS {
            let reply = adapter.reply(&spec, &values(&outputs));
            prop_assert_eq!(&read(adapter, &spec, &reply), &outputs, "{}: {}", adapter.name(), reply);
        }
    }

    #[test]
    fn words_around_a_reply_change_nothing(outputs in outputs()) {
        let spec = spec();
        for adapter in [&ChatAdapter as &dyn Adapter, &XmlAdapter] {
            let reply = format!("Sure, here it is:\n\n{}\nI hope that helps!", adapter.reply(&spec, &values(&outputs)));
            prop_assert_eq!(&read(adapter, &spec, &reply), &outputs, "{}: {}", adapter.name(), reply);
        }
    }

    #[test]
    fn no_reply_upsets_an_adapter(reply in prop_oneof![text(), "\\PC{0,200}", "(<[a-z]{0,5}>|</[a-z]{0,5}>|\\[\\[ ?#{0,3} ?[a-z]{0,5} ?#{0,3} ?\\]\\]|[\\[\\]{}\",:\n]|[a-z0-9 ]{1,4}){0,60}"]) {
        let spec = spec();
        for adapter in ADAPTERS {
            let _ = adapter.parse(&spec, &Completion::new(reply.as_str()));
        }
    }
}

#[test]
fn long_lines_of_openings_are_refused_in_linear_time() {
    let spec = spec();
    for unit in ["[[ ## text ## ]]\n", "[[ ", "<text>", "<", "{\"text\": ", "[[[[##", "[[#a]]"] {
        for adapter in ADAPTERS {
            work::assert_linear(&format!("{} {unit}", adapter.name()), 75_000, |size| {
                let reply = Completion::new(unit.repeat(size / unit.len()));
                assert!(adapter.parse(&spec, &reply).is_err(), "{unit}");
            });
        }
    }
}
