use dspy::prelude::*;

/// Answer the question.
#[signature]
struct Qa {
    #[input]
    question: String,
    #[output]
    #[serde(alias = "Final Answer", alias = "Completed")]
    answer: String,
    #[output]
    #[serde(alias = "final_answer")]
    summary: String,
    #[output]
    #[serde(alias = "Summary")]
    score: f64,
}

fn main() {}
