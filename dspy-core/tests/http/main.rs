//! Real models over HTTP, against a server of the tests' own.

#![cfg(feature = "http")]
#![expect(clippy::unwrap_used, reason = "in tests a panic is the report")]

#[path = "../support/mod.rs"]
mod support;

mod addresses;
mod anthropic;
mod caching;
mod combine;
mod costs;
mod echoes;
mod ends;
mod faults;
mod faults_network;
mod finetune;
mod formats;
mod gemini;
mod isolation;
mod limits;
mod load;
mod naming;
mod payload;
mod protocols;
mod providers;
mod refused;
mod responses;
mod retries;
mod runtime;
mod secrets;
mod shapes;
mod streaming;
mod tools;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use dspy_core::lm::{Endpoint, Lm};
use dspy_core::program::{Event, EventKind, Settings};
use support::Server;

/// An endpoint that hardly waits between attempts.
fn endpoint(url: &str) -> Endpoint {
    Endpoint::new(url).backoff(Duration::from_millis(1), Duration::from_millis(2))
}

fn lm(server: &Server) -> Lm {
    endpoint(&server.url()).model("m").unwrap()
}

/// What comes of a call, and how often its request was sent again. Not what the server has seen: a request that is given
/// up may never get there.
async fn retries<T>(call: impl Future<Output = T>) -> (T, usize) {
    let count = Arc::new(AtomicUsize::new(0));
    let retries = count.clone();
    let settings = Settings::new().observe(move |event: &Event| {
        retries.fetch_add(usize::from(matches!(event.kind, EventKind::LmRetried { .. })), Ordering::SeqCst);
    });
    let outcome = settings.scope(call).await;
    (outcome, count.load(Ordering::SeqCst))
}
