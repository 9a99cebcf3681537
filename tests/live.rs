//! A real model, for those who have a key: `DSPY_LIVE_MODEL=openai/… cargo test --test live`.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "in tests a panic is the report")]

use dspy::prelude::*;

/// Judge whether each claim is true.
#[signature]
struct FactCheck {
    /// Statements to verify, one sentence each.
    #[input]
    claims: Vec<String>,
    /// One verdict per claim, in the same order.
    #[output]
    verdicts: Vec<bool>,
}

#[tokio::test]
async fn a_real_model_gives_typed_answers() {
    let Ok(model) = std::env::var("DSPY_LIVE_MODEL") else {
        println!("skipped: DSPY_LIVE_MODEL is not set");
        return;
    };
    let lm = Lm::new(&model).unwrap();
    let claims = vec!["Paris is in France.".to_string(), "Two and two is five.".to_string()];
    let chat = ChainOfThought::<FactCheck>::new().with_lm(lm.clone());
    let answer = chat.call(claims.clone()).await.unwrap();
    assert_eq!(answer.verdicts, [true, false], "{:?}", answer.completions());
    assert!(answer.reasoning().is_some() && answer.usage().total_tokens() > 0);

    let json = Predict::<FactCheck>::new().with_lm(lm).with_adapter(dspy::adapter::JsonAdapter);
    assert_eq!(json.call(claims).await.unwrap().verdicts, [true, false]);
}
