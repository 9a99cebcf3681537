use dspy::prelude::*;

/// Searches.
#[tool]
async fn search(#[serde(default)] query: String) -> String {
    query
}

fn main() {}
