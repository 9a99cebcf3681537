use dspy::prelude::*;

/// Searches.
#[tool]
async fn search(a: &ToolContext, b: &ToolContext) {}

fn main() {}
