use dspy::prelude::*;

#[derive(Default, serde::Deserialize, schemars::JsonSchema)]
struct Limits {
    limit: u32,
}

/// Pays.
#[tool(approval = |arguments| arguments["limits"]["limit"].as_u64() > Some(5))]
async fn pay(#[tool(default)] limits: Limits) -> u32 {
    limits.limit
}

fn main() {}
