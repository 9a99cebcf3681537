//! Telemetry as it arrives at a collector.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "in tests a panic is the report")]

mod collector;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use collector::{Collector, Span};
use dspy::lm::Endpoint;
use dspy::observe::otel::Otlp;
use dspy::prelude::*;
use dspy_test_server::{Server, chat, reply};
use tracing_subscriber::Registry;
use tracing_subscriber::layer::SubscriberExt as _;

/// Plan the work.
#[signature]
struct Plan {
    #[input]
    goal: String,
    #[output]
    step: String,
}

/// Do the step.
#[signature]
struct Act {
    #[input]
    step: String,
    #[output]
    done: bool,
}

#[derive(serde::Deserialize, schemars::JsonSchema)]
struct Look {
    place: String,
}

#[module]
struct TwoSteps {
    plan: ChainOfThought<Plan>,
    act: Predict<Act>,
    #[module(skip)]
    look: Tool,
}

impl Module for TwoSteps {
    type Input = PlanInput;
    type Output = ActOutput;

    async fn forward(&self, input: PlanInput) -> dspy::Result<Prediction<ActOutput>> {
        let step = self.plan.call(input).await?.step.clone();
        self.look.call(&serde_json::json!({"place": "SECRET"})).await.map_err(dspy::Error::other)?;
        self.act.call(step).await
    }
}

const PLANNED: &str = "[[ ## reasoning ## ]]\nSECRET\n\n[[ ## step ## ]]\nSECRET\n\n[[ ## completed ## ]]";
const DONE: &str = "[[ ## done ## ]]\ntrue\n\n[[ ## completed ## ]]";
const KEY: &str = "sk-planted-0123456789";

async fn run(content: bool) {
    let unwell = reply(429, &[("retry-after", "0")], r#"{"error": {"message": "SECRET"}}"#);
    let server = Server::script(vec![unwell, chat(PLANNED), chat(DONE)]).await;
    let endpoint = Endpoint::new(format!("http://{}/v1", server.address))
        .api_key(KEY)
        .backoff(Duration::from_millis(1), Duration::from_millis(1));
    let look = Tool::new("look", "Looks.", |look: Look| async move { format!("nothing at {}", look.place) });
    let program = TwoSteps { plan: ChainOfThought::new(), act: Predict::new(), look };
    let settings =
        Settings::new().lm(endpoint.model("tiny").unwrap().temperature(0.5)).capture_content(content);
    settings.scope(async { program.call("SECRET").await }).await.unwrap();
}

#[tokio::test]
async fn a_program_arrives_as_a_tree() {
    let collector = Collector::start();
    let (layer, telemetry) =
        Otlp::new().endpoint(&collector.url).header("x-key", KEY).service_name("test").layer().unwrap();
    {
        let _guard = tracing::subscriber::set_default(Registry::default().with(layer));
        run(false).await;
    }
    telemetry.shutdown().unwrap();

    let spans = collector.spans();
    let tree = "\
invoke_workflow TwoSteps
  predict plan.predict
    render
    chat tiny
      POST !
      POST
    parse
  execute_tool look
  predict act
    render
    chat tiny
      POST
    parse
";
    assert_eq!(collector::tree(&spans), tree);
    assert!(spans.iter().all(|span| span.trace == spans[0].trace));
    let find = |name: &str| spans.iter().find(|span| span.name == name).unwrap();
    let sent: &Span = find("chat tiny");
    assert_eq!(sent.kind, 3, "a client");
    for (name, value) in [
        ("gen_ai.operation.name", "chat"),
        ("gen_ai.provider.name", "dspy"),
        ("gen_ai.request.model", "tiny"),
        ("gen_ai.request.temperature", "0.5"),
        ("gen_ai.response.model", "served-model"),
        ("gen_ai.response.finish_reasons", "[stop]"),
        ("gen_ai.usage.input_tokens", "11"),
        ("gen_ai.usage.output_tokens", "7"),
        ("dspy.predictor", "plan.predict"),
        ("dspy.retries", "1"),
        ("dspy.cached", "false"),
    ] {
        assert_eq!(sent.attributes[name], value, "{name}");
    }
    assert!(sent.events.iter().any(|event| event == "request failed, will be retried"), "{:?}", sent.events);
    assert_eq!(find("POST").attributes["error.type"], "rate_limit");
    assert_eq!(find("execute_tool look").attributes["gen_ai.tool.name"], "look");
    assert_eq!(collector.services(), ["test"]);

    let metrics = collector.metrics();
    for name in ["gen_ai.client.operation.duration", "gen_ai.client.token.usage"] {
        assert!(metrics.iter().any(|found| found == name), "{metrics:?}");
    }
    // The key of the collector is in the headers that it is for, and nowhere else.
    let bodies = collector.bodies();
    assert!(
        collector.heads().iter().all(|head| head.to_ascii_lowercase().contains(&format!("x-key: {KEY}")))
    );
    for secret in ["SECRET", "sk-planted"] {
        assert!(!bodies.contains(secret), "{secret}");
    }
}

#[tokio::test]
async fn content_arrives_on_request() {
    let collector = Collector::start();
    let (layer, telemetry) = Otlp::new().endpoint(format!("{}/", collector.url)).layer().unwrap();
    {
        let _guard = tracing::subscriber::set_default(Registry::default().with(layer));
        run(true).await;
    }
    drop(telemetry);
    let spans = collector.spans();
    let sent = spans.iter().find(|span| span.name == "chat tiny").unwrap();
    assert!(sent.attributes["gen_ai.input.messages"].contains("SECRET"));
    assert!(sent.attributes["gen_ai.output.messages"].contains("SECRET"));
    assert!(!collector.bodies().contains("sk-planted"));
}

#[tokio::test]
async fn a_dead_collector_disturbs_nobody() {
    // A port that nobody listens on, and one whose server takes connections and never answers.
    let unheard = tokio::net::TcpSocket::new_v4().unwrap();
    unheard.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let dead = unheard.local_addr().unwrap();
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = silent.local_addr().unwrap();
    let tried = Arc::new(AtomicUsize::new(0));
    let count = tried.clone();
    std::thread::spawn(move || {
        let mut kept = Vec::new();
        for stream in silent.incoming() {
            count.fetch_add(1, Ordering::SeqCst);
            kept.push(stream);
        }
    });
    // More spans than a queue holds, and a few.
    for (address, calls) in [(dead, 600), (address, 20)] {
        let (layer, telemetry) = Otlp::new().endpoint(format!("http://{address}")).layer().unwrap();
        let _guard = tracing::subscriber::set_default(Registry::default().with(layer));
        let act = Predict::<Act>::new().with_lm(Lm::custom(dspy::lm::ScriptedLm::from_fn(|_| DONE)));
        for _ in 0..calls {
            act.call("Go.").await.unwrap();
        }
        // Dropping it would wait for the silent one until its patience ends, which is tested by the clock of people.
        std::mem::forget(telemetry);
    }
    // Calls that waited for it would have tried once each.
    assert!(tried.load(Ordering::SeqCst) <= 4, "{tried:?}");
}

#[test]
fn wrong_addresses_are_refused() {
    let error = Otlp::new().endpoint("nowhere at all").layer::<Registry>().err().unwrap();
    assert!(error.to_string().starts_with("the telemetry is not configured well"), "{error}");
}
