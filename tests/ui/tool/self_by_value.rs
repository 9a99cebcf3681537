use dspy::prelude::*;

struct Archive;

#[tool]
impl Archive {
    /// Searches.
    async fn search(self, query: String) -> String {
        query
    }
}

fn main() {}
