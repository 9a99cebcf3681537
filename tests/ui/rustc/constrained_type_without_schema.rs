use dspy::prelude::*;

struct Citation;

/// Answer.
#[signature]
struct Qa {
    #[input]
    question: String,
    #[output]
    #[schemars(length(min = 1))]
    citations: Vec<Citation>,
}

fn main() {}
