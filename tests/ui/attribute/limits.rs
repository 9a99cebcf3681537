use dspy::prelude::*;

/// Rate the review.
#[signature]
struct Rate {
    #[input]
    review: String,
    #[output]
    #[schemars(range(min = 5, max = 1))]
    stars: u8,
    #[output]
    #[schemars(range(min = 0.5, max = -1))]
    mood: f64,
    #[output]
    #[schemars(length(min = 3, max = 2), inner(length(min = 3, max = 2)))]
    tags: Vec<String>,
    #[output]
    #[schemars(length(equal = 3, min = 1))]
    code: String,
}

#[field_type]
struct Part {
    #[schemars(range(min = 5, max = 1))]
    stars: u8,
}

fn main() {}
