//! `sig!`, `predict!` and `chain_of_thought!`, as a user writes and uses them.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "in tests a panic is the report")]
#![deny(warnings, missing_docs)]
#![allow(missing_debug_implementations)]

use std::collections::{BTreeMap, BTreeSet};

use dspy::prelude::*;
use dspy::signature::SignatureSpec;
use serde_json::{Value, json};

sig!(pub Qa: "question -> answer");

sig!(
    /// Judge the claim.
    #[derive(Debug)]
    #[demo(claim = "Water is wet.", context = [].into(), verdict = JudgeVerdict::NotSure, score = None, reasoning = "Hm.")]
    pub(crate) Judge: "claim, context: list[str] -> verdict: Literal['true', 'false', \"not sure\"], score: float | None"
);

sig!(Types: r#"
    a: str, b: int, c: bool, d: list[list[int]], e: dict[str, u8], f: set[str], g: tuple[int, str], h: Optional[bool],
    type: Vec<(String, self::Local)>, j: std::collections::BTreeMap<String, i32>, k: [u8; 2], l: Any, m: HashMap<String, f32>
    ->
    out: list[Literal["x"]],
"#, "Do\n  something.");

/// A type of the caller's.
#[field_type]
#[derive(Debug, Clone, PartialEq)]
pub struct Local {
    /// A number.
    pub n: u8,
}

const BECAUSE: &str = "Because.";

#[test]
fn a_named_signature_is_like_one_on_a_struct() {
    let qa = Qa { question: "q".into(), answer: "a".into() };
    assert_eq!(qa.clone(), qa);
    assert_eq!(format!("{qa:?}"), r#"Qa { question: "q", answer: "a" }"#);
    assert_eq!(QaInput::from("q").question, "q");
    assert_eq!(Qa::spec().name(), "Qa");
    let same: SignatureSpec = "question -> answer".parse().expect("a signature");
    assert_eq!(Qa::spec().instruction(), same.instruction());
    assert_eq!(Qa::spec().fingerprint(), same.fingerprint());
    assert_eq!(&**Judge::spec().instruction(), "Judge the claim.");
    assert_eq!(&**Types::spec().instruction(), "Do\n  something.");
    assert_eq!(Judge::demos().expect("demos")[0].values["verdict"], json!("not sure"));
}

#[test]
fn literals_become_enums() {
    let output: JudgeOutput =
        serde_json::from_value(json!({"verdict": "not sure", "score": null})).expect("an output");
    assert_eq!(output.verdict, JudgeVerdict::NotSure);
    assert_eq!(output.verdict, "not sure");
    assert_eq!(output.verdict.to_string(), "not sure");
    assert_eq!(JudgeVerdict::ALL.len(), 3);
    assert_eq!(output.score, None);
    let error =
        serde_json::from_value::<JudgeVerdict>(json!("maybe")).expect_err("no such choice").to_string();
    assert!(error.contains("maybe") && error.contains("not sure"), "{error}");
    assert_eq!(
        Judge::spec().field("verdict").expect("verdict").schema()["enum"],
        json!(["true", "false", "not sure"])
    );
}

sig!(Score: "text, photo: Optional[dspy.Image], chat: dspy.History -> level: Literal[1, -2, True, 'none'], n: typing.Optional[i128]");

#[test]
fn literals_of_other_values_are_enums_too() {
    let output: ScoreOutput = serde_json::from_value(json!({"level": -2, "n": null})).expect("an output");
    assert_eq!(output.level, ScoreLevel::Minus2);
    assert_eq!(ScoreLevel::ALL, [ScoreLevel::N1, ScoreLevel::Minus2, ScoreLevel::True, ScoreLevel::None]);
    let written: Vec<Value> =
        ScoreLevel::ALL.iter().map(|level| serde_json::to_value(level).expect("a value")).collect();
    assert_eq!(written, [json!(1), json!(-2), json!(true), json!("none")]);
    assert_eq!(Score::spec().field("level").expect("level").schema()["enum"], Value::from(written));
    assert!(serde_json::from_value::<ScoreLevel>(json!("1")).is_err());
    let read = dspy::decode::decode::<ScoreLevel>("**-2**").expect("a level").value;
    assert_eq!(read, ScoreLevel::Minus2);
}

#[test]
fn types_of_both_languages() {
    let input = TypesInput {
        a: String::new(),
        b: -1_i64,
        c: true,
        d: vec![vec![1_i64]],
        e: BTreeMap::from([("k".to_owned(), 1_u8)]),
        f: BTreeSet::from(["s".to_owned()]),
        g: (1_i64, String::new()),
        h: Some(true),
        r#type: vec![(String::new(), Local { n: 1 })],
        j: BTreeMap::from([(String::new(), 1_i32)]),
        k: [1, 2],
        l: Value::Null,
        m: std::collections::HashMap::from([(String::new(), 1_f32)]),
    };
    assert!(input.to_values().expect("values").contains_key("type"));
    let output = TypesOutput { out: vec![TypesOut::X] };
    assert_eq!(serde_json::to_string(&output).expect("json"), r#"{"out":["x"]}"#);
}

#[test]
fn a_signature_without_a_name_is_data() {
    for (checked, text) in [
        (sig!("question -> answer"), "question -> answer"),
        (sig!("q: list[str], n: int -> a: float, b: bool"), "q: list[str], n: int -> a: float, b: bool"),
        (sig!("q -> a: Literal['x', 'y z']"), "q -> a: Literal['x', 'y z']"),
        (sig!("q -> a: Vec<f32>, b: dict[str, bool]"), "q -> a: Vec<f32>, b: dict[str, bool]"),
        (sig!("q -> a: Literal[1, 2, True]"), "q -> a: Literal[1, 2, True]"),
        (
            sig!("p: dspy.Image -> a: Union[u128, None], b: [char; 2]"),
            "p: dspy.Image -> a: Union[u128, None], b: [char; 2]",
        ),
    ] {
        let parsed: SignatureSpec = text.parse().expect(text);
        assert_eq!(checked.fingerprint(), parsed.fingerprint(), "{text}");
        assert_eq!(checked.name(), parsed.name());
        assert_eq!(checked.instruction(), parsed.instruction());
    }
    let spec: SignatureSpec = sig!("q -> a", BECAUSE);
    assert_eq!(&**spec.instruction(), "Because.");
}

#[test]
fn strategies_over_a_string() {
    let rate = predict!("review -> stars: u8, tone: Literal['warm', 'cold']", "Rate it.");
    assert_eq!(&**rate.predictor().spec().instruction(), "Rate it.");
    let messages = rate.render("Loved it.").expect("messages");
    assert!(format!("{messages:?}").contains("Loved it."));
    let search = chain_of_thought!("context: Vec<String>, question -> query");
    assert_eq!(search.named_predictors()[0].0, "predict");
}

sig!(pub Chat: "history: History<Chat>, question -> answer");
sig!(pub Threads: "history: list[History<Threads>], question -> answer");

#[test]
fn a_signature_may_hold_a_history_of_itself() {
    let mut history = History::new();
    history.push(Chat { history: History::new(), question: "Who?".into(), answer: "Me.".into() });
    let input = ChatInput { history, question: "When?".into() };
    assert!(input.to_values().expect("values").contains_key("history"));
    assert_eq!(Chat::spec().inputs().count(), 2);
    let _ = Threads::spec();
    let turn = Chat { history: History::new(), question: "a".into(), answer: "b".into() };
    assert_eq!(turn.clone(), turn);
    assert!(format!("{turn:?}").contains("answer"));
}

/// Signatures with a type of each kind, as the macro and as the run time read them.
macro_rules! read_by_both {
    ($($text:literal)*) => { [$(($text, sig!($text)),)*] };
}

#[test]
fn macros_and_run_time_read_the_same() {
    let read = read_by_both![
        "a: i8, b: i16, c: i32, d: i64, e: i128, f: isize -> g: f32, h: f64"
        "a: u8, b: u16, c: u32, d: u64, e: u128, f: usize -> g: char"
        "a: str, b: int, c: float, d: bool -> e: Any, f: String"
        "a: list, b: list[int], c: List[int], d: Vec<int> -> e: list[list[str]]"
        "a: set[str], b: Set[int] -> c: tuple[str], d: tuple[str, int], e: Tuple[str], f: (int, str)"
        "a: dict, b: dict[str], c: dict[str, int], d: Dict[str, int], e: BTreeMap<str, int> -> f: HashMap<str, u8>"
        "a: Optional[int], b: Option<str>, c: int | None, d: Union[int, None] -> e: typing.Optional[list[str]]"
        "a: None, b: () -> c: [int; 2], d: Optional[Any], e: list[int] | None"
        "a -> b: Literal[1]"
        "a -> b: Literal[-1, 'x', True], c: Literal[True], d: list[Literal['x']]"
        "a -> b: Optional[Literal['x', 'y z']], c: Literal[1, 2] | None"
        "a: dspy.Image, b: dspy.Audio, c: dspy.File, d: list[dspy.Document] -> e: dspy.Citations"
        "a: dspy.History -> b: dspy.Code, c: dspy.BigInt, d: Optional[dspy.BigInt], e: dspy.Reasoning"
        "a: list[dspy.Tool] -> b: dspy.ToolCalls"
        "type: str, match: int -> r, self_: str,"
    ];
    for (text, by_macro) in read {
        let at_run_time: SignatureSpec = text.parse().expect(text);
        for (one, other) in by_macro.fields().iter().zip(at_run_time.fields()) {
            let notations = [one, other].map(|field| field.type_text().notation.as_str());
            assert_eq!(notations[0], notations[1], "`{}` of {text}", one.name());
        }
        assert_eq!(by_macro.fingerprint(), at_run_time.fingerprint(), "{text}");
    }
}

#[test]
fn macros_and_run_time_refuse_alike() {
    // The macro has to name a type or a variant, which the run time need not.
    let only_the_macro = [
        "question -> answer: Literal['+', '-'], tone: Literal['a b', 'a-b']",
        "question -> answer: str | int",
    ];
    let mut compared = 0;
    for entry in std::fs::read_dir("tests/ui/string").expect("the tests of errors") {
        let path = entry.expect("a file").path();
        let code = std::fs::read_to_string(&path).expect("a text");
        let inside = code.split_once("predict!(\"").and_then(|(_, rest)| rest.rsplit_once("\");"));
        let Some((text, _)) = inside.filter(|(text, _)| !text.contains('"')) else { continue };
        if only_the_macro.contains(&text) {
            text.parse::<SignatureSpec>().expect(text);
            continue;
        }
        let error = text.parse::<SignatureSpec>().expect_err(text).to_string();
        // What the macro takes for a type of the caller's is for the compiler to refuse.
        if !error.contains("unknown type `Verdict`") {
            let shown = std::fs::read_to_string(path.with_extension("stderr")).expect("its message");
            assert!(shown.contains(error.lines().next().expect("a message")), "{text}: {error}\n{shown}");
            compared += 1;
        }
    }
    assert!(compared >= 10, "only {compared} messages were compared");
}
