use dspy::prelude::*;

sig!(Qa: "question -> answer");

fn main() {
    let _ = include_optimized!(Predict<Qa>, "malformed.json");
}
