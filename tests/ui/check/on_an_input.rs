use dspy::prelude::*;

/// Rate the review.
#[signature]
struct Rate {
    #[input]
    #[check(!self.review.is_empty(), "there is a review")]
    review: String,
    #[output]
    score: f64,
    #[hint]
    #[check(self.gold <= 1.0, "the gold score is at most 1")]
    gold: f64,
}

fn main() {}
