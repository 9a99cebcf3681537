//! Requests over loopback HTTP, for an instruction counter: clocks of shared machines say too little.
//!
//! `valgrind --tool=callgrind --separate-threads=yes target/release/examples/over_http lm 64 1920` and the same with
//! `bare`, each once more with a third of the requests: the difference of the totals of thread 1 over the difference of
//! the requests is what one request costs the client. The kernel's work is not counted.
//!
//! Arguments: `lm` or `bare`, requests in flight, requests.
#![allow(clippy::unwrap_used, reason = "a measurement that cannot run should say so loudly")]

use dspy::lm::{Endpoint, Message, Request};
use serde_json::{Value, json};
use tokio::task::JoinSet;

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [which, flight, requests] = arguments.as_slice() else {
        eprintln!("usage: over_http lm|bare IN_FLIGHT REQUESTS");
        return;
    };
    let (flight, requests): (usize, usize) = (flight.parse().unwrap(), requests.parse().unwrap());
    let url = dspy_benches::start_server("Paris");
    let lm = Endpoint::new(format!("{url}/v1")).model("bench").unwrap();
    let client = dspy_benches::bare_client();
    let messages =
        [Message::system("Answer in a few words. ".repeat(25)), Message::user("Capital of France?")];
    for _ in 0..requests / flight {
        let mut tasks = JoinSet::new();
        for _ in 0..flight {
            let (lm, client, messages, url) = (lm.clone(), client.clone(), messages.clone(), url.clone());
            if which == "lm" {
                tasks.spawn(async move {
                    let response = lm.complete(Request::new(messages.to_vec())).await.unwrap();
                    assert_eq!(response.completions[0].text, "Paris");
                });
            } else {
                tasks.spawn(async move {
                    let turn = |m: &Message| json!({"role": m.role.as_str(), "content": m.text()});
                    let body =
                        json!({"model": "bench", "messages": messages.iter().map(turn).collect::<Vec<_>>()});
                    let post = client.post(format!("{url}/v1/chat/completions")).json(&body);
                    let reply: Value = post.send().await.unwrap().json().await.unwrap();
                    assert_eq!(reply["choices"][0]["message"]["content"], "Paris");
                });
            }
        }
        while let Some(done) = tasks.join_next().await {
            done.unwrap();
        }
    }
}
