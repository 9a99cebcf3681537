use dspy::prelude::*;

#[signature]
struct Qa {
    /// Answer the question in one word.
    #[input]
    question: String,
    #[output]
    answer: String,
}

fn main() {}
