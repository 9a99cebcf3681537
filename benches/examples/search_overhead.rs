//! The memory and the time that an optimization takes beside the calls of models.
//!
//! - `search_overhead` prints everything: each figure comes from a process of its own.
//! - `search_overhead memory TRIALS` runs a search of that many trials over a program of 20 predictors and prints
//!   its peak resident memory (`VmHWM`, Linux only), and the time to write its report and the size of the files.
//! - `search_overhead time TRIALS` prints the time that engine and sampler add to the calls of the program, relative
//!   to a model that takes 10 ms.
//!
//! A trial assigns one of six instructions and one of six sets of two demonstrations to each predictor, and is scored
//! on eight rows. In `memory`, a row calls one of the predictors and choices are random; in `time`, a row calls all of
//! them and `Tpe` suggests. The model answers at once: its 10 ms are added by arithmetic, because timers of
//! milliseconds would hide what is measured.
#![allow(clippy::unwrap_used, reason = "a measurement that cannot run should say so loudly")]

use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use dspy::lm::{BoxFuture, LanguageModel, LmError, Request, Response, Usage};
use dspy::optimizers::engine::{Candidate, ExampleFor, Program, Stop, Study};
use dspy::optimizers::samplers::Tpe;
use dspy::optimizers::{Data, IntoData, OptimizeError, Optimized, Optimizer, Options, SharedMetric, Stopped};
use dspy::prelude::*;
use dspy::signature::Demo;
use serde_json::json;

const PREDICTORS: usize = 20;
/// Instructions, and sets of demonstrations, of each predictor.
const CHOICES: usize = 6;
const ROWS: usize = 8;
/// The time of a call in seconds.
const MODEL: f64 = 0.010;

/// Answer the question in a few words.
#[signature]
#[derive(Clone)]
struct Qa {
    #[input]
    question: String,
    #[output]
    answer: String,
}

#[module]
#[derive(Clone)]
struct Chain {
    steps: Vec<Predict<Qa>>,
    /// Whether a row calls all of them.
    #[module(skip)]
    all: bool,
}

impl Module for Chain {
    type Input = QaInput;
    type Output = QaOutput;

    async fn forward(&self, input: QaInput) -> dspy::Result<Prediction<QaOutput>> {
        if !self.all {
            let step = input.question.len() % self.steps.len();
            return self.steps[step].call(input).await;
        }
        let mut last = None;
        for step in &self.steps {
            last = Some(step.call(input.clone()).await?);
        }
        last.ok_or_else(|| dspy::Error::other("no steps"))
    }
}

/// A model that answers at once, right or wrong by the length of its prompt.
#[derive(Default)]
struct AtOnce(AtomicU64);

impl LanguageModel for AtOnce {
    fn id(&self) -> &'static str {
        "instant"
    }

    fn complete<'a>(&'a self, request: &'a Request) -> BoxFuture<'a, Result<Response, LmError>> {
        self.0.fetch_add(1, Ordering::Relaxed);
        Box::pin(async move {
            let length: usize = request.messages.iter().map(|message| message.text().len()).sum();
            let answer = if length.is_multiple_of(3) { "yes" } else { "no" };
            let reply = format!("[[ ## answer ## ]]\n{answer}\n\n[[ ## completed ## ]]");
            Ok(Response::text(reply).with_usage(Usage::tokens(length as u64 / 4, 10)))
        })
    }
}

/// Trials of combinations.
struct Combinations {
    trials: usize,
    tpe: bool,
    metric: SharedMetric<Qa, QaOutput>,
    options: Options,
}

impl<P: Program<Output = QaOutput>> Optimizer<P, Qa> for Combinations
where
    Qa: ExampleFor<P>,
{
    async fn compile<D: IntoData<P, Qa>>(&self, program: P, data: D) -> Result<Optimized<P>, OptimizeError> {
        let data = data.into_data();
        let study = Study::builder("Combinations", program, &data)
            .settings(&self.trials)
            .options(&self.options)
            .start(&self.metric)?;
        let searched = self.search(&study).await;
        study.finish(searched).await
    }
}

impl Combinations {
    async fn search<P: Program<Output = QaOutput>>(&self, study: &Study<'_, P, Qa>) -> Result<Stopped, Stop>
    where
        Qa: ExampleFor<P>,
    {
        let mut tpe = Tpe::new(vec![CHOICES; 2 * PREDICTORS]).map_err(OptimizeError::other)?;
        for number in 0..self.trials {
            let mut rng = study.seed().branch("suggest").index(number as u64).rng();
            let choice: Vec<usize> = if self.tpe {
                tpe.suggest(&mut rng)
            } else {
                (0..2 * PREDICTORS).map(|_| rng.below(CHOICES)).collect()
            };
            let score = study.score(format!("trial {number}"), &candidate(&choice)).await?;
            if self.tpe {
                tpe.observe(&choice, score).map_err(OptimizeError::other)?;
            }
        }
        Ok(Stopped::Finished)
    }
}

fn candidate(choice: &[usize]) -> Candidate {
    choice.chunks(2).enumerate().fold(Candidate::new(), |candidate, (step, choice)| {
        let path = format!("steps[{step}]");
        let text = format!(
            "Answer in a few words. {}",
            "Think about each word of the question. ".repeat(choice[0] + 1)
        );
        let demo = |number: usize| {
            let question = "What is the longest river? ".repeat(1 + choice[1] + number);
            let values = json!({"question": question, "answer": "yes"});
            Demo::new(serde_json::from_value(values).unwrap())
        };
        candidate.instruction(path.as_str(), text).demos(path, [demo(0), demo(1)])
    })
}

fn rows() -> Vec<Qa> {
    let row = |row: usize| Qa { question: format!("Is {} even?", "x".repeat(row)), answer: "yes".into() };
    (0..ROWS).map(row).collect()
}

fn chain(model: &Arc<AtOnce>, all: bool) -> Chain {
    let mut chain = Chain { steps: (0..PREDICTORS).map(|_| Predict::new()).collect(), all };
    chain.set_lm(Lm::shared(model.clone()));
    chain
}

fn right(row: &Qa, output: &QaOutput) -> bool {
    row.answer == output.answer
}

fn peak_mib() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find(|line| line.starts_with("VmHWM")).unwrap_or_default();
    let kib: f64 = line.split_whitespace().nth(1).and_then(|text| text.parse().ok()).unwrap_or(f64::NAN);
    kib / 1024.0
}

async fn memory(trials: usize) {
    let (model, before) = (Arc::<AtOnce>::default(), peak_mib());
    let (metric, options) = (SharedMetric::new(right), Options::default());
    let search = Combinations { trials, tpe: false, metric, options };
    let begun = Instant::now();
    let optimized = search.compile(chain(&model, false), Data::new(rows())).await.unwrap();
    let took = begun.elapsed();
    let peak = peak_mib();
    let folder = std::env::temp_dir().join(format!("dspy-search-overhead-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let begun = Instant::now();
    optimized.report().write_json(folder.join("report.json")).unwrap();
    let json = begun.elapsed();
    let begun = Instant::now();
    optimized.report().write_html(folder.join("report.html")).unwrap();
    let html = begun.elapsed();
    let size = |name: &str| std::fs::metadata(folder.join(name)).unwrap().len() / 1024;
    println!(
        "{trials:>6} trials: peak {peak:.0} MiB ({before:.0} before), {:.2} KiB per trial, {took:.1?}; \
         report.json {} KiB in {json:.2?}, report.html {} KiB in {html:.2?}, peak with reports {:.0} MiB",
        (peak - before) * 1024.0 / trials as f64,
        size("report.json"),
        size("report.html"),
        peak_mib(),
    );
    std::fs::remove_dir_all(folder).unwrap();
}

async fn time(trials: usize) {
    let model = Arc::<AtOnce>::default();
    let program = chain(&model, true);
    // The same programs on the same rows without an engine, one at a time.
    let mut plain = 0.0;
    let rows = rows();
    for number in 0..trials {
        let mut rng = dspy::Seed::new(number as u64).rng();
        let choice: Vec<usize> = (0..2 * PREDICTORS).map(|_| rng.below(CHOICES)).collect();
        let program = candidate(&choice).applied_to(&program).unwrap();
        let begun = Instant::now();
        for row in &rows {
            program.call(row.question.as_str()).await.unwrap();
        }
        plain += begun.elapsed().as_secs_f64();
    }
    let calls = model.0.swap(0, Ordering::Relaxed);
    let metric = SharedMetric::new(right);
    let search = Combinations { trials, tpe: true, metric, options: Options::default() };
    let begun = Instant::now();
    search.compile(program, Data::new(rows)).await.unwrap();
    let whole = begun.elapsed().as_secs_f64();
    let made = model.0.load(Ordering::Relaxed);
    let each = plain / calls as f64;
    let added = whole - each * made as f64;
    println!(
        "{trials:>6} trials, {made} calls: {whole:.3} s, of which the calls of the program {:.3} s; engine and sampler \
         {:.3} ms per trial, {:.1} µs per call",
        each * made as f64,
        added * 1e3 / trials as f64,
        added * 1e6 / made as f64,
    );
    for concurrency in [1.0, 8.0] {
        let wall = made as f64 * MODEL / concurrency;
        println!("        beside a model of 10 ms, {concurrency} at a time: {:.2} %", added / wall * 100.0);
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let trials = |at: usize| arguments.get(at).and_then(|text| text.parse().ok());
    match arguments.first().map(String::as_str) {
        Some("memory") => memory(trials(1).unwrap_or(1_000)).await,
        Some("time") => time(trials(1).unwrap_or(200)).await,
        _ => {
            let load = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
            println!("load {}", load.trim());
            for (kind, trials) in [("memory", "1000"), ("memory", "10000"), ("time", "50"), ("time", "500")] {
                let program = std::env::current_exe().unwrap();
                let done = Command::new(program).args([kind, trials]).status().unwrap();
                assert!(done.success(), "{kind} {trials}");
            }
        }
    }
}
