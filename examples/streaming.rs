//! Typed outputs while they are streamed, and the events of a program.
//!
//! Run: `cargo run --example streaming`
//! Needs: nothing. Without a key the replies come from a script in this file, a few characters at a time;
//! with `OPENAI_API_KEY`, … or `DSPY_MODEL=provider/model` the same program streams from that model.

use dspy::lm::{Completion, Request, ScriptedLm};
use dspy::prelude::*;
use dspy::program::EventKind;

/// Review the product for a shop's page.
#[signature]
struct Review {
    /// The product for sale.
    #[input]
    product: String,
    /// Two or three sentences.
    #[output]
    verdict: String,
    /// From 1 to 5.
    #[output]
    #[check(self.stars >= 1 && self.stars <= 5, "between 1 and 5 stars")]
    stars: u8,
    #[output]
    tags: Vec<String>,
}

/// Condense the review into a headline.
#[signature]
struct Headline {
    #[input]
    verdict: String,
    #[output]
    headline: String,
}

#[module]
struct Press {
    review: Predict<Review>,
    headline: Predict<Headline>,
}

impl Module for Press {
    type Input = ReviewInput;
    type Output = HeadlineOutput;
    async fn forward(&self, input: ReviewInput) -> dspy::Result<Prediction<HeadlineOutput>> {
        let review = self.review.call(input).await?;
        dspy::program::status(format!("{} stars, now the headline", review.stars)).await;
        self.headline.call(review.verdict.clone()).await
    }
}

#[tokio::main]
async fn main() -> dspy::Result<()> {
    let lm = Lm::from_env()?;
    // The built-in model answers at once, so there would be nothing to see.
    let lm =
        if lm.id() == "builtin" { Lm::custom(ScriptedLm::from_fn(script).with_pieces_of(12)) } else { lm };
    println!("model      {}", lm.id());
    dspy::configure(lm);

    let mut stream = Predict::<Review>::new().stream("a desk lamp");
    while let Some(partial) = stream.next().await {
        // Each field is pending, incomplete or complete. A partial number is never shown.
        println!(
            "so far     stars {:?}, tags {:?}, verdict {:?}",
            partial.stars, partial.tags, partial.verdict
        );
    }
    let review = stream.finish().await?;
    println!("review     {} stars, {} tokens", review.stars, review.usage().total_tokens());

    let press = Press { review: Predict::new(), headline: Predict::new() };
    let mut program = press.events("a desk lamp");
    while let Some(event) = program.next().await {
        match event.kind {
            EventKind::Started { .. } => println!("{:<10} starts", event.source),
            EventKind::Finished { .. } => println!("{:<10} is done", event.source),
            EventKind::Status(text) => println!("{:<10} {text}", "status"),
            _ => {}
        }
    }
    println!("headline   {}", program.finish().await?.headline);
    Ok(())
}

fn script(request: &Request) -> Completion {
    let asks_headline = request.messages.iter().any(|message| message.text().contains("headline"));
    Completion::new(if asks_headline {
        "[[ ## headline ## ]]\nA lamp that lasts\n\n[[ ## completed ## ]]"
    } else {
        "[[ ## verdict ## ]]\nWell made, bright, and it lasts. The switch is stiff.\n\n[[ ## stars ## ]]\n4\n\n\
         [[ ## tags ## ]]\n[\"solid\", \"bright\"]\n\n[[ ## completed ## ]]"
    })
}
