//! Runs 76 idioms that models use, in five groups, and prints how many work: the table of `docs/sandbox.md`.
//!
//! `cargo run -p dspy-sandbox --example idioms`

use std::path::Path;
use std::time::Duration;

use dspy_core::tools::{Json, Tool};
use dspy_sandbox::Sandbox;
use dspy_strategies::Interpreter as _;
use serde_json::{Value, json};

#[derive(serde::Deserialize, schemars::JsonSchema)]
struct Shout {
    text: String,
    #[serde(default = "once")]
    times: usize,
}

fn once() -> usize {
    1
}

#[derive(serde::Deserialize, schemars::JsonSchema)]
struct Text {
    text: String,
}

#[derive(serde::Deserialize, schemars::JsonSchema)]
struct Shape {
    shape: Value,
}

fn tools() -> Vec<Tool> {
    vec![
        Tool::new("shout", "Shouts.", |Shout { text, times }: Shout| async move {
            vec![text.to_uppercase(); times.min(10)].join(" ")
        }),
        Tool::new("fails", "Fails.", |Text { text }: Text| async move { Err::<String, String>(text) }),
        Tool::new("shape", "Counts the points.", |Shape { shape }: Shape| async move {
            Json(json!({"count": shape["points"].as_array().map_or(0, Vec::len)}))
        }),
    ]
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/idioms.py");
    let idioms = std::fs::read_to_string(file)?;
    let sandbox = Sandbox::builder().wall_time(Duration::from_secs(10)).build();
    let mut missing = Vec::new();
    let (mut all, mut all_ran) = (0, 0);
    println!("| group | run | of |\n|---|---|---|");
    for group in idioms.split("# group: ").skip(1) {
        let (title, group) = group.split_once('\n').unwrap_or((group, ""));
        let (mut count, mut ran) = (0, 0);
        for idiom in group.split("## ").skip(1) {
            let (name, code) = idiom.split_once('\n').unwrap_or((idiom, ""));
            let expected: String =
                code.lines().filter_map(|line| line.strip_prefix("#> ")).collect::<Vec<_>>().join("\n");
            count += 1;
            let execution = sandbox.open(tools()).await?.run(code).await;
            if execution.outcome.is_ok() && execution.stdout.trim_end() == expected {
                ran += 1;
            } else {
                let why = match &execution.outcome {
                    Err(error) => error.to_string(),
                    Ok(_) => format!("printed {:?}", execution.stdout),
                };
                missing.push(format!("{name} ({why})"));
            }
        }
        println!("| {title} | {ran} | {count} |");
        all += count;
        all_ran += ran;
    }
    println!("| all | {all_ran} | {all} |\n\nDo not run: {}.", missing.join("; "));
    Ok(())
}
