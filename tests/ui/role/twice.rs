use dspy::prelude::*;

/// Answer.
#[signature]
struct Qa {
    #[input]
    #[input]
    question: String,
    #[output]
    answer: String,
}

fn main() {}
