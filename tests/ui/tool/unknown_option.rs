use dspy::prelude::*;

/// Searches.
#[tool(aproval, retries = 3)]
async fn search(#[tool(defualt = 3)] limit: u8) -> u8 {
    limit
}

struct Archive;

#[tool(approval)]
impl Archive {
    /// Searches.
    #[tool(hidden)]
    async fn search(&self) {}
}

fn main() {}
