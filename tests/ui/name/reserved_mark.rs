use dspy::prelude::*;

/// Answer the question.
#[signature]
struct Qa {
    #[input]
    augmented: String,
    #[output]
    answer: String,
}

fn main() {}
