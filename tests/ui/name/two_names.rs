use dspy::prelude::*;

/// Answer.
#[signature]
struct Qa {
    #[input]
    #[serde(rename = "q")]
    #[schemars(rename = "Q")]
    question: String,
    #[output]
    #[serde(rename(serialize = "a", deserialize = "b"))]
    answer: String,
}

fn main() {}
