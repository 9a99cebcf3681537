use dspy::prelude::*;
use dspy::retrieve::Passages;

struct Web;

impl Retriever for Web {
    async fn search(&self, query: &str, k: usize) -> dspy::Result<Passages> {
        let _ = (query, k);
        Ok(Passages::default())
    }
}

fn main() {}
