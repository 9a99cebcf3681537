use dspy::prelude::*;

/// Answer.
#[signature]
#[demo(question = "Why?")]
struct Qa {
    #[input]
    question: String,
    #[output]
    answer: String,
    #[output]
    score: f64,
}

fn main() {}
