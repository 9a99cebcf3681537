//! Several models as one: each request goes to the first model that is available. Also shows limits and a
//! circuit breaker.
//!
//! Run: `cargo run --example fallback`
//! Needs: nothing. The first model is a server that does not exist, the last one the built-in model. For each
//! of `OPENAI_API_KEY`, `ANTHROPIC_API_KEY`, `GEMINI_API_KEY` and `GROQ_API_KEY` that is set, that provider
//! is tried in between, and the built-in model is not reached.

use std::time::{Duration, Instant};

use dspy::lm::{
    BoxFuture, Circuit, Endpoint, Layer, Limits, LmErrorKind, Next, Request, Response, without_live_requests,
};
use dspy::prelude::*;

/// Say what the review makes of the product.
#[signature]
struct Rate {
    #[input]
    review: String,
    #[output]
    mood: Mood,
}

/// How somebody feels about something.
#[field_type]
#[derive(Debug, Clone, Copy, PartialEq)]
#[serde(rename_all = "lowercase")]
enum Mood {
    /// Pleased, would buy it again: good, great, love, works.
    Happy,
    /// Displeased, wants the money back: bad, broken, awful.
    Unhappy,
}

/// A layer that prints each call and its outcome. On a single handle it sees that handle's calls only.
struct Watch;

impl Layer for Watch {
    fn call<'a>(
        &'a self,
        lm: &'a Lm,
        request: &'a Request,
        next: Next<'a>,
    ) -> BoxFuture<'a, Result<Response, dspy::lm::LmError>> {
        Box::pin(async move {
            let started = Instant::now();
            let result = next.run(lm, request).await;
            let outcome = match &result {
                Ok(response) => format!("answered, {} tokens", response.usage.total_tokens()),
                Err(error) if error.kind == LmErrorKind::CircuitOpen => {
                    "passed over: its circuit is open".into()
                }
                Err(error) => format!("failed: {}", error.message),
            };
            println!("  {:<24} {outcome} ({} ms)", lm.id(), started.elapsed().as_millis());
            result
        })
    }
}

/// Returns the models in order of preference.
fn models() -> dspy::Result<Vec<Lm>> {
    // No server listens at this port. After two failures the circuit opens: for a minute, requests to it fail
    // at once.
    let mine = Endpoint::new("http://127.0.0.1:9/v1")
        .circuit(Circuit::after(2).cool_down(Duration::from_mins(1)))
        .model("my-own-server")?;
    let mut models = vec![mine];
    for (provider, model) in [
        ("openai", "gpt-6-luna"),
        ("anthropic", "claude-haiku-4-5"),
        ("gemini", "gemini-3.5-flash-lite"),
        ("groq", "openai/gpt-oss-20b"),
    ] {
        // A provider whose key is not set is skipped.
        let Ok(endpoint) = Endpoint::provider(provider) else { continue };
        // A short deadline and a single retry, so that the fallback continues within seconds.
        let endpoint = endpoint.timeout(Duration::from_secs(10)).retries(1).deadline(Duration::from_secs(15));
        models.push(endpoint.requests_per_minute(60).max_concurrent(8).model(model)?);
    }
    models.push(Lm::builtin());
    Ok(models.into_iter().map(|lm| lm.layer(Watch)).collect())
}

#[tokio::main]
async fn main() -> dspy::Result<()> {
    let lm = Lm::fallback(models()?);
    println!("model      {}", lm.id());
    let program = Predict::<Rate>::new().with_lm(lm);
    for review in [
        "It works, and I love the colour.",
        "Broken after two days. I want my money back.",
        "A great buy, would buy it again.",
    ] {
        println!("asked      {review}");
        let rating = program.call(review).await?;
        println!("answered   {:?}, {} request charged", rating.mood, rating.usage().requests);
    }

    // Any handle can be limited, here to two concurrent calls.
    let narrow = Predict::<Rate>::new().with_lm(Lm::builtin().limited(Limits::new().max_concurrent(2)));
    let both = tokio::join!(narrow.call("I love it."), narrow.call("It is awful."));
    println!("limited    {:?}, {:?}", both.0?.mood, both.1?.mood);

    // In tests, this prevents accidental network requests.
    let live = Endpoint::new("http://127.0.0.1:9/v1").model("my-own-server")?;
    let refused = without_live_requests(live.ask("Hello?")).await;
    println!("in tests   {}", refused.map_or_else(|error| error.to_string(), |_| "answered?".into()));
    Ok(())
}
