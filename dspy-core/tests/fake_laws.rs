//! What the fake model promises of its replies, for many signatures and all adapters. As good a test of the adapters
//! and the decoder: they must read what is right or in bad form, and refuse what is broken.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "in tests a panic is the report")]

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use dspy_core::Error;
use dspy_core::adapter::{
    Adapter, ChatAdapter, JsonAdapter, ParseError, ParseErrorKind, Parsed, Prompt, TwoStepAdapter, XmlAdapter,
};
use dspy_core::decode::RepairKind;
use dspy_core::lm::{
    Capabilities, Completion, Delta, Lm, LmErrorKind, Message, Request, ToolChoice, ToolSpec,
};
use dspy_core::predict::{DynPredict, Prediction};
use dspy_core::program::{Module, Recovery, Settings};
use dspy_core::signature::{FieldSpec, FieldType, Role, SignatureSpec, Values};
use dspy_core::testing::{FakeLm, FakeReply, Style};
use dspy_core::tools::ToolCalls;
use dspy_core::types::{BigInt, Citations, Code, Reasoning, language::Rust};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

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
#[serde(tag = "type")]
enum Shape {
    Circle { radius: f64 },
    Square { side: f64, label: Option<String> },
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
struct Tree {
    label: String,
    children: Vec<Tree>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
enum Mood {
    Happy,
    VerySad,
    Neutral,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
struct Invoice {
    order_number: String,
    #[schemars(range(min = 0, max = 100_000))]
    total_amount: f64,
    paid: bool,
    mood: Mood,
    #[schemars(length(min = 1))]
    lines: Vec<Line>,
    note: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
struct Line {
    item_name: String,
    #[schemars(range(min = 1))]
    count: u32,
}

fn output(name: &'static str, schema: Value) -> FieldSpec {
    FieldSpec::new(Role::Output, name, "", schema)
}

fn spec(name: &'static str, outputs: impl IntoIterator<Item = FieldSpec>) -> SignatureSpec {
    let fields = std::iter::once(FieldSpec::text(Role::Input, "question", "")).chain(outputs);
    SignatureSpec::new(name, "", fields)
}

fn signatures() -> Vec<SignatureSpec> {
    vec![
        spec("Text", [FieldSpec::text(Role::Output, "answer", "")]),
        spec(
            "Texts",
            [FieldSpec::text(Role::Output, "why", ""), FieldSpec::text(Role::Output, "final_answer", "")],
        ),
        spec("Number", [output("number", i64::schema())]),
        spec("Numbers", [output("a", u8::schema()), output("b", f64::schema()), output("c", f32::schema())]),
        spec("Truth", [output("yes", bool::schema())]),
        spec("Choice", [output("mood", Mood::schema())]),
        spec("Words", [output("tags", Vec::<String>::schema()), output("count", usize::schema())]),
        spec(
            "Optional",
            [output("maybe", Option::<i64>::schema()), output("perhaps", Option::<String>::schema())],
        ),
        spec(
            "Pairs",
            [output("pair", <(i32, bool)>::schema()), output("map", BTreeMap::<String, u64>::schema())],
        ),
        spec("Sets", [output("set", BTreeSet::<u8>::schema()), output("moods", Vec::<Mood>::schema())]),
        spec("Variants", [output("kind", Kind::schema()), output("shape", Shape::schema())]),
        spec("Recursive", [output("tree", Tree::schema())]),
        spec("Nested", [FieldSpec::text(Role::Output, "summary", ""), output("invoice", Invoice::schema())]),
        spec("Coded", [output("code", Code::<Rust>::schema()), output("lines", u16::schema())]),
        spec("Large", [output("big", BigInt::schema())]),
        spec("Cited", [FieldSpec::text(Role::Output, "answer", ""), output("sources", Citations::schema())]),
        spec("Thought", [output("reasoning", Reasoning::schema()), output("score", f64::schema())]),
        spec(
            "Limits",
            [
                output("day", json!({"type": "string", "format": "date"})),
                output("id", json!({"type": "string", "format": "uuid"})),
                output("mail", json!({"type": "string", "format": "email"})),
                output("plate", json!({"type": "string", "pattern": "^[A-Z]{1,3}-[0-9]{2,4}$"})),
                output("short", json!({"type": "string", "minLength": 3, "maxLength": 12})),
                output("share", json!({"type": "number", "minimum": 0, "maximum": 1})),
                output("even", json!({"type": "integer", "multipleOf": 2})),
            ],
        ),
        spec(
            "Matrix",
            [
                output("rows", Vec::<Vec<i32>>::schema()),
                output("by_name", HashMap::<String, Vec<bool>>::schema()),
            ],
        ),
    ]
}

/// A question that is put once: nobody is asked again, so that each prediction is one reply.
async fn put(spec: &SignatureSpec, settings: Settings, question: usize) -> Result<Prediction<Values>, Error> {
    let once = Recovery::default().reprompts(0).json_fallback(false);
    let inputs = Values::from_iter([("question".to_owned(), format!("What is number {question}?").into())]);
    settings.recovery(once).scope(DynPredict::new(spec.clone()).call(inputs)).await
}

/// Without what has no value: it may as well be left out.
fn given(values: &Values) -> Values {
    fn stripped(value: &Value) -> Value {
        match value {
            Value::Object(members) => members
                .iter()
                .filter(|(_, value)| !value.is_null())
                .map(|(name, value)| (name.clone(), stripped(value)))
                .collect(),
            Value::Array(items) => items.iter().map(stripped).collect(),
            // A whole number may come back without its point.
            Value::Number(number) if number.is_f64() => {
                let float = number.as_f64().unwrap();
                if float.fract() == 0.0 && float.abs() < 1e15 { (float as i64).into() } else { value.clone() }
            }
            other => other.clone(),
        }
    }
    match stripped(&Value::Object(values.clone())) {
        Value::Object(values) => values,
        _ => unreachable!("an object stays one"),
    }
}

/// How many times longer the laws are tried: `DSPY_LONG=25` for a thorough run.
fn thoroughness() -> usize {
    std::env::var("DSPY_LONG").ok().and_then(|times| times.parse().ok()).unwrap_or(1)
}

/// Asks `count` questions of each signature with each adapter and has `check` say what is wrong with an outcome.
async fn ask_all(
    count: usize,
    model: impl Fn() -> FakeLm,
    check: impl Fn(&Result<Prediction<Values>, Error>, &FakeReply) -> Option<String>,
) {
    let mut wrong = Vec::new();
    for spec in signatures() {
        let adapters: [fn() -> Settings; 3] = [
            || Settings::new().adapter(ChatAdapter),
            || Settings::new().adapter(JsonAdapter),
            || Settings::new().adapter(XmlAdapter),
        ];
        for (name, adapter) in ["chat", "json", "xml"].into_iter().zip(adapters) {
            let fake = Arc::new(model().keep(1));
            for question in 0..count * thoroughness() {
                let outcome = put(&spec, adapter().lm(Lm::shared(fake.clone())), question).await;
                let reply = fake.log().pop().unwrap_or_else(|| panic!("{}: {outcome:?}", spec.name()));
                if let Some(complaint) = check(&outcome, &reply) {
                    let intended = Value::Object(reply.intended);
                    wrong.push(format!("{name} {}: {complaint}\n{intended}\n{}", spec.name(), reply.text));
                    break;
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{} wrong\n\n{}", wrong.len(), wrong.join("\n\n"));
}

/// What is wrong with a prediction that should be what was meant.
fn differs(outcome: &Result<Prediction<Values>, Error>, reply: &FakeReply) -> Option<String> {
    match outcome {
        Err(error) => Some(error.to_string()),
        Ok(read) if given(read.output()) == given(&reply.intended) => None,
        Ok(read) => Some(format!("read as {}", Value::Object(read.output().clone()))),
    }
}

#[tokio::test]
async fn valid_replies_need_no_repair() {
    ask_all(
        4,
        || FakeLm::new(1),
        |outcome, reply| {
            assert_eq!(reply.style, Style::Valid);
            let clean = |read: &Prediction<Values>| {
                // Code is asked for in a fence.
                read.report()
                    .repairs
                    .iter()
                    .all(|repair| repair.kind == RepairKind::Fence && repair.path == "$.code")
            };
            differs(outcome, reply).or_else(|| {
                let read = outcome.as_ref().ok().filter(|read| !clean(read))?;
                Some(format!("{:?}", read.report()))
            })
        },
    )
    .await;
}

#[tokio::test]
async fn sloppy_replies_read_as_what_was_meant() {
    ask_all(10, || FakeLm::new(2).sloppy(1.0), differs).await;
}

#[tokio::test]
async fn malformed_replies_never_become_another_value() {
    ask_all(
        8,
        || FakeLm::new(3).malformed(1.0),
        |outcome, reply| match outcome {
            Err(Error::Parse(_)) => None,
            Err(other) => Some(other.to_string()),
            Ok(_) => differs(outcome, reply),
        },
    )
    .await;
}

#[tokio::test]
async fn cut_replies_are_told_apart() {
    ask_all(
        2,
        || FakeLm::new(4).truncated(1.0),
        |outcome, _| match outcome {
            Err(Error::Parse(error)) if error.kind == ParseErrorKind::Truncated => None,
            other => Some(format!("{other:?}")),
        },
    )
    .await;
}

/// A question with tools, asked once.
async fn put_with_tools(settings: Settings, question: usize) -> Result<Prediction<Values>, Error> {
    let spec = SignatureSpec::new(
        "Act",
        "",
        [
            FieldSpec::text(Role::Input, "question", ""),
            FieldSpec::new(Role::Input, "tools", "", Vec::<ToolSpec>::schema()),
            FieldSpec::new(Role::Output, "calls", "", ToolCalls::schema()),
        ],
    );
    let once = Recovery::default().reprompts(0).json_fallback(false);
    let inputs = Values::from_iter([
        ("question".to_owned(), format!("What is number {question}?").into()),
        ("tools".to_owned(), json!(tools())),
    ]);
    settings.recovery(once).scope(DynPredict::new(spec).call(inputs)).await
}

fn tools() -> Vec<ToolSpec> {
    let weather = json!({"type": "object", "properties": {"city": {"type": "string"}, "days": {"type": "integer",
        "minimum": 1, "maximum": 9}}, "required": ["city", "days"]});
    let stop =
        json!({"type": "object", "properties": {"why": {"enum": ["done", "stuck"]}}, "required": ["why"]});
    vec![ToolSpec::new("weather", "The weather.", weather), ToolSpec::new("stop", "Stops.", stop)]
}

/// The calls without the ids that the endpoint gave them.
fn bare_calls(value: &Value) -> Vec<Value> {
    let calls: ToolCalls = serde_json::from_value(value.clone()).unwrap();
    calls.iter().map(|call| json!([call.name, call.arguments])).collect()
}

#[tokio::test]
async fn tools_are_called_beside_the_text_and_in_it() {
    for able in [Capabilities::NONE, Capabilities::NONE.tools(true)] {
        let mut seen = 0;
        for model in [FakeLm::new(5), FakeLm::new(5).sloppy(1.0)] {
            let fake = Arc::new(model.capabilities(able).keep(1));
            for question in 0..100 {
                let read = put_with_tools(Settings::new().lm(Lm::shared(fake.clone())), question).await;
                let reply = fake.log().pop().unwrap();
                let read = read.unwrap_or_else(|error| panic!("{error}\n{reply:#?}"));
                let calls = bare_calls(&read["calls"]);
                assert_eq!(calls, bare_calls(&reply.intended["calls"]), "{}", reply.text);
                seen += calls.len();
            }
        }
        assert!(seen > 100, "{seen}");
        for (model, truncated) in
            [(FakeLm::new(6).malformed(1.0), false), (FakeLm::new(6).truncated(1.0), true)]
        {
            let fake = Arc::new(model.capabilities(able).keep(1));
            for question in 0..100 {
                let read = put_with_tools(Settings::new().lm(Lm::shared(fake.clone())), question).await;
                let reply = fake.log().pop().unwrap();
                match read {
                    Err(Error::Parse(error)) => {
                        assert_eq!(error.kind == ParseErrorKind::Truncated, truncated, "{error}");
                    }
                    Ok(read) => assert_eq!(bare_calls(&read["calls"]), bare_calls(&reply.intended["calls"])),
                    Err(error) => panic!("{error}"),
                }
            }
        }
    }
}

#[tokio::test]
async fn reasoning_comes_where_the_model_gives_it() {
    let spec = signatures().into_iter().find(|spec| spec.name() == "Thought").unwrap();
    let fake = FakeLm::new(1).capabilities(Capabilities::NONE.reasoning(true));
    let answer = put(&spec, Settings::new().lm(Lm::custom(fake)), 0).await.unwrap();
    let completion = &answer.completions()[0];
    assert_eq!(completion.reasoning.as_deref(), answer["reasoning"].as_str());
    assert!(!completion.text.contains("reasoning"), "{}", completion.text);
}

#[tokio::test]
async fn the_second_of_two_steps_finds_what_the_first_one_meant() {
    for spec in signatures() {
        for model in [FakeLm::new(8), FakeLm::new(8).sloppy(1.0)] {
            let fake = Arc::new(model);
            let lm = Lm::shared(fake.clone());
            for question in 0..5 {
                let settings = Settings::new().lm(lm.clone()).adapter(TwoStepAdapter::new(lm.clone()));
                let read = put(&spec, settings, question).await;
                let read = read.unwrap_or_else(|error| panic!("{}: {error}", spec.name()));
                let log = fake.log();
                let [.., first, second] = log.as_slice() else { panic!("two replies") };
                assert_eq!(given(&first.intended), given(&second.intended), "{}", first.text);
                assert_eq!(given(read.output()), given(&first.intended));
                assert_eq!(second.signature.as_deref(), Some(&*format!("Extract{}", spec.name())));
            }
        }
    }
}

/// `answer = …`, a line for each field, and nothing is forgiven.
#[derive(Debug)]
struct Lines;

impl Adapter for Lines {
    fn name(&self) -> &'static str {
        "lines"
    }

    fn preamble(&self, prompt: Prompt<'_>) -> Vec<Message> {
        vec![Message::system(&**prompt.spec.instruction())]
    }

    fn input(&self, _: Prompt<'_>, inputs: &Values) -> Message {
        Message::user(Value::Object(inputs.clone()).to_string())
    }

    fn parse(&self, spec: &SignatureSpec, completion: &Completion) -> Result<Parsed, ParseError> {
        let values = completion.text.lines().filter_map(|line| {
            let (name, value) = line.split_once(" = ")?;
            Some((name.to_owned(), serde_json::from_str(value).ok()?))
        });
        let values: Values = values.collect();
        if spec.outputs().all(|field| values.contains_key(field.name())) {
            return Ok(Parsed::new(values));
        }
        Err(ParseError::new(ParseErrorKind::Malformed, self.name(), &completion.text, Vec::new()))
    }

    fn reply(&self, spec: &SignatureSpec, outputs: &Values) -> String {
        let line = |field: &FieldSpec| Some(format!("{} = {}\n", field.name(), outputs.get(field.name())?));
        spec.outputs().filter_map(line).collect()
    }
}

#[tokio::test]
async fn formats_of_others_are_answered_too() {
    for spec in signatures() {
        for (model, readable) in [
            (FakeLm::new(9), true),
            (FakeLm::new(9).sloppy(1.0), true),
            (FakeLm::new(9).malformed(1.0), false),
        ] {
            let fake = Arc::new(model);
            let read = put(&spec, Settings::new().lm(Lm::shared(fake.clone())).adapter(Lines), 0).await;
            match read {
                Ok(read) => assert_eq!(given(read.output()), given(&fake.log()[0].intended)),
                Err(error) => assert!(!readable, "{error}\n{:?}", fake.log()),
            }
        }
    }
}

#[tokio::test]
async fn replies_do_not_depend_on_what_runs_beside_them() {
    let model = || FakeLm::new(10).sloppy(0.3).malformed(0.1).truncated(0.1).errors(0.1, LmErrorKind::Server);
    let spec = &signatures()[12];
    let shown = |outcome: Result<Prediction<Values>, Error>| match outcome {
        Ok(read) => Value::Object(read.output().clone()).to_string(),
        Err(error) => error.to_string(),
    };
    let (one, many) = (Lm::custom(model()), Lm::custom(model()));
    let mut alone = Vec::new();
    for question in 0..60 {
        alone.push(shown(put(spec, Settings::new().lm(one.clone()), question).await));
    }
    let together = (0..60).rev().map(|question| put(spec, Settings::new().lm(many.clone()), question));
    let mut together: Vec<_> =
        futures_util::future::join_all(together).await.into_iter().map(shown).collect();
    together.reverse();
    assert_eq!(alone, together);
    let kinds =
        ["HTTP 503", "truncated", "does not fit"].map(|part| alone.iter().any(|text| text.contains(part)));
    assert_eq!(kinds, [true; 3], "{alone:#?}");
}

#[tokio::test]
async fn errors_pass_and_samples_differ() {
    let fake = Arc::new(FakeLm::new(1).errors(0.5, LmErrorKind::RateLimit));
    let lm = Lm::shared(fake.clone());
    let mut errors = 0;
    for rollout in 0..20 {
        let request = Request::new(vec![Message::user("Hi")]).with_rollout(rollout);
        let reply = loop {
            match lm.complete(request.clone()).await {
                Ok(response) => break response,
                Err(error) => {
                    assert_eq!((error.kind, error.status), (LmErrorKind::RateLimit, Some(429)));
                    errors += 1;
                }
            }
        };
        assert_eq!(lm.complete(request).await.unwrap(), reply);
    }
    assert!((5..60).contains(&errors), "{errors}");
    let texts: BTreeSet<String> = fake.log().into_iter().map(|reply| reply.text).collect();
    assert!(texts.len() > 15, "{texts:?}");
}

#[tokio::test]
async fn requests_by_hand_get_words_or_what_their_schema_says() {
    let lm = Lm::custom(FakeLm::new(1));
    assert!(lm.ask("Hi").await.unwrap().split(' ').count() >= 3);
    let mut request = Request::new(vec![Message::user("Hi")]);
    let schema = json!({"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]});
    request.format = dspy_core::lm::ResponseFormat::JsonSchema { name: "n".into(), schema: Arc::new(schema) };
    request.params.n = Some(3);
    let response = lm.complete(request.clone()).await.unwrap();
    let numbers: BTreeSet<i64> = response
        .completions
        .iter()
        .map(|completion| serde_json::from_str::<Value>(&completion.text).unwrap()["n"].as_i64().unwrap())
        .collect();
    assert_eq!((response.completions.len(), numbers.len()), (3, 3));
    assert!(response.usage.completion_tokens > 0 && response.usage.prompt_tokens > 0);
    request.tools = tools();
    request.tool_choice = ToolChoice::Named("stop".into());
    let response = lm.complete(request).await.unwrap();
    assert!(response.completions[0].tool_calls.iter().all(|call| call.name == "stop" && call.id.is_some()));
    assert!(!response.completions[0].tool_calls.is_empty());
}

#[tokio::test]
async fn values_can_be_given_and_impossible_ones_are_named() {
    let spec = spec("Odd", [output("word", json!({"type": "string", "pattern": "^a{9}$", "maxLength": 3}))]);
    let error = put(&spec, Settings::new().lm(Lm::custom(FakeLm::new(1))), 0).await.unwrap_err();
    assert!(error.to_string().contains("`word` of Odd"), "{error}");
    let spec = &signatures()[2];
    let fake = FakeLm::new(1).edit(|signature, values| {
        assert_eq!(signature, "Number");
        values.insert("number".into(), 42.into());
    });
    let answer = put(spec, Settings::new().lm(Lm::custom(fake)), 0).await.unwrap();
    assert_eq!(answer["number"], 42);
}

#[tokio::test(start_paused = true)]
async fn replies_take_their_time_and_come_in_pieces() {
    let lm = Lm::custom(FakeLm::new(1).latency(Duration::from_secs(2)..Duration::from_secs(4)));
    let start = tokio::time::Instant::now();
    let mut stream = lm.stream(Request::new(vec![Message::user("Hi")]));
    let mut pieces = Vec::new();
    while let Some(delta) = stream.next().await {
        if let Delta::Text(text) = delta {
            pieces.push(text);
        }
    }
    let whole = stream.finish().await.unwrap().completions[0].text.clone();
    assert!(pieces.len() > 1 && pieces.concat() == whole, "{pieces:?}");
    assert!((2..4).contains(&start.elapsed().as_secs()));
    assert_eq!(lm.ask("Hi").await.unwrap(), whole);
}
