use dspy::prelude::*;

/// Searches.
#[tool(name = "search the archive")]
async fn search(query: String) -> String {
    query
}

/// Finds.
#[tool(name = find)]
async fn find(query: String) -> String {
    query
}

fn main() {}
