use dspy::prelude::*;

/// Answer.
#[signature]
enum Qa {
    Question(String),
}

fn main() {}
