//! Counts per model: calls, failures, tokens, cost and time.

mod histogram;
mod prometheus;
mod snapshot;

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use histogram::Histogram;
pub use histogram::Times;
pub use snapshot::{MetricsSnapshot, ModelMetrics};

use super::observer::{Observer, bridged};
use crate::lm::{Layer, Lm, LmErrorKind, LmFuture, Next, Request, Response, Usage};
use crate::locks::MutexExt as _;
use crate::observe::{Event, EventKind};
use dspy_lm::internal::layer_call;

/// The largest number of models that are counted separately; further ones are counted under `other`.
const MODELS: usize = 256;

/// Counters of the calls, failures, tokens, cost and time of each model.
///
/// Set it for the process or a scope with [`Settings::observe`](crate::program::Settings::observe), or bind
/// it to a handle with [`Lm::layer`]. Clones share their counts. Memory use is about 10 KiB per model; at
/// most 256 models are counted separately, further ones together as `other`.
///
/// ```
/// use dspy_core::lm::Lm;
/// use dspy_core::observe::Metrics;
///
/// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
/// let metrics = Metrics::new();
/// let lm = Lm::scripted(["Paris"]).layer(metrics.clone());
/// lm.ask("Capital of France?").await?;
/// let snapshot = metrics.snapshot();
/// assert_eq!(snapshot.models["scripted"].calls, 1);
/// println!("{snapshot}");
/// # Ok::<(), dspy_core::lm::LmError>(()) }).unwrap();
/// ```
#[derive(Clone, Default)]
pub struct Metrics(Arc<Mutex<HashMap<Arc<str>, Counts>>>);

/// The counts of one model.
#[derive(Debug, Default)]
struct Counts {
    calls: u64,
    cached: u64,
    cancelled: u64,
    retries: u64,
    in_flight: u64,
    errors: HashMap<LmErrorKind, u64>,
    usage: Usage,
    cost: f64,
    unpriced: u64,
    duration: Histogram,
    first_token: Histogram,
}

impl Metrics {
    /// Creates counters at zero.
    pub fn new() -> Self {
        Self::default()
    }

    /// Returns the counts at this moment.
    pub fn snapshot(&self) -> MetricsSnapshot {
        let counts = self.0.lock_any();
        MetricsSnapshot::new(counts.iter().map(|(model, counts)| (model.to_string(), counts.metrics())))
    }

    /// Returns the counts in the text format of Prometheus, times as histograms in seconds.
    pub fn prometheus(&self) -> String {
        let counts = self.0.lock_any();
        prometheus::text(&counts)
    }

    /// Resets the counts to zero; calls in flight stay counted.
    pub fn reset(&self) {
        let mut counts = self.0.lock_any();
        counts.retain(|_, counts| {
            *counts = Counts { in_flight: counts.in_flight, ..Counts::default() };
            counts.in_flight > 0
        });
    }

    fn count(&self, model: &Arc<str>, change: impl FnOnce(&mut Counts)) {
        let mut counts = self.0.lock_any();
        let room = counts.len() < MODELS;
        let counts = match counts.get_mut(model) {
            Some(counts) => counts,
            None if room => counts.entry(model.clone()).or_default(),
            None => counts.entry("other".into()).or_default(),
        };
        change(counts);
    }
}

impl Counts {
    fn ended(&mut self) {
        self.in_flight = self.in_flight.saturating_sub(1);
    }

    fn finished(&mut self, response: &Response, elapsed: Duration, first: Option<Duration>) {
        self.calls += 1;
        if response.cached {
            self.cached += 1;
            return;
        }
        self.duration.record(elapsed);
        if let Some(first) = first {
            self.first_token.record(first);
        }
        self.usage += response.usage;
        match response.usage.cost_usd {
            Some(cost) => self.cost += cost,
            None => self.unpriced += 1,
        }
    }
}

impl Observer for Metrics {
    fn event(&self, event: &Event) {
        match &event.kind {
            EventKind::LmStarted { call } => self.count(&call.model, |counts| counts.in_flight += 1),
            EventKind::LmRetried { call, .. } => self.count(&call.model, |counts| counts.retries += 1),
            EventKind::LmFinished { call, response, first_token, .. } => self.count(&call.model, |counts| {
                counts.ended();
                counts.finished(response, event.elapsed, *first_token);
            }),
            EventKind::LmFailed { call, error, .. } => self.count(&call.model, |counts| {
                counts.ended();
                counts.calls += 1;
                counts.duration.record(event.elapsed);
                *counts.errors.entry(error.kind).or_default() += 1;
            }),
            EventKind::LmCancelled { call } => self.count(&call.model, |counts| {
                counts.ended();
                counts.cancelled += 1;
            }),
            _ => {}
        }
    }
}

impl Layer for Metrics {
    fn call<'a>(&'a self, lm: &'a Lm, request: &'a Request, next: Next<'a>) -> LmFuture<'a> {
        layer_call(bridged(Arc::new(self.clone())), lm, request, next)
    }
}

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let counts = self.0.lock_any();
        f.debug_struct("Metrics").field("models", &counts.len()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use futures_util::FutureExt as _;

    use super::*;
    use crate::lm::LanguageModel;
    use crate::lm::LmError;

    /// A model that answers, fails, answers from a cache, and never answers, in turn.
    struct Moody(AtomicU32);

    impl LanguageModel for Moody {
        fn id(&self) -> &'static str {
            "moody"
        }

        fn complete<'a>(&'a self, _: &'a Request) -> LmFuture<'a> {
            let usage = Usage::tokens(100, 10).at_cost(0.5);
            let mut response = Response::text("yes").with_usage(usage);
            match self.0.fetch_add(1, Ordering::Relaxed) {
                0 => Box::pin(async move { Ok(response) }),
                1 => Box::pin(async { Err(LmError::new(LmErrorKind::RateLimit, "moody", "no")) }),
                2 => {
                    response.cached = true;
                    Box::pin(async move { Ok(response) })
                }
                _ => Box::pin(std::future::pending()),
            }
        }
    }

    #[tokio::test]
    async fn what_happens_is_counted() {
        let metrics = Metrics::new();
        let lm = Lm::custom(Moody(AtomicU32::new(0))).layer(metrics.clone());
        lm.ask("1").await.unwrap();
        lm.ask("2").await.unwrap_err();
        lm.ask("3").await.unwrap();
        let mut pending = Box::pin(lm.ask("4"));
        assert!(pending.as_mut().now_or_never().is_none());
        assert_eq!(metrics.snapshot().models["moody"].in_flight, 1);
        drop(pending);

        let snapshot = metrics.snapshot();
        let counts = &snapshot.models["moody"];
        assert_eq!((counts.calls, counts.cached, counts.cancelled, counts.in_flight), (3, 1, 1, 0));
        assert_eq!(counts.errors["rate_limit"], 1);
        assert_eq!((counts.usage.total_tokens(), counts.cost_usd, counts.unpriced), (110, 0.5, 0));
        assert_eq!(counts.duration.count, 2);
        let json = serde_json::to_string(&snapshot).unwrap();
        assert_eq!(serde_json::from_str::<MetricsSnapshot>(&json).unwrap(), snapshot);
        let table = snapshot.to_string();
        assert!(table.lines().nth(1).unwrap().starts_with("moody      3"), "{table}");

        let text = metrics.prometheus();
        for line in [
            "# TYPE dspy_lm_calls_total counter",
            "dspy_lm_calls_total{model=\"moody\"} 3",
            "dspy_lm_errors_total{model=\"moody\",error_type=\"rate_limit\"} 1",
            "dspy_lm_tokens_total{model=\"moody\",type=\"input\"} 100",
            "dspy_lm_duration_seconds_bucket{model=\"moody\",le=\"+Inf\"} 2",
        ] {
            assert!(text.lines().any(|found| found == line), "{line} in\n{text}");
        }
        metrics.reset();
        assert!(metrics.snapshot().models.is_empty());
    }

    #[test]
    fn many_models_are_counted_together() {
        let metrics = Metrics::new();
        for index in 0..1_000 {
            metrics.count(&index.to_string().into(), |counts| counts.calls += 1);
        }
        let snapshot = metrics.snapshot();
        assert_eq!(snapshot.models.len(), MODELS + 1);
        assert_eq!(snapshot.models.values().map(|counts| counts.calls).sum::<u64>(), 1_000);
    }
}
