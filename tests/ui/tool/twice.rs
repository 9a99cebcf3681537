use dspy::prelude::*;

/// Searches.
#[tool(name = "a", name = "b")]
async fn search(#[tool(name = "text")] query: String, #[tool(alias = "text")] limit: u8) -> String {
    query
}

struct Archive;

#[tool]
impl Archive {
    /// Searches.
    async fn search(&self) {}

    /// Finds.
    #[tool(name = "search")]
    async fn find(&self) {}
}

fn main() {}
