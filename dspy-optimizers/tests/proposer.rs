//! The default proposer: what it shows to the model, and what it makes of the replies.

#![expect(clippy::unwrap_used, reason = "in tests a panic is the report")]

use std::sync::Arc;

use dspy_core::lm::{Lm, LmError, LmErrorKind, Reply, ScriptedLm};
use dspy_core::predict::DynPredict;
use dspy_core::program::HasPredictors as _;
use dspy_core::signature::Values;
use dspy_optimizers::Component;
use dspy_optimizers::proposer::{
    AdviceRequest, GroundingRequest, Proposer, Record, ScoredText, SharedProposer, TextProposer as _,
    TextRequest, describe_program, describe_signature,
};

fn predict() -> DynPredict {
    DynPredict::new("text -> mood: Literal['good', 'bad']".parse().unwrap())
}

fn values(pairs: &[(&str, &str)]) -> Values {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).into())).collect()
}

fn reply(field: &str, text: &str) -> Reply {
    format!("[[ ## {field} ## ]]\n{text}\n\n[[ ## completed ## ]]").into()
}

/// A proposer with a model that gives these replies, and the model.
fn proposer(replies: Vec<Reply>) -> (Proposer, Arc<ScriptedLm>) {
    let model = Arc::new(ScriptedLm::new(replies));
    (Proposer::new().with_lm(Lm::shared(model.clone())), model)
}

fn request() -> TextRequest {
    TextRequest::new(Component::instruction("self"), predict().predictor().spec().clone(), "Feel.")
}

/// The last message of each request.
fn prompts(model: &ScriptedLm) -> Vec<String> {
    model.requests().iter().map(|request| request.messages.last().unwrap().text().into_owned()).collect()
}

#[tokio::test]
async fn material_that_is_not_given_is_not_shown() {
    let (proposer, model) = proposer(vec![reply("instruction", "\"Say how it feels.\"")]);
    let mut request = request();
    request.tip = Some("Be brief.".into());
    assert_eq!(proposer.propose(request).await.unwrap(), ["Say how it feels."]);
    let prompt = &prompts(&model)[0];
    for shown in ["Be brief.", "- text (string)", "Feel.", "- mood ("] {
        assert!(prompt.contains(shown), "{shown}: {prompt}");
    }
    for hidden in ["dataset_summary", "attempts", "examples"] {
        assert!(!prompt.contains(&format!("[[ ## {hidden} ## ]]")), "{hidden}: {prompt}");
    }
}

#[tokio::test]
async fn several_texts_are_samples_of_their_own() {
    let replies = ["One.", "[[ ## instruction ## ]]", "Three."].map(|text| reply("instruction", text));
    let (proposer, model) = proposer(replies.into());
    let mut request = request();
    (request.count, request.sample, request.temperature) = (3, 2, Some(1.4));
    request.history = vec![ScoredText { text: "Guess.".into(), score: 0.25 }];
    // A reply without a text is one proposal less.
    assert_eq!(proposer.propose(request).await.unwrap(), ["One.", "Three."]);
    let requests = model.requests();
    let rollouts: Vec<_> = requests.iter().map(|request| request.rollout).collect();
    assert_eq!(rollouts, [Some(2000), Some(2001), Some(2002)]);
    assert!(requests.iter().all(|request| request.params.temperature == Some(1.4)));
    assert!(prompts(&model)[0].contains("# Attempt 1\n## Instruction\nGuess.\n## Score\n0.25"));
}

#[tokio::test]
async fn feedback_leads_to_a_revision() {
    let (proposer, model) = proposer(vec![reply("revised_text", "```\nRain is bad.\n```")]);
    let mut request = request();
    let mut record = Record::default();
    record.inputs = values(&[("text", "rain")]);
    record.outputs = values(&[("mood", "good")]);
    record.score = Some(0.0);
    record.feedback = Some("Rain is bad.".into());
    request.records = vec![record];
    assert_eq!(proposer.propose(request).await.unwrap(), ["Rain is bad."]);
    let prompt = &prompts(&model)[0];
    assert!(
        prompt.contains("## Feedback\nRain is bad.") && prompt.contains("The instruction of the task."),
        "{prompt}"
    );
}

#[tokio::test]
async fn runs_are_summed_up_and_the_advice_is_shown() {
    let (proposer, model) =
        proposer(vec![reply("advice", "Name the animal."), reply("revised_text", "Better.")]);
    let mut record = Record::default();
    record.inputs = values(&[("text", "rain")]);
    record.score = Some(0.25);
    record.feedback = Some("Rain is bad.".into());
    let mut runs = AdviceRequest::new(describe_program(&predict()), vec![record.clone()]);
    runs.earlier = Some("Be brief.".into());
    assert_eq!(proposer.advise(runs).await.unwrap().as_deref(), Some("Name the animal."));
    assert_eq!(proposer.advise(AdviceRequest::new("", Vec::new())).await.unwrap(), None, "nothing to sum up");
    let mut request = request();
    request.records = vec![record];
    request.advice = Some("Name the animal.".into());
    assert_eq!(proposer.propose(request).await.unwrap(), ["Better."]);
    let prompts = prompts(&model);
    for shown in ["Step `self`", "[[ ## earlier_advice ## ]]\nBe brief.", "## Score\n0.25", "Rain is bad."] {
        assert!(prompts[0].contains(shown), "{shown}: {}", prompts[0]);
    }
    assert!(prompts[1].contains("[[ ## advice ## ]]\nName the animal."), "{}", prompts[1]);
}

#[tokio::test]
async fn grounding_describes_the_data_and_the_program() {
    let replies = vec![
        reply("observations", "Short texts."),
        reply("observations", "COMPLETE"),
        reply("summary", "Short texts about weather."),
        reply("description", "It classifies."),
        reply("description", "It finds the mood."),
    ];
    let (proposer, model) = proposer(replies);
    let mut request = GroundingRequest::new();
    request.examples = vec![values(&[("text", "rain"), ("mood", "bad")]); 3];
    request.batch = 2;
    request.program = Some(describe_program(&predict()));
    request.modules = vec![("self".into(), describe_signature(predict().predictor().spec()))];
    let grounding = proposer.ground(request).await.unwrap();
    assert_eq!(grounding.dataset.as_deref(), Some("Short texts about weather."));
    assert_eq!(grounding.program.as_deref(), Some("It classifies."));
    assert_eq!(grounding.modules["self"], "It finds the mood.");
    let prompts = prompts(&model);
    assert!(prompts[1].contains("[[ ## earlier_notes ## ]]\nShort texts."), "{}", prompts[1]);
    assert!(prompts[4].contains("Step `self`"), "{}", prompts[4]);
    let mut grounded = self::request();
    grounded.grounding = grounding;
    assert_eq!(model.unused(), 0);
}

#[tokio::test]
async fn an_outage_is_an_error_and_nonsense_is_no_text() {
    let outage = LmError::new(LmErrorKind::Transport, "scripted", "no route");
    let (proposer, _) = self::proposer(vec![reply("instruction", "One."), outage.into()]);
    let mut request = request();
    request.count = 2;
    assert!(proposer.propose(request).await.unwrap_err().is_outage());

    let (proposer, _) = self::proposer(vec![reply("instruction", &"long ".repeat(20_000))]);
    assert_eq!(proposer.propose(self::request()).await.unwrap(), Vec::<String>::new());
}

#[tokio::test]
async fn what_determines_the_texts_is_its_identity() {
    let identity = |change: &dyn Fn(&mut Proposer)| {
        let (mut proposer, _) = proposer(Vec::new());
        change(&mut proposer);
        SharedProposer::new(proposer).identity()
    };
    let same = identity(&|_| {});
    assert_eq!(same, identity(&|_| {}));
    let french = |proposer: &mut Proposer| {
        proposer.for_each_predictor(|path, predictor| {
            if path == "instruct" {
                predictor.set_instruction("Write it in French.");
            }
        });
    };
    assert_ne!(same, identity(&french));
}
