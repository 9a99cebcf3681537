use dspy::prelude::*;

/// Answer.
#[signature]
#[demo(question: "Why?", answer: "Because.")]
struct Qa {
    #[input]
    question: String,
    #[output]
    answer: String,
}

fn main() {}
