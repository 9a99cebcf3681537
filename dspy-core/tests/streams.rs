//! What a watcher has seen of a reply and what the reply says as a whole.
#![allow(clippy::unwrap_used, reason = "in tests a panic is the report")]

use dspy_core::adapter::JsonAdapter;
use dspy_core::lm::Lm;
use dspy_core::predict::DynPredict;
use dspy_core::signature::{FieldState, SignatureSpec, Values};
use serde_json::json;

fn input() -> Values {
    Values::from_iter([("q".to_owned(), json!("?"))])
}

/// The attempts with the values that were shown of `name` in each, and the prediction.
async fn watched(reply: &str) -> (Vec<(u32, String)>, Values) {
    let spec: SignatureSpec = "q -> name, n: int".parse().unwrap();
    let predict = DynPredict::new(spec).with_adapter(JsonAdapter).with_lm(Lm::scripted([reply]));
    let mut stream = predict.stream(input());
    let mut shown = Vec::new();
    while stream.next().await.is_some() {
        let name = stream.partial()["name"].value().and_then(|name| name.as_str()).map(str::to_owned);
        shown.extend(name.map(|name| (stream.attempt(), name)));
    }
    let complete = stream.partial().values().all(FieldState::is_complete);
    assert!(complete, "{:?}", stream.partial());
    (shown, stream.finish().await.unwrap().into_output())
}

#[tokio::test]
async fn a_reply_that_means_something_else_as_a_whole_starts_anew() {
    // The quotation mark that is missing behind `x` shows only when the end is there.
    let (shown, outputs) = watched("{\"name\": \"x, \"n\": 4}").await;
    assert_eq!(outputs, Values::from_iter([("name".to_owned(), json!("x")), ("n".to_owned(), json!(4))]));
    let first: Vec<&str> = shown.iter().filter(|(n, _)| *n == 1).map(|(_, name)| name.as_str()).collect();
    assert!(first.iter().any(|name| !"x".starts_with(name)), "{first:?}");
    assert!(shown.iter().filter(|(n, _)| *n == 2).all(|(_, name)| name == "x"), "{shown:?}");
    assert_eq!(shown.last().unwrap(), &(2, "x".to_owned()));
}

#[tokio::test]
async fn a_reply_that_grows_to_its_end_does_not() {
    let (shown, outputs) = watched("{\"name\": \"a longer name\", \"n\": 4}").await;
    assert_eq!(outputs["name"], "a longer name");
    assert!(
        shown.iter().all(|(attempt, name)| *attempt == 1 && "a longer name".starts_with(name)),
        "{shown:?}"
    );
}
