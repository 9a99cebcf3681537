use dspy::prelude::*;

sig!(Qa: "question -> answer");

#[module]
struct Program {
    answer: Predict<Qa>,
}

fn build() -> impl Module {
    Program { answer: Predict::new() }
}

fn main() {}
