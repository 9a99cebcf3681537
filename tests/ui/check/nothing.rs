use dspy::prelude::*;

/// Rate the review.
#[signature]
struct Rate {
    #[input]
    review: String,
    #[output]
    #[check]
    score: f64,
}

fn main() {}
