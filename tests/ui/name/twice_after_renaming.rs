#![allow(non_snake_case)]

use dspy::prelude::*;

/// Answer.
#[signature]
#[serde(rename_all = "camelCase")]
struct Qa {
    #[input]
    finalAnswer: String,
    #[output]
    final_answer: String,
    #[output]
    #[schemars(rename = "finalAnswer")]
    answer: String,
}

fn main() {}
