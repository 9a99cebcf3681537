use dspy::prelude::*;

/// Returns the rain.
#[tool]
async fn rain(#[tool(default = "many")] days: u8) -> u8 {
    days
}

fn main() {}
