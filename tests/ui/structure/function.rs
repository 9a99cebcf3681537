use dspy::prelude::*;

#[signature]
fn qa(question: String) -> String {
    question
}

fn main() {}
