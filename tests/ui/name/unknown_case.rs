use dspy::prelude::*;

/// Answer.
#[signature]
#[serde(rename_all = "camelcase")]
struct Qa {
    #[input]
    question: String,
    #[output]
    answer: String,
}

fn main() {}
