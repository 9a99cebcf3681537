use dspy::prelude::*;

struct Place {
    city: String,
}

/// Returns the rain.
#[tool]
async fn rain(place: Place) -> f64 {
    0.0
}

fn main() {}
