use dspy::prelude::*;

#[module(noclone)]
struct Program {
    #[module(skpi)]
    one: String,
    #[module(skip, skip)]
    two: String,
    #[module(name = "a.b")]
    three: Predict<Qa>,
    #[module(skip, name = "x")]
    four: String,
    #[module]
    five: Predict<Qa>,
    #[module(name = "five")]
    six: Predict<Qa>,
}

sig!(Qa: "question -> answer");

fn main() {}
