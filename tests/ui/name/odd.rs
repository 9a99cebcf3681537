use dspy::prelude::*;

/// Answer.
#[signature]
struct Qa {
    #[input]
    #[serde(rename = "the ## question ##")]
    question: String,
    #[output]
    #[serde(rename = "")]
    answer: String,
}

fn main() {}
