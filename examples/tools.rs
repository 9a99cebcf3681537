//! An agent with tools: functions and methods that a model calls, errors that it reads, an image that it sees.
//!
//! Run: `cargo run --example tools`
//! Needs: nothing. Without a key the model is a script in this file; with `OPENAI_API_KEY`, … or
//! `DSPY_MODEL=provider/model` that model decides which tools to call.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use dspy::lm::{Capabilities, Completion, Content, Request, ScriptedLm};
use dspy::observe::{Event, EventKind};
use dspy::prelude::*;
use dspy::tools::ToolCall;
use dspy::types::Trajectory;
use serde_json::json;

/// Answer the question about the weather.
#[signature]
struct Weather {
    #[input]
    question: String,
    /// The cities where an umbrella is needed.
    #[output]
    cities: Vec<String>,
    #[output]
    colour_of_the_sky: String,
}

/// Returns the rain of today.
#[tool]
fn rain(
    /// The name of a city, in English.
    city: String,
    /// The unit.
    #[tool(default = "mm")]
    unit: String,
) -> Result<String, String> {
    match city.as_str() {
        "Bergen" => Ok(format!("12 {unit}")),
        "Oslo" => Ok(format!("0 {unit}")),
        _ => Err(format!("no station in {city}")),
    }
}

/// A camera, which the tools share.
#[derive(Default)]
struct Camera {
    pictures: AtomicUsize,
}

#[tool]
impl Camera {
    /// Takes a picture of the sky.
    async fn look(&self, cx: &ToolContext) -> Result<(String, Image), String> {
        cx.status("opening the shutter").await;
        let number = self.pictures.fetch_add(1, Ordering::Relaxed) + 1;
        let image = Image::from_bytes(GREY_PIXEL, "image/png").map_err(|error| error.to_string())?;
        Ok((format!("Picture {number}:"), image))
    }
}

#[tokio::main]
async fn main() -> dspy::Result<()> {
    let lm = Lm::from_env()?;
    // The built-in model does not call tools.
    let lm = if lm.id() == "builtin" { Lm::custom(scripted()) } else { lm };
    println!("model      {}", lm.id());
    let report = |event: &Event| {
        if let EventKind::Status(text) = &event.kind {
            println!("status     {text}");
        }
    };

    let camera = Arc::new(Camera::default());
    let agent = ReAct::<Weather>::new([rain::tool()].into_iter().chain(camera.tools()))?;
    let question = "Where do I need an umbrella today, Bergen, Oslo or Atlantis? And how does the sky look?";
    println!("question   {question}");
    let answer = Settings::new().lm(lm).observe(report).scope(agent.call(question)).await?;

    for turn in answer.added_as::<Trajectory>("trajectory")?.turns {
        for call in &turn.calls {
            let result = call.id.as_deref().and_then(|id| turn.result(id));
            let result = result.map_or("not run".into(), |result| result.shown().into_owned());
            println!("called     {} {}: {result}", call.name, call.arguments);
        }
    }
    println!("answer     {:?}, under a {} sky", answer.cities, answer.colour_of_the_sky);
    Ok(())
}

/// Two turns: four calls at once, then the outputs.
fn scripted() -> ScriptedLm {
    let reply = |request: &Request| {
        let seen = request.messages.iter().any(|message| match &message.content {
            Content::ToolResult { parts, .. } => !parts.is_empty(),
            _ => false,
        });
        let finish = ToolCall::new("finish", json!({"cities": ["Bergen"], "colour_of_the_sky": "grey"}));
        let rain = |city: &str| ToolCall::new("rain", json!({"city": city}));
        let first = [rain("Bergen"), rain("Oslo"), rain("Atlantis"), ToolCall::new("look", json!({}))];
        Completion::new("").calling(if seen { vec![finish] } else { first.to_vec() })
    };
    ScriptedLm::from_fn(reply).with_capabilities(Capabilities::NONE.tools(true).images(true))
}

/// A picture of one pixel.
#[rustfmt::skip]
const GREY_PIXEL: &[u8] = &[
    0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a, 0x00, 0x00, 0x00, 0x0d, 0x49, 0x48, 0x44, 0x52, 0x00,
    0x00, 0x00, 0x01, 0x00, 0x00, 0x00, 0x01, 0x08, 0x00, 0x00, 0x00, 0x00, 0x3a, 0x7e, 0x9b, 0x55, 0x00,
    0x00, 0x00, 0x0a, 0x49, 0x44, 0x41, 0x54, 0x78, 0xda, 0x63, 0x68, 0x00, 0x00, 0x00, 0x82, 0x00, 0x81,
    0xda, 0x45, 0x08, 0x3b, 0x00, 0x00, 0x00, 0x00, 0x49, 0x45, 0x4e, 0x44, 0xae, 0x42, 0x60, 0x82,
];
