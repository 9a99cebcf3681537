use dspy::prelude::*;

/// Answer.
#[signature]
struct Qa;

fn main() {}
