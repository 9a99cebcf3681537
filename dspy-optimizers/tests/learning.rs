//! Optimizers of instructions lift the built-in model on rows that they have not seen: with a writer that knows only
//! the rows that its prompt shows, and with the built-in model itself as the writer.

#![allow(clippy::unwrap_used, reason = "in tests a panic is the report")]

mod common;

use std::collections::BTreeMap;

use common::Row;
use dspy_core::Seed;
use dspy_core::evaluate::Evaluate;
use dspy_core::lm::Lm;
use dspy_core::predict::DynPredict;
use dspy_core::program::HasPredictors as _;
use dspy_core::signature::Values;
use dspy_optimizers::proposer::Proposer;
use dspy_optimizers::{
    Ace, BootstrapFewShotWithTpe, Capo, Copro, Data, InferRules, ModuleOpro, OptimizeError, Optimized,
};
use serde_json::json;

const GOOD: [&str; 6] = ["lovely", "cheerful", "melody", "sunshine", "generous", "delicious"];
const BAD: [&str; 6] = ["broken", "mouldy", "delayed", "leaking", "scratched", "noisy"];
const FILLER: [&str; 8] = ["today", "parcel", "kitchen", "evening", "window", "street", "neighbour", "table"];

/// Rows with one telling word each; the answer is the side that it is from.
fn texts(count: usize, seed: u64) -> Vec<Row> {
    let mut rng = Seed::new(seed).rng();
    let row = |_| {
        let (words, answer) = if rng.below(2) == 0 { (GOOD, "good") } else { (BAD, "bad") };
        let mut text = [FILLER[rng.below(8)], words[rng.below(6)], FILLER[rng.below(8)]];
        rng.shuffle(&mut text);
        Row(serde_json::from_value(json!({"question": text.join(" "), "answer": answer})).unwrap())
    };
    (0..count).map(row).collect()
}

fn exact(row: &Row, output: &Values) -> bool {
    row.0["answer"] == output["answer"]
}

/// A writer that turns a random half of the rows of its prompt into rules: a word that goes with one answer only. Two
/// instructions it puts one after the other.
fn writer() -> Lm {
    Lm::from_fn(|request| {
        let asked = request.messages.last().unwrap().text().into_owned();
        let system = request.messages[0].text().into_owned();
        let fields = [
            "rules",
            "merged_instruction",
            "paraphrase",
            "instruction",
            "observations",
            "summary",
            "description",
        ];
        let field = fields.into_iter().find(|field| system.contains(&format!("`{field}`"))).unwrap();
        let part = |name: &str| {
            Some(asked.split(&format!("[[ ## {name} ## ]]\n")).nth(1)?.split("\n\n").next()?.to_owned())
        };
        let text = match (part("first_instruction"), part("second_instruction"), part("instruction_to_vary"))
        {
            (Some(first), Some(second), _) => format!("{first} {second}"),
            (_, _, Some(same)) => same,
            _ => induced(&asked, Seed::new(request.rollout.unwrap_or_default())),
        };
        std::future::ready(format!("[[ ## {field} ## ]]\n{text}\n\n[[ ## completed ## ]]"))
    })
}

fn induced(asked: &str, seed: Seed) -> String {
    let mut rng = seed.rng();
    let mut answers: BTreeMap<&str, Option<&str>> = BTreeMap::new();
    let mut question = "";
    for line in asked.lines() {
        if let Some(text) = line.strip_prefix("question: ") {
            question = text;
        } else if let Some(answer) = line.strip_prefix("answer: ")
            && rng.below(2) == 0
        {
            for word in question.split(' ') {
                answers
                    .entry(word)
                    .and_modify(|known| *known = known.filter(|known| *known == answer))
                    .or_insert(Some(answer));
            }
        }
    }
    let rules = answers.iter().filter_map(|(word, answer)| Some(format!("{word} is {}.", (*answer)?)));
    rules.collect::<Vec<_>>().join(" ")
}

async fn lift(run: impl Future<Output = Result<Optimized<DynPredict>, OptimizeError>>, least: f64) {
    lift_on(&texts(100, 3), &program(), run, least).await;
}

async fn lift_on(
    heldout: &[Row],
    program: &DynPredict,
    run: impl Future<Output = Result<Optimized<DynPredict>, OptimizeError>>,
    least: f64,
) {
    let evaluate = Evaluate::new(exact).concurrency(16);
    let before = evaluate.run(program, heldout).await.unwrap().score().unwrap();
    let optimized = run.await.unwrap();
    let after = evaluate.run(&*optimized, heldout).await.unwrap().score().unwrap();
    println!("{before} {after}\n{}", optimized.report());
    assert!(after >= before + least, "{before} {after}\n{}", optimized.report());
}

fn program() -> DynPredict {
    let mut program = DynPredict::new("question -> answer: Literal['good', 'bad']".parse().unwrap());
    program.set_lm(Lm::builtin());
    program
}

fn data() -> Data<DynPredict, Vec<Row>> {
    Data::new(texts(40, 1)).valset(texts(60, 2))
}

#[tokio::test]
async fn copro_learns() {
    let copro =
        Copro::builder().metric(exact).breadth(5).depth(2).proposer(Proposer::new().with_lm(writer()));
    lift(copro.build().compile(program(), data()), 0.2).await;
}

#[tokio::test]
async fn module_opro_learns() {
    let opro = ModuleOpro::builder()
        .metric(exact)
        .steps(15)
        .examples(30)
        .proposer(Proposer::new().with_lm(writer()));
    lift(opro.build().compile(program(), data()), 0.2).await;
}

#[tokio::test]
async fn infer_rules_learns() {
    let infer = InferRules::builder().metric(exact).num_candidates(5).prompt_lm(writer());
    let infer = infer.max_bootstrapped_demos(0).max_labeled_demos(0).build();
    lift(Box::pin(infer.compile(program(), data())), 0.2).await;
}

#[tokio::test]
async fn capo_learns() {
    let capo = Capo::builder().metric(exact).population(6).steps(4).examples(30).prompt_lm(writer());
    lift(Box::pin(capo.build().compile(program(), data())), 0.2).await;
}

/// Rows with two numbers. The first one decides: the answer for the middle of its range is another one than for both
/// ends.
fn bands(count: usize, seed: u64) -> Vec<Row> {
    let mut rng = Seed::new(seed).rng();
    let row = |_| {
        let (level, load) = (rng.below(1_000) as f64 / 10.0, rng.below(1_000) as f64 / 10.0);
        let answer = if (35.0..70.0).contains(&level) { "keep" } else { "stop" };
        Row(serde_json::from_value(json!({"level": level, "load": load, "answer": answer})).unwrap())
    };
    (0..count).map(row).collect()
}

/// Rows with two texts of the same words. The words of the second one decide; those of the first one are drawn at random.
fn pairs(count: usize, seed: u64) -> Vec<Row> {
    let mut rng = Seed::new(seed).rng();
    let row = |_| {
        let (words, answer) = if rng.below(2) == 0 { (GOOD, "good") } else { (BAD, "bad") };
        let both = [GOOD, BAD].concat();
        let title = format!("{} {}", FILLER[rng.below(8)], both[rng.below(12)]);
        let body = format!("{} {} {}", FILLER[rng.below(8)], words[rng.below(6)], words[rng.below(6)]);
        Row(serde_json::from_value(json!({"title": title, "body": body, "answer": answer})).unwrap())
    };
    (0..count).map(row).collect()
}

/// Runs optimizers whose writer is the built-in model on a task.
async fn lifts_itself(signature: &str, rows: fn(usize, u64) -> Vec<Row>, least: f64) {
    let mut program = DynPredict::new(signature.parse().unwrap());
    program.set_lm(Lm::builtin());
    let (heldout, data) = (rows(100, 3), || Data::new(rows(40, 1)).valset(rows(60, 2)));
    let copro = Copro::builder().metric(exact).breadth(5).depth(2).examples(30);
    let copro = copro.proposer(Proposer::new().with_lm(Lm::builtin())).build();
    lift_on(&heldout, &program, copro.compile(program.clone(), data()), least).await;
    let infer = InferRules::builder().metric(exact).num_candidates(5).prompt_lm(Lm::builtin());
    let infer = infer.max_bootstrapped_demos(0).max_labeled_demos(0).build();
    lift_on(&heldout, &program, Box::pin(infer.compile(program.clone(), data())), least).await;
}

#[tokio::test]
async fn the_builtin_model_writes_ranges_of_numbers() {
    lifts_itself("level: float, load: float -> answer: Literal['keep', 'stop']", bands, 0.2).await;
}

#[tokio::test]
async fn the_builtin_model_writes_rules_about_one_of_two_texts() {
    lifts_itself("title, body -> answer: Literal['good', 'bad']", pairs, 0.2).await;
}

/// Its reflector and curator are the built-in model, too.
#[tokio::test]
async fn ace_learns() {
    let ace =
        Ace::builder().metric(exact).batch(20).epochs(2).proposer(Proposer::new().with_lm(Lm::builtin()));
    lift(Box::pin(ace.build().compile(program(), data())), 0.2).await;
}

#[tokio::test]
async fn the_search_over_demonstrations_learns() {
    let tpe = BootstrapFewShotWithTpe::builder().metric(exact).demos_per_predictor(12);
    lift(Box::pin(tpe.build().compile(program(), data())), 0.15).await;
}
