//! Many calls at a time.

use std::time::Duration;

use dspy_lm::{Lm, ScriptedLm};
use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;

use crate::endpoint;
use dspy_test_server::{Server, chat};

/// How many calls are under way together.
const CALLS: usize = 10_000;

/// All wait at one endpoint; the first thousand are answered, in order, and the others given up. With `DSPY_SOAK` set
/// all are answered.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_thousand_calls_to_one_endpoint() {
    let answered = if std::env::var_os("DSPY_SOAK").is_some() { CALLS } else { 1_000 };
    let server = Server::start(|_, seen| chat(seen.json()["messages"][0]["content"].as_str().unwrap())).await;
    // Each connection takes two files of this process, which also serves.
    let lm = endpoint(&server.url()).max_concurrent(32).deadline(Duration::from_mins(5)).model("m").unwrap();
    let calls = (0..CALLS).map(async |number| {
        assert_eq!(lm.ask(number.to_string()).await.unwrap(), number.to_string());
        number
    });
    let first: Vec<usize> = calls.collect::<FuturesUnordered<_>>().take(answered).collect().await;
    assert!(first.into_iter().all(|number| number < answered + 32), "who came first is served first");
    assert!((answered..=answered + 32).contains(&server.seen().len()));
    // Those that were given up have left the queue.
    assert_eq!(lm.ask("late").await.unwrap(), "late");
}

#[tokio::test]
async fn ten_thousand_calls_in_process() {
    let lm = Lm::custom(ScriptedLm::from_fn(|request| request.messages[0].text().into_owned()));
    let calls = (0..CALLS)
        .map(async |number| assert_eq!(lm.ask(number.to_string()).await.unwrap(), number.to_string()));
    futures_util::future::join_all(calls).await;
}
