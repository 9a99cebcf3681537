//! An agent that uses the tools of a server over the Model Context Protocol, and the server: one program, as two processes.
//!
//! Run: `cargo run -p dspy-mcp --example mcp_agent`, which starts the server itself. The server alone, for any other client:
//! `cargo run -p dspy-mcp --example mcp_agent -- serve`.
//! Needs: nothing. Without a key the model is a script in this file; with `OPENAI_API_KEY`, … or
//! `DSPY_MODEL=provider/model` that model decides.

use std::process::Command;

use dspy::lm::{Completion, Request, ScriptedLm};
use dspy::prelude::*;
use dspy_mcp::McpClient;

/// Find out what has to be ordered.
#[signature]
struct Restock {
    /// The parts that are needed.
    #[input]
    parts: String,
    /// The number to order of each part; without those that need no order.
    #[output]
    orders: std::collections::BTreeMap<String, u32>,
}

#[field_type]
struct Part {
    /// The name of a part.
    part: String,
}

/// The tools of the server.
fn tools() -> Vec<Tool> {
    let count = Tool::new("count", "Counts the parts in stock.", |Part { part }: Part| async move {
        match part.as_str() {
            "bolt" => Ok(90),
            "nut" => Ok(20),
            other => Err(format!("no part `{other}`; there are bolt and nut")),
        }
    });
    let minimum = Tool::new("minimum", "Returns the smallest stock.", |_: Part| async { 50 });
    let discard = Tool::new("discard", "Discards all parts of a kind.", |_: Part| async { "discarded" });
    vec![count, minimum, discard]
}

#[tokio::main]
async fn main() -> dspy::Result<()> {
    if std::env::args().nth(1).as_deref() == Some("serve") {
        return dspy_mcp::serve_stdio(tools()).await.map_err(dspy::Error::other);
    }
    let lm = Lm::from_env()?;
    // The built-in model does not call tools.
    dspy::configure(if lm.id() == "builtin" { Lm::custom(ScriptedLm::from_fn(script)) } else { lm });

    let mut server = Command::new(std::env::current_exe().map_err(dspy::Error::other)?);
    server.arg("serve");
    // `discard` is not enabled.
    let stock = McpClient::stdio(server).prefix("stock_").only(["count", "minimum"]);
    let tools = stock.tools().await.map_err(dspy::Error::other)?;
    for tool in &tools {
        println!("tool     {}: {}", tool.name(), tool.spec().description);
    }
    let agent = ReAct::<Restock>::new(tools)?.max_turns(6);
    let output = agent.call("bolt, nut").await?;
    let trajectory = output.added_as::<dspy::types::Trajectory>("trajectory")?;
    println!("{trajectory}");
    println!("orders   {:?}", output.orders);
    stock.close().await;
    Ok(())
}

/// Plays a model: it asks for the stock, then orders what is missing.
fn script(request: &Request) -> Completion {
    let asked = request.messages.last().map(|message| message.text().into_owned()).unwrap_or_default();
    let calls = if asked.contains("90") && asked.contains("20") {
        r#"[{"name": "finish", "arguments": {"orders": {"nut": 30}}}]"#
    } else {
        r#"[{"name": "stock_count", "arguments": {"part": "bolt"}},
            {"name": "stock_count", "arguments": {"part": "nut"}},
            {"name": "stock_minimum", "arguments": {"part": "nut"}}]"#
    };
    Completion::new(format!(
        "[[ ## next_thought ## ]]\nI compare the stock.\n\n[[ ## tool_calls ## ]]\n{calls}\n\n[[ ## completed ## ]]"
    ))
}
