use dspy::prelude::*;

/// Answer.
#[signature]
struct Qa(String, String);

fn main() {}
