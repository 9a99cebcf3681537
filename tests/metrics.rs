//! The forms of metrics, and what optimizers can do with them.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "in tests a panic is the report")]

use dspy::error::BoxError;
use dspy::evaluate::{ItemError, metric_with};
use dspy::lm::ScriptedLm;
use dspy::optimizers::{
    BootstrapFewShot, BootstrapFewShotWithRandomSearch, Data, IntoData, LabeledFewShot, OptimizeError,
    Optimized, Optimizer,
};
use dspy::prelude::*;

/// Answer.
#[signature]
#[derive(Clone)]
struct Qa {
    #[input]
    question: String,
    #[output]
    answer: String,
}

fn rows(count: usize) -> Vec<Qa> {
    (0..count).map(|n| Qa { question: format!("What is {n}?"), answer: "yes".into() }).collect()
}

fn yes() -> Lm {
    Lm::custom(ScriptedLm::from_fn(|_| "[[ ## answer ## ]]\nyes\n\n[[ ## completed ## ]]"))
}

fn program() -> Predict<Qa> {
    Predict::new().with_lm(yes())
}

/// A judge that has to be waited for.
#[derive(Clone)]
struct Judge(Lm);

impl Judge {
    async fn agrees(&self, answer: &str) -> dspy::Result<bool> {
        Ok(self.0.ask(format!("Is `{answer}` right?")).await?
            == "[[ ## answer ## ]]\nyes\n\n[[ ## completed ## ]]")
    }
}

async fn score<K>(metric: impl Metric<Qa, QaOutput, K>) -> f64 {
    Evaluate::new(metric).run(&program(), &rows(3)).await.unwrap().score().unwrap()
}

#[tokio::test]
async fn every_form_of_a_closure_is_a_metric() {
    fn plain(example: &Qa, output: &QaOutput) -> bool {
        example.answer == output.answer
    }
    async fn waiting(example: &Qa, output: &QaOutput) -> bool {
        example.answer == output.answer
    }
    let judge = Judge(yes());
    let all = [
        score(plain).await,
        score(waiting).await,
        score(|example: &Qa, output: &QaOutput| f64::from(u8::from(example.answer == output.answer))).await,
        score(|example: &Qa, made: &Prediction<QaOutput>| {
            example.answer == made.answer && made.usage().requests == 1
        })
        .await,
        score(async |example: &Qa, output: &QaOutput| example.answer == output.answer).await,
        score(async |_: &Qa, made: &Prediction<QaOutput>| {
            (1.0, format!("{} attempts", made.attempts().len()))
        })
        .await,
        // It borrows the judge, and fails as the judge does.
        score(async |_: &Qa, output: &QaOutput| judge.agrees(&output.answer).await).await,
        // A closure that gives a future.
        score(|example: &Qa, output: &QaOutput| {
            let same = example.answer == output.answer;
            async move { same }
        })
        .await,
        score(metric_with(judge.clone(), async |judge: &Judge, _: &Qa, output: &QaOutput| {
            judge.agrees(&output.answer).await
        }))
        .await,
        score(metric_with(judge.clone(), async |judge: &Judge, _: &Qa, made: &Prediction<QaOutput>| {
            judge.agrees(&made.answer).await
        }))
        .await,
    ];
    assert_eq!(all, [1.0; 10]);
}

#[tokio::test]
async fn an_async_metric_can_be_spawned_and_optimized_by() {
    let judge = Judge(yes());
    let metric = metric_with(judge.clone(), async |judge: &Judge, _: &Qa, output: &QaOutput| {
        judge.agrees(&output.answer).await
    });
    let optimizer = BootstrapFewShot::builder().metric(metric).max_bootstrapped_demos(2).build();
    let optimized = tokio::spawn(optimizer.compile(program(), rows(4))).await.unwrap().unwrap();
    assert_eq!(optimized.report().trials[0].items.len(), 2);

    let search = BootstrapFewShotWithRandomSearch::builder()
        .metric(async |example: &Qa, output: &QaOutput| example.answer == output.answer)
        .num_candidate_programs(1)
        .build();
    let optimized = search.compile(program(), Data::new(rows(4)).valset(rows(2))).await.unwrap();
    assert_eq!(optimized.report().score(), Some(1.0));

    let task = tokio::spawn(async move {
        let metric = async |_: &Qa, output: &QaOutput| judge.agrees(&output.answer).await;
        Evaluate::new(metric).run(&program(), &rows(2)).await.unwrap().score()
    });
    assert_eq!(task.await.unwrap(), Some(1.0));
}

#[tokio::test]
async fn what_was_optimized_is_a_program() {
    let mut optimized = LabeledFewShot::builder().build().compile(program(), &rows(3)).await.unwrap();
    let right = |example: &Qa, output: &QaOutput| example.answer == output.answer;
    assert_eq!(Evaluate::new(right).run(&optimized, &rows(3)).await.unwrap().score(), Some(1.0));
    assert_eq!(optimized.call("Why?").await.unwrap().answer, "yes");
    // It can be changed, boxed and optimized again.
    optimized.set_lm(yes());
    let again =
        BootstrapFewShot::builder().metric(right).build().compile(optimized.clone(), &rows(3)).await.unwrap();
    assert_eq!(again.named_predictors()[0].0, "self");
    assert_eq!(optimized.boxed().call("Why?").await.unwrap().answer, "yes");
}

#[tokio::test]
async fn one_trait_over_all_optimizers() {
    async fn tune<O, D>(optimizer: O, data: D) -> Result<Optimized<Predict<Qa>>, OptimizeError>
    where
        O: Optimizer<Predict<Qa>, Qa>,
        D: IntoData<Predict<Qa>, Qa>,
    {
        optimizer.compile(program(), data).await
    }
    let right = |example: &Qa, output: &QaOutput| example.answer == output.answer;
    let waiting = async |example: &Qa, output: &QaOutput| example.answer == output.answer;
    let rows = rows(4);
    let names = [
        tune(LabeledFewShot::builder(), &rows).await,
        tune(BootstrapFewShot::builder().metric(right).build(), rows.clone()).await,
        tune(BootstrapFewShot::builder().metric(waiting).build(), &rows[..]).await,
        tune(
            BootstrapFewShotWithRandomSearch::builder().metric(right).num_candidate_programs(0).build(),
            Data::new(&rows).valset(&rows).teacher(program()),
        )
        .await,
    ]
    .map(|optimized| optimized.unwrap().report().optimizer.clone());
    assert_eq!(
        names,
        ["LabeledFewShot", "BootstrapFewShot", "BootstrapFewShot", "BootstrapFewShotWithRandomSearch"]
    );
}

#[module]
struct Two {
    ask: ChainOfThought<Qa>,
    again: Predict<Qa>,
}

impl Module for Two {
    type Input = QaInput;
    type Output = QaOutput;
    async fn forward(&self, input: QaInput) -> dspy::Result<Prediction<QaOutput>> {
        self.again.call(input).await
    }
}

#[tokio::test]
async fn scores_speak_of_predictors_and_objectives() {
    let mut program = Two { ask: ChainOfThought::new(), again: Predict::new() };
    program.set_lm(yes());
    let metric = |_: &Qa, output: &QaOutput| {
        Score::of_objectives([("right", 1.0), ("brief", if output.answer.len() < 5 { 0.5 } else { 0.0 })])
            .with_feedback("fine")
            .with_feedback_for("ask.predict", "think")
    };
    let rows = rows(2);
    let result = Evaluate::new(metric).run(&program, &rows).await.unwrap();
    let score = result.items()[0].score.as_ref().unwrap();
    assert_eq!(
        (score.value, score.feedback_for("ask.predict"), score.feedback_for("again")),
        (0.75, Some("think"), Some("fine"))
    );
    assert_eq!(result.summary().objectives().collect::<Vec<_>>(), [("brief", 0.5), ("right", 1.0)]);
    let table = result.table(&rows, 1);
    assert!(table.contains("score_brief") && table.contains("feedback_ask.predict"), "{table}");
    let json = serde_json::to_value(score).unwrap();
    assert_eq!(serde_json::from_value::<Score>(json).unwrap(), *score);
    // Scores of before are still read.
    assert_eq!(serde_json::from_str::<Score>(r#"{"value": 1.0}"#).unwrap(), Score::from(true));

    let misspelt = |_: &Qa, _: &QaOutput| Score::new(1.0).with_feedback_for("ask.predct", "think");
    let infinite = |_: &Qa, _: &QaOutput| Score::new(1.0).with_objective("brief", f64::INFINITY);
    let message = async |metric: fn(&Qa, &QaOutput) -> Score| {
        let mut items = Evaluate::new(metric).run(&program, &rows[..1]).await.unwrap().into_items();
        match items.remove(0).score {
            Err(ItemError::Metric(error)) => error.to_string(),
            other => panic!("{other:?}"),
        }
    };
    let (misspelt, infinite) = (message(misspelt).await, message(infinite).await);
    assert!(misspelt.contains("did you mean `ask.predict`?"), "{misspelt}");
    assert_eq!(infinite, "the objective `brief` is inf");
}

/// A metric for every signature with an answer, to see that it needs no types.
struct Brief;

impl<E: Sync, O: Sync> Metric<E, O> for Brief {
    async fn score(&self, _: Judged<'_, E, O>) -> Result<Score, BoxError> {
        Ok((true, "brief").into())
    }
}

#[tokio::test]
async fn a_metric_may_be_for_all_types() {
    assert_eq!(score(Brief).await, 1.0);
    let optimizer = BootstrapFewShot::builder().metric(Brief).build();
    assert!(optimizer.compile(program(), &rows(2)).await.is_ok());
}
