//! The metrics of the conventions: duration and token counts of model calls.

use std::time::Duration;

use opentelemetry::KeyValue;
use opentelemetry::metrics::{Histogram, MeterProvider as _};
use opentelemetry_sdk::metrics::SdkMeterProvider;

use super::super::{LmCall, Observer};
use crate::observe::{Event, EventKind};
use dspy_lm::observe::gen_ai::{self, metric};
use dspy_lm::observe::spans::lm_error_type;

/// An upper bound of the tokens of a call, for endpoints that report wrong numbers.
const MOST_TOKENS: u64 = 1 << 40;

/// The instruments that record model calls.
pub(super) struct ClientMetrics {
    duration: Histogram<f64>,
    first: Histogram<f64>,
    tokens: Histogram<u64>,
}

impl ClientMetrics {
    pub(super) fn new(meters: &SdkMeterProvider) -> Self {
        let meter = meters.meter("dspy");
        let seconds = |name, description| {
            let histogram = meter.f64_histogram(name).with_unit("s").with_description(description);
            histogram.with_boundaries(metric::SECONDS.to_vec()).build()
        };
        let duration = seconds(metric::DURATION, "How long calls of models took.");
        let first = seconds(metric::FIRST_CHUNK, "How long the first piece of streamed replies took.");
        let tokens = meter
            .u64_histogram(metric::TOKENS)
            .with_unit("{token}")
            .with_description("How many tokens calls of models sent and received.")
            .with_boundaries(metric::COUNTS.to_vec())
            .build();
        ClientMetrics { duration, first, tokens }
    }
}

fn attributes(call: &LmCall) -> Vec<KeyValue> {
    let (provider, model) = gen_ai::provider_and_model(&call.model);
    let mut attributes = vec![
        KeyValue::new(gen_ai::OPERATION, gen_ai::CHAT),
        KeyValue::new(gen_ai::PROVIDER, provider.to_owned()),
        KeyValue::new(gen_ai::REQUEST_MODEL, model.to_owned()),
    ];
    if let Some((host, port)) = gen_ai::host_and_port(&call.endpoint) {
        attributes.push(KeyValue::new(gen_ai::SERVER, host.to_owned()));
        attributes.push(KeyValue::new(gen_ai::PORT, i64::from(port)));
    }
    attributes
}

impl Observer for ClientMetrics {
    fn event(&self, event: &Event) {
        match &event.kind {
            // Replies from a cache are not operations of a client.
            EventKind::LmFinished { call, response, first_token, .. } if !response.cached => {
                let mut attributes = attributes(call);
                if !response.model.is_empty() {
                    attributes.push(KeyValue::new(gen_ai::RESPONSE_MODEL, response.model.clone()));
                }
                self.duration.record(event.elapsed.as_secs_f64(), &attributes);
                if let Some(first) = first_token.as_ref().map(Duration::as_secs_f64) {
                    self.first.record(first, &attributes);
                }
                let usage = &response.usage;
                for (kind, count) in [("input", usage.prompt_tokens), ("output", usage.completion_tokens)] {
                    attributes.push(KeyValue::new(metric::TOKEN_TYPE, kind));
                    // The SDK adds unchecked: wrong counts from an endpoint must not overflow its sums.
                    self.tokens.record(count.min(MOST_TOKENS), &attributes);
                    attributes.pop();
                }
            }
            EventKind::LmFailed { call, error, .. } => {
                let mut attributes = attributes(call);
                attributes.push(KeyValue::new(gen_ai::ERROR_TYPE, lm_error_type(error.kind)));
                self.duration.record(event.elapsed.as_secs_f64(), &attributes);
            }
            _ => {}
        }
    }
}
