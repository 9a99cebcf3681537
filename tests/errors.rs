//! What a `main` shows that returns an error.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "in tests a panic is the report")]

use std::fmt::Debug;

use dspy::lm::{Budget, LmError, LmErrorKind};
use dspy::optimizers::BootstrapFewShot;
use dspy::prelude::*;

/// Answer.
#[signature]
#[derive(Clone, Debug)]
struct Qa {
    #[input]
    question: String,
    #[output]
    answer: i64,
}

/// As Rust shows it after `Error: `.
fn shown(error: &impl Debug) -> String {
    format!("{error:?}")
}

#[tokio::test]
async fn main_shows_errors_in_words() {
    let qa = Predict::<Qa>::new();
    assert!(shown(&qa.call("?").await.unwrap_err()).starts_with("no language model is configured; "));

    let qa = qa.with_lm(Lm::scripted(["no", "nope", "never"]));
    let error = qa.call("?").await.unwrap_err();
    assert_eq!(shown(&error), error.to_string());
    assert!(shown(&error).contains("(1) chat adapter") && shown(&error).contains("(3) json adapter"));
    let parts = format!("{error:#?}");
    assert!(parts.starts_with("Parse(\n") && parts.contains("reply: \"nope\""), "{parts}");

    let qa = qa.with_lm(Lm::scripted(["no"]));
    let error = qa.call("?").await.unwrap_err();
    assert!(
        shown(&error).contains("; and re-prompting failed: scripted: the script has no more replies"),
        "{error:?}"
    );
    assert_eq!(shown(&error).matches("no more replies").count(), 1, "sources are not shown twice: {error:?}");

    let spent = Budget::calls(0).scope(qa.call("?")).await.unwrap_err();
    assert!(shown(&spent).starts_with("scripted: the budget is exhausted: the limit of calls is reached"));

    let refused = LmError::new(LmErrorKind::Auth, "m", "who are you?");
    assert_eq!(shown(&refused), "m: the key was refused: who are you?");
    assert!(format!("{refused:#?}").contains("kind: Auth"));
}

#[tokio::test]
async fn main_shows_what_a_program_wraps() {
    #[derive(Debug)]
    struct Step(std::io::Error);
    impl std::fmt::Display for Step {
        fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str("the second step failed")
        }
    }
    impl std::error::Error for Step {
        fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
            Some(&self.0)
        }
    }
    let error = dspy::Error::other(Step(std::io::Error::other("the disk is full")));
    assert_eq!(shown(&error), "the second step failed\ncaused by: the disk is full");

    // Through `?` of functions that return any error.
    let boxed: Box<dyn std::error::Error + Send + Sync> = error.into_box();
    assert_eq!(format!("{boxed:?}"), "the second step failed\ncaused by: the disk is full");

    let qa = Predict::<Qa>::new();
    let rows = [Qa { question: "1 + 1?".into(), answer: 2 }];
    let metric = |row: &Qa, output: &QaOutput| row.answer == output.answer;
    let error = Evaluate::new(metric).run(&qa, &rows).await.unwrap_err();
    assert!(
        shown(&error).starts_with("none of the 1 items could be evaluated: the program failed: no language")
    );
    let optimizer = BootstrapFewShot::builder().metric(metric).build();
    let error = optimizer.compile(qa.clone(), rows).await.unwrap_err();
    assert!(shown(&error).starts_with("the program failed: no language model"), "{error:?}");
    let error: dspy::Error = error.into();
    assert!(shown(&error).starts_with("the program failed: no language model"), "{error:?}");

    let missing = qa.load("there/is/no/such.json").err().unwrap();
    assert!(shown(&missing).starts_with("saved program `there/is/no/such.json`: "), "{missing:?}");
    let missing = dspy::data::read_jsonl::<Qa>("there/is/no/such.jsonl").err().unwrap();
    assert!(shown(&missing).contains("there/is/no/such.jsonl"), "{missing:?}");
    assert!(!shown(&missing).contains("Io {"), "{missing:?}");
}
