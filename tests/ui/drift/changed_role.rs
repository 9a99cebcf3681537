use dspy::prelude::*;

#[field_type]
#[derive(Debug, Clone, PartialEq)]
enum Mood {
    Good,
    Bad,
}

/// Say how the writer feels.
#[signature]
struct Feel {
    #[input]
    text: String,
    #[output]
    mood: Mood,
    #[input]
    sure: Option<f64>,
}

#[module]
struct Desk {
    feel: ChainOfThought<Feel>,
    check: Predict<Feel>,
}

fn main() {
    let _ = include_optimized!(Desk, "saved.json");
}
