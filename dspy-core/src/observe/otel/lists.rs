//! Span attributes that are lists.

use std::future::Future;
use std::time::Duration;

use opentelemetry::{Array, StringValue, Value};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::trace::{SpanData, SpanExporter};

use dspy_lm::observe::gen_ai::FINISH_REASONS;

/// A span exporter that turns JSON attributes into lists where the conventions require lists, which `tracing`
/// cannot hold.
#[derive(Debug)]
pub(super) struct Lists<E>(pub(super) E);

impl<E: SpanExporter> SpanExporter for Lists<E> {
    fn export(&self, mut batch: Vec<SpanData>) -> impl Future<Output = OTelSdkResult> + Send {
        let attributes = batch.iter_mut().flat_map(|span| &mut span.attributes);
        for attribute in attributes.filter(|attribute| attribute.key.as_str() == FINISH_REASONS) {
            if let Ok(reasons) = serde_json::from_str::<Vec<String>>(&attribute.value.as_str()) {
                let reasons = reasons.into_iter().map(StringValue::from).collect();
                attribute.value = Value::Array(Array::String(reasons));
            }
        }
        self.0.export(batch)
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.0.shutdown_with_timeout(timeout)
    }

    fn force_flush(&self) -> OTelSdkResult {
        self.0.force_flush()
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.0.set_resource(resource);
    }
}
