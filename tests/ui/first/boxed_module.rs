use dspy::prelude::*;

sig!(Qa: "question -> answer");

struct Program {
    step: Box<dyn Module>,
}

struct Typed {
    step: Box<dyn Module<Input = QaInput, Output = QaOutput>>,
}

fn main() {}
