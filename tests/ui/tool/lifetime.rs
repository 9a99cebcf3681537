use dspy::prelude::*;

/// Searches.
#[tool]
async fn search<'a>(query: String) -> String {
    query
}

fn main() {}
