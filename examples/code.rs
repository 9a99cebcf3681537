//! Strategies whose models write Python, in the sandbox: a program of thought, an agent that acts by code, and a log too
//! large for a prompt.
//!
//! Run: `cargo run --example code --features sandbox`; the first run on a machine prepares Python, which takes half a
//! minute.
//! Needs: nothing. Without a key the model is a script in this file; with `OPENAI_API_KEY`, … or
//! `DSPY_MODEL=provider/model` that model writes the code.

use std::time::Duration;

use dspy::lm::{Completion, Request, ScriptedLm};
use dspy::prelude::*;
use dspy::sandbox::Sandbox;
use dspy::strategies::{CodeAct, CodeTurn, ProgramOfThought, Rlm};
use dspy::{Rng, Seed};

/// Compute the date of the payday: the last weekday of a month.
#[signature]
struct Payday {
    #[input]
    year: u32,
    #[input]
    month: u32,
    /// In the form 2026-01-30.
    #[output]
    date: String,
}

/// Find the cheapest way to buy what is on the list, from one shop.
#[signature]
struct Shopping {
    /// How much of each item.
    #[input]
    list: std::collections::BTreeMap<String, u32>,
    #[output]
    shop: String,
    /// Dollars, with cents.
    #[output]
    total: f64,
}

/// Count the complaints about each subject.
#[signature]
struct Complaints {
    /// A log of support, one message a line.
    #[input]
    log: String,
    /// The number of complaints by subject: delivery, billing.
    #[output]
    counts: std::collections::BTreeMap<String, u32>,
}

/// Returns the price of one piece in dollars.
#[tool]
fn price(
    /// North, South or East.
    shop: String,
    /// An item, in the singular.
    item: String,
) -> Result<f64, String> {
    let at = match shop.as_str() {
        "North" => 0,
        "South" => 1,
        "East" => 2,
        _ => return Err(format!("there is no shop {shop}: use North, South or East")),
    };
    match item.as_str() {
        "pear" => Ok([0.40, 0.55, 0.35][at]),
        "loaf" => Ok([2.10, 1.80, 2.60][at]),
        _ => Err(format!("{shop} does not sell {item}")),
    }
}

#[tokio::main]
async fn main() -> dspy::Result<()> {
    let lm = Lm::from_env()?;
    // The built-in model does not write code.
    dspy::configure(if lm.id() == "builtin" { Lm::custom(ScriptedLm::from_fn(script)) } else { lm });

    let python = Sandbox::builder().wall_time(Duration::from_secs(10)).build();
    println!("preparing Python …\n");
    python.prepare().await?;

    let payday = ProgramOfThought::<Payday>::new(python.clone())?.call((2026, 5)).await?;
    println!("payday       {}, computed by", payday.date);
    println!("{}\n", indented(&payday.added_as::<String>("code")?));

    let list = [("pear".to_owned(), 6), ("loaf".to_owned(), 2)].into();
    let shopping = CodeAct::<Shopping>::new([price::tool()], python.clone())?;
    let bought = shopping.call(ShoppingInput { list }).await?;
    println!("shopping     {} for ${:.2}", bought.shop, bought.total);
    for turn in bought.added_as::<Vec<CodeTurn>>("trajectory")? {
        println!("{}\n             → {}", indented(&turn.code), turn.output.trim().replace('\n', "; "));
    }

    // The model reads the beginning of the log only; its code looks into the rest.
    let log = log();
    let rlm = Rlm::<Complaints>::new([], python)?.max_calls(10);
    let complaints = rlm.call(log.clone()).await?;
    let usage = complaints.usage();
    println!("\ncomplaints   {:?}", complaints.counts);
    println!(
        "             {} bytes of log, {} calls, {} tokens",
        log.len(),
        usage.requests,
        usage.prompt_tokens
    );
    Ok(())
}

fn indented(code: &str) -> String {
    code.trim().lines().map(|line| format!("             {line}")).collect::<Vec<_>>().join("\n")
}

/// Returns 5,000 messages, of which 30 are complaints.
fn log() -> String {
    let mut rng: Rng = Seed::new(3).rng();
    let mut lines: Vec<String> =
        (0..5_000).map(|n| format!("{n:04} INFO customer asks about size {}", rng.below(50))).collect();
    for n in 0..30 {
        let subject =
            if rng.below(3) == 0 { "the invoice is wrong, again" } else { "my parcel has not come" };
        lines[n * 160 + rng.below(150)] = format!("{n:04} COMPLAINT {subject}");
    }
    lines.join("\n")
}

/// Plays a model that writes code.
fn script(request: &Request) -> Completion {
    let texts: Vec<String> = request.messages.iter().map(|message| message.text().into_owned()).collect();
    let (system, last) = (&texts[0], &texts[texts.len() - 1]);
    let turns = last.matches("Output:").count();
    if system.contains("payday") {
        let code = "import calendar, datetime\nlast = calendar.monthrange(year, month)[1]\nday = datetime.date(year, month, last)\n\
                    while day.weekday() > 4:\n    day -= datetime.timedelta(days=1)\nsubmit(date=day.isoformat())";
        return reply("generated_code", "The last day of the month, moved back to a weekday.", code);
    }
    if system.contains("cheapest way") {
        let code = match turns {
            0 => "price('Nord', 'pear')",
            _ => {
                "totals = {shop: sum(n * price(shop, item) for item, n in list.items()) for shop in ['North', 'South', 'East']}\n\
                  print(totals)\nbest = min(totals, key=totals.get)\nsubmit(shop=best, total=round(totals[best], 2))"
            }
        };
        return reply("code", "I compare the shops.", code);
    }
    if system.contains("`repl_history`") {
        let code = match turns {
            0 => {
                "complaints = [line for line in log.splitlines() if ' COMPLAINT ' in line]\nprint(len(complaints), complaints[:2])"
            }
            _ => {
                "prompts = ['Is this about delivery or billing? One word. ' + line for line in complaints[:8]]\n\
                  kinds = dict(zip((line.split(' ', 2)[2] for line in complaints[:8]), llm_query_batched(prompts=prompts)))\n\
                  counts = {}\nfor line in complaints:\n    kind = kinds[line.split(' ', 2)[2]]\n    counts[kind] = counts.get(kind, 0) + 1\n\
                  submit(counts=counts)"
            }
        };
        return reply("code", "I look for complaints, and ask what they are about.", code);
    }
    Completion::new(if last.contains("invoice") { "billing" } else { "delivery" })
}

fn reply(field: &str, reasoning: &str, code: &str) -> Completion {
    Completion::new(format!(
        "[[ ## reasoning ## ]]\n{reasoning}\n\n[[ ## {field} ## ]]\n```python\n{code}\n```"
    ))
}
