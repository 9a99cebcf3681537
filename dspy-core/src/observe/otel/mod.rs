//! Export of spans and metrics to an OpenTelemetry collector, by OTLP over HTTP.
//!
//! ```no_run
//! # async fn doc() -> Result<(), Box<dyn std::error::Error>> {
//! let telemetry = dspy_core::observe::otel::install()?;
//! // … run programs …
//! drop(telemetry); // sends the rest
//! # Ok(()) }
//! ```
//!
//! Sending takes place in separate threads with bounded queues: with a slow or unreachable collector,
//! telemetry is lost, but calls are neither delayed nor failed. Prompts and replies are sent only if
//! [`Settings::capture_content`] is on.
//!
//! [`Settings::capture_content`]: crate::program::Settings::capture_content

mod http_client;
mod lists;
mod metrics;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use opentelemetry::trace::TracerProvider as _;
use opentelemetry_otlp::{MetricExporter, Protocol, SpanExporter, WithExportConfig, WithHttpConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::metrics::{PeriodicReader, SdkMeterProvider};
use opentelemetry_sdk::trace::SdkTracerProvider;
use tracing::{Level, Subscriber, level_filters::LevelFilter};
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{Layer, Registry};

use super::bridged;
use crate::lm::Secret;
use dspy_base::error::BoxError;
use dspy_lm::observe::observe_for_good;
use http_client::Courier;
use lists::Lists;
use metrics::ClientMetrics;

/// The time limit for sending the last telemetry.
const LAST: Duration = Duration::from_secs(5);

/// Starts sending telemetry to the collector named by the standard variables, for the whole process:
/// [`Otlp::install`] of [`Otlp::new`].
///
/// # Errors
/// The same as for [`Otlp::install`].
pub fn install() -> Result<Telemetry, OtelError> {
    Otlp::new().install()
}

/// Configuration of the export: the collector and the service name.
///
/// Unset options are taken from the standard variables `OTEL_EXPORTER_OTLP_ENDPOINT`,
/// `OTEL_EXPORTER_OTLP_HEADERS`, `OTEL_SERVICE_NAME`, `OTEL_RESOURCE_ATTRIBUTES` and so on. The default
/// collector is the one on this machine, `http://localhost:4318`.
#[derive(Clone, Default)]
pub struct Otlp {
    endpoint: Option<String>,
    headers: Vec<(String, Secret)>,
    service: Option<String>,
    interval: Option<Duration>,
}

impl Otlp {
    /// Creates a configuration from the environment.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets the base URL of the collector; `/v1/traces` and `/v1/metrics` are appended to it.
    #[must_use]
    pub fn endpoint(mut self, url: impl Into<String>) -> Self {
        self.endpoint = Some(url.into());
        self
    }

    /// Adds a header to all requests, for collectors that require a key. Its value is treated as a secret.
    #[must_use]
    pub fn header(mut self, name: impl Into<String>, value: impl Into<Secret>) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }

    /// Sets the name of the program in the telemetry.
    #[must_use]
    pub fn service_name(mut self, name: impl Into<String>) -> Self {
        self.service = Some(name.into());
        self
    }

    /// Sets the interval at which metrics are sent. Default: one minute.
    #[must_use]
    pub fn metrics_every(mut self, interval: Duration) -> Self {
        self.interval = Some(interval);
        self
    }

    /// Starts sending the spans of the whole process, including those of the application of level `INFO` and
    /// above, and the metrics of all model calls.
    ///
    /// # Errors
    /// If an address or header is malformed, the threads cannot be started, or the process already has a
    /// `tracing` subscriber: in that case add the [`layer`](Self::layer) to it.
    pub fn install(self) -> Result<Telemetry, OtelError> {
        let (layer, telemetry) = self.layer::<Registry>()?;
        tracing_subscriber::registry()
            .with(layer)
            .try_init()
            .map_err(|error| OtelError::Subscriber(error.into()))?;
        Ok(telemetry)
    }

    /// Returns the layer that sends spans, to be added to an existing subscriber. Metrics are counted from
    /// now on, whether or not the layer is used.
    ///
    /// # Errors
    /// If an address or header is malformed, or the threads cannot be started.
    pub fn layer<S>(self) -> Result<(BoxLayer<S>, Telemetry), OtelError>
    where
        S: Subscriber + for<'a> LookupSpan<'a> + Send + Sync,
    {
        let Otlp { endpoint, headers, service, interval } = self;
        let courier = Arc::new(Courier::start().map_err(OtelError::Start)?);
        let headers = headers.iter().map(|(name, value)| (name.clone(), value.expose().to_owned())).collect();
        let address = |path: &str| Some(format!("{}{path}", endpoint.as_deref()?.trim_end_matches('/')));

        let mut spans = SpanExporter::builder()
            .with_http()
            .with_shared_http_client(courier.clone())
            .with_headers(std::collections::HashMap::clone(&headers))
            .with_protocol(Protocol::HttpBinary);
        let mut metrics = MetricExporter::builder()
            .with_http()
            .with_shared_http_client(courier)
            .with_headers(headers)
            .with_protocol(Protocol::HttpBinary);
        if let (Some(traces), Some(counts)) = (address("/v1/traces"), address("/v1/metrics")) {
            (spans, metrics) = (spans.with_endpoint(traces), metrics.with_endpoint(counts));
        }
        let configured =
            |error: opentelemetry_otlp::ExporterBuildError| OtelError::Configuration(error.into());
        let spans = Lists(spans.build().map_err(configured)?);
        let metrics = metrics.build().map_err(configured)?;

        let mut resource = Resource::builder();
        if let Some(service) = service {
            resource = resource.with_service_name(service);
        }
        let resource = resource.build();
        let tracers =
            SdkTracerProvider::builder().with_resource(resource.clone()).with_batch_exporter(spans).build();
        let mut reader = PeriodicReader::builder(metrics);
        if let Some(interval) = interval {
            reader = reader.with_interval(interval);
        }
        let meters = SdkMeterProvider::builder().with_resource(resource).with_reader(reader.build()).build();
        observe_for_good(bridged(Arc::new(ClientMetrics::new(&meters))));

        let layer = tracing_opentelemetry::layer()
            .with_tracer(tracers.tracer("dspy"))
            .with_location(false)
            .with_threads(false)
            .with_tracked_inactivity(false)
            .with_level(false)
            .with_target(false)
            .with_filter(filter())
            .boxed();
        Ok((layer, Telemetry { tracers, meters }))
    }
}

/// A layer for a `tracing` subscriber.
pub type BoxLayer<S> = Box<dyn Layer<S> + Send + Sync>;

/// Returns the filter of exported spans: all of the library's own, the application's of level `INFO` and
/// above, and none from the exporter itself, which would cause an endless loop.
fn filter() -> Targets {
    let silent = ["opentelemetry", "hyper", "reqwest", "rustls"].map(|target| (target, LevelFilter::OFF));
    Targets::new().with_default(Level::INFO).with_target("dspy", Level::DEBUG).with_targets(silent)
}

/// A handle to the export of telemetry. Dropping it sends the remaining telemetry, for at most five seconds
/// each for spans and metrics, and ends the export.
#[must_use = "dropping it ends the telemetry"]
pub struct Telemetry {
    tracers: SdkTracerProvider,
    meters: SdkMeterProvider,
}

impl Telemetry {
    /// Sends the telemetry recorded so far. Blocks the thread: call it at the end of a program, or from a
    /// blocking thread.
    ///
    /// # Errors
    /// If the collector does not accept it.
    pub fn flush(&self) -> Result<(), OtelError> {
        let failed = |error: opentelemetry_sdk::error::OTelSdkError| OtelError::Send(error.into());
        let spans = self.tracers.force_flush().map_err(failed);
        self.meters.force_flush().map_err(failed).and(spans)
    }

    /// Sends the remaining telemetry and ends the export, as dropping does.
    ///
    /// # Errors
    /// If the collector does not accept it within five seconds.
    pub fn shutdown(self) -> Result<(), OtelError> {
        self.end()
    }

    fn end(&self) -> Result<(), OtelError> {
        let failed = |error: opentelemetry_sdk::error::OTelSdkError| OtelError::Send(error.into());
        let spans = self.tracers.shutdown_with_timeout(LAST).map_err(failed);
        self.meters.shutdown_with_timeout(LAST).map_err(failed).and(spans)
    }
}

impl Drop for Telemetry {
    fn drop(&mut self) {
        // There is no caller to report the error to.
        let _ = self.end();
    }
}

impl fmt::Debug for Otlp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Otlp")
            .field("endpoint", &self.endpoint.as_deref().map(dspy_lm::internal::public_url))
            .field("headers", &self.headers)
            .field("service", &self.service)
            .field("interval", &self.interval)
            .finish()
    }
}

impl fmt::Debug for Telemetry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Telemetry").finish_non_exhaustive()
    }
}

/// The reason why telemetry cannot be sent.
#[derive(thiserror::Error)]
#[non_exhaustive]
pub enum OtelError {
    /// An address or a header is malformed.
    #[error("the telemetry is not configured well: {0}")]
    Configuration(#[source] BoxError),
    /// The exporter cannot be started.
    #[error("the thread that sends telemetry cannot be started: {0}")]
    Start(#[source] std::io::Error),
    /// The process already has a `tracing` subscriber.
    #[error("another `tracing` subscriber is installed: {0}; add `Otlp::layer` to it")]
    Subscriber(#[source] BoxError),
    /// The collector did not accept the telemetry.
    #[error("the telemetry was not sent: {0}")]
    Send(#[source] BoxError),
}

dspy_base::error::readable_debug!(OtelError);
