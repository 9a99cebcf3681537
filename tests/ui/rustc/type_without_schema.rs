use dspy::prelude::*;

struct Citation {
    url: String,
}

/// Answer.
#[signature]
struct Qa {
    #[input]
    question: String,
    #[output]
    citations: Vec<Citation>,
}

fn main() {}
