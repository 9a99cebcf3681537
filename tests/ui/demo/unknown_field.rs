use dspy::prelude::*;

/// Answer.
#[signature]
#[demo(question = "Why?", anwser = "Because.", answer = "Because.")]
struct Qa {
    #[input]
    question: String,
    #[output]
    answer: String,
}

fn main() {}
