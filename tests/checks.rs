//! `#[check]`: in the prompt, in the schema, enforced, reported.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "in tests a panic is the report")]
#![deny(warnings, missing_docs)]

use std::sync::Arc;

use dspy::adapter::{ChatAdapter, JsonAdapter, ParseErrorKind, XmlAdapter};
use dspy::lm::{Capabilities, Reply, ResponseFormat, ScriptedLm};
use dspy::prelude::*;
use dspy::program::Recovery;
use dspy::signature::CheckFailure;
use serde_json::{Value, json};

/// A label.
#[field_type]
#[derive(Debug, Clone, PartialEq)]
pub struct Tag {
    /// What it says.
    pub name: String,
}

/// Rate the review.
#[signature]
#[derive(Debug)]
#[check(self.tags.len() as f64 >= self.score, "there are at least as many tags as the score")]
#[check(soft, !self.tags.is_empty() || self.note.is_none(), "a note comes with tags")]
pub struct Rate {
    /// The text.
    #[input]
    pub review: String,
    /// How good it is.
    #[output]
    #[schemars(range(min = 0))]
    #[check(self.score <= 5.0, "the score is at most 5")]
    #[check(soft, self.score.fract() == 0.0, "the score is whole")]
    pub score: f64,
    /// What it is about.
    #[output]
    #[check(self.tags.iter().all(|tag| !tag.name.is_empty()), "no tag is empty")]
    pub tags: Vec<Tag>,
    /// Anything else.
    #[output]
    #[check(self.note.as_deref() != Some("panic") || panic!("it said {:?}", self.note), "no panic")]
    #[check(self.note.as_ref().is_none_or(|note| note.len() < 10), "the note is short")]
    pub note: Option<String>,
}

const GOOD: &str = "[[ ## score ## ]]\n1\n\n[[ ## tags ## ]]\n[{\"name\": \"a\"}]\n\n[[ ## note ## ]]\nok\n\n[[ ## completed ## ]]";

/// A reply of these values.
fn reply(score: f64, tags: &[&str], note: &str) -> String {
    let tags: Vec<Value> = tags.iter().map(|name| json!({ "name": name })).collect();
    format!(
        "[[ ## score ## ]]\n{score}\n\n[[ ## tags ## ]]\n{}\n\n[[ ## note ## ]]\n{note}\n\n[[ ## completed ## ]]",
        json!(tags)
    )
}

fn scripted<R: Into<Reply>>(replies: impl IntoIterator<Item = R>) -> (Arc<ScriptedLm>, Lm) {
    let script = Arc::new(ScriptedLm::new(replies));
    (script.clone(), Lm::shared(script))
}

#[tokio::test]
async fn a_reply_that_breaks_rules_goes_back_with_all_of_them() {
    let (script, lm) = scripted([reply(9.0, &[""], "much too long a note"), GOOD.to_owned()]);
    let answer = Predict::<Rate>::new().with_lm(lm).call("Fine.").await.unwrap();
    assert_eq!((answer.score, answer.attempts().len()), (1.0, 2));
    let requests = script.requests();
    let feedback = requests[1].messages.last().unwrap().text().into_owned();
    let rules: Vec<&str> = feedback.lines().filter(|line| line.starts_with("- ")).collect();
    assert_eq!(
        rules,
        [
            "- `score`: the score is at most 5",
            "- `tags`: no tag is empty",
            "- `note`: the note is short",
            "- there are at least as many tags as the score",
        ]
    );
    assert!(feedback.starts_with("That reply breaks rules that must hold:"), "{feedback}");
}

#[tokio::test]
async fn a_rule_that_stays_broken_is_an_error_with_the_reply() {
    let bad = reply(9.0, &["a"], "");
    let (script, lm) = scripted([bad.clone(), bad.clone()]);
    let recovery = Recovery::NONE.reprompts(1);
    let error = Predict::<Rate>::new().with_lm(lm).with_recovery(recovery).call("Fine.").await.unwrap_err();
    let parse = error.as_parse().unwrap();
    assert_eq!((parse.kind, parse.earlier.len(), script.requests().len()), (ParseErrorKind::Check, 1, 2));
    assert_eq!(parse.reply, bad);
    assert_eq!(parse.problems[0].field, "score");
    assert!(error.to_string().contains("`score`: the score is at most 5"), "{error}");
    assert!(!error.is_outage());
}

#[tokio::test]
async fn the_json_fallback_must_hold_to_the_rules_too() {
    let bad = reply(9.0, &["a"], "");
    let json = |score: f64| json!({"score": score, "tags": [{"name": "a"}], "note": null}).to_string();
    let (_, lm) = scripted([bad.clone(), bad.clone(), json(1.0)]);
    assert_eq!(Predict::<Rate>::new().with_lm(lm).call("Fine.").await.unwrap().attempts().len(), 3);
    let (_, lm) = scripted([bad.clone(), bad, json(6.0)]);
    let error = Predict::<Rate>::new().with_lm(lm).call("Fine.").await.unwrap_err();
    let parse = error.as_parse().unwrap();
    assert_eq!((parse.kind, parse.adapter.as_str(), parse.earlier.len()), (ParseErrorKind::Check, "json", 2));
}

#[tokio::test]
async fn soft_checks_are_reported() {
    let (script, lm) = scripted([reply(0.5, &["a"], "")]);
    let answer = ChainOfThought::<Rate>::new().with_lm(lm).call("Fine.").await;
    let error = answer.unwrap_err();
    assert!(error.as_lm().is_some(), "the reply lacks the reasoning: {error}");

    let with_reasoning = format!("[[ ## reasoning ## ]]\nBecause.\n\n{}", reply(0.5, &["a"], ""));
    let (_, lm) = scripted([with_reasoning]);
    let answer = ChainOfThought::<Rate>::new().with_lm(lm).call("Fine.").await.unwrap();
    let failed: Vec<_> = answer.failed_checks().iter().map(|f| (f.field(), f.why(), f.is_hard())).collect();
    assert_eq!(failed, [("score", "the score is whole", false)]);
    assert_eq!(answer.failed_checks()[0].to_string(), "`score`: the score is whole");
    assert_eq!((answer.attempts().len(), answer.reasoning()), (1, Some("Because.")));
    let kept = answer.map(|output| output.score);
    assert_eq!(kept.failed_checks().len(), 1);
    assert_eq!(script.requests().len(), 2);
}

#[tokio::test]
async fn a_check_that_panics_is_the_programs_fault() {
    let (script, lm) = scripted([reply(1.0, &["a"], "panic"), GOOD.to_owned()]);
    let error = Predict::<Rate>::new().with_lm(lm).call("Fine.").await.unwrap_err();
    assert_eq!(script.requests().len(), 1, "a panic is no reason to ask again");
    let dspy::Error::Check(panic) = &error else { panic!("{error}") };
    assert_eq!((panic.field(), panic.why()), ("note", "no panic"));
    assert_eq!(panic.message(), "it said Some(\"panic\")");
    assert!(error.to_string().contains("the check \"no panic\" of the field `note` panicked"), "{error}");
}

#[test]
fn one_field_can_be_checked_before_the_others_are_there() {
    let check = |field: &str, value: Value| {
        let failed = Rate::check_field(field, &value).unwrap();
        failed.iter().map(CheckFailure::why).collect::<Vec<_>>()
    };
    assert_eq!(check("score", json!(9)), ["the score is at most 5"]);
    assert_eq!(check("score", json!(0.5)), [""; 0], "soft checks refuse nothing");
    assert_eq!(check("tags", json!([{"name": "a"}, {"name": ""}])), ["no tag is empty"]);
    assert_eq!(check("note", json!("much too long a note")), ["the note is short"]);
    assert_eq!(check("note", Value::Null), [""; 0]);
    assert_eq!(check("score", json!("nine")), [""; 0], "for the decoder to refuse");
    assert_eq!(check("nothing", json!(1)), [""; 0]);
    assert!(Rate::check_field("note", &json!("panic")).is_err());
}

#[test]
fn the_rules_stand_in_the_prompt() {
    let prompt = |messages: Vec<dspy::lm::Message>| messages[0].text().into_owned();
    let chat = prompt(Predict::<Rate>::new().with_adapter(ChatAdapter).render("Fine.").unwrap());
    let expected = "\
1. `score` (number): How good it is.
   Must be: at least 0
   Must hold: the score is at most 5
   Should hold: the score is whole
2. `tags` (Tag[]): What it is about.
   Must hold: no tag is empty
3. `note` (string | null): Anything else.
   Must hold: no panic; the note is short
All outputs together. Must hold: there are at least as many tags as the score
All outputs together. Should hold: a note comes with tags
";
    assert!(chat.contains(expected), "{chat}");
    for other in [
        Predict::<Rate>::new().with_adapter(JsonAdapter).render("Fine."),
        Predict::<Rate>::new().with_adapter(XmlAdapter).render("Fine."),
    ] {
        let other = prompt(other.unwrap());
        assert!(other.contains(expected), "{other}");
    }
}

#[test]
fn the_rules_stand_in_the_schema_and_not_in_the_fingerprint() {
    let schema = Rate::spec().reply_schema();
    assert_eq!(
        schema["properties"]["score"]["description"],
        "How good it is.\nMust hold: the score is at most 5\nShould hold: the score is whole"
    );
    assert!(schema["description"].as_str().unwrap().contains("as many tags"), "{schema}");
    assert_eq!(Rate::spec().fingerprint(), Unchecked::spec().fingerprint());
}

/// The same without rules.
#[signature]
#[derive(Debug)]
pub struct Unchecked {
    /// The text.
    #[input]
    pub review: String,
    /// How good it is.
    #[output]
    #[schemars(range(min = 0))]
    pub score: f64,
    /// What it is about.
    #[output]
    pub tags: Vec<Tag>,
    /// Anything else.
    #[output]
    pub note: Option<String>,
}

/// Shares the struct and has rules of its own.
#[signature(output = RateOutput)]
#[check(self.total() < 9, "few tags")]
struct Strict {
    #[input]
    text: String,
    #[output]
    #[check(self.score < 2.0, "below two")]
    score: f64,
    #[output]
    tags: Vec<Tag>,
    #[output]
    note: Option<String>,
}

impl RateOutput {
    fn total(&self) -> usize {
        self.tags.len()
    }
}

#[tokio::test]
async fn signatures_that_share_an_output_have_rules_of_their_own() {
    let three = [reply(3.0, &["a", "b", "c"], "x"), GOOD.to_owned()];
    let (script, lm) = scripted(three.clone());
    assert_eq!(Predict::<Rate>::new().with_lm(lm).call("Fine.").await.unwrap().score, 3.0);
    assert_eq!(script.requests().len(), 1);
    let (script, lm) = scripted(three);
    assert_eq!(Predict::<Strict>::new().with_lm(lm).call("Fine.").await.unwrap().score, 1.0);
    assert_eq!(script.requests().len(), 2);
    let output = RateOutput { score: 3.0, tags: vec![], note: None };
    assert_eq!(Strict::check(&output).unwrap().len(), 1);
    assert_eq!(Rate::check(&output).unwrap().len(), 1);
}

/// Names that a careless expansion would trip over.
#[signature]
#[check({ let value = self.value; let name = self.name; value == name }, "value is name")]
struct Clashes {
    #[input]
    values: u8,
    #[output]
    #[check(self.value < 9 && [1_u8].iter().all(|value| *value <= self.value), "one to nine")]
    value: u8,
    #[output]
    #[check(self.name < 9, "name below nine")]
    name: u8,
    #[output]
    #[serde(rename = "type", alias = "kind")]
    #[check(self.r#type.is_some_and(|kind| kind > 0), "positive")]
    r#type: Option<u8>,
    #[output]
    #[allow(clippy::len_zero)]
    #[check(Self::LIMIT > 0 && self.self_list.len() > 0, "there is something")]
    self_list: Vec<u8>,
}

impl ClashesOutput {
    const LIMIT: usize = 3;
}

#[test]
fn names_do_not_clash() {
    let output = ClashesOutput { value: 9, name: 9, r#type: None, self_list: vec![] };
    let failed = Clashes::check(&output).unwrap();
    let fields: Vec<_> = failed.iter().map(CheckFailure::field).collect();
    assert_eq!(fields, ["value", "name", "type", "self_list"]);
    assert_eq!(Clashes::check_field("type", &json!(0)).unwrap().len(), 1);
    assert!(
        Clashes::check_field("self_list", &json!([])).unwrap().is_empty(),
        "looks at more than the field"
    );
}

macro_rules! bounded {
    ($name:ident, $limit:expr) => {
        /// Made by a macro.
        #[signature]
        struct $name {
            #[input]
            question: String,
            #[output]
            #[check(self.count < $limit, "below the limit")]
            count: u8,
        }
    };
}

bounded!(Bounded, 3);

#[test]
fn a_signature_may_come_out_of_a_macro() {
    assert_eq!(Bounded::check(&BoundedOutput { count: 3 }).unwrap().len(), 1);
    assert_eq!(Bounded::check_field("count", &json!(3)).unwrap().len(), 1);
}

sig!(#[check(self.score < 2.0, "below two")] OfString: "text -> score: float");

#[test]
fn a_signature_in_a_string_may_have_rules_above_it() {
    assert_eq!(OfString::check(&OfStringOutput { score: 3.0 }).unwrap()[0].why(), "below two");
    assert_eq!(OfString::spec().checks()[0].why(), "below two");
}

#[tokio::test]
async fn the_schema_that_is_sent_has_the_rules() {
    let mut able = Capabilities::default();
    able.json_schema = true;
    let script = Arc::new(
        ScriptedLm::new([r#"{"score": 1, "tags": [{"name": "a"}], "note": null}"#]).with_capabilities(able),
    );
    let rate = Predict::<Rate>::new().with_adapter(JsonAdapter).with_lm(Lm::shared(script.clone()));
    rate.call("Fine.").await.unwrap();
    let ResponseFormat::JsonSchema { schema, .. } = &script.requests()[0].format else { panic!("no schema") };
    assert!(
        schema["properties"]["tags"]["description"].as_str().unwrap().ends_with("Must hold: no tag is empty")
    );
}
