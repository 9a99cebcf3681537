//! Prose first, fields second.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "in tests a panic is the report")]

use std::sync::Arc;

use dspy_core::Error;
use dspy_core::adapter::{JsonAdapter, ParseErrorKind, TwoStepAdapter};
use dspy_core::lm::{
    BoxFuture, Capabilities, Completion, Layer, Lm, LmError, LmErrorKind, Next, Reply, Request, Response,
    ResponseFormat, ScriptedLm, with_layer,
};
use dspy_core::predict::DynPredict;
use dspy_core::program::{Module, Recovery, Settings, trace};
use dspy_core::signature::{Demo, FieldSpec, FieldType, Role, SignatureSpec, Values};
use dspy_core::types::Reasoning;
use serde_json::{Value, json};

const PROSE: &str = "Six times seven is 42. [[ ## answer ## ]] 7";
const GOOD: &str = "[[ ## answer ## ]]\n42\n\n[[ ## completed ## ]]";

fn values(value: Value) -> Values {
    let Value::Object(values) = value else { panic!() };
    values
}

struct Pair {
    thinker: Arc<ScriptedLm>,
    extractor: Arc<ScriptedLm>,
}

impl Pair {
    fn new<A: Into<Reply>, B: Into<Reply>>(
        first: impl IntoIterator<Item = A>,
        second: impl IntoIterator<Item = B>,
    ) -> Self {
        Pair { thinker: Arc::new(ScriptedLm::new(first)), extractor: Arc::new(ScriptedLm::new(second)) }
    }

    fn settings(&self) -> Settings {
        let adapter = TwoStepAdapter::new(Lm::shared(self.extractor.clone()));
        Settings::new().lm(Lm::shared(self.thinker.clone())).adapter(adapter)
    }

    fn asked(&self) -> (usize, usize) {
        (self.thinker.requests().len(), self.extractor.requests().len())
    }
}

fn predict() -> DynPredict {
    DynPredict::new("question -> answer: int".parse().unwrap())
}

fn question() -> Values {
    values(json!({"question": "6 * 7?"}))
}

#[tokio::test]
async fn the_first_prompt_is_natural_and_the_second_holds_the_prose() {
    let pair = Pair::new([PROSE], [GOOD]);
    let mut predict = predict();
    predict.predictor_mut().set_demos(vec![Demo::new(values(json!({"question": "1 + 1?", "answer": 2})))]);
    let answer = pair.settings().scope(predict.call(question())).await.unwrap();
    assert_eq!(answer["answer"], 42);
    assert_eq!(answer.completions()[0].text, PROSE);
    let first: Vec<_> = pair.thinker.requests()[0].messages.iter().map(|m| m.text().into_owned()).collect();
    assert!(first.iter().all(|text| !text.contains("[[")), "{first:?}");
    assert!(first[0].contains("- answer (integer)"), "{}", first[0]);
    assert_eq!(first[1..], ["question: 1 + 1?", "answer: 2", "question: 6 * 7?"]);
    let second = pair.extractor.requests()[0].messages.clone();
    assert!(second[0].text().contains("From `question`, produce `answer`."), "{}", second[0].text());
    // What looks like a marker in the prose is none.
    assert!(second[1].text().contains("Six times seven is 42."), "{}", second[1].text());
    assert!(!second[1].text().contains("42. [[ ## answer ## ]]"), "{}", second[1].text());
}

#[tokio::test]
async fn both_models_count_and_pass_the_layers() {
    struct Count(std::sync::Mutex<Vec<String>>);
    impl Layer for Count {
        fn call<'a>(
            &'a self,
            lm: &'a Lm,
            request: &'a Request,
            next: Next<'a>,
        ) -> BoxFuture<'a, Result<Response, LmError>> {
            self.0.lock().unwrap().push(request.digest().to_string());
            next.run(lm, request)
        }
    }
    let count = Arc::new(Count(std::sync::Mutex::default()));
    let pair = Pair::new([PROSE], [GOOD]);
    let predict = predict();
    let call = pair.settings().scope(trace(async { predict.call(question()).await }));
    let (answer, trace) = with_layer(count.clone(), call).await;
    let answer = answer.unwrap();
    assert_eq!((count.0.lock().unwrap().len(), answer.usage().requests, answer.attempts().len()), (2, 2, 2));
    // One task of the program, one step.
    assert_eq!(trace.steps.len(), 1);
    assert_eq!((trace.steps[0].outputs["answer"].clone(), trace.steps[0].usage.requests), (json!(42), 2));
    assert_eq!(trace.steps[0].reply, PROSE);
}

#[tokio::test]
async fn asking_again_never_pays_for_the_prose_twice() {
    let pair = Pair::new([PROSE], ["what?", GOOD]);
    let answer = pair.settings().scope(predict().call(question())).await.unwrap();
    assert_eq!((answer["answer"].clone(), pair.asked()), (json!(42), (1, 2)));
    assert_eq!(answer.usage().requests, 3);
}

#[tokio::test]
async fn a_failed_extraction_is_typed_and_holds_the_prose() {
    let pair = Pair::new([PROSE], ["what?", "no", "never"]);
    let error = pair.settings().scope(predict().call(question())).await.unwrap_err();
    let Error::Extraction(failure) = &error else { panic!("{error}") };
    assert_eq!((failure.prose.as_str(), failure.extractor.as_str()), (PROSE, "scripted"));
    assert_eq!(error.as_parse().unwrap().kind, ParseErrorKind::Malformed);
    assert!(!error.is_outage());
    assert_eq!(pair.asked(), (1, 3));

    let pair = Pair::new([PROSE], [LmError::new(LmErrorKind::Server, "x", "down")]);
    let error = pair.settings().scope(predict().call(question())).await.unwrap_err();
    assert!(error.is_outage() && error.as_lm().is_some(), "{error}");
}

#[tokio::test]
async fn a_failed_first_step_is_not_extracted() {
    let pair = Pair::new([Reply::Truncated("Six times".into())], [GOOD]);
    let error = pair.settings().scope(predict().call(question())).await.unwrap_err();
    assert_eq!(error.as_parse().unwrap().kind, ParseErrorKind::Truncated);
    assert_eq!(pair.asked(), (1, 0));

    let pair = Pair::new([""], [GOOD]);
    let error = pair.settings().recovery(Recovery::NONE).scope(predict().call(question())).await.unwrap_err();
    assert_eq!((error.as_parse().unwrap().kind, pair.asked()), (ParseErrorKind::Empty, (1, 0)));
}

#[tokio::test]
async fn the_second_step_can_have_another_format() {
    let able = Capabilities::NONE.json_schema(true);
    let extractor = Arc::new(ScriptedLm::new([r#"{"answer": 42}"#]).with_capabilities(able));
    let adapter = TwoStepAdapter::new(Lm::shared(extractor.clone())).with_adapter(JsonAdapter);
    let settings = Settings::new().lm(Lm::scripted([PROSE])).adapter(adapter);
    assert_eq!(settings.scope(predict().call(question())).await.unwrap()["answer"], 42);
    assert!(matches!(extractor.requests()[0].format, ResponseFormat::JsonSchema { .. }));
}

#[tokio::test]
async fn native_reasoning_is_that_of_the_first_model() {
    let spec = SignatureSpec::new(
        "Why",
        "",
        [
            FieldSpec::text(Role::Input, "question", ""),
            FieldSpec::new(Role::Output, "why", "", Reasoning::schema()),
            FieldSpec::new(Role::Output, "answer", "", i64::schema()),
        ],
    );
    let thinks = Capabilities::NONE.reasoning(true);
    let second = |reply: &str| {
        let reply = Completion::new(reply).with_reasoning("extracting");
        Arc::new(ScriptedLm::new([reply]).with_capabilities(thinks))
    };
    let run = async |thinker: ScriptedLm, extractor: Arc<ScriptedLm>| {
        let adapter = TwoStepAdapter::new(Lm::shared(extractor));
        let settings = Settings::new().lm(Lm::custom(thinker)).adapter(adapter);
        settings.scope(DynPredict::new(spec.clone()).call(question())).await.unwrap()["why"].clone()
    };
    let able = ScriptedLm::new([Completion::new(PROSE).with_reasoning("thinking")]).with_capabilities(thinks);
    assert_eq!(run(able, second(GOOD)).await, "thinking");
    let plain = ScriptedLm::new([PROSE]);
    assert_eq!(run(plain, second(&format!("[[ ## why ## ]]\nas said\n\n{GOOD}"))).await, "as said");
}
