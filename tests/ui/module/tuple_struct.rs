use dspy::prelude::*;

#[module]
struct Program(Predict<Qa>);

sig!(Qa: "question -> answer");

fn main() {}
