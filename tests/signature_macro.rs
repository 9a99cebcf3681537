//! `#[signature]`, as a user writes and uses it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "in tests a panic is the report")]
#![deny(warnings, missing_docs)]
// Field types and signatures without any derive are what is tested.
#![allow(missing_debug_implementations)]

use std::collections::HashMap;

use dspy::prelude::*;
use dspy::signature::{Role, Values};
use serde_json::{Value, json};

/// Answer the question.
///
///   Keep it short.
#[signature]
#[serde(rename_all = "camelCase")]
#[demo(
    question = "What is the capital of France?",
    final_answer = "Paris.",
    score = 0.5,
    reasoning = "Known."
)]
pub struct Qa {
    /// What is asked.
    #[input]
    pub question: String,
    /// In one word.
    #[output]
    pub final_answer: String,
    /// How sure the answer is.
    #[output]
    #[schemars(range(min = 0.0, max = 1.0))]
    pub score: f64,
    /// Where the answer stands.
    #[hint]
    pub source: Option<String>,
}

fn values(value: Value) -> Values {
    serde_json::from_value(value).expect("an object")
}

#[test]
fn the_doc_comment_is_the_instruction_and_fields_are_data() {
    let spec = Qa::spec();
    assert_eq!(spec.name(), "Qa");
    assert_eq!(&**spec.instruction(), "Answer the question.\n\n  Keep it short.");
    let fields: Vec<_> = spec.fields().iter().map(|f| (f.role(), f.name(), f.description())).collect();
    assert_eq!(
        fields,
        [
            (Role::Input, "question", "What is asked."),
            (Role::Output, "finalAnswer", "In one word."),
            (Role::Output, "score", "How sure the answer is."),
            (Role::Hint, "source", "Where the answer stands."),
        ]
    );
    let score = spec.field("score").expect("score").schema();
    assert_eq!(
        [&score["type"], &score["minimum"], &score["maximum"]],
        [&json!("number"), &json!(0.0), &json!(1.0)]
    );
}

#[test]
fn a_demonstration_has_the_values_in_the_order_of_the_fields() {
    let demos = Qa::demos().expect("demos");
    assert_eq!(demos.len(), 1);
    assert_eq!(
        Value::Object(demos[0].values.clone()).to_string(),
        r#"{"question":"What is the capital of France?","finalAnswer":"Paris.","score":0.5,"reasoning":"Known."}"#
    );
}

#[test]
fn one_input_is_converted_from_its_bare_value() {
    let owned = String::from("q");
    assert_eq!(QaInput::from("q"), QaInput::from(&owned));
    assert_eq!(QaInput::from(owned), QaInput { question: "q".into() });
}

#[test]
fn an_example_becomes_its_inputs() {
    let example = Qa { question: "q".into(), final_answer: "a".into(), score: 1.0, source: None };
    assert_eq!(QaInput::from(example), QaInput { question: "q".into() });
}

#[test]
fn the_struct_is_a_labelled_example() {
    let example = Qa { question: "q".into(), final_answer: "a".into(), score: 1.0, source: None };
    let text = serde_json::to_string(&example).expect("serialises");
    assert_eq!(text, r#"{"question":"q","finalAnswer":"a","score":1.0,"source":null}"#);
    let back: Qa = serde_json::from_str(&text).expect("deserialises");
    assert_eq!(back.input().expect("input"), QaInput { question: "q".into() });
    let error = serde_json::from_str::<Qa>(r#"{"question": "q"}"#).err().expect("an error").to_string();
    assert!(error.contains("finalAnswer"), "{error}");
}

/// Not even `Clone` or `Debug`.
#[field_type]
pub struct Opaque {
    /// A number.
    pub inner: u8,
}

/// Carries data, and itself.
#[field_type]
pub enum Tree {
    /// A leaf.
    Leaf(i64),
    /// A node.
    Node {
        /// Below.
        children: Vec<Tree>,
    },
}

/// Anything can be a field.
#[signature]
struct Everything {
    #[input]
    text: String,
    #[input]
    opaque: Opaque,
    #[input]
    r#type: Vec<String>,
    #[output]
    tree: Tree,
    #[output]
    counts: HashMap<String, u32>,
    #[output]
    #[serde(default)]
    maybe: Option<Opaque>,
    #[output]
    #[serde(rename = "pairs-of", alias = "pairs", default = "one_pair")]
    pairs: Vec<(i32, String)>,
}

fn one_pair() -> Vec<(i32, String)> {
    vec![(1, "one".into())]
}

#[test]
fn several_inputs_are_converted_from_a_tuple() {
    let input = EverythingInput::from(("text", Opaque { inner: 1 }, vec!["x".to_owned()]));
    assert_eq!(
        Value::Object(input.to_values().expect("values")),
        json!({"text": "text", "opaque": {"inner": 1}, "type": ["x"]})
    );
}

#[test]
fn defaults_and_aliases_are_honoured() {
    let read = |value| EverythingOutput::from_values(values(value)).expect("an output");
    let absent = read(json!({"tree": {"Leaf": 1}, "counts": {}}));
    assert_eq!(absent.pairs, one_pair());
    assert!(absent.maybe.is_none());
    let alias = read(json!({"tree": {"Node": {"children": [{"Leaf": 2}]}}, "counts": {"a": 1}, "pairs": []}));
    assert!(alias.pairs.is_empty());
    assert_eq!(alias.counts["a"], 1);
    assert!(matches!(alias.tree, Tree::Node { children } if matches!(children[..], [Tree::Leaf(2)])));
    assert!(Everything::spec().field("pairs-of").expect("renamed").is_optional());
    assert!(!Everything::spec().field("tree").expect("tree").is_optional());
}

#[test]
fn partial_outputs_have_a_state_each() {
    use dspy::signature::{FieldChange, FieldUpdate};
    let mut partial = QaPartial::default();
    Qa::update(&mut partial, &FieldChange::new("finalAnswer", FieldUpdate::More("Par".into())));
    Qa::update(&mut partial, &FieldChange::new("unknown", FieldUpdate::More("x".into())));
    assert_eq!(partial.final_answer, FieldState::Incomplete("Par".into()));
    assert_eq!(partial.score, FieldState::Pending);
    assert_eq!(partial.clone(), partial);
    Qa::update(&mut partial, &FieldChange::new("finalAnswer", FieldUpdate::More("is".into())));
    Qa::update(&mut partial, &FieldChange::new("score", FieldUpdate::Complete(json!(0.5))));
    assert_eq!(partial.final_answer, FieldState::Incomplete("Paris".into()));
    assert!(partial.score.is_complete());
}

/// Reuses an output.
#[signature(output = QaOutput)]
struct Doubt {
    #[input]
    answers: Vec<QaOutput2>,
    #[output]
    final_answer: String,
    #[output]
    score: f64,
}

/// Another type.
#[field_type]
#[derive(Clone, Debug, PartialEq)]
pub struct QaOutput2 {
    /// The answer.
    pub answer: String,
}

#[test]
fn an_output_can_be_shared() {
    let output: <Doubt as Signature>::Output = QaOutput { final_answer: "a".into(), score: 0.0 };
    assert_eq!(format!("{output:?}"), r#"QaOutput { final_answer: "a", score: 0.0 }"#);
    assert_eq!(DoubtInput::from(vec![]), DoubtInput { answers: vec![] });
}

/// Nothing goes in.
#[signature]
#[derive(Debug, Clone, PartialEq, dspy::Serialize, dspy::Deserialize)]
#[serde(crate = "dspy::__private::serde")]
struct Joke {
    #[output]
    joke: String,
}

#[test]
fn a_signature_without_inputs_and_with_derives_of_its_own() {
    assert_eq!(JokeInput::from(()), JokeInput {});
    let joke = Joke { joke: "knock".into() };
    assert_eq!(joke.clone(), serde_json::from_value(json!({"joke": "knock"})).expect("a joke"));
}

/// A type whose hand-written schema no reply could satisfy.
#[derive(Debug, dspy::Serialize, dspy::Deserialize)]
#[serde(crate = "dspy::__private::serde")]
struct Impossible(String);

impl dspy::JsonSchema for Impossible {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Impossible".into()
    }

    fn json_schema(_: &mut dspy::__private::schemars::SchemaGenerator) -> dspy::__private::schemars::Schema {
        dspy::__private::schemars::json_schema!({"enum": ["Yes", "YES"]})
    }
}

/// Decide.
#[signature]
struct Decide {
    #[input]
    question: String,
    #[output]
    verdicts: Vec<Impossible>,
}

#[tokio::test]
async fn a_type_that_no_reply_can_have_is_reported_before_anything_is_sent() {
    let script = std::sync::Arc::new(dspy::lm::ScriptedLm::new(["[[ ## verdicts ## ]]\n[\"Yes\"]"]));
    let error = Predict::<Decide>::new().with_lm(Lm::shared(script.clone())).call("?").await.unwrap_err();
    let text = error.to_string();
    assert!(text.contains("`verdicts`") && text.contains("`Yes` and `YES` differ only in case"), "{text}");
    assert_eq!(script.requests().len(), 0);
}
