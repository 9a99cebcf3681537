//! Strategies of one's own, over signatures that are known when compiling and at run time.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "in tests a panic is the report")]

use std::sync::Arc;

use dspy::adapter::ParseErrorKind;
use dspy::lm::ScriptedLm;
use dspy::predict::{PredictStream, Predictor};
use dspy::prelude::*;
use dspy::program::Recovery;
use dspy::signature::{FieldSpec, Role, SignatureSpec, Values};
use futures_util::StreamExt as _;
use serde_json::json;

/// Review the product.
#[signature]
#[check(self.stars < 5 || self.verdict.len() > 3, "five stars have a reason")]
struct Review {
    #[input]
    product: String,
    #[output]
    #[serde(rename = "judgement")]
    verdict: String,
    #[output]
    #[check(self.stars >= 1 && self.stars <= 5, "between 1 and 5 stars")]
    #[check(soft, self.stars != 3, "an opinion")]
    stars: u8,
}

#[module]
struct Confident<S: Signature> {
    predict: Predict<S>,
}

impl<S: Signature> Confident<S> {
    fn new() -> Self {
        let confidence = FieldSpec::of::<f64>(Role::Output, "confidence", "From 0 to 1.");
        Confident { predict: Predict::over((**S::spec()).clone().append(confidence)).unwrap() }
    }
}

impl<S: Signature> Module for Confident<S> {
    type Input = S::Input;
    type Output = S::Output;
    async fn forward(&self, input: S::Input) -> dspy::Result<Prediction<S::Output>> {
        self.predict.call(input).await
    }
}

fn scripted(replies: &[String]) -> (Lm, Arc<ScriptedLm>) {
    let script = Arc::new(ScriptedLm::new(replies.iter().cloned()));
    (Lm::shared(script.clone()), script)
}

fn reply(verdict: &str, stars: &str, confidence: &str) -> String {
    format!(
        "[[ ## judgement ## ]]\n{verdict}\n\n[[ ## stars ## ]]\n{stars}\n\n[[ ## confidence ## ]]\n{confidence}"
    )
}

#[tokio::test]
async fn an_added_output_is_asked_for_and_everything_else_is_as_ever() {
    let replies = [
        reply("Fine", "9", "0.9"),         // breaks a check
        reply("Fine", "300", "0.9"),       // is no u8
        reply("Fine", "4", "rather sure"), // is no number
        reply("Fine", "3", "0.7"),
    ];
    let (lm, script) = scripted(&replies);
    let mut strategy = Confident::<Review>::new();
    strategy.set_lm(lm);
    strategy.predict.predictor_mut().set_recovery(Recovery::NONE.reprompts(3));
    let answer = strategy.call("a lamp").await.unwrap();
    assert_eq!((answer.stars, answer.added_as::<f64>("confidence").unwrap()), (3, 0.7));
    assert_eq!(answer.failed_checks().len(), 1);
    let first =
        script.requests()[0].messages.iter().map(|message| message.text().into_owned()).collect::<String>();
    assert!(first.contains("between 1 and 5 stars") && first.contains("`confidence`"), "{first}");
    assert_eq!(script.requests().len(), 4);
    let error = answer.added_as::<f64>("confidnce").unwrap_err().to_string();
    assert!(error.contains("did you mean `confidence`?"), "{error}");
    assert!(answer.added_as::<String>("confidence").is_err());
    assert_eq!(strategy.named_predictors()[0].0, "predict");
}

#[tokio::test]
async fn a_strategy_streams_what_its_signature_says_and_what_it_added() {
    let (lm, _) = scripted(&[reply("Fine", "9", "0.9"), reply("Fine and bright", "4", "0.7")]);
    let mut strategy = Confident::<Review>::new();
    strategy.set_lm(lm);
    let mut stream = PredictStream::<Review>::of(&strategy, "a lamp");
    let mut shown = Vec::new();
    while let Some(partial) = stream.next().await {
        shown.push(serde_json::to_value(partial).unwrap());
    }
    assert!(
        shown.contains(&json!({"judgement": {"state": "pending"}, "stars": {"state": "pending"}})),
        "{shown:?}"
    );
    let last = json!({"judgement": {"state": "complete", "value": "Fine and bright"}, "stars": {"state": "complete", "value": 4}});
    assert_eq!(shown.last(), Some(&last));
    assert_eq!(stream.attempt(), 2);
    assert_eq!(stream.added("confidence"), Some(&FieldState::Complete(json!(0.7))));
    assert_eq!(stream.finish().await.unwrap().verdict, "Fine and bright");
}

/// Another signature with a field of the same name.
#[signature]
struct Draft {
    #[input]
    product: String,
    #[output]
    verdict: String,
}

#[module]
struct Drafted {
    draft: Predict<Draft>,
    review: ChainOfThought<Review>,
    check: Predict<Draft>,
}

impl Module for Drafted {
    type Input = ReviewInput;
    type Output = ReviewOutput;
    async fn forward(&self, input: ReviewInput) -> dspy::Result<Prediction<ReviewOutput>> {
        let draft = self.draft.call(input.product).await?;
        let review = self.review.call(draft.verdict.clone()).await?;
        self.check.call(review.verdict.clone()).await?;
        Ok(review)
    }
}

#[tokio::test]
async fn a_stream_shows_the_outputs_of_its_own_signature_alone() {
    let draft = "[[ ## verdict ## ]]\nnot to be shown".to_owned();
    let review =
        "[[ ## reasoning ## ]]\nIt shines.\n\n[[ ## judgement ## ]]\nGood\n\n[[ ## stars ## ]]\n4".to_owned();
    let (lm, _) = scripted(&[draft.clone(), review, draft]);
    let mut program = Drafted { draft: Predict::new(), review: ChainOfThought::new(), check: Predict::new() };
    program.set_lm(lm);
    let mut stream = PredictStream::<Review>::of(&program, "a lamp");
    // As a `Stream`, by `StreamExt`.
    let partials: Vec<ReviewPartial> = stream.by_ref().collect().await;
    let verdicts: Vec<&str> = partials.iter().filter_map(|p| p.verdict.value()).map(String::as_str).collect();
    assert!(!verdicts.is_empty() && verdicts.iter().all(|text| "Good".starts_with(text)), "{verdicts:?}");
    assert_eq!((stream.attempt(), stream.reasoning()), (1, "It shines."));
    assert_eq!(stream.partial().stars, FieldState::Complete(4));
    assert_eq!(stream.finish().await.unwrap().stars, 4);
}

#[tokio::test]
async fn stream_means_partials_however_a_strategy_is_held() {
    let replies: Vec<String> = (0..4).map(|_| reply("Good", "4", "1")).collect();
    let (lm, _) = scripted(&replies);
    let predict = Predict::<Review>::new().with_lm(lm);
    let (shared, boxed, borrowed) = (Arc::new(predict.clone()), Box::new(predict.clone()), &predict);
    for mut stream in [predict.stream("a"), shared.stream("b"), boxed.stream("c"), borrowed.stream("d")] {
        while let Some(partial) = stream.next().await {
            let _: &ReviewPartial = partial;
        }
        assert_eq!(stream.finish().await.unwrap().stars, 4);
    }
}

#[test]
fn a_strategy_must_ask_for_what_its_signature_has() {
    let own = || (**Review::spec()).clone();
    let error = |spec: SignatureSpec| Predict::<Review>::over(spec).unwrap_err().to_string();
    let text = |role, name: &str| FieldSpec::text(role, name.to_owned(), "");
    for (spec, expected) in [
        (own().without("stars"), "`stars`: the field of the signature is missing"),
        (own().without("stars").append(text(Role::Output, "stars")), "`stars`: it has another type"),
        (own().without("product").append(text(Role::Output, "product")), "`product`: it has another role"),
        (own().append(text(Role::Output, "judgement")), "`judgement`: two fields have this name"),
    ] {
        let message = error(spec);
        assert!(message.contains(expected), "{message}");
    }
    assert!(Predict::<Review>::over(own().prepend(text(Role::Output, "plan"))).is_ok());
}

#[tokio::test]
async fn values_of_further_inputs_are_passed_to_the_call() {
    let (lm, model) = scripted(&[reply("Good", "4", "1")]);
    let spec = (**Review::spec()).clone().append(FieldSpec::text(Role::Input, "mood", ""));
    let review = Predict::<Review>::over(spec).unwrap().with_lm(lm);
    let missing = review.call("a").await.unwrap_err();
    assert_eq!(missing.to_string(), "field `mood`: the input is missing");
    assert_eq!(review.call_with("a", [("mood", "grim")]).await.unwrap().stars, 4);
    assert!(model.requests()[0].messages.last().unwrap().text().contains("[[ ## mood ## ]]\ngrim"));
    let unknown = review.call_with("a", [("mood", "grim"), ("tone", "low")]).await.unwrap_err();
    assert!(unknown.to_string().starts_with("field `tone`: no such input"), "{unknown}");
}

#[tokio::test]
async fn what_a_prompt_says_must_hold_is_enforced_without_types_too() {
    let inputs = || Values::from_iter([("product".to_owned(), "a lamp".into())]);
    let (lm, _) = scripted(&[reply("Fine", "9", "1"), reply("No", "5", "1"), reply("Fine", "3", "1")]);
    let mut predictor = Predictor::new(Review::spec().clone());
    predictor.set_lm(lm.clone());
    predictor.set_recovery(Recovery::NONE);
    for _ in 0..2 {
        let error = predictor.call(inputs()).await.unwrap_err();
        assert_eq!(error.as_parse().unwrap().kind, ParseErrorKind::Check);
    }
    assert_eq!(predictor.call(inputs()).await.unwrap().failed_checks()[0].why(), "an opinion");
    // Without an output there is nothing to check the rules on, so that the prompt is silent about them.
    let less = (**Review::spec()).clone().without("stars");
    assert!(less.checks().is_empty() && less.fields().iter().all(|field| field.checks().is_empty()));
}

fn dynamic(signature: &str) -> DynPredict {
    DynPredict::new(signature.parse().unwrap())
}

#[tokio::test]
async fn unknown_inputs_are_refused_by_name() {
    let predict = dynamic("question, context -> answer").with_lm(Lm::scripted(["[[ ## answer ## ]]\nx"]));
    let of = |names: &[&str]| names.iter().map(|name| ((*name).to_owned(), json!("x"))).collect::<Values>();
    for (names, expected) in [
        (&["question", "context", "qestion"][..], "`qestion`: no such input; did you mean `question`?"),
        (&["question", "context", "answer"], "`answer`: not an input of the signature"),
        (
            &["question", "context", "a", "b", "c"],
            "`a`: no such input; there are `question`, `context` (nor is `b`, `c`)",
        ),
    ] {
        for error in [predict.call(of(names)).await.unwrap_err(), predict.render(&of(names)).unwrap_err()] {
            assert!(matches!(error, dspy::Error::Field(_)), "{error:?}");
            assert!(error.to_string().contains(expected), "{error}");
        }
    }
    assert!(predict.call(of(&["question", "context"])).await.is_ok());
}

#[tokio::test]
async fn checks_of_run_time_stand_in_the_prompt_and_are_enforced() {
    let (lm, script) = scripted(&["[[ ## answer ## ]]\n41".to_owned(), "[[ ## answer ## ]]\n42".to_owned()]);
    let even = |outputs: &Values| outputs["answer"].as_i64().is_some_and(|n| n % 2 == 0);
    let predict = dynamic("question -> answer: int").with_check("the answer is even", even).with_lm(lm);
    let inputs = Values::from_iter([("question".to_owned(), json!("?"))]);
    let answer = predict.call(inputs.clone()).await.unwrap();
    assert_eq!((&answer["answer"], answer.attempts().len()), (&json!(42), 2));
    let texts: Vec<String> = script.requests()[1].messages.iter().map(|m| m.text().into_owned()).collect();
    assert!(texts[0].contains("Must hold: the answer is even"), "{}", texts[0]);
    assert!(texts.last().unwrap().contains("the answer is even"), "{texts:?}");
    // The instruction of an optimizer leaves it in place.
    let told = predict.clone().with_instruction("Answer.").render(&inputs).unwrap();
    assert!(told[0].text().contains("the answer is even"));

    let panics = dynamic("question -> answer").with_check("no panic", |_| panic!("oh"));
    let error = panics.with_lm(Lm::scripted(["[[ ## answer ## ]]\nx"])).call(inputs).await.unwrap_err();
    assert!(error.to_string().contains("the check \"no panic\" panicked"), "{error}");
}

#[tokio::test]
async fn a_signature_of_run_time_is_streamed() {
    let lm = Lm::custom(
        ScriptedLm::new(["[[ ## words ## ]]\n[\"a\", \"b\"]\n\n[[ ## answer ## ]]\nParis"]).with_pieces_of(3),
    );
    let predict = dynamic("question -> words: list[str], answer").with_lm(lm);
    let mut stream = predict.stream(Values::from_iter([("question".to_owned(), json!("?"))]));
    let first = stream.next().await.unwrap();
    assert_eq!(first["answer"], FieldState::Pending);
    let mut grew = false;
    while let Some(partial) = stream.next().await {
        grew |= matches!(&partial["answer"], FieldState::Incomplete(text) if text != "Paris");
    }
    assert!(grew);
    let json = serde_json::to_value(stream.partial()).unwrap();
    assert_eq!(json["answer"], json!({"state": "complete", "value": "Paris"}));
    assert_eq!(stream.finish().await.unwrap()["words"], json!(["a", "b"]));
}

#[test]
fn partials_are_written_under_the_names_of_the_signature() {
    let mut partial = ReviewPartial::default();
    assert_eq!(
        serde_json::to_value(&partial).unwrap(),
        json!({"judgement": {"state": "pending"}, "stars": {"state": "pending"}})
    );
    partial.verdict = FieldState::Incomplete("So".into());
    let json = serde_json::to_value(&partial).unwrap();
    assert_eq!(json["judgement"], json!({"state": "incomplete", "value": "So"}));
    let state: FieldState<String> = serde_json::from_value(json["judgement"].clone()).unwrap();
    assert_eq!(state, partial.verdict);
}

#[tokio::test]
async fn chain_of_thought_takes_a_recovery() {
    let (lm, script) = scripted(&["nonsense".to_owned(), "nonsense".to_owned()]);
    let strategy = ChainOfThought::<Review>::new().with_lm(lm).with_recovery(Recovery::NONE);
    assert!(strategy.call("a lamp").await.is_err());
    assert_eq!(script.requests().len(), 1);
}

#[tokio::test]
async fn a_prediction_can_be_changed_by_something_that_fails() {
    let (lm, _) = scripted(&[reply("Good", "4", "1")]);
    let prediction = Predict::<Review>::new().with_lm(lm).call("a lamp").await.unwrap();
    let usage = prediction.usage();
    let mapped = prediction.clone().try_map(|output| i8::try_from(output.stars)).unwrap();
    assert_eq!((*mapped, mapped.usage()), (4, usage));
    assert_eq!(prediction.try_map(|_| Err::<(), _>("no")).unwrap_err(), "no");
}
