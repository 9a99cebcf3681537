use dspy::prelude::*;

/// Answer.
#[signature]
struct Qa {
    #[input(desc = "what is asked")]
    question: String,
    #[output]
    answer: String,
}

fn main() {}
