use dspy::prelude::*;

/// Answer.
#[signature]
struct Qa {
    #[input]
    question: String,
    #[output]
    question: String,
}

fn main() {}
