//! Many calls at a time.

use std::time::Duration;

use dspy_core::lm::{Lm, ScriptedLm};

use crate::endpoint;
use crate::support::{Server, chat};

/// How many calls are under way together.
const CALLS: usize = 10_000;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_thousand_calls_to_one_endpoint() {
    let server = Server::start(|_, seen| chat(seen.json()["messages"][0]["content"].as_str().unwrap())).await;
    // Each connection takes two files of this process, which also serves.
    let lm = endpoint(&server.url()).max_concurrent(64).deadline(Duration::from_mins(5)).model("m").unwrap();
    let calls = (0..CALLS)
        .map(async |number| assert_eq!(lm.ask(number.to_string()).await.unwrap(), number.to_string()));
    futures_util::future::join_all(calls).await;
    assert_eq!(server.seen().len(), CALLS);
}

#[tokio::test]
async fn ten_thousand_calls_in_process() {
    let lm = Lm::custom(ScriptedLm::from_fn(|request| request.messages[0].text().into_owned()));
    let calls = (0..CALLS)
        .map(async |number| assert_eq!(lm.ask(number.to_string()).await.unwrap(), number.to_string()));
    futures_util::future::join_all(calls).await;
}
