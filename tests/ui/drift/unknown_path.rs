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
    #[output]
    sure: Option<f64>,
}

#[module]
struct Desk {
    feel: ChainOfThought<Feel>,
    verify: Predict<Feel>,
}

fn main() {
    let _ = include_optimized!(Desk, "saved.json");
}
