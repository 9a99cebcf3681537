use dspy::prelude::*;

/// Rate the review.
#[signature]
struct Rate {
    #[input]
    review: String,
    #[output]
    #[check(self.score <=, "the score is at most 1")]
    score: f64,
}

fn main() {}
