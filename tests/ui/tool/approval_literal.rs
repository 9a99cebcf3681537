use dspy::prelude::*;

/// Pays.
#[tool(approval = true)]
async fn pay(amount: u8) -> u8 {
    amount
}

fn main() {}
