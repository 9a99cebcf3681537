use dspy::prelude::*;

/// Answer.
#[signature]
struct Qa {
    #[input]
    question: String,
    #[output]
    #[serde(default)]
    verdict: Verdict,
}

#[field_type]
enum Verdict {
    Yes,
    No,
}

fn main() {}
