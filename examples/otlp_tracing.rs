//! Spans and metrics of a program of two steps and a tool, sent to an OpenTelemetry collector.
//!
//! Run: `cargo run --example otlp_tracing --features otel`
//! Needs: a collector that accepts OTLP over HTTP at http://localhost:4318 or the address in
//! `OTEL_EXPORTER_OTLP_ENDPOINT`, for example
//! `docker run -p 4318:4318 -p 16686:16686 jaegertracing/jaeger`. Without a collector the program still runs.
//! Set `OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT=true` to see prompts and replies in the spans.

use dspy::observe::Metrics;
use dspy::observe::otel::Otlp;
use dspy::prelude::*;
use serde_json::json;

/// Write a search query that finds the answer.
#[signature]
struct Search {
    #[input]
    question: String,
    /// A few telling words.
    #[output]
    query: String,
}

/// Answer the question from the passages.
#[signature]
struct FromPassages {
    #[input]
    passages: Vec<String>,
    #[input]
    question: String,
    /// A few words, as they stand in a passage.
    #[output]
    answer: String,
}

/// The search in the archive.
#[field_type]
struct Lookup {
    query: String,
}

#[module]
struct Research {
    search: ChainOfThought<Search>,
    answer: Predict<FromPassages>,
    #[module(skip)]
    archive: Tool,
}

impl Module for Research {
    type Input = SearchInput;
    type Output = FromPassagesOutput;

    async fn forward(&self, input: SearchInput) -> dspy::Result<Prediction<FromPassagesOutput>> {
        let query = self.search.call(input.question.as_str()).await?.query.clone();
        let found = self.archive.call(&json!({"query": query})).await.map_err(dspy::Error::other)?;
        let passages: Vec<String> = serde_json::from_value(found).map_err(dspy::Error::other)?;
        self.answer.call((passages, input.question)).await
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let telemetry = Otlp::new().service_name("research").install()?;
    let metrics = Metrics::new();
    dspy::configure(Settings::from(Lm::from_env()?).observe(metrics.clone()));

    let passages = ["The Danube flows through Vienna.", "The Seine flows through Paris."];
    let corpus = std::sync::Arc::new(Bm25::new(passages.map(String::from)));
    let archive = Tool::new("archive", "Finds passages.", move |lookup: Lookup| {
        let corpus = corpus.clone();
        async move { corpus.search(&lookup.query, 1).await.map(dspy::retrieve::Passages::into_texts) }
    });
    let program = Research { search: ChainOfThought::new(), answer: Predict::new(), archive };
    let answer = program.call("Which river flows through Vienna?").await?;
    println!("answer     {}\n\n{}", answer.answer, metrics.snapshot());

    // Sends the remaining telemetry. An unreachable collector does not make the program fail.
    match tokio::task::spawn_blocking(move || telemetry.shutdown()).await? {
        Ok(()) => println!("The spans are at the collector."),
        Err(error) => println!("{error}"),
    }
    Ok(())
}
