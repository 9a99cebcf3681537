use dspy::prelude::*;

#[module]
async fn answer(question: String) -> String {
    question
}

fn main() {}
