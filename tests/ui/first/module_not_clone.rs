use dspy::prelude::*;

sig!(Qa: "question -> answer");

struct Connection;

#[module]
struct Program {
    answer: Predict<Qa>,
    #[module(skip)]
    connection: Connection,
}

fn main() {}
