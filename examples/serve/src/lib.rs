//! The parts of the service: the routes, and the limits of each caller.

mod callers;

use std::convert::Infallible;
use std::future::Future;
use std::sync::Arc;

use axum::extract::{FromRequestParts, State};
use axum::http::StatusCode;
use axum::http::request::Parts;
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use dspy::lm::{Completion, Request, ScriptedLm};
use dspy::observe::Metrics;
use dspy::prelude::*;
use dspy::program::EventKind;
use futures_util::{Stream, stream};
use serde_json::{Value, json};
use tokio::net::TcpListener;

pub use callers::Limits;
use callers::{Callers, Pass};

/// Summarise the text in one sentence, and say what it is about.
#[signature]
struct Summarise {
    #[input]
    text: String,
    #[output]
    summary: String,
    /// Lower case, at most three.
    #[output]
    topics: Vec<String>,
}

/// Answer the question about the weather.
#[signature]
struct Weather {
    #[input]
    question: String,
    #[output]
    answer: String,
}

/// A city.
#[field_type]
struct City {
    /// Its name.
    city: String,
}

/// A service over two programs.
#[derive(Clone)]
pub struct Service(Arc<Shared>);

impl std::fmt::Debug for Service {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Service")
    }
}

struct Shared {
    summarise: Predict<Summarise>,
    agent: ReAct<Weather>,
    callers: Callers,
    metrics: Metrics,
}

impl Service {
    /// Creates the service.
    ///
    /// # Errors
    /// If the tools of the agent have bad names.
    pub fn new(lm: Lm, limits: Limits) -> dspy::Result<Self> {
        let rain = Tool::new("rain", "Millimetres of rain today.", |City { city }: City| async move {
            if city == "Bergen" { Ok(12) } else { Err(format!("no station in {city}")) }
        });
        let mut agent = ReAct::new([rain])?.max_turns(4);
        agent.set_lm(lm.clone());
        let summarise = Predict::new().with_lm(lm);
        let shared = Shared { summarise, agent, callers: Callers::new(limits), metrics: Metrics::new() };
        Ok(Service(Arc::new(shared)))
    }

    /// Runs the work of a request within the budget of its caller, seen by the metrics.
    fn within<F: Future>(&self, pass: &Pass, work: F) -> impl Future<Output = F::Output> + use<F> {
        Settings::new().observe(self.0.metrics.clone()).scope(pass.budget().enter(work))
    }

    /// Serves requests until `stop` completes, then answers those in flight.
    ///
    /// # Errors
    /// If the listener fails.
    pub async fn serve(
        self,
        listener: TcpListener,
        stop: impl Future<Output = ()> + Send + 'static,
    ) -> std::io::Result<()> {
        let routes = Router::new()
            .route("/summary", post(summary))
            .route("/summary/stream", post(summary_stream))
            .route("/weather/events", post(weather_events))
            .route("/health", get(|| async { "ok" }))
            .route("/metrics", get(metrics))
            .with_state(self);
        axum::serve(listener, routes).with_graceful_shutdown(stop).await
    }
}

/// The caller of a request, within its limits. The pass is returned when the response is sent or dropped.
struct Caller(Pass);

impl FromRequestParts<Service> for Caller {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, service: &Service) -> Result<Self, Failure> {
        let name = parts.headers.get("x-caller").and_then(|name| name.to_str().ok());
        let name =
            name.ok_or_else(|| Failure(StatusCode::UNAUTHORIZED, "the header x-caller is missing".into()))?;
        let pass = service.0.callers.enter(name);
        pass.map(Caller)
            .ok_or_else(|| Failure(StatusCode::TOO_MANY_REQUESTS, "too many requests in flight".into()))
    }
}

/// An error as a response: a status, and JSON with its message.
struct Failure(StatusCode, String);

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        (self.0, Json(json!({ "error": self.1 }))).into_response()
    }
}

impl From<dspy::Error> for Failure {
    fn from(error: dspy::Error) -> Self {
        let status = match &error {
            error if error.as_lm().is_some_and(|error| error.kind == dspy::lm::LmErrorKind::Budget) => {
                StatusCode::PAYMENT_REQUIRED
            }
            error if error.is_outage() => StatusCode::SERVICE_UNAVAILABLE,
            error if error.as_parse().is_some() => StatusCode::BAD_GATEWAY,
            _ => StatusCode::INTERNAL_SERVER_ERROR,
        };
        Failure(status, error.to_string())
    }
}

async fn summary(
    State(service): State<Service>,
    Caller(pass): Caller,
    Json(input): Json<SummariseInput>,
) -> Result<Json<Value>, Failure> {
    // If the client leaves, this future is dropped, and with it the call of the model.
    let answer = service.within(&pass, service.0.summarise.call(input)).await?;
    Ok(Json(json!({ "output": answer.output(), "usage": answer.usage() })))
}

async fn summary_stream(
    State(service): State<Service>,
    Caller(pass): Caller,
    Json(input): Json<SummariseInput>,
) -> Sse<impl Stream<Item = Result<Event, Infallible>>> {
    let partials = service.0.summarise.stream(input);
    let events = stream::unfold(Some((partials, pass, service)), |state| async move {
        let (mut partials, pass, service) = state?;
        let next = service.within(&pass, async { partials.next().await.map(|partial| json!(partial)) }).await;
        Some(match next {
            Some(partial) => (event("partial", &partial), Some((partials, pass, service))),
            None => match service.within(&pass, partials.finish()).await {
                Ok(answer) => (event("output", &json!(answer.output())), None),
                Err(error) => (event("error", &json!(error.to_string())), None),
            },
        })
    });
    Sse::new(events).keep_alive(KeepAlive::default())
}

async fn weather_events(
    State(service): State<Service>,
    Caller(pass): Caller,
    Json(input): Json<WeatherInput>,
) -> Sse<impl Stream<Item = Result<Event, Infallible>>> {
    // The stream owns the agent: it may outlive this function.
    let (sender, receiver) = tokio::sync::mpsc::channel(16);
    let running_service = service.clone();
    let run = async move {
        let mut events = running_service.0.agent.events(input);
        while let Some(seen) = events.next().await {
            let told = match seen.kind {
                EventKind::ToolStarted { arguments } => {
                    json!({ "tool": *seen.source, "arguments": arguments })
                }
                EventKind::ToolFinished { result } => json!({ "tool": *seen.source, "result": result }),
                EventKind::Field(change) => json!({ "field": format!("{change:?}") }),
                _ => continue,
            };
            if sender.send(event("progress", &told)).await.is_err() {
                return;
            }
        }
        let last = match events.finish().await {
            Ok(answer) => event("output", &json!(answer.output())),
            Err(error) => event("error", &json!(error.to_string())),
        };
        let _ = sender.send(last).await;
    };
    // Dropped with the stream if the client leaves.
    let mut run = Box::pin(async move { service.within(&pass, run).await });
    let mut receiver = receiver;
    let mut running = true;
    let events = stream::poll_fn(move |cx| {
        if running && run.as_mut().poll(cx).is_ready() {
            running = false;
        }
        receiver.poll_recv(cx)
    });
    Sse::new(events).keep_alive(KeepAlive::default())
}

async fn metrics(State(service): State<Service>) -> String {
    service.0.metrics.prometheus()
}

#[expect(clippy::unnecessary_wraps, reason = "the items of a stream of events are results")]
fn event(name: &str, data: &Value) -> Result<Event, Infallible> {
    Ok(Event::default().event(name).data(data.to_string()))
}

/// Returns a function that plays a model, for trying the service out.
pub fn play() -> Lm {
    Lm::custom(ScriptedLm::from_fn(|request: &Request| {
        let text = request.messages.iter().map(|message| message.text().into_owned()).collect::<String>();
        Completion::new(if !text.contains("tool_calls") {
            "[[ ## summary ## ]]\nA short text.\n\n[[ ## topics ## ]]\n[\"texts\"]"
        } else if text.contains("-> 12") {
            "[[ ## next_thought ## ]]\nIt rains.\n\n[[ ## tool_calls ## ]]\n[{\"name\": \"finish\", \"arguments\": {\"answer\": \"12 mm\"}}]"
        } else {
            "[[ ## next_thought ## ]]\nI look.\n\n[[ ## tool_calls ## ]]\n[{\"name\": \"rain\", \"arguments\": {\"city\": \"Bergen\"}}]"
        })
    }))
}
