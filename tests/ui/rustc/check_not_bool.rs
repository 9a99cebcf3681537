use dspy::prelude::*;

/// Rate the review.
#[signature]
#[check(self.score + 1.0, "together")]
struct Rate {
    #[input]
    review: String,
    #[output]
    #[check(self.score, "alone")]
    score: f64,
}

fn main() {}
