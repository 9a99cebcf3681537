use dspy::prelude::*;

/// Answer.
#[signature]
struct Qa<'a, T> {
    #[input]
    question: &'a str,
    #[output]
    answer: T,
}

fn main() {}
