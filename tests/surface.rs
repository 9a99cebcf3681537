//! The surface that the design promises, used as a user would: typed signatures, modules, composition.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "in tests a panic is the report")]

use std::sync::Arc;

use dspy::lm::ScriptedLm;
use dspy::prelude::*;
use dspy::program::trace;

/// Judge whether each claim is true.
#[signature]
struct FactCheck {
    /// Statements to verify, one sentence each.
    #[input]
    claims: Vec<String>,
    /// One verdict per claim, in the same order.
    #[output]
    verdicts: Vec<bool>,
}

/// Answer the question.
#[signature]
struct Qa {
    #[input]
    question: String,
    /// A few words.
    #[output]
    answer: String,
    /// The titles of the passages that hold the answer.
    #[hint]
    titles: Vec<String>,
}

/// Write a search query that finds what is still missing.
#[signature]
struct GenerateQuery {
    /// What was found so far.
    #[input]
    context: Vec<String>,
    #[input]
    question: String,
    #[output]
    query: String,
}

/// Answer the question from the context.
#[signature(output = QaOutput)]
struct GenerateAnswer {
    #[input]
    context: Vec<String>,
    #[input]
    question: String,
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
        let mut context = Vec::new();
        for _ in 0..2 {
            let query =
                self.generate_query.call((context.clone(), input.question.clone())).await?.query.clone();
            context.extend(self.corpus.search(&query, 3).await?.into_texts());
        }
        self.generate_answer.call((context, input.question)).await
    }
}

fn reply(fields: &[(&str, &str)]) -> String {
    let sections: String =
        fields.iter().map(|(name, value)| format!("[[ ## {name} ## ]]\n{value}\n\n")).collect();
    sections + "[[ ## completed ## ]]"
}

#[tokio::test]
async fn a_signature_gives_typed_answers() {
    let lm = Lm::scripted([reply(&[("reasoning", "Known dates."), ("verdicts", "[true, false]")])]);
    let check = ChainOfThought::<FactCheck>::new().with_lm(lm);
    let claims =
        vec!["Python was released in 1991.".to_string(), "Python is a compiled language.".to_string()];
    let answer = check.call(claims).await.unwrap();
    let verdicts: &Vec<bool> = &answer.verdicts;
    assert_eq!((verdicts.as_slice(), answer.reasoning()), (&[true, false][..], Some("Known dates.")));
    assert_eq!(answer.usage().requests, 1);
}

fn hops() -> Vec<String> {
    vec![
        reply(&[("reasoning", "First the tower."), ("query", "city of the Eiffel Tower")]),
        reply(&[("reasoning", "Now the river."), ("query", "river through Paris")]),
        reply(&[("reasoning", "Found."), ("answer", "the Seine")]),
    ]
}

fn corpus() -> Arc<dyn Retriever> {
    Arc::new(Bm25::new([
        "The Eiffel Tower stands in the city of Paris.",
        "The river Seine flows through Paris.",
    ]))
}

#[tokio::test]
async fn a_module_composes_steps_and_leaves_a_trace() {
    let mut program = MultiHop::new(corpus());
    program.set_lm(Lm::scripted(hops()));
    let (answer, trace) = trace(program.call("Which river flows by the Eiffel Tower?")).await;
    let answer = answer.unwrap();
    assert_eq!((answer.answer.as_str(), answer.usage().requests), ("the Seine", 3));
    let paths: Vec<_> = trace.steps.iter().map(|step| step.predictor.as_str()).collect();
    assert_eq!(paths, ["generate_query.predict", "generate_query.predict", "generate_answer.predict"]);
    assert!(trace.steps[0].inputs["context"].as_array().unwrap().is_empty());
    assert!(trace.steps[2].inputs["context"].to_string().contains("Seine"));
}

#[tokio::test]
async fn programs_can_be_spawned_and_stored_behind_a_trait_object() {
    let script = Arc::new(ScriptedLm::new(hops()));
    let mut program = MultiHop::new(corpus());
    program.set_lm(Lm::shared(script.clone()));
    let boxed: BoxModule<QaInput, QaOutput> = program.boxed();
    let table: Vec<BoxModule<QaInput, QaOutput>> = vec![boxed];
    let answer = tokio::spawn(async move { table[0].call("Which river?").await.map(|p| p.answer.clone()) });
    assert_eq!(answer.await.unwrap().unwrap(), "the Seine");
    assert_eq!(script.requests().len(), 3);
}

#[tokio::test]
async fn settings_survive_spawned_tasks_and_usage_is_counted() {
    #[module]
    struct Spawning {
        ask: Predict<Qa>,
    }
    impl Module for Spawning {
        type Input = QaInput;
        type Output = QaOutput;
        async fn forward(&self, input: QaInput) -> dspy::Result<Prediction<QaOutput>> {
            let ask = self.ask.clone();
            let other = input.question.clone();
            dspy::spawn(async move { ask.call(other).await }).await.map_err(dspy::Error::other)??;
            self.ask.call(input).await
        }
    }
    let program = Spawning { ask: Predict::new() };
    let replies = [reply(&[("answer", "a")]), reply(&[("answer", "b")])];
    let (answer, steps) = Settings::new().lm(Lm::scripted(replies)).scope(trace(program.call("?"))).await;
    assert_eq!(answer.unwrap().usage().requests, 2);
    let paths: Vec<_> = steps.steps.iter().map(|step| step.predictor.as_str()).collect();
    assert_eq!(paths, ["ask", "ask"]);
}

#[tokio::test]
async fn two_copies_of_one_predictor_are_two_predictors() {
    #[module]
    struct Pair {
        steps: Vec<Predict<Qa>>,
    }
    impl Module for Pair {
        type Input = QaInput;
        type Output = QaOutput;
        async fn forward(&self, input: QaInput) -> dspy::Result<Prediction<QaOutput>> {
            let (first, second) = tokio::join!(self.steps[0].call(input.clone()), self.steps[1].call(input));
            first.and(second)
        }
    }
    let program = Pair { steps: vec![Predict::new(); 2] };
    let replies = [reply(&[("answer", "a")]), reply(&[("answer", "b")])];
    let (_, steps) = Settings::new().lm(Lm::scripted(replies)).scope(trace(program.call("?"))).await;
    let paths: Vec<_> = steps.steps.iter().map(|step| step.predictor.as_str()).collect();
    assert_eq!(paths, ["steps[0]", "steps[1]"]);
}

#[tokio::test]
async fn evaluation_scores_items_one_by_one() {
    let data: Vec<Qa> = dspy::data::parse_jsonl(
        "{\"question\": \"1\", \"answer\": \"one\", \"titles\": []}\n\
         {\"question\": \"2\", \"answer\": \"two\", \"titles\": []}\n\
         {\"question\": \"3\", \"answer\": \"three\", \"titles\": []}",
    )
    .unwrap();
    let lm = ScriptedLm::from_fn(|request| {
        let asked = request.messages[1].text().into_owned();
        if asked.contains("]]\n3") {
            return String::new();
        }
        reply(&[("answer", if asked.contains("]]\n1") { "One." } else { "three" })])
    });
    let program = Predict::<Qa>::new().with_lm(Lm::custom(lm));
    let metric =
        |example: &Qa, output: &QaOutput| dspy::evaluate::answer_exact_match(&example.answer, &output.answer);
    let result = Evaluate::new(metric).concurrency(2).run(&program, &data).await.unwrap();
    assert_eq!(result.to_string(), "33.3 % over 3 items, 1 failed");
    assert_eq!(result.items()[2].index, 2);
    assert!(result.items()[2].score.as_ref().unwrap_err().to_string().contains("empty"));
    let table = result.table(&data, 3);
    assert!(table.starts_with("question  answer  titles  predicted_answer"), "{table}");
}
