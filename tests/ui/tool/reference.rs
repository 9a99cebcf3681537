use dspy::prelude::*;

/// Searches.
#[tool]
async fn search(query: &str, tags: &[u8], limit: &u8) -> String {
    query.to_owned()
}

fn also_usable() -> Tool {
    search::tool()
}

fn main() {}
