use dspy::prelude::*;

/// Answer.
#[signature(ouput = Other, crate = dspy, desc = "x")]
struct Qa {
    #[input]
    question: String,
    #[output]
    answer: String,
}

fn main() {}
