use dspy::prelude::*;

/// Returns the rain.
#[tool]
async fn rain(
    #[tool(default = "many")] days: u8,
    #[tool(default = 1)] share: f64,
    #[tool(default = -1.5)] count: i32,
    #[tool(default = 0)] exact: bool,
    #[tool(default = 5)] city: String,
) -> String {
    format!("{days} {share} {count} {exact} {city}")
}

fn main() {}
