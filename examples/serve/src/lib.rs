//! The parts of the service: the routes, what requests must have, and the limits of each caller.

mod callers;
mod requests;

use std::convert::Infallible;
use std::future::Future;
use std::sync::Arc;

use axum::extract::State;
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::routing::{get, post};
use axum::{Json, Router};
use dspy::lm::{Completion, Request, ScriptedLm};
use dspy::observe::Metrics;
use dspy::prelude::*;
use dspy::program::EventKind;
use futures_util::{Stream, StreamExt as _, stream};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::oneshot;

pub use callers::Limits;
use callers::{Callers, Pass};
use requests::{Caller, Failure, Given};

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

    fn callers(&self) -> &Callers {
        &self.0.callers
    }

    /// Runs the work of a request within the budget of its caller, seen by the metrics.
    fn within<F: Future>(&self, pass: &Pass, work: F) -> impl Future<Output = F::Output> + use<F> {
        Settings::new().observe(self.0.metrics.clone()).scope(pass.budget().enter(work))
    }

    /// Serves requests until `stop` completes, then answers those in flight, for at most [`Limits::to_end`].
    ///
    /// # Errors
    /// If the listener fails, and if requests in flight were not answered in that time.
    pub async fn serve(
        self,
        listener: TcpListener,
        stop: impl Future<Output = ()> + Send + 'static,
    ) -> std::io::Result<()> {
        let to_end = self.0.callers.limits().to_end;
        let routes = Router::new()
            .route("/summary", post(summary))
            .route("/summary/stream", post(summary_stream))
            .route("/weather/events", post(weather_events))
            .route("/health", get(|| async { "ok" }))
            .route("/metrics", get(metrics))
            .with_state(self);
        let (stopping, stopped) = oneshot::channel();
        let stop = async move {
            stop.await;
            let _ = stopping.send(());
        };
        let served = axum::serve(listener, routes).with_graceful_shutdown(stop);
        let late = async {
            // If the sender is dropped, the server has ended.
            if stopped.await.is_err() {
                std::future::pending::<()>().await;
            }
            tokio::time::sleep(to_end).await;
        };
        tokio::select! {
            result = served => result,
            () = late => Err(std::io::Error::new(
                std::io::ErrorKind::TimedOut,
                format!("not all requests were answered within {to_end:?} of the stop"),
            )),
        }
    }
}

async fn summary(
    State(service): State<Service>,
    Caller(pass): Caller,
    Given(input): Given<Summarise>,
) -> Result<Json<Value>, Failure> {
    // If the client leaves, this future is dropped, and with it the call of the model.
    let answer = service.within(&pass, service.0.summarise.call(input)).await?;
    Ok(Json(json!({ "output": answer.output(), "usage": answer.usage() })))
}

async fn summary_stream(
    State(service): State<Service>,
    Caller(pass): Caller,
    Given(input): Given<Summarise>,
) -> Result<Sse<impl Stream<Item = Result<Event, Infallible>>>, Failure> {
    let partials = service.0.summarise.stream(input);
    events(stream::unfold(Some((partials, pass, service)), |state| async move {
        let (mut partials, pass, service) = state?;
        let next = service.within(&pass, async { partials.next().await.map(|partial| json!(partial)) }).await;
        Some(match next {
            Some(partial) => (Ok(("partial", partial)), Some((partials, pass, service))),
            None => {
                let answer = service.within(&pass, partials.finish()).await;
                (answer.map(|answer| ("output", json!(answer.output()))), None)
            }
        })
    }))
    .await
}

async fn weather_events(
    State(service): State<Service>,
    Caller(pass): Caller,
    Given(input): Given<Weather>,
) -> Result<Sse<impl Stream<Item = Result<Event, Infallible>>>, Failure> {
    // The stream owns the agent: it may outlive this function.
    let (sender, mut receiver) = tokio::sync::mpsc::channel(16);
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
            if sender.send(Ok(("progress", told))).await.is_err() {
                return;
            }
        }
        let last = events.finish().await.map(|answer| ("output", json!(answer.output())));
        let _ = sender.send(last).await;
    };
    // Dropped with the stream if the client leaves.
    let mut run = Box::pin(async move { service.within(&pass, run).await });
    let mut running = true;
    events(stream::poll_fn(move |cx| {
        if running && run.as_mut().poll(cx).is_ready() {
            running = false;
        }
        receiver.poll_recv(cx)
    }))
    .await
}

/// Returns a stream of events. It begins with the first item, so that an error before it, such as a budget that is used up,
/// has a status of its own.
async fn events(
    items: impl Stream<Item = dspy::Result<(&'static str, Value)>> + Send + 'static,
) -> Result<Sse<impl Stream<Item = Result<Event, Infallible>>>, Failure> {
    let mut items = Box::pin(items);
    let first = items.next().await.transpose()?;
    let events = stream::iter(first.map(Ok)).chain(items).map(|item| {
        let (name, data) = item.unwrap_or_else(|error| ("error", json!(error.to_string())));
        Ok(Event::default().event(name).data(data.to_string()))
    });
    Ok(Sse::new(events).keep_alive(KeepAlive::default()))
}

async fn metrics(State(service): State<Service>) -> String {
    service.0.metrics.prometheus()
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
