//! Custom strategies: one that requests an additional output, and one that calls the model twice.
//!
//! Run: `cargo run --example own_strategy`
//! Needs: nothing. Without a key the replies come from a script in this file; with `OPENAI_API_KEY`, … or
//! `DSPY_MODEL=provider/model` the same strategies run on that model.

use dspy::predict::PredictStream;
use dspy::prelude::*;
use dspy::signature::{FieldSpec, Role};

/// Name the capital of the country.
#[signature]
struct Capital {
    #[input]
    country: String,
    #[output]
    #[check(!self.city.ends_with('.'), "a name, not a sentence")]
    city: String,
}

/// A strategy that requests an additional output: the model's confidence.
///
/// `Predict::over` takes the signature with any further outputs. Everything else works as with
/// `Predict::new`: checks are enforced, values are typed, unreadable replies are re-prompted, and outputs are
/// streamed.
#[module]
struct Confident<S: Signature> {
    predict: Predict<S>,
}

impl<S: Signature> Confident<S> {
    fn new() -> dspy::Result<Self> {
        let about = "How sure the answer is, from 0 to 1.";
        let confidence = FieldSpec::of::<f64>(Role::Output, "confidence", about);
        Ok(Confident { predict: Predict::over((**S::spec()).clone().append(confidence))? })
    }

    /// Streams like `Predict::stream`; the additional output is in `PredictStream::added`.
    fn stream(&self, input: impl Into<S::Input>) -> PredictStream<S> {
        PredictStream::of(self, input.into())
    }
}

impl<S: Signature> Module for Confident<S> {
    type Input = S::Input;
    type Output = S::Output;
    async fn forward(&self, input: S::Input) -> dspy::Result<Prediction<S::Output>> {
        self.predict.call(input).await
    }
}

/// A strategy that draws two samples and returns the answer with the higher confidence.
#[module]
struct Twice<S: Signature> {
    confident: Confident<S>,
}

impl<S: Signature<Input: Clone>> Module for Twice<S> {
    type Input = S::Input;
    type Output = S::Output;
    async fn forward(&self, input: S::Input) -> dspy::Result<Prediction<S::Output>> {
        let first = self.confident.call(input.clone()).await?;
        let second = Settings::new().rollout(1).scope(self.confident.call(input)).await?;
        let sure = |answer: &Prediction<S::Output>| answer.added_as::<f64>("confidence");
        Ok(if sure(&second)? > sure(&first)? { second } else { first })
    }
}

#[tokio::main]
async fn main() -> dspy::Result<()> {
    let lm = Lm::from_env()?;
    // The built-in model does not know the capital of Australia.
    let lm = if lm.id() == "builtin" { script() } else { lm };
    println!("model      {}", lm.id());
    dspy::configure(lm);

    let strategy = Twice { confident: Confident::<Capital>::new()? };
    let answer = strategy.call("Australia").await?;
    println!("answer     {} ({:.0} % sure)", answer.city, answer.added_as::<f64>("confidence")? * 100.0);
    println!("cost       {} calls", answer.usage().requests);

    let mut stream = strategy.confident.stream("Australia");
    while let Some(partial) = stream.next().await {
        println!("streamed   {}", serde_json::to_string(partial).map_err(dspy::Error::other)?);
    }
    println!("sure       {:?}", stream.added("confidence").and_then(FieldState::value));
    println!("at the end {}", stream.finish().await?.city);
    Ok(())
}

fn script() -> Lm {
    let reply =
        |city: &str, sure: &str| format!("[[ ## city ## ]]\n{city}\n\n[[ ## confidence ## ]]\n{sure}");
    Lm::scripted([
        reply("Sydney", "0.4"),
        // Refused by the check, so the model is re-prompted.
        reply("Canberra is the capital.", "0.9"),
        reply("Canberra", "0.9"),
        reply("Canberra", "0.8"),
    ])
}
