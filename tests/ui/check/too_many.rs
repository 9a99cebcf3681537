use dspy::prelude::*;

/// Rate the review.
#[signature]
struct Rate {
    #[input]
    review: String,
    #[output]
    #[check(self.score <= 1.0, self.score >= 0.0, "the score is from 0 to 1")]
    score: f64,
}

fn main() {}
