use dspy::prelude::*;

/// Answer.
#[signature]
#[cfg(all())]
struct Qa {
    #[input]
    #[cfg(all())]
    question: String,
    #[output]
    answer: String,
}

fn main() {}
