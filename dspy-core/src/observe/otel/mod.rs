//! Spans and metrics sent to an OpenTelemetry collector, by OTLP over HTTP.
//!
//! ```no_run
//! # async fn doc() -> Result<(), Box<dyn std::error::Error>> {
//! let telemetry = dspy_core::observe::otel::install()?;
//! // … run programs …
//! drop(telemetry); // sends what is left
//! # Ok(()) }
//! ```
//!
//! Sending goes on in threads of its own, with bounded queues: a collector that is slow or gone makes telemetry be
//! lost, never a call be late or fail. Without a word on content ([`Settings::capture_content`]) no prompt and no reply
//! is sent.
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

/// How long the last telemetry may take to be sent.
const LAST: Duration = Duration::from_secs(5);

/// Sends telemetry to where the standard variables say, for the whole process: [`Otlp::install`] of [`Otlp::new`].
///
/// # Errors
/// As [`Otlp::install`].
pub fn install() -> Result<Telemetry, OtelError> {
    Otlp::new().install()
}

/// Where telemetry is sent, and under which name.
///
/// What is not said here is taken from the standard variables `OTEL_EXPORTER_OTLP_ENDPOINT`,
/// `OTEL_EXPORTER_OTLP_HEADERS`, `OTEL_SERVICE_NAME`, `OTEL_RESOURCE_ATTRIBUTES` and their like; without those it is the
/// collector on this machine, `http://localhost:4318`.
#[derive(Clone, Default)]
pub struct Otlp {
    endpoint: Option<String>,
    headers: Vec<(String, Secret)>,
    service: Option<String>,
    interval: Option<Duration>,
}

impl Otlp {
    /// As the environment says.
    pub fn new() -> Self {
        Self::default()
    }

    /// The base URL of the collector; `/v1/traces` and `/v1/metrics` are added to it.
    #[must_use]
    pub fn endpoint(mut self, url: impl Into<String>) -> Self {
        self.endpoint = Some(url.into());
        self
    }

    /// Adds a header to all that is sent, for collectors that want a key. Its value is treated as a secret.
    #[must_use]
    pub fn header(mut self, name: impl Into<String>, value: impl Into<Secret>) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }

    /// The name of the program in the telemetry.
    #[must_use]
    pub fn service_name(mut self, name: impl Into<String>) -> Self {
        self.service = Some(name.into());
        self
    }

    /// How often metrics are sent, once a minute unless it is said.
    #[must_use]
    pub fn metrics_every(mut self, interval: Duration) -> Self {
        self.interval = Some(interval);
        self
    }

    /// Sends the spans of the whole process, those of the application included from `INFO` on, and the metrics of all
    /// calls of models.
    ///
    /// # Errors
    /// If an address or header is malformed, the threads cannot be started, or there is a subscriber of tracing
    /// already: then put the [`layer`](Self::layer) into that.
    pub fn install(self) -> Result<Telemetry, OtelError> {
        let (layer, telemetry) = self.layer::<Registry>()?;
        tracing_subscriber::registry()
            .with(layer)
            .try_init()
            .map_err(|error| OtelError::Subscriber(error.into()))?;
        Ok(telemetry)
    }

    /// The layer that sends spans, for a subscriber of one's own. Metrics are counted from now on, with or without it.
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

/// A layer for a subscriber of tracing.
pub type BoxLayer<S> = Box<dyn Layer<S> + Send + Sync>;

/// What is sent: our own spans with all detail, the application's from `INFO` on, and none of what sending itself
/// makes, which would never end.
fn filter() -> Targets {
    let silent = ["opentelemetry", "hyper", "reqwest", "rustls"].map(|target| (target, LevelFilter::OFF));
    Targets::new().with_default(Level::INFO).with_target("dspy", Level::DEBUG).with_targets(silent)
}

/// Telemetry that is being sent. Dropping this sends what is left, for at most five seconds each for spans and
/// metrics, and ends it.
#[must_use = "dropping it ends the telemetry"]
pub struct Telemetry {
    tracers: SdkTracerProvider,
    meters: SdkMeterProvider,
}

impl Telemetry {
    /// Sends what has been recorded so far. Waits for it without heed of async tasks: call it at the end of a program,
    /// or from a blocking thread.
    ///
    /// # Errors
    /// If the collector does not take it.
    pub fn flush(&self) -> Result<(), OtelError> {
        let failed = |error: opentelemetry_sdk::error::OTelSdkError| OtelError::Send(error.into());
        let spans = self.tracers.force_flush().map_err(failed);
        self.meters.force_flush().map_err(failed).and(spans)
    }

    /// Sends what is left and ends the telemetry, as dropping does.
    ///
    /// # Errors
    /// If the collector does not take it within five seconds.
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
        // Nobody is left to be told.
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

/// Why telemetry cannot be sent.
#[derive(thiserror::Error)]
#[non_exhaustive]
pub enum OtelError {
    /// An address or a header is malformed.
    #[error("the telemetry is not configured well: {0}")]
    Configuration(#[source] BoxError),
    /// What sends it cannot be started.
    #[error("the thread that sends telemetry cannot be started: {0}")]
    Start(#[source] std::io::Error),
    /// The process has a subscriber of tracing already.
    #[error("spans go elsewhere already: {0}; put the layer of `Otlp::layer` into that subscriber")]
    Subscriber(#[source] BoxError),
    /// The collector did not take it.
    #[error("the telemetry was not sent: {0}")]
    Send(#[source] BoxError),
}

dspy_base::error::readable_debug!(OtelError);
