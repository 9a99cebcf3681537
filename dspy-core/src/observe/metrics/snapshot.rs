//! Counts at one moment.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::Counts;
use super::histogram::Times;
use crate::lm::Usage;
use dspy_lm::observe::spans::lm_error_type;

/// The counts up to one moment; made by [`Metrics::snapshot`](super::Metrics::snapshot). Its `Display` is a
/// table.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[non_exhaustive]
pub struct MetricsSnapshot {
    /// The counts by model name.
    pub models: BTreeMap<String, ModelMetrics>,
}

/// The counts of one model.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[non_exhaustive]
pub struct ModelMetrics {
    /// Calls that have ended, successfully or not; dropped calls do not count.
    pub calls: u64,
    /// Calls that were answered from a cache or a journal; apart from `calls`, no other number here includes
    /// them.
    pub cached: u64,
    /// Calls that were dropped before they ended.
    pub cancelled: u64,
    /// Retries: attempts after the first of each call.
    pub retries: u64,
    /// Calls in flight.
    pub in_flight: u64,
    /// Failed calls by the class of the failure, e.g. `rate_limit`.
    pub errors: BTreeMap<String, u64>,
    /// Tokens and requests. Its cost is unknown if that of any call is; [`cost_usd`](Self::cost_usd) sums the
    /// known costs.
    pub usage: Usage,
    /// The sum of the known costs, in US dollars.
    pub cost_usd: f64,
    /// Calls of unknown cost.
    pub unpriced: u64,
    /// The durations of uncached calls, including failed ones.
    pub duration: Times,
    /// The times until the first piece of streamed replies.
    pub first_token: Times,
}

impl Counts {
    pub(super) fn metrics(&self) -> ModelMetrics {
        let errors = self.errors.iter().map(|(kind, count)| (lm_error_type(*kind).to_owned(), *count));
        ModelMetrics {
            calls: self.calls,
            cached: self.cached,
            cancelled: self.cancelled,
            retries: self.retries,
            in_flight: self.in_flight,
            errors: errors.collect(),
            usage: self.usage,
            cost_usd: self.cost,
            unpriced: self.unpriced,
            duration: self.duration.times(),
            first_token: self.first_token.times(),
        }
    }
}

impl MetricsSnapshot {
    pub(super) fn new(models: impl Iterator<Item = (String, ModelMetrics)>) -> Self {
        MetricsSnapshot { models: models.collect() }
    }
}

impl fmt::Display for MetricsSnapshot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let width = self.models.keys().map(|name| name.chars().count()).max().unwrap_or_default().max(5);
        writeln!(
            f,
            "{:<width$} {:>6} {:>6} {:>6} {:>7} {:>11} {:>11} {:>10} {:>7} {:>7} {:>7}",
            "model",
            "calls",
            "cached",
            "failed",
            "flying",
            "tokens in",
            "tokens out",
            "cost $",
            "p50",
            "p95",
            "p99"
        )?;
        for (name, one) in &self.models {
            let failed: u64 = one.errors.values().sum();
            // A sum that omits calls is marked as such.
            let cost = if one.unpriced == 0 {
                format!("{:.4}", one.cost_usd)
            } else if one.cost_usd > 0.0 {
                format!("> {:.4}", one.cost_usd)
            } else {
                "?".to_owned()
            };
            let [p50, p95, p99] = [one.duration.p50, one.duration.p95, one.duration.p99].map(short);
            writeln!(
                f,
                "{name:<width$} {:>6} {:>6} {failed:>6} {:>7} {:>11} {:>11} {cost:>10} {p50:>7} {p95:>7} {p99:>7}",
                one.calls, one.cached, one.in_flight, one.usage.prompt_tokens, one.usage.completion_tokens
            )?;
        }
        Ok(())
    }
}

/// Formats a duration in at most seven characters.
fn short(time: Duration) -> String {
    match time.as_secs_f64() {
        time if time < 0.001 => format!("{:.0}µs", time * 1e6),
        time if time < 1.0 => format!("{:.0}ms", time * 1e3),
        time if time < 100.0 => format!("{time:.1}s"),
        time => format!("{time:.0}s"),
    }
}
