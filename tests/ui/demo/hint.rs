use dspy::prelude::*;

/// Answer.
#[signature]
#[demo(question = "Why?", answer = "Because.", level = 3)]
#[demo(question = "Why?", answer = "Because.", question = "Who?")]
struct Qa {
    #[input]
    question: String,
    #[output]
    answer: String,
    #[hint]
    level: u8,
}

fn main() {}
