use dspy::prelude::*;

/// Rate the review.
#[signature]
#[chekc(self.score <= 1.0, "the score is at most 1")]
#[check(self.score <= 1.0)]
struct Rate {
    #[output]
    score: f64,
}

fn main() {}
