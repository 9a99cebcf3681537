use dspy::prelude::*;

/// Answer.
#[signature]
struct Qa {
    #[input]
    question: String,
}

fn main() {
    let _ = Predict::<Qa>::new();
}
