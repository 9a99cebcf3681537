//! A program of several steps: search, read, search again, answer. It is evaluated and optimized like a
//! single step.
//!
//! Run: `cargo run --example multi_hop`
//! Needs: nothing; see `quickstart` for how to use a real model. The built-in model finds passages and copies
//! answers from them, but gains little from demonstrations here; a language model would learn how to search.

use std::sync::Arc;

use dspy::data;
use dspy::evaluate::{answer_passage_match, token_f1};
use dspy::optimizers::{BootstrapFewShotWithRandomSearch, Budget};
use dspy::prelude::*;
use dspy::program::trace;

/// Answer the question in a few words.
#[signature]
#[derive(Clone)]
struct Qa {
    #[input]
    question: String,
    /// A few words, as they stand in a passage.
    #[output]
    answer: String,
    /// The passages that hold the answer: for the metric, not for the model.
    #[hint]
    titles: Vec<String>,
}

/// Write a search query that finds what the context does not say yet.
#[signature]
struct GenerateQuery {
    /// Passages found so far.
    #[input]
    context: Vec<String>,
    #[input]
    question: String,
    /// A few telling words.
    #[output]
    query: String,
}

/// Answer the question from the context.
#[signature(output = QaOutput)]
struct GenerateAnswer {
    /// Passages that may help.
    #[input]
    context: Vec<String>,
    #[input]
    question: String,
    /// A few words, as they stand in a passage.
    #[output]
    answer: String,
}

#[module]
struct MultiHop {
    generate_query: ChainOfThought<GenerateQuery>,
    generate_answer: ChainOfThought<GenerateAnswer>,
    #[module(skip)]
    corpus: Arc<dyn Retriever>,
}

impl MultiHop {
    fn new(corpus: Arc<dyn Retriever>) -> Self {
        MultiHop { generate_query: ChainOfThought::new(), generate_answer: ChainOfThought::new(), corpus }
    }
}

impl Module for MultiHop {
    type Input = QaInput;
    type Output = QaOutput;

    async fn forward(&self, input: QaInput) -> dspy::Result<Prediction<QaOutput>> {
        let mut context: Vec<String> = Vec::new();
        for _ in 0..2 {
            let query =
                self.generate_query.call((context.clone(), input.question.clone())).await?.query.clone();
            for passage in self.corpus.search(&query, 3).await?.into_texts() {
                if !context.contains(&passage) {
                    context.push(passage);
                }
            }
        }
        self.generate_answer.call((context, input.question)).await
    }
}

#[field_type]
struct Passage {
    title: String,
    text: String,
}

#[tokio::main]
async fn main() -> dspy::Result<()> {
    let lm = Lm::from_env()?;
    println!("model      {}", lm.id());
    dspy::configure(lm.clone());

    let passages: Vec<Passage> = include_str!("data/passages.jsonl")
        .lines()
        .map(serde_json::from_str)
        .collect::<Result<_, _>>()
        .map_err(dspy::Error::other)?;
    let corpus =
        Bm25::new(passages.into_iter().map(|passage| format!("{} | {}", passage.title, passage.text)));
    let program = MultiHop::new(Arc::new(corpus));

    let questions: Vec<Qa> =
        data::parse_jsonl(include_str!("data/questions.jsonl")).map_err(dspy::Error::other)?;
    let (train, heldout) = data::split(questions, 0.5, dspy::Seed::new(1));

    // Each hop is a step of the trace, under the path of its predictor.
    let (answer, steps) = trace(program.call(heldout[0].question.as_str())).await;
    println!("asked      {}\nanswered   {}", heldout[0].question, answer?.answer);
    for step in &steps.steps {
        let output = step.outputs.values().next_back().map(ToString::to_string).unwrap_or_default();
        println!("  {:<24} {output}", step.predictor);
    }

    // Half of the score is for the words of the answer, half for having found the passages, which the metric
    // reads from the trace.
    let evaluate = Evaluate::new(Found).concurrency(16).traced(true).progress(true);
    let before = evaluate.run(&program, &heldout).await?;
    println!("baseline   {before}");

    let optimized = BootstrapFewShotWithRandomSearch::builder()
        .metric(Found)
        .metric_threshold(0.75)
        .max_bootstrapped_demos(4)
        .max_labeled_demos(0)
        .num_candidate_programs(6)
        .budget(Budget::calls(8_000).usd(2.0))
        .progress(true)
        .build()
        .compile(program, &train)
        .await?;
    println!("{}", optimized.report());
    let after = evaluate.run(&optimized, &heldout).await?;
    println!("optimized  {after}   (baseline {before}; the same held-out questions)");
    Ok(())
}

/// A metric of the trace and the answer: whether the passages contain the answer, and how similar the output
/// is to it.
#[derive(Clone)]
struct Found;

impl Metric<Qa, QaOutput> for Found {
    async fn score(&self, judged: Judged<'_, Qa, QaOutput>) -> Result<Score, dspy::error::BoxError> {
        let last = judged.trace.and_then(|trace| trace.steps.last());
        let read = last.and_then(|step| step.inputs["context"].as_array()).into_iter().flatten();
        let found = answer_passage_match(&judged.example.answer, read.filter_map(|passage| passage.as_str()));
        let words = token_f1(&judged.example.answer, &judged.prediction.answer);
        Ok(Score::new(0.5 * f64::from(u8::from(found)) + 0.5 * words))
    }
}
