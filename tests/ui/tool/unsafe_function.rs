use dspy::prelude::*;

/// Searches.
#[tool]
async unsafe fn search(query: String) -> String {
    query
}

fn main() {}
