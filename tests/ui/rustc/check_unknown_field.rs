use dspy::prelude::*;

/// Rate the review.
#[signature]
struct Rate {
    #[input]
    review: String,
    #[output]
    #[check(self.scor <= 1.0, "misspelt")]
    #[check(self.review.len() > 3, "an input")]
    #[check(self.score.nonsense(), "an unknown method")]
    #[check(self.score <= "1", "another type")]
    score: f64,
    #[output]
    #[check(self.tags.into_iter().count() > 1, "moved")]
    tags: Vec<String>,
}

fn main() {}
