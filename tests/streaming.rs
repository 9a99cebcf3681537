//! Typed outputs while they arrive, and programs that tell what happens in them.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "in tests a panic is the report")]

use std::sync::Arc;

use dspy::adapter::{ChatAdapter, JsonAdapter, ParseErrorKind, XmlAdapter};
use dspy::lm::{Reply, ScriptedLm};
use dspy::prelude::*;
use dspy::program::{EventKind, Recovery, status};
use dspy::signature::FieldUpdate;

/// Review the product.
#[signature]
struct Review {
    #[input]
    product: String,
    #[output]
    verdict: String,
    /// Stars from 1 to 5.
    #[output]
    #[check(self.stars >= 1 && self.stars <= 5, "between 1 and 5 stars")]
    stars: u8,
    #[output]
    tags: Vec<String>,
}

const GOOD: &str = "[[ ## verdict ## ]]\nWell made, and it lasts.\n\n[[ ## stars ## ]]\n5\n\n[[ ## tags ## ]]\n\
                    [\"solid\", \"cheap\"]\n\n[[ ## completed ## ]]\n";

fn scripted(replies: &[&str]) -> (Lm, Arc<ScriptedLm>) {
    let script = Arc::new(ScriptedLm::new(replies.iter().copied()));
    (Lm::shared(script.clone()), script)
}

#[tokio::test]
async fn fields_go_from_pending_to_complete() {
    let (lm, script) = scripted(&[GOOD]);
    let mut stream = Predict::<Review>::new().with_lm(lm).stream("a lamp");
    assert!(script.requests().is_empty(), "nothing is sent before the stream is asked");
    let (mut verdicts, mut tags, mut stars) = (Vec::new(), Vec::new(), Vec::new());
    while let Some(partial) = stream.next().await {
        verdicts.push(partial.verdict.clone());
        tags.push(partial.tags.clone());
        stars.push(partial.stars.clone());
    }
    let shown: Vec<&String> = verdicts.iter().filter_map(FieldState::value).collect();
    assert!(
        shown.len() > 2 && shown.windows(2).all(|pair| pair[1].starts_with(pair[0].as_str())),
        "{shown:?}"
    );
    assert!(
        matches!(&verdicts[0], FieldState::Incomplete(text) if "Well made, and it lasts.".starts_with(text))
    );
    assert!(
        tags.iter().any(|tags| matches!(tags, FieldState::Incomplete(tags) if tags.len() == 1)),
        "{tags:?}"
    );
    assert!(!stars.iter().any(|stars| matches!(stars, FieldState::Incomplete(_))), "half a number was shown");
    assert_eq!(stream.partial().stars, FieldState::Complete(5));
    assert_eq!(stream.attempt(), 1);
    let review = stream.finish().await.unwrap();
    assert_eq!(
        (review.verdict.as_str(), review.stars, review.tags.len()),
        ("Well made, and it lasts.", 5, 2)
    );
    assert!(review.usage().completion_tokens > 0);
}

#[tokio::test]
async fn every_text_adapter_streams() {
    let json = r#"{"verdict": "Fine and good.", "stars": 4, "tags": ["a", "b"]}"#;
    let xml = "<verdict>Fine &amp; good.</verdict>\n<stars>4</stars>\n<tags>[\"a\", \"b\"]</tags>";
    let chat = GOOD.replace('5', "4");
    for (predict, reply) in [
        (Predict::<Review>::new().with_adapter(ChatAdapter), chat.as_str()),
        (Predict::<Review>::new().with_adapter(JsonAdapter), json),
        (Predict::<Review>::new().with_adapter(XmlAdapter), xml),
    ] {
        let lm = Lm::custom(ScriptedLm::new([reply]).with_pieces_of(3));
        let mut stream = predict.with_lm(lm).stream("a lamp");
        let mut texts = 0;
        while let Some(partial) = stream.next().await {
            texts += usize::from(matches!(partial.verdict, FieldState::Incomplete(_)));
        }
        assert!(texts > 1, "{reply}");
        assert!(stream.partial().verdict.is_complete() && stream.partial().tags.is_complete(), "{reply}");
        assert_eq!(stream.finish().await.unwrap().stars, 4);
    }
}

#[tokio::test]
async fn reasoning_comes_first() {
    let reply = "[[ ## reasoning ## ]]\nLamps are lamps.\n\n[[ ## answer ## ]]\nyes";
    let (lm, _) = scripted(&[reply]);
    let mut stream = dspy::chain_of_thought!("question -> answer").with_lm(lm).stream("Is it a lamp?");
    let mut before_the_answer = String::new();
    while let Some(partial) = stream.next().await {
        if partial.answer.value().is_none() {
            before_the_answer = stream.reasoning().to_owned();
        }
    }
    assert_eq!(before_the_answer, "Lamps are lamps.");
    assert_eq!(stream.finish().await.unwrap().reasoning(), Some("Lamps are lamps."));
}

#[tokio::test]
async fn a_refused_reply_starts_anew() {
    let bad = GOOD.replace('5', "6");
    let (lm, script) = scripted(&[&bad, GOOD]);
    let mut stream = Predict::<Review>::new().with_lm(lm).stream("a lamp");
    let mut states = Vec::new();
    while let Some(partial) = stream.next().await {
        states.push((partial.stars.value().copied(), partial.verdict.value().is_some()));
    }
    // All was shown, then nothing, then all again.
    let restart = states.iter().position(|state| *state == (None, false)).unwrap();
    assert_eq!(states[restart - 1], (Some(6), true));
    assert_eq!((stream.attempt(), script.requests().len()), (2, 2));
    let review = stream.finish().await.unwrap();
    assert_eq!(review.stars, 5);
    let attempts = review.attempts();
    assert_eq!(attempts[0].error().unwrap().kind, ParseErrorKind::Check);
    assert!(attempts[0].usage().is_some() && attempts[1].error().is_none());
    let spent: u64 = attempts.iter().filter_map(|attempt| Some(attempt.usage()?.total_tokens())).sum();
    assert_eq!(review.usage().total_tokens(), spent);
}

#[tokio::test]
async fn a_restart_is_reported_only_if_a_request_follows() {
    let bad = GOOD.replace('5', "6");
    for reprompts in 0..=1 {
        let recovery = Recovery::NONE.reprompts(reprompts);
        let (lm, script) = scripted(&[&bad, &bad, &bad, &bad]);
        let predict = Predict::<Review>::new().with_lm(lm).with_recovery(recovery);
        let mut events = predict.events("a lamp");
        let mut restarts = 0;
        while let Some(event) = events.next().await {
            restarts += u32::from(matches!(event.kind, EventKind::Restarted { .. }));
        }
        let error = events.finish().await.unwrap_err();
        assert_eq!(error.as_parse().unwrap().kind, ParseErrorKind::Check);
        assert_eq!((restarts, script.requests().len()), (reprompts, 1 + reprompts as usize));

        // The typed outputs of the last reply stay as they were shown.
        let mut stream = predict.stream("a lamp");
        while stream.next().await.is_some() {}
        assert_eq!((stream.attempt(), &stream.partial().stars), (1 + reprompts, &FieldState::Complete(6)));
        assert!(stream.finish().await.is_err());
    }
}

#[tokio::test]
async fn a_failed_check_can_break_a_stream_off() {
    let bad = GOOD.replace('5', "6") + &"blah ".repeat(10_000);
    let (lm, script) = scripted(&[&bad, GOOD]);
    let predict = Predict::<Review>::new().with_lm(lm).with_recovery(Recovery::default().abort_early(true));
    let review = predict.stream("a lamp").finish().await.unwrap();
    assert_eq!(review.stars, 5);
    assert_eq!(review.attempts()[0].usage(), None, "a broken-off stream does not say what it cost");
    let correction = script.requests()[1].messages.clone();
    let said = correction[correction.len() - 2].text().into_owned();
    assert!(said.contains("[[ ## stars ## ]]\n6") && said.len() < 200, "{said}");
    assert!(correction[correction.len() - 1].text().contains("between 1 and 5 stars"));
}

#[tokio::test]
async fn a_field_that_cannot_be_read_can_break_a_stream_off() {
    let bad = GOOD.replace('5', "many") + &"blah ".repeat(10_000);
    let (lm, script) = scripted(&[&bad, GOOD]);
    let predict = Predict::<Review>::new().with_lm(lm).with_recovery(Recovery::default().abort_early(true));
    assert_eq!(predict.stream("a lamp").finish().await.unwrap().stars, 5);
    let said = script.requests()[1].messages[2].text().into_owned();
    assert!(said.len() < 200, "{said}");
}

#[tokio::test]
async fn an_error_ends_the_stream() {
    let (lm, _) = scripted(&["nonsense", "nonsense", "nonsense"]);
    let mut stream = Predict::<Review>::new().with_lm(lm).stream("a lamp");
    while stream.next().await.is_some() {}
    assert!(stream.next().await.is_none());
    let error = stream.finish().await.unwrap_err();
    assert_eq!(error.as_parse().unwrap().earlier.len(), 2);
}

#[tokio::test]
async fn cut_replies_are_asked_for_again_at_a_higher_limit() {
    let script = Arc::new(ScriptedLm::new([
        Reply::Truncated("[[ ## ver".into()),
        Reply::Truncated("[".into()),
        GOOD.into(),
    ]));
    let lm = Lm::shared(script.clone()).max_tokens(100);
    let predict = Predict::<Review>::new().with_lm(lm);
    let patient = predict.clone().with_recovery(Recovery::default().retry_max_tokens(300));
    assert_eq!(patient.call("a lamp").await.unwrap().attempts().len(), 3);
    let limits: Vec<_> = script.requests().iter().map(|request| request.params.max_tokens).collect();
    assert_eq!(limits, [Some(100), Some(200), Some(300)]);
    assert!(script.requests().iter().all(|request| request.messages.len() == 2), "a cut is no wrong answer");

    for (recovery, requests) in [(Recovery::default(), 1), (Recovery::default().retry_max_tokens(150), 2)] {
        let script = Arc::new(ScriptedLm::from_fn(|_| Reply::Truncated("[[ ## ver".into())));
        let predict =
            predict.clone().with_lm(Lm::shared(script.clone()).max_tokens(100)).with_recovery(recovery);
        let error = predict.call("a lamp").await.unwrap_err();
        assert_eq!(error.as_parse().unwrap().kind, ParseErrorKind::Truncated);
        assert_eq!(script.requests().len(), requests);
    }
}

/// Describe it.
#[signature]
struct Describe {
    #[input]
    product: String,
    #[output]
    text: String,
}

#[module]
struct Reviewer {
    describe: Predict<Describe>,
    review: ChainOfThought<Review>,
}

impl Module for Reviewer {
    type Input = ReviewInput;
    type Output = ReviewOutput;
    async fn forward(&self, input: ReviewInput) -> dspy::Result<Prediction<ReviewOutput>> {
        status("describing").await;
        // Work that is spawned belongs to the program.
        let describe = self.describe.clone();
        let product = input.product.clone();
        let described =
            dspy::spawn(async move { describe.call(product).await }).await.map_err(dspy::Error::other)??;
        self.review.call(described.text.clone()).await
    }
}

#[tokio::test]
async fn programs_tell_what_happens() {
    let (lm, _) = scripted(&[
        "[[ ## text ## ]]\nA lamp that shines.",
        &format!("[[ ## reasoning ## ]]\nBright.\n\n{GOOD}"),
    ]);
    let mut program = Reviewer { describe: Predict::new(), review: ChainOfThought::new() };
    program.set_lm(lm);
    let mut stream = program.events("a lamp");
    let (mut story, mut text) = (Vec::new(), String::new());
    while let Some(event) = stream.next().await {
        let source = event.source.to_string();
        match event.kind {
            EventKind::Field(change) => {
                if let FieldUpdate::More(more) = change.update
                    && &*change.field == "verdict"
                {
                    text += &more;
                }
            }
            EventKind::ModuleStarted => story.push(format!("{source} begins")),
            EventKind::ModuleFinished { .. } => story.push(format!("{source} ends")),
            EventKind::Started { .. } => story.push(format!("{source} is asked")),
            EventKind::Finished { outputs, usage } => {
                assert!(usage.total_tokens() > 0);
                story.push(format!(
                    "{source} gave {}",
                    outputs.keys().cloned().collect::<Vec<_>>().join(", ")
                ));
            }
            EventKind::Status(status) => story.push(status),
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(
        story,
        [
            "Reviewer begins",
            "describing",
            "describe is asked",
            "describe gave text",
            "review.predict is asked",
            "review.predict gave reasoning, verdict, stars, tags",
            "Reviewer ends"
        ]
    );
    assert!("Well made, and it lasts.".starts_with(&text) && text.len() > 8, "{text}");
    assert_eq!(stream.finish().await.unwrap().stars, 5);
}

#[tokio::test]
async fn a_stream_keeps_the_settings_of_where_it_was_made() {
    let (lm, _) = scripted(&[GOOD]);
    let predict = Predict::<Review>::new();
    let stream = Settings::from(lm).scope(async { predict.stream("a lamp") }).await;
    // Another task, outside of the scope.
    let review = tokio::spawn(stream.finish()).await.unwrap().unwrap();
    assert_eq!(review.stars, 5);
}

#[tokio::test]
async fn demonstrations_and_the_next_call_know_nothing_of_corrections() {
    let (lm, script) = scripted(&["nonsense", GOOD, GOOD]);
    let predict = Predict::<Review>::new().with_lm(lm);
    predict.call("a lamp").await.unwrap();
    predict.call("a chair").await.unwrap();
    let requests = script.requests();
    assert_eq!(requests[1].messages.len(), 4);
    assert_eq!(requests[2].messages.len(), 2);
    assert!(predict.predictor().demos().is_empty());
}
