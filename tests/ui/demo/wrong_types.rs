use dspy::prelude::*;

/// Answer.
#[signature]
#[demo(question = 3, answer = "Because.", score = "high")]
struct Qa {
    #[input]
    question: String,
    #[output]
    answer: Verdict,
    #[output]
    score: f64,
}

#[field_type]
enum Verdict {
    Yes,
    No,
}

fn main() {}
