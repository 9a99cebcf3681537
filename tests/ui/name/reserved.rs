use dspy::prelude::*;

/// Answer.
#[signature]
struct Qa {
    #[input]
    question: String,
    #[output]
    completed: bool,
}

fn main() {}
