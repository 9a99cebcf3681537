//! A program with unit tests that replay recorded replies.
//!
//! Run its tests: `cargo test --example cassettes`. They read `examples/data/cassettes/`, call no model and
//! need no key. After a change of the prompts record them again:
//! `DSPY_CASSETTES=record cargo test --example cassettes`.
//! Run the program: `cargo run --example cassettes -- "My parcel is late."`
//! Needs: nothing. It uses the built-in model; replace it by `openai/gpt-4o-mini`, and only recording needs
//! the key.

use dspy::prelude::*;

/// Decide how urgent a customer's message is.
#[signature]
struct Triage {
    #[input]
    message: String,
    #[output]
    urgency: Urgency,
}

#[field_type]
#[derive(Debug, Clone, Copy, PartialEq)]
#[serde(rename_all = "lowercase")]
enum Urgency {
    /// Somebody is in danger, or money is being lost now.
    High,
    /// A question, a wish, or praise.
    Normal,
}

/// Rates the urgency of a message. The model is a parameter, so that tests can pass a cassette.
async fn triage(lm: Lm, message: &str) -> dspy::Result<Urgency> {
    Ok(Predict::<Triage>::new().with_lm(lm).call(message).await?.urgency)
}

const MODEL: &str = "builtin";

#[tokio::main]
async fn main() -> dspy::Result<()> {
    let message = std::env::args().nth(1).unwrap_or_else(|| "Money is being lost right now!".into());
    println!("{:?}", triage(Lm::new(MODEL)?, &message).await?);
    Ok(())
}

#[cfg(test)]
mod tests {
    use dspy::lm::{Cassette, CassetteError};

    use super::*;

    /// Returns the cassette of a test. It replays unless `DSPY_CASSETTES` says otherwise.
    fn cassette(test: &str) -> Result<Cassette, CassetteError> {
        Cassette::auto(format!("{}/examples/data/cassettes/{test}.json", env!("CARGO_MANIFEST_DIR")))
    }

    #[tokio::test]
    async fn losing_money_is_urgent() -> Result<(), Box<dyn std::error::Error>> {
        let cassette = cassette("losing_money_is_urgent")?;
        let lm = cassette.lm(MODEL)?;
        assert_eq!(triage(lm.clone(), "Money is being lost right now!").await?, Urgency::High);
        assert_eq!(
            triage(lm, "A question: do you have praise for this lamp, or a wish?").await?,
            Urgency::Normal
        );
        // Every recorded reply was used, so the cassette holds none of an older version of the program.
        Ok(cassette.verify()?)
    }
}
