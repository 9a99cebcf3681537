use dspy::prelude::*;

/// Answer.
#[signature]
struct Qa {
    #[input]
    question: String,
    #[output]
    follow_ups: Vec<Self>,
}

fn main() {}
