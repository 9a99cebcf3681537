//! Tables of the gain of optimizers on held-out rows with the built-in model, each with the same budget of calls.
//!
//! `cargo run --release -p dspy-benches --example optimizer_tables -- --data iris,tickets --optimizers copro,gepa
//! --seeds 5 --calls 2000` prints a Markdown table for each data set. Each argument is optional; `--help` lists the
//! names. The data sets besides `tickets` are read from `../shared/data`, and skipped if they are not there.
//!
//! A seed splits the rows of a data set into 30 % to learn from, 30 % to select by and 40 % held out, and is the seed
//! of the optimizer. All optimizers run on the same splits. The sizes of the searches are so large that the budget
//! ends them, except for those whose algorithm ends earlier; the table has the calls that were made.
//!
//! Each optimizer has up to three rows: its default, its published form, and the default once more with another seed
//! of its own (A/A). The difference of default and published form says something if it is larger than that of the
//! A/A row, which is noise. `nothing` returns the original program. A published form may differ in more than the race:
//! that of `Copro` shows no rows to the proposer, so the built-in model has nothing to learn from.
//!
//! Figures are means over the seeds with their standard errors. Gains and differences are paired by seed.
#![allow(clippy::unwrap_used, reason = "a measurement that cannot run should say so loudly")]

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use dspy::Seed;
use dspy::data;
use dspy::optimizers::{
    BootstrapFewShotWithRandomSearch, BoxOptimizer, Budget, Capo, Copro, Data, Gepa, InferRules, IntoData,
    MiproV2, ModuleOpro, OptimizeError, Optimized, Optimizer, Report, Simba, Trial,
};
use dspy::prelude::*;
use dspy::signature::{FieldError, Values};

type Boxed = BoxOptimizer<DynPredict, Row>;

/// The label of all data sets.
const LABEL: &str = "answer";
/// The number of rows of a data set that are used.
const MOST_ROWS: usize = 400;
/// The number of intents of `banking77`: those with the most rows.
const INTENTS: usize = 10;
/// The distance of the seeds of the two runs of an A/A comparison.
const OTHER: u64 = 1_000;
/// A size that no budget reaches.
const LARGE: usize = 10_000;

/// A labelled row.
#[derive(Debug, Clone)]
struct Row(Values);

impl Example for Row {
    type Input = Values;

    fn input(&self) -> Result<Values, FieldError> {
        let inputs = self.0.iter().filter(|(name, _)| *name != LABEL);
        Ok(inputs.map(|(name, value)| (name.clone(), value.clone())).collect())
    }

    fn values(&self) -> Result<Values, FieldError> {
        Ok(self.0.clone())
    }
}

/// Scores the answer, and says what the right one is.
fn judged(row: &Row, output: &Values) -> Score {
    let (right, expected) = (row.0[LABEL] == output[LABEL], row.0[LABEL].as_str().unwrap_or_default());
    Score::from(right).with_feedback(if right { "right".to_owned() } else { format!("expected {expected}") })
}

/// A data set: its rows, and the signature of the program.
struct DataSet {
    rows: Vec<Row>,
    signature: String,
    instruction: &'static str,
}

/// The name of a data set, the instruction of its program and the inputs.
const DATA: [(&str, &str, &[&str]); 5] = [
    (
        "iris",
        "Name the species of the flower.",
        &["sepal_length", "sepal_width", "petal_length", "petal_width"],
    ),
    (
        "heart",
        "Say whether the patient has a heart disease.",
        &[
            "age", "sex", "cp", "trestbps", "chol", "fbs", "restecg", "thalach", "exang", "oldpeak", "slope",
            "ca", "thal",
        ],
    ),
    ("banking77", "Find the intent of the customer's message.", &["text"]),
    ("scone", "Answer the question about the context.", &["context", "question"]),
    ("tickets", "Decide which team should answer the customer's message.", &["message"]),
];

impl DataSet {
    /// Reads a data set; `None` if its files are missing.
    fn read(name: &str, instruction: &'static str, inputs: &[&str]) -> Option<DataSet> {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        let (label, files) = if name == "tickets" {
            ("team", vec![root.join("examples/data/tickets.jsonl")])
        } else {
            let folder = root.join("../shared/data").join(name);
            (LABEL, ["train.jsonl", "val.jsonl"].map(|file| folder.join(file)).to_vec())
        };
        let mut rows = Vec::new();
        for file in files {
            let Ok(text) = std::fs::read_to_string(&file) else {
                println!("skipped `{name}`: there is no {}\n", file.display());
                return None;
            };
            rows.extend(text.lines().map(|line| {
                let all: Values = serde_json::from_str(line).unwrap();
                let mut row: Values =
                    inputs.iter().map(|input| ((*input).to_owned(), all[*input].clone())).collect();
                row.insert(LABEL.to_owned(), all[label].clone());
                Row(row)
            }));
        }
        if name == "banking77" {
            most_frequent(&mut rows);
        }
        Seed::new(0).branch(name).rng().shuffle(&mut rows);
        rows.truncate(MOST_ROWS);
        let labels: BTreeSet<String> =
            rows.iter().map(|row| row.0[LABEL].as_str().unwrap().to_owned()).collect();
        let labels: Vec<String> = labels.into_iter().map(|label| format!("'{label}'")).collect();
        let signature = format!("{} -> {LABEL}: Literal[{}]", inputs.join(", "), labels.join(", "));
        Some(DataSet { rows, signature, instruction })
    }

    fn program(&self) -> DynPredict {
        let mut program = DynPredict::new(self.signature.parse().unwrap());
        program.for_each_predictor(|_, predictor| predictor.set_instruction(self.instruction));
        program
    }
}

/// Keeps the rows of the most frequent labels.
fn most_frequent(rows: &mut Vec<Row>) {
    let label = |row: &Row| row.0[LABEL].as_str().unwrap_or_default().to_owned();
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    rows.iter().for_each(|row| *counts.entry(label(row)).or_default() += 1);
    let mut counts: Vec<_> = counts.into_iter().collect();
    counts.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
    counts.truncate(INTENTS);
    rows.retain(|row| counts.iter().any(|(known, _)| *known == label(row)));
}

/// Returns the original program.
struct Nothing;

impl Optimizer<DynPredict, Row> for Nothing {
    async fn compile<D: IntoData<DynPredict, Row>>(
        &self,
        program: DynPredict,
        _data: D,
    ) -> Result<Optimized<DynPredict>, OptimizeError> {
        let mut report = Report::new("Nothing", &program);
        report.trials.push(Trial::new("original program", &program));
        Ok(Optimized::new(program, report))
    }
}

/// Makes an optimizer with a seed and a budget, in its published form or not; `None` if it has no such form.
type Make = fn(u64, Budget, bool) -> Option<Boxed>;

/// Makes a builder with the metric, a seed and a budget into an optimizer.
macro_rules! make {
    ($builder:expr, published) => {
        |seed, budget, published| {
            let builder = $builder.metric(judged).seed(seed).budget(budget);
            Some(if published { builder.published().build().boxed() } else { builder.build().boxed() })
        }
    };
    ($builder:expr) => {
        |seed, budget, published| {
            (!published).then(|| $builder.metric(judged).seed(seed).budget(budget).build().boxed())
        }
    };
}

const OPTIMIZERS: [(&str, Make); 9] = [
    ("nothing", |_, _, published| (!published).then(|| Nothing.boxed())),
    ("copro", make!(Copro::builder().depth(LARGE).examples(30), published)),
    ("infer_rules", make!(InferRules::builder().max_bootstrapped_demos(0).max_labeled_demos(0), published)),
    ("gepa", make!(Gepa::builder().max_rollouts(LARGE), published)),
    ("mipro_v2", make!(MiproV2::builder().num_candidates(10).num_trials(LARGE), published)),
    ("module_opro", make!(ModuleOpro::builder().steps(LARGE).examples(30), published)),
    ("simba", make!(Simba::builder().minibatch(16).max_steps(LARGE), published)),
    ("capo", make!(Capo::builder().steps(LARGE).examples(30))),
    ("random_search", make!(BootstrapFewShotWithRandomSearch::builder().num_candidate_programs(64))),
];

/// The result of an optimizer for one seed.
#[derive(Clone, Copy)]
struct Outcome {
    before: f64,
    after: f64,
    calls: u64,
}

struct Arguments {
    data: Vec<String>,
    optimizers: Vec<String>,
    seeds: u64,
    calls: u64,
}

const USAGE: &str = "optimizer_tables [--data NAME,…] [--optimizers NAME,…] [--seeds COUNT] [--calls COUNT]";

impl Arguments {
    fn read() -> Result<Self, String> {
        let (data, optimizers) = (DATA.map(|(name, ..)| name), OPTIMIZERS.map(|(name, _)| name));
        let list = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        let mut read = Arguments { data: list(&data), optimizers: list(&optimizers), seeds: 5, calls: 2_000 };
        let mut arguments = std::env::args().skip(1);
        while let Some(name) = arguments.next() {
            let value = arguments.next().unwrap_or_default();
            let number = || value.parse().map_err(|_| format!("`{name}` needs a number, not `{value}`"));
            let names = |known: &[&str]| {
                let unknown = value.split(',').find(|name| !known.contains(name));
                match unknown {
                    Some(unknown) => Err(format!("`{unknown}` is none of: {}", known.join(", "))),
                    None => Ok(value.split(',').map(str::to_owned).collect()),
                }
            };
            match name.as_str() {
                "--data" => read.data = names(&data)?,
                "--optimizers" => read.optimizers = names(&optimizers)?,
                "--seeds" => read.seeds = number()?,
                "--calls" => read.calls = number()?,
                _ => {
                    let (data, optimizers) = (data.join(", "), optimizers.join(", "));
                    return Err(format!("{USAGE}\ndata sets: {data}\noptimizers: {optimizers}"));
                }
            }
        }
        Ok(read)
    }
}

#[tokio::main]
async fn main() {
    let arguments = match Arguments::read() {
        Ok(arguments) => arguments,
        Err(message) => {
            eprintln!("{message}");
            std::process::exit(2);
        }
    };
    dspy::configure(Lm::builtin());
    for (name, instruction, inputs) in DATA {
        if arguments.data.iter().any(|chosen| chosen == name)
            && let Some(set) = DataSet::read(name, instruction, inputs)
        {
            table(name, &set, &arguments).await;
        }
    }
}

/// Prints the table of a data set.
async fn table(name: &str, set: &DataSet, arguments: &Arguments) {
    let Arguments { seeds, calls, .. } = arguments;
    println!("## {name}: {} rows, {seeds} seeds, at most {calls} calls\n", set.rows.len());
    println!("| optimizer | form | calls | baseline, % | optimized, % | gain | default − this form |");
    println!("|---|---|---:|---:|---:|---:|---:|");
    for (name, make) in OPTIMIZERS {
        if arguments.optimizers.iter().any(|chosen| chosen == name) {
            compare(name, make, set, arguments).await;
        }
    }
    println!();
}

/// Prints the rows of an optimizer.
async fn compare(name: &str, make: Make, set: &DataSet, arguments: &Arguments) {
    let mut default: Option<Vec<Outcome>> = None;
    for (form, other_seed, published) in
        [("default", 0, false), ("A/A", OTHER, false), ("published", 0, true)]
    {
        let mut outcomes = Vec::new();
        for seed in 0..arguments.seeds {
            if let Some(optimizer) = make(seed + other_seed, Budget::calls(arguments.calls), published) {
                outcomes.push(measured(&optimizer, set, seed).await);
            }
        }
        if outcomes.is_empty() {
            continue;
        }
        let shown = |of: &dyn Fn(&Outcome) -> f64| {
            let (mean, error) = summary(&outcomes.iter().map(of).collect::<Vec<_>>());
            format!("{:.1} ± {:.1}", 100.0 * mean, 100.0 * error)
        };
        let calls = outcomes.iter().map(|outcome| outcome.calls as f64).sum::<f64>() / outcomes.len() as f64;
        let difference = default.as_ref().map(|default| {
            let pairs = default.iter().zip(&outcomes);
            let (mean, error) = summary(&pairs.map(|(a, b)| a.after - b.after).collect::<Vec<_>>());
            format!("{:+.1} ± {:.1}", 100.0 * mean, 100.0 * error)
        });
        println!(
            "| {name} | {form} | {calls:.0} | {} | {} | {} | {} |",
            shown(&|outcome| outcome.before),
            shown(&|outcome| outcome.after),
            shown(&|outcome| outcome.after - outcome.before),
            difference.as_deref().unwrap_or("–"),
        );
        default.get_or_insert(outcomes);
    }
}

/// Optimizes on one part of the rows and scores on the others.
async fn measured(optimizer: &Boxed, set: &DataSet, seed: u64) -> Outcome {
    let seed = Seed::new(seed);
    let (rest, heldout) = data::split(set.rows.clone(), 0.6, seed.branch("held out"));
    let (train, val) = data::split(rest, 0.5, seed.branch("valset"));
    let evaluate = Evaluate::new(judged).concurrency(16);
    let before = evaluate.run(&set.program(), &heldout).await.unwrap().score().unwrap();
    let optimized = optimizer.compile(set.program(), Data::new(train).valset(val)).await.unwrap();
    let after = evaluate.run(&*optimized, &heldout).await.unwrap().score().unwrap();
    Outcome { before, after, calls: optimized.report().usage.requests }
}

/// Returns the mean and its standard error.
fn summary(values: &[f64]) -> (f64, f64) {
    let count = values.len() as f64;
    let mean = values.iter().sum::<f64>() / count;
    let squares: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
    (mean, (squares / (count - 1.0).max(1.0) / count).sqrt())
}
