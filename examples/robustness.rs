//! The behaviour of a program when its model misbehaves: a few hundred runs against a fake model that writes
//! sloppy, malformed and truncated replies, and fails, in shares that you choose.
//!
//! Run: `cargo run --example robustness`
//! Needs: nothing. The fake model generates its replies in this process, the same ones each time.

use std::collections::BTreeMap;
use std::sync::Arc;

use dspy::lm::LmErrorKind;
use dspy::prelude::*;
use dspy::program::Recovery;
use dspy::testing::{FakeLm, Style};
use futures_util::{StreamExt as _, stream};

/// The urgency of the report.
#[field_type]
#[derive(Debug, Clone, Copy, PartialEq)]
#[serde(rename_all = "snake_case")]
enum Urgency {
    Low,
    High,
    /// People may come to harm.
    VeryHigh,
}

/// A machine that the report names.
#[field_type]
#[derive(Debug, Clone, PartialEq)]
struct Machine {
    serial_number: String,
    #[schemars(range(min = 1, max = 40))]
    hall: u8,
    running: bool,
}

/// Read a report from the factory floor.
#[signature]
struct ReadReport {
    #[input]
    report: String,
    #[output]
    urgency: Urgency,
    #[output]
    machines: Vec<Machine>,
    /// Actions to take, one per item.
    #[output]
    steps: Vec<String>,
    #[output]
    downtime_hours: Option<f64>,
}

const RUNS: usize = 400;

#[tokio::main]
async fn main() -> dspy::Result<()> {
    let fake = FakeLm::new(7)
        .sloppy(0.40)
        .malformed(0.15)
        .truncated(0.03)
        .errors(0.02, LmErrorKind::RateLimit)
        .keep(10 * RUNS);
    let fake = Arc::new(fake);
    dspy::configure(Lm::shared(fake.clone()));

    println!(
        "{RUNS} runs against a model of which 40 % of the replies are sloppy, 15 % unreadable, 3 % cut off,"
    );
    println!("and 2 % are errors instead.\n");
    for (name, recovery) in [
        ("Asked once, nothing is forgiven twice", Recovery::NONE),
        ("One re-ask, then JSON (the default)", Recovery::default()),
        (
            "Three re-asks, and a higher limit for what was cut off",
            Recovery::default().reprompts(3).retry_max_tokens(4_096),
        ),
    ] {
        println!("{name}");
        run(recovery).await;
    }

    let mut styles: BTreeMap<&str, usize> = BTreeMap::new();
    for reply in fake.log() {
        let style = match reply.style {
            Style::Valid => "valid",
            Style::Sloppy => "sloppy",
            Style::Malformed => "unreadable",
            Style::Truncated => "cut off",
            _ => "error",
        };
        *styles.entry(style).or_default() += 1;
    }
    println!("What the model did   {}", counted(&styles));
    Ok(())
}

/// Runs the program many times and prints a summary.
async fn run(recovery: Recovery) {
    let settings = Settings::new().recovery(recovery);
    let program = ChainOfThought::<ReadReport>::new();
    let reports =
        (0..RUNS).map(|number| format!("Report {number}: the press in hall 3 makes a strange noise."));
    let calls: Vec<_> = reports.map(|report| settings.clone().scope(program.call(report))).collect();
    let outcomes: Vec<_> = stream::iter(calls).buffered(16).collect().await;

    let (mut clean, mut repaired, mut asked_again) = (0, 0, 0);
    let (mut repairs, mut failures, mut reasons) = (BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
    for outcome in &outcomes {
        match outcome {
            Ok(prediction) => {
                match (prediction.attempts().len(), prediction.report().is_clean()) {
                    (1, true) => clean += 1,
                    (1, false) => repaired += 1,
                    _ => asked_again += 1,
                }
                for repair in &prediction.report().repairs {
                    *repairs.entry(repair.kind.to_string()).or_insert(0usize) += 1;
                }
                for error in prediction.attempts().iter().filter_map(|attempt| attempt.error()) {
                    *reasons.entry(format!("{:?}", error.kind)).or_insert(0usize) += 1;
                }
            }
            Err(error) => {
                let reason = match error {
                    dspy::Error::Parse(error) => format!("{:?}", error.kind),
                    dspy::Error::Lm(error) => format!("{:?}", error.kind),
                    dspy::Error::Reprompt { .. } => "a second request that failed".to_owned(),
                    other => other.to_string(),
                };
                *failures.entry(reason).or_insert(0usize) += 1;
            }
        }
    }
    let failed = failures.values().sum::<usize>();
    println!("  clean {clean}, repaired {repaired}, asked again {asked_again}, failed {failed}");
    println!("  repaired            {}", most(&repairs, 6));
    if !reasons.is_empty() {
        println!("  asked again because {}", counted(&reasons));
    }
    println!("  failed because      {}\n", counted(&failures));
}

fn counted<K: std::fmt::Display>(counts: &BTreeMap<K, usize>) -> String {
    counts.iter().map(|(name, count)| format!("{name} {count}")).collect::<Vec<_>>().join(", ")
}

/// Formats the most frequent entries.
fn most(counts: &BTreeMap<String, usize>, number: usize) -> String {
    let mut sorted: Vec<(&String, &usize)> = counts.iter().collect();
    sorted.sort_by_key(|(_, count)| std::cmp::Reverse(**count));
    let shown = sorted.iter().take(number).map(|(name, count)| format!("{name} {count}"));
    shown.collect::<Vec<_>>().join(", ")
}
