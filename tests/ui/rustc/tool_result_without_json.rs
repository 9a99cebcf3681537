use dspy::prelude::*;

struct Rain {
    millimetres: f64,
}

/// Returns the rain.
#[tool]
async fn rain(city: String) -> Rain {
    Rain { millimetres: 0.0 }
}

fn main() {}
