//! A session of the sandbox: variables stay, tools are plain functions, errors have a line, endless loops end.
//!
//! `cargo run -p dspy-sandbox --example python`; the first run on a machine prepares Python, which takes half a minute.

use std::time::Duration;

use dspy_core::tools::Tool;
use dspy_sandbox::Sandbox;
use dspy_strategies::Interpreter as _;
use serde_json::json;

#[derive(serde::Deserialize, schemars::JsonSchema)]
struct City {
    city: String,
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let population =
        Tool::new("population", "Returns the inhabitants of a city.", |City { city }: City| async move {
            match city.as_str() {
                "Oslo" => Ok(717_710_u32),
                "Bergen" => Ok(291_940),
                _ => Err(format!("there is no city {city}")),
            }
        });
    let sandbox = Sandbox::builder().wall_time(Duration::from_secs(1)).build();
    println!("preparing Python …");
    let mut session = sandbox.open(vec![population]).await?;
    session.set("cities", json!(["Oslo", "Bergen"])).await?;
    for code in [
        "counts = {city: population(city) for city in cities}\nprint(counts)",
        "sum(counts.values())",
        "population('Atlantis')",
        "open('/etc/passwd')",
        "print('looping')\nwhile True:\n    try: pass\n    except BaseException: pass",
        "'counts' in globals()",
    ] {
        println!("\n>>> {}", code.replace('\n', "\n... "));
        let ran = session.run(code).await;
        print!("{}", ran.stdout);
        match ran.outcome {
            Ok(value) if value.is_null() => {}
            Ok(value) => println!("{value}"),
            Err(error) => println!("{error}"),
        }
        if ran.state_lost {
            println!("(the variables are lost)");
        }
    }
    Ok(())
}
