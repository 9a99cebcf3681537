use dspy::prelude::*;

struct Archive;

#[tool]
impl Archive {
    /// Searches.
    async fn search(&mut self, query: String) -> String {
        query
    }
}

fn main() {}
