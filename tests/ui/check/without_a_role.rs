use dspy::prelude::*;

/// Rate the review.
#[signature]
struct Rate {
    #[input]
    review: String,
    #[check(self.score <= 1.0, "the score is at most 1")]
    score: f64,
}

fn main() {}
