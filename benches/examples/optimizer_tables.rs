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
//! The programs have one predictor, except for those of `hotpotqa` and `conditional`: there, the first predictor
//! writes a search query from the passages that the question finds in a closed corpus, the second one answers from
//! the passages of both searches. Their score is the F1 of words. In `conditional`, the form of the answer (lower case
//! for a person, and so on) is half of the score, because the corpus has few of its passages; no instruction says it.
//!
//! Figures are means over the seeds with their standard errors. Gains and differences are paired by seed.
#![allow(clippy::unwrap_used, reason = "a measurement that cannot run should say so loudly")]

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use dspy::Seed;
use dspy::data;
use dspy::evaluate::token_f1;
use dspy::optimizers::{
    Ace, BetterTogether, BootstrapFewShot, BootstrapFewShotWithRandomSearch, BootstrapFewShotWithTpe,
    BoxOptimizer, Budget, Capo, Copro, Data, Gepa, InferRules, IntoData, KnnFewShot, LabeledFewShot, MiproV2,
    ModuleOpro, NearestDemos, OptimizeError, Optimized, Optimizer, Portfolio, Report, Simba, Trial,
};
use dspy::prelude::*;
use dspy::signature::{FieldError, Values};

type Boxed = BoxOptimizer<Task, Row>;

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
/// The number of passages of a search.
const PASSAGES: usize = 3;

/// The measure of an answer.
#[derive(Debug, Clone, PartialEq)]
enum Measure {
    /// The label, and no other.
    Label,
    /// The F1 of the words of answer and label.
    Text,
    /// Half for the F1 of words, half for the form that the category of the answer demands.
    Form(String),
}

/// A labelled row.
#[derive(Debug, Clone)]
struct Row(Values, Measure);

impl Row {
    fn label(&self) -> &str {
        self.0[LABEL].as_str().unwrap_or_default()
    }
}

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
    let (expected, answer) = (row.label(), output[LABEL].as_str().unwrap_or_default());
    let (score, wanted) = match &row.1 {
        Measure::Label => (f64::from(u8::from(expected == answer)), expected.to_owned()),
        Measure::Text => (token_f1(expected, answer), expected.to_owned()),
        Measure::Form(category) => {
            let (formed, form) = formed(category, answer);
            let score = f64::midpoint(token_f1(expected, answer), f64::from(u8::from(formed)));
            (score, format!("{expected}; {form}"))
        }
    };
    Score::from(score).with_feedback(if score == 1.0 {
        "right".to_owned()
    } else {
        format!("expected {wanted}")
    })
}

/// Returns whether an answer has the form that its category demands, and the form in words.
fn formed(category: &str, answer: &str) -> (bool, &'static str) {
    let lower = !answer.is_empty() && answer == answer.to_lowercase();
    match category {
        "person" => (lower, "answer in lower case"),
        "place" => (!answer.contains(|c: char| c.is_ascii_punctuation()), "answer without punctuation"),
        "date" => (answer.ends_with("Peace!"), "end the answer with \"Peace!\""),
        _ => (!answer.is_empty() && answer == answer.to_uppercase(), "answer in upper case"),
    }
}

/// The program: an answer, from passages if there is a corpus.
#[module]
#[derive(Clone)]
struct Task {
    query: Vec<DynPredict>,
    answer: DynPredict,
    #[module(skip)]
    corpus: Option<Arc<Bm25>>,
}

impl Module for Task {
    type Input = Values;
    type Output = Values;

    async fn forward(&self, mut input: Values) -> dspy::Result<Prediction<Values>> {
        if let Some(corpus) = &self.corpus {
            let question = input["question"].as_str().unwrap_or_default().to_owned();
            let mut passages = corpus.search(&question, PASSAGES).await?.into_texts();
            for hop in &self.query {
                let mut asked = input.clone();
                asked.insert("passages".to_owned(), passages.clone().into());
                let found = hop.call(asked).await?;
                let query = found["query"].as_str().unwrap_or_default();
                for passage in corpus.search(query, PASSAGES).await?.into_texts() {
                    if !passages.contains(&passage) {
                        passages.push(passage);
                    }
                }
            }
            input.insert("passages".to_owned(), passages.into());
        }
        self.answer.call(input).await
    }
}

/// A data set: its rows, and its program.
struct DataSet {
    rows: Vec<Row>,
    program: Task,
}

/// The name of a data set, the instruction of its program and the inputs.
const DATA: [(&str, &str, &[&str]); 7] = [
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
    ("hotpotqa", "Answer the question from the passages.", &["question"]),
    ("conditional", "Answer the question from the passages.", &["question"]),
];

impl DataSet {
    /// Reads a data set; `None` if its files are missing.
    fn read(name: &str, instruction: &'static str, inputs: &[&str]) -> Option<DataSet> {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        let shared = root.join("../shared/data");
        let (label, files) = match name {
            "tickets" => ("team", vec![root.join("examples/data/tickets.jsonl")]),
            "conditional" => (
                LABEL,
                ["train", "dev"]
                    .map(|part| shared.join(format!("hotpotqa_conditional/{part}.jsonl")))
                    .to_vec(),
            ),
            _ => (LABEL, ["train", "val"].map(|part| shared.join(format!("{name}/{part}.jsonl"))).to_vec()),
        };
        let searches = matches!(name, "hotpotqa" | "conditional");
        let mut rows = Vec::new();
        for file in &files {
            rows.extend(lines(name, file)?.into_iter().map(|all| {
                let mut row: Values =
                    inputs.iter().map(|input| ((*input).to_owned(), all[*input].clone())).collect();
                row.insert(LABEL.to_owned(), all[label].clone());
                let measure = match name {
                    "hotpotqa" => Measure::Text,
                    "conditional" => Measure::Form(all["category"].as_str().unwrap_or_default().to_owned()),
                    _ => Measure::Label,
                };
                Row(row, measure)
            }));
        }
        if name == "banking77" {
            most_frequent(&mut rows);
        }
        Seed::new(0).branch(name).rng().shuffle(&mut rows);
        rows.truncate(MOST_ROWS);
        let program = if searches {
            let passages = lines(name, &shared.join("hotpotqa/corpus.jsonl"))?;
            let text = |passage: &Values, key: &str| passage[key].as_str().unwrap_or_default().to_owned();
            let passages =
                passages.iter().map(|one| format!("{} | {}", text(one, "title"), text(one, "text")));
            let query = predictor(
                "passages: list[str], question -> query",
                "Write a search query for what the passages do not say.",
            );
            let answer = predictor("passages: list[str], question -> answer", instruction);
            Task { query: vec![query], answer, corpus: Some(Arc::new(Bm25::new(passages))) }
        } else {
            let labels: BTreeSet<&str> = rows.iter().map(Row::label).collect();
            let labels: Vec<String> = labels.into_iter().map(|label| format!("'{label}'")).collect();
            let signature = format!("{} -> {LABEL}: Literal[{}]", inputs.join(", "), labels.join(", "));
            Task { query: Vec::new(), answer: predictor(&signature, instruction), corpus: None }
        };
        Some(DataSet { rows, program })
    }
}

fn predictor(signature: &str, instruction: &str) -> DynPredict {
    let mut predictor = DynPredict::new(signature.parse().unwrap());
    predictor.for_each_predictor(|_, predictor| predictor.set_instruction(instruction));
    predictor
}

/// The objects of a file of lines; `None` if it is missing.
fn lines(name: &str, file: &PathBuf) -> Option<Vec<Values>> {
    let Ok(text) = std::fs::read_to_string(file) else {
        println!("skipped `{name}`: there is no {}\n", file.display());
        return None;
    };
    Some(text.lines().map(|line| serde_json::from_str(line).unwrap()).collect())
}

/// Keeps the rows of the most frequent labels.
fn most_frequent(rows: &mut Vec<Row>) {
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    rows.iter().for_each(|row| *counts.entry(row.label().to_owned()).or_default() += 1);
    let mut counts: Vec<_> = counts.into_iter().collect();
    counts.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
    counts.truncate(INTENTS);
    rows.retain(|row| counts.iter().any(|(known, _)| *known == row.label()));
}

/// Returns the original program.
struct Nothing;

impl Optimizer<Task, Row> for Nothing {
    async fn compile<D: IntoData<Task, Row>>(
        &self,
        program: Task,
        _data: D,
    ) -> Result<Optimized<Task>, OptimizeError> {
        let mut report = Report::new("Nothing", &program);
        report.trials.push(Trial::new("original program", &program));
        Ok(Optimized::new(program, report))
    }
}

/// An optimizer of the table.
enum Entry {
    Boxed(Boxed),
    /// `KnnFewShot`, which returns another type of program.
    Nearest(u64),
}

/// Makes an optimizer with a seed and a budget, in its published form or not; `None` if it has no such form.
type Make = fn(u64, Budget, bool) -> Option<Entry>;

/// Makes a builder with the metric, a seed and a budget into an optimizer.
macro_rules! make {
    ($builder:expr, published) => {
        |seed, budget, published| {
            let builder = $builder.metric(judged).seed(seed).budget(budget);
            let optimizer =
                if published { builder.published().build().boxed() } else { builder.build().boxed() };
            Some(Entry::Boxed(optimizer))
        }
    };
    ($builder:expr) => {
        |seed, budget, published| {
            (!published)
                .then(|| Entry::Boxed($builder.metric(judged).seed(seed).budget(budget).build().boxed()))
        }
    };
}

const OPTIMIZERS: [(&str, Make); 16] = [
    ("nothing", |_, _, published| (!published).then(|| Entry::Boxed(Nothing.boxed()))),
    ("portfolio", |seed, budget, published| {
        let optimizer = || Portfolio::builder(budget).metric(judged).seed(seed).build().boxed();
        (!published).then(|| Entry::Boxed(optimizer()))
    }),
    ("labeled", |seed, _, published| {
        (!published).then(|| Entry::Boxed(LabeledFewShot::builder().seed(seed).build().boxed()))
    }),
    ("knn", |seed, _, published| (!published).then_some(Entry::Nearest(seed))),
    ("bootstrap", make!(BootstrapFewShot::builder())),
    ("random_search", make!(BootstrapFewShotWithRandomSearch::builder().num_candidate_programs(LARGE))),
    ("tpe_search", make!(BootstrapFewShotWithTpe::builder().num_candidate_programs(LARGE), published)),
    ("copro", make!(Copro::builder().depth(LARGE).examples(30), published)),
    ("module_opro", make!(ModuleOpro::builder().steps(LARGE).examples(30), published)),
    ("infer_rules", make!(InferRules::builder().max_bootstrapped_demos(0).max_labeled_demos(0), published)),
    ("gepa", make!(Gepa::builder().max_rollouts(LARGE), published)),
    ("mipro_v2", make!(MiproV2::builder().num_candidates(10).num_trials(LARGE), published)),
    ("simba", make!(Simba::builder().minibatch(16).max_steps(LARGE), published)),
    ("capo", make!(Capo::builder().steps(LARGE).examples(30))),
    ("ace", make!(Ace::builder().epochs(LARGE), published)),
    ("better_together", |seed, budget, published| {
        let copro = Copro::builder().depth(3).examples(30).metric(judged).seed(seed).build().boxed();
        let search = BootstrapFewShotWithRandomSearch::builder().metric(judged).seed(seed).build().boxed();
        let both = || {
            BetterTogether::builder()
                .optimizer("instructions", copro)
                .optimizer("demos", search)
                .strategy("instructions -> demos")
                .metric(judged)
                .seed(seed)
                .budget(budget)
                .build()
                .unwrap()
                .boxed()
        };
        (!published).then(|| Entry::Boxed(both()))
    }),
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
            // Help on request is no failure.
            let requested = std::env::args().any(|argument| argument == "--help");
            std::process::exit(if requested { 0 } else { 2 });
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
async fn measured(optimizer: &Entry, set: &DataSet, seed: u64) -> Outcome {
    let seed = Seed::new(seed);
    let (rest, heldout) = data::split(set.rows.clone(), 0.6, seed.branch("held out"));
    let (train, val) = data::split(rest, 0.5, seed.branch("valset"));
    let evaluate = Evaluate::new(judged).concurrency(16);
    let program = set.program.clone();
    let before = evaluate.run(&program, &heldout).await.unwrap().score().unwrap();
    let (after, calls) = match optimizer {
        Entry::Boxed(optimizer) => {
            let optimized = optimizer.compile(program, Data::new(train).valset(val)).await.unwrap();
            let after = evaluate.run(&*optimized, &heldout).await.unwrap().score().unwrap();
            (after, optimized.report().usage.requests)
        }
        Entry::Nearest(seed) => {
            let optimizer = KnnFewShot::builder().seed(*seed).build();
            let optimized =
                optimizer.compile(NearestDemos::new(program).k(8), Data::new(train)).await.unwrap();
            let after = evaluate.run(&*optimized, &heldout).await.unwrap().score().unwrap();
            (after, optimized.report().usage.requests)
        }
    };
    Outcome { before, after, calls }
}

/// Returns the mean and its standard error.
fn summary(values: &[f64]) -> (f64, f64) {
    let count = values.len() as f64;
    let mean = values.iter().sum::<f64>() / count;
    let squares: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
    (mean, (squares / (count - 1.0).max(1.0) / count).sqrt())
}
