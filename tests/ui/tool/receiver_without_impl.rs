use dspy::prelude::*;

struct Archive;

impl Archive {
    /// Searches.
    #[tool]
    async fn search(&self, query: String) -> String {
        query
    }
}

fn main() {}
