//! An agent that pays debts: one process stops where a person has to approve a payment, another one resumes it.
//!
//! Run: `cargo run --example agent`, which starts both processes. Or by hand:
//! `cargo run --example agent -- start state.json`, then `cargo run --example agent -- resume state.json approve`
//! (or `deny`).
//! Needs: nothing. Without a key the model is a script in this file; with `OPENAI_API_KEY`, … or
//! `DSPY_MODEL=provider/model` that model decides.

use std::path::{Path, PathBuf};
use std::process::Command;

use dspy::lm::{Completion, Request, ScriptedLm};
use dspy::prelude::*;
use dspy::strategies::AgentState;

/// Pay what is owed, and report what was paid and what was not.
#[signature]
struct Settle {
    /// Who is owed how much.
    #[input]
    debts: String,
    /// The names of those who were paid.
    #[output]
    paid: Vec<String>,
    /// What was not paid, and why; empty if everything was.
    #[output]
    open: String,
}

#[field_type]
struct Payment {
    /// The name of the payee.
    to: String,
    /// Dollars.
    amount: f64,
}

fn agent() -> dspy::Result<ReAct<Settle>> {
    let pay = Tool::new("pay", "Pays an amount.", |payment: Payment| async move {
        println!("           … paying ${} to {}", payment.amount, payment.to);
        format!("paid ${} to {}", payment.amount, payment.to)
    });
    // Above $100 a person decides.
    let pay = pay.with_approval_if(|payment| payment["amount"].as_f64().is_none_or(|amount| amount > 100.0));
    Ok(ReAct::new([pay])?.max_turns(6))
}

#[tokio::main]
async fn main() -> dspy::Result<()> {
    let lm = Lm::from_env()?;
    // The built-in model does not call tools.
    dspy::configure(if lm.id() == "builtin" { Lm::custom(ScriptedLm::from_fn(script)) } else { lm });

    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["start", file] => {
            let outcome = agent()?.run("Ann $20, Bob $500").await?;
            report(outcome, Path::new(file))
        }
        ["resume", file, verdict] => {
            let state = AgentState::load(file)?;
            let decisions = state.waiting().into_iter().map(|call| match verdict {
                "approve" => call.approve(),
                _ => call.deny("the owner said no"),
            });
            let decisions: Vec<_> = decisions.collect();
            let outcome = agent()?.resume(state, decisions).await?;
            report(outcome, Path::new(file))
        }
        [] => two_processes(),
        _ => Err(dspy::Error::other("usage: agent [start FILE | resume FILE approve|deny]")),
    }
}

fn report(outcome: Outcome<SettleOutput>, file: &Path) -> dspy::Result<()> {
    match outcome {
        Outcome::Done(output) => {
            println!("paid       {}", output.paid.join(", "));
            println!("open       {}", if output.open.is_empty() { "nothing" } else { &output.open });
            println!("ended by   {}", output.added_as::<String>("termination")?);
        }
        Outcome::Waiting(state) => {
            for call in state.waiting() {
                println!("waiting    {call}");
            }
            state.save(file).map_err(dspy::Error::other)?;
        }
        _ => {}
    }
    Ok(())
}

fn two_processes() -> dspy::Result<()> {
    let program = std::env::current_exe().map_err(dspy::Error::other)?;
    let file: PathBuf = std::env::temp_dir().join(format!("dspy-agent-{}.json", std::process::id()));
    for arguments in [vec!["start"], vec!["resume", "approve"]] {
        let (first, rest) = arguments.split_first().ok_or_else(|| dspy::Error::other("no arguments"))?;
        println!("process    {first} {}", rest.join(" "));
        let status = Command::new(&program).arg(first).arg(&file).args(rest).status();
        if !status.map_err(dspy::Error::other)?.success() {
            return Err(dspy::Error::other(format!("the process `{first}` failed")));
        }
    }
    std::fs::remove_file(file).map_err(dspy::Error::other)
}

/// Plays a model: it pays both, then reports what the results say.
fn script(request: &Request) -> Completion {
    let asked = request.messages.last().map(|message| message.text().into_owned()).unwrap_or_default();
    let calls = if !asked.contains("paid $20") {
        r#"[{"name": "pay", "arguments": {"to": "Ann", "amount": 20}},
            {"name": "pay", "arguments": {"to": "Bob", "amount": 500}}]"#
    } else if asked.contains("paid $500") {
        r#"[{"name": "finish", "arguments": {"paid": ["Ann", "Bob"], "open": ""}}]"#
    } else {
        r#"[{"name": "finish", "arguments": {"paid": ["Ann"], "open": "$500 to Bob: denied"}}]"#
    };
    Completion::new(format!(
        "[[ ## next_thought ## ]]\nI pay what is owed.\n\n[[ ## tool_calls ## ]]\n{calls}\n\n[[ ## completed ## ]]"
    ))
}
