//! Real models over HTTP, against a server of the tests' own.

#![cfg(feature = "http")]
#![expect(clippy::unwrap_used, reason = "in tests a panic is the report")]

mod echoes;
mod ends;
mod finetune;
mod formats;
mod limits;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use dspy_core::lm::Lm;
use dspy_core::program::{Event, EventKind, Settings};
use dspy_test_server::Server;
use dspy_test_server::protocols::endpoint;

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
