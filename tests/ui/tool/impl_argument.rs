use dspy::prelude::*;

/// Searches.
#[tool]
async fn search(query: impl Into<String>) -> String {
    query.into()
}

fn main() {}
