use dspy::prelude::*;

/// Answer.
#[signature]
struct Qa {
    #[input]
    question: String,
    #[output]
    #[schemars(skip)]
    answer: String,
}

fn main() {}
