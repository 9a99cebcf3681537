use dspy::prelude::*;

struct Qa {
    question: String,
}

fn build() -> impl HasPredictors {
    Predict::<Qa>::new()
}

fn main() {}
