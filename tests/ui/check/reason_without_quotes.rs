use dspy::prelude::*;

/// Rate the review.
#[signature]
struct Rate {
    #[input]
    review: String,
    #[output]
    #[check(self.score <= 1.0, at_most_one)]
    score: f64,
}

fn main() {}
