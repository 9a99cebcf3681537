use dspy::prelude::*;

/// Searches.
#[tool]
async fn search<T>(query: T) -> String {
    String::new()
}

fn main() {}
