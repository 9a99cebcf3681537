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
    let address = listener.local_addr().map_err(dspy::Error::other)?;
    let mut signals = Signals::listen().map_err(dspy::Error::other)?;
    println!("serving {} on http://{address}; stop with Ctrl-C or SIGTERM", lm.id());
    let service = Service::new(lm, Limits::default())?;
    // After a signal the server accepts no connections, and ends once the requests in flight are answered or their time is
    // over. A second signal ends it at once.
    let stop = async move {
        signals.next().await;
        println!("stopping");
        tokio::spawn(async move {
            signals.next().await;
            println!("stopped");
            std::process::exit(1);
        });
    };
    service.serve(listener, stop).await.map_err(dspy::Error::other)
}

/// Ctrl-C, and the signal of service managers and containers.
#[cfg(unix)]
struct Signals([tokio::signal::unix::Signal; 2]);

#[cfg(unix)]
impl Signals {
    fn listen() -> std::io::Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};
        Ok(Signals([signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?]))
    }

    async fn next(&mut self) {
        let [interrupt, terminate] = &mut self.0;
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
    }
}

/// Ctrl-C.
#[cfg(not(unix))]
struct Signals;

#[cfg(not(unix))]
impl Signals {
    fn listen() -> std::io::Result<Self> {
        Ok(Signals)
    }

    async fn next(&mut self) {
        let _ = tokio::signal::ctrl_c().await;
    }
}
