use dspy::prelude::*;

#[module]
struct Program {
    answer: Predict<dspy_ui::Qa>,
    corpus: Vec<String>,
}

mod dspy_ui {
    use dspy::prelude::*;
    sig!(pub Qa: "question -> answer");
}

fn main() {}
