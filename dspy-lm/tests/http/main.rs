//! Real models over HTTP, against a server of the tests' own.

#![cfg(feature = "http")]
#![expect(clippy::unwrap_used, reason = "in tests a panic is the report")]

mod addresses;
mod anthropic;
mod caching;
mod chat;
mod combine;
mod conformance;
mod costs;
mod faults;
mod faults_network;
mod gemini;
mod isolation;
mod load;
mod naming;
mod payload;
mod providers;
mod refused;
mod responses;
mod result_media;
mod retries;
mod runtime;
mod secrets;
mod shapes;
mod streaming;
mod tools;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use dspy_lm::Lm;
use dspy_lm::observe::{CallEvent, CallEventKind, CallObserver, Observation, observing};
use dspy_test_server::Server;
use dspy_test_server::protocols::endpoint;

fn lm(server: &Server) -> Lm {
    endpoint(&server.url()).model("m").unwrap()
}

/// What comes of a call, and how often its request was sent again. Not what the server has seen: a request that is given
/// up may never get there.
async fn retries<T>(call: impl Future<Output = T>) -> (T, usize) {
    struct Count(Arc<AtomicUsize>);
    impl CallObserver for Count {
        fn event(&self, event: CallEvent) {
            let retried = matches!(event.kind, CallEventKind::Retried { .. });
            self.0.fetch_add(usize::from(retried), Ordering::SeqCst);
        }
    }
    let count = Arc::new(AtomicUsize::new(0));
    let mut observation = Observation::default();
    observation.observers.push(Arc::new(Count(count.clone())));
    let outcome = observing(observation, call).await;
    (outcome, count.load(Ordering::SeqCst))
}
