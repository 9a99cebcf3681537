use dspy::prelude::*;

/// Answer.
#[signature]
struct Qa {
    #[input]
    question: String,
    #[input]
    #[output]
    answer: String,
    #[output]
    score: f64,
}

fn main() {}
