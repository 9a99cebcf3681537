use dspy::prelude::*;

/// Answer.
#[signature]
struct Qa {
    question: String,
    #[output]
    answer: String,
}

fn main() {}
