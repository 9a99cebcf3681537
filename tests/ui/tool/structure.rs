use dspy::prelude::*;

/// Searches.
#[tool]
struct Search {
    query: String,
}

fn main() {}
