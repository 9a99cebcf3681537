//! A service over typed programs: JSON, streams of typed outputs and of an agent's events, limits for each caller.
//!
//! Run: `cargo run -p dspy-serve-example`, then for example
//! `curl localhost:8080/summary -H 'x-caller: me' -H 'content-type: application/json' -d '{"text": "…"}'`.
//! Needs: nothing. Without a key a function in `lib.rs` answers; with `OPENAI_API_KEY`, … or
//! `DSPY_MODEL=provider/model` that model does. `PORT` sets the port.

use dspy::lm::Lm;
use dspy_serve_example::{Limits, Service, play};
use tokio::net::TcpListener;

#[tokio::main]
async fn main() -> dspy::Result<()> {
    let lm = Lm::from_env()?;
    let lm = if lm.id() == "builtin" { play() } else { lm };
    let port = std::env::var("PORT").ok().and_then(|port| port.parse().ok()).unwrap_or(8080);
    let listener = TcpListener::bind(("127.0.0.1", port)).await.map_err(dspy::Error::other)?;
    println!("serving {} on http://127.0.0.1:{port}; stop with Ctrl-C", lm.id());
    let service = Service::new(lm, Limits::default())?;
    // The server stops to accept connections, and ends once the requests in flight are answered.
    let stop = async {
        let _ = tokio::signal::ctrl_c().await;
        println!("stopping");
    };
    service.serve(listener, stop).await.map_err(dspy::Error::other)
}
