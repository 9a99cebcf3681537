//! The default proposer: what it shows to the model, and what it makes of the replies.

#![expect(clippy::unwrap_used, reason = "in tests a panic is the report")]

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

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

/// A request for the description of ten batches of rows and of a program with two steps.
fn grounding() -> GroundingRequest {
    let mut request = GroundingRequest::new();
    request.examples = vec![values(&[("text", "rain"), ("mood", "bad")]); 20];
    request.batch = 2;
    request.program = Some("A program.".into());
    request.modules = ["one", "two"].map(|path| (path.to_owned(), "- text".to_owned())).into();
    request
}

#[tokio::test]
async fn a_part_of_the_grounding_that_cannot_be_read_is_left_out_and_no_other() {
    let ground = |unreadable: &'static str| {
        let model = ScriptedLm::from_fn(move |request| {
            let system = request.messages[0].text();
            let field = ["summary", "observations", "description"]
                .into_iter()
                .find(|field| system.contains(&format!("`{field}`")))
                .unwrap();
            let text = format!("[[ ## {field} ## ]]\nA {field}.\n\n[[ ## completed ## ]]");
            let asked = request.messages.iter().any(|message| message.text().contains(unreadable));
            if unreadable == field || asked { String::new() } else { text }
        });
        async move { Proposer::new().with_lm(Lm::shared(Arc::new(model))).ground(grounding()).await.unwrap() }
    };
    let whole = ground("(in no message)").await;
    assert!(whole.problems.is_empty() && whole.modules.len() == 2, "{whole:?}");
    let steps = whole.modules.clone();
    for (unreadable, data, program, modules, problem) in [
        ("summary", false, true, 2, "no summary of the data: the proposer failed: "),
        ("observations", false, true, 2, "no notes on some rows: the proposer failed: "),
        ("Step `one`", true, true, 1, "no description of `one`: the proposer failed: "),
        ("description", true, false, 0, "no description of the program: the proposer failed: "),
    ] {
        let part = ground(unreadable).await;
        assert_eq!((part.dataset.is_some(), part.program.is_some()), (data, program), "{part:?}");
        assert_eq!(part.modules.len(), modules, "{part:?}");
        assert!(part.modules.iter().all(|(path, text)| steps[path] == *text));
        assert!(part.problems[0].starts_with(problem), "{:?}", part.problems);
    }
}

#[tokio::test]
async fn only_complete_says_that_there_is_nothing_to_add() {
    for (observed, calls) in [
        ("Complete sentences in all rows.", 11),
        ("COMPLETE", 5),
        ("**Complete.**", 5),
        ("COMPLETE: nothing to add.", 5),
    ] {
        let model = Arc::new(ScriptedLm::from_fn(move |request| {
            let summary = request.messages[0].text().contains("`summary`");
            reply(if summary { "summary" } else { "observations" }, if summary { "Rows." } else { observed })
        }));
        let mut request = grounding();
        request.program = None;
        let grounding = Proposer::new().with_lm(Lm::shared(model.clone())).ground(request).await.unwrap();
        assert_eq!(model.requests().len(), calls, "{observed}");
        assert_eq!(grounding.dataset.is_some(), calls == 11, "{observed}");
    }
}

#[tokio::test]
async fn long_observations_are_shown_in_part() {
    let model = Arc::new(ScriptedLm::from_fn(|request| {
        let summary = request.messages[0].text().contains("`summary`");
        reply(if summary { "summary" } else { "observations" }, &"long ".repeat(1_000))
    }));
    let proposer = Proposer::new().max_shown(2_000).with_lm(Lm::shared(model.clone()));
    let grounding = proposer.ground(grounding()).await.unwrap();
    assert_eq!(grounding.dataset.unwrap().chars().count(), 4_999);
    assert!(prompts(&model).iter().all(|prompt| prompt.chars().count() < 10_000));
}

#[tokio::test]
async fn any_number_of_samples_can_be_wanted() {
    let count = AtomicUsize::new(0);
    let model = Arc::new(ScriptedLm::from_fn(move |_| {
        let call = count.fetch_add(1, Ordering::SeqCst);
        if call < 100 {
            reply("instruction", &format!("Text {call}."))
        } else {
            LmError::new(LmErrorKind::Transport, "scripted", "no route").into()
        }
    }));
    let mut request = request();
    request.count = usize::MAX;
    let error = Proposer::new().with_lm(Lm::shared(model.clone())).propose(request).await.unwrap_err();
    assert!(error.is_outage() && model.requests().len() < 1_000, "{error}");
}
