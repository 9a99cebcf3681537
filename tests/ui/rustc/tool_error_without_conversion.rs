use dspy::prelude::*;

#[field_type]
struct Problem {
    text: String,
}

/// Returns the rain.
#[tool]
async fn rain(city: String) -> Result<f64, Problem> {
    Err(Problem { text: city })
}

fn main() {}
