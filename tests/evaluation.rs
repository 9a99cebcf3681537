//! Evaluation when things go wrong, and data files.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "in tests a panic is the report")]

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use dspy::evaluate::{EvaluateError, ItemError};
use dspy::lm::{LmError, LmErrorKind, Reply, ScriptedLm};
use dspy::prelude::*;
use futures_util::stream;

/// Add one.
#[signature]
#[derive(Clone, Debug)]
struct AddOne {
    #[input]
    number: i64,
    #[output]
    sum: i64,
}

fn rows(count: i64) -> Vec<AddOne> {
    (0..count).map(|number| AddOne { number, sum: number + 1 }).collect()
}

fn correct(example: &AddOne, output: &AddOneOutput) -> bool {
    example.sum == output.sum
}

/// A program whose model answers what `respond` makes of the number.
fn program(respond: impl Fn(i64) -> Reply + Send + Sync + 'static) -> Predict<AddOne> {
    let lm = ScriptedLm::from_fn(move |request| {
        let text = request.messages[1].text().into_owned();
        let number = text.lines().nth(1).and_then(|line| line.trim().parse().ok()).unwrap_or(-1);
        respond(number)
    });
    Predict::new().with_lm(Lm::custom(lm))
}

fn adds(number: i64) -> Reply {
    format!("[[ ## sum ## ]]\n{}\n\n[[ ## completed ## ]]", number + 1).into()
}

#[tokio::test]
async fn one_failed_item_never_costs_the_others() {
    let program = program(|number| match number {
        1 => "gibberish".into(),
        2 => LmError::new(LmErrorKind::Server, "m", "down").into(),
        _ => adds(number),
    });
    let metric = |example: &AddOne, output: &AddOneOutput| -> Result<bool, &'static str> {
        assert_ne!(example.number, 4, "four is bad luck");
        if example.number == 3 { Err("cannot judge three") } else { Ok(example.sum == output.sum) }
    };
    for concurrency in [1, 3, 16] {
        let result = Evaluate::new(metric).concurrency(concurrency).run(&program, &rows(6)).await.unwrap();
        let kinds: Vec<&str> = result
            .items()
            .iter()
            .map(|item| match &item.score {
                Ok(_) => "ok",
                Err(ItemError::Program(error)) if error.is_outage() => "outage",
                Err(ItemError::Program(_)) => "program",
                Err(ItemError::Metric(_)) => "metric",
                Err(ItemError::MetricPanic(text)) if text.contains("four is bad luck") => "metric panic",
                Err(_) => "other",
            })
            .collect();
        assert_eq!(kinds, ["ok", "program", "outage", "metric", "metric panic", "ok"]);
        assert_eq!(result.to_string(), "66.7 % over 3 items, 1 failed, 3 left out");
        assert_eq!(result.errors().count(), 4);
    }
}

/// A program with a step that fails in different ways.
#[module]
struct Breaks {
    add: Predict<AddOne>,
    #[module(skip)]
    how: How,
}

#[derive(Debug, Clone, Copy)]
enum How {
    Panics,
    PanicsInATask,
    CallsAToolThatPanics,
}

#[derive(serde::Deserialize, schemars::JsonSchema)]
struct Number {
    n: i64,
}

impl Module for Breaks {
    type Input = AddOneInput;
    type Output = AddOneOutput;

    async fn forward(&self, input: AddOneInput) -> dspy::Result<Prediction<AddOneOutput>> {
        let number = input.number;
        let broken = number == 1;
        match self.how {
            How::Panics => assert!(!broken, "one is bad luck"),
            How::PanicsInATask => {
                let task = dspy::spawn(async move { assert!(!broken, "one is bad luck") });
                task.await.map_err(dspy::Error::other)?;
            }
            How::CallsAToolThatPanics if broken => {
                let tool = Tool::new("broken", "Breaks.", |Number { n }: Number| async move {
                    assert!(n > 100, "one is bad luck");
                    n
                });
                tool.call(&serde_json::json!({"n": number})).await.map_err(dspy::Error::other)?;
            }
            How::CallsAToolThatPanics => {}
        }
        self.add.call(input).await
    }
}

#[tokio::test]
async fn a_panic_costs_its_item_alone_wherever_it_happens() {
    for how in [How::Panics, How::PanicsInATask, How::CallsAToolThatPanics] {
        let program = Breaks { add: program(adds), how };
        let result = Evaluate::new(correct).run(&program, &rows(3)).await.unwrap();
        let error = result.items()[1].score.as_ref().unwrap_err();
        assert!(!error.is_outage() && error.to_string().contains("one is bad luck"), "{how:?}: {error}");
        assert_eq!(result.to_string(), "66.7 % over 3 items, 1 failed", "{how:?}");
    }
}

#[tokio::test]
async fn a_metric_that_panics_in_a_task_is_no_score() {
    struct Spawns;
    impl Metric<AddOne, AddOneOutput> for Spawns {
        async fn score(
            &self,
            judged: Judged<'_, AddOne, AddOneOutput>,
        ) -> Result<Score, dspy::error::BoxError> {
            let number = judged.example.number;
            let task = dspy::spawn(async move {
                assert_ne!(number, 1, "one is bad luck");
                1.0
            });
            Ok(Score::new(task.await?))
        }
    }
    let result = Evaluate::new(Spawns).run(&program(adds), &rows(3)).await.unwrap();
    assert!(matches!(result.items()[1].score, Err(ItemError::Metric(_))));
    assert_eq!(result.to_string(), "100.0 % over 2 items, 1 left out");
}

#[tokio::test]
async fn what_is_not_set_up_is_an_error_that_says_so() {
    let unset = Predict::<AddOne>::new();
    let refused = program(|_| LmError::new(LmErrorKind::Auth, "m", "who are you?").into());
    for (program, reason) in [(&unset, "no language model is configured"), (&refused, "who are you?")] {
        let error = Evaluate::new(correct).run(program, &rows(3)).await.unwrap_err();
        assert!(matches!(error, EvaluateError::Configuration { items: 3, .. }), "{error}");
        assert!(error.to_string().contains("none of the 3 items could be evaluated"), "{error}");
        assert!(error.to_string().contains(reason), "{error}");
        let mut told = 0;
        let streamed =
            Evaluate::new(correct).run_stream(program, stream::iter(rows(3)), |_, _| told += 1).await;
        assert_eq!((streamed.unwrap_err(), told), (error, 3));
    }
    // The model of the metric has to be set up as well.
    let judge =
        dspy::evaluate::SemanticF1::new(|_: &AddOne, _: &AddOneOutput| [(); 3].map(|()| String::new()));
    let error = Evaluate::new(judge).run(&program(adds), &rows(2)).await.unwrap_err();
    assert!(matches!(error, EvaluateError::Configuration { items: 2, .. }), "{error}");
    // An outage is none of this: it may have passed tomorrow.
    let down = program(|_| LmError::new(LmErrorKind::Server, "m", "down").into());
    let result = Evaluate::new(correct).run(&down, &rows(2)).await.unwrap();
    assert_eq!(result.to_string(), "no score, 2 left out");
    // And neither are items that were answered beside one that was not.
    let mixed = program(|number| match number {
        0 => LmError::new(LmErrorKind::NotFound, "m", "no such model").into(),
        _ => adds(number),
    });
    let result = Evaluate::new(correct).run(&mixed, &rows(3)).await.unwrap();
    assert_eq!(result.to_string(), "100.0 % over 2 items, 1 left out");
}

#[tokio::test]
async fn a_failed_re_prompt_is_a_failed_item_and_a_failed_first_request_an_outage() {
    let outage = |kind| Reply::from(LmError::new(kind, "m", "not now"));
    for kind in [LmErrorKind::RateLimit, LmErrorKind::Exhausted, LmErrorKind::Budget, LmErrorKind::Server] {
        let asked = std::sync::atomic::AtomicUsize::new(0);
        let program = program(move |_| match asked.fetch_add(1, std::sync::atomic::Ordering::SeqCst) {
            0 => "gibberish".into(),
            _ => outage(kind),
        });
        // The first item is answered badly and then not at all, the second one not at all.
        let result = Evaluate::new(correct).concurrency(1).run(&program, &rows(2)).await.unwrap();
        assert_eq!(result.to_string(), "0.0 % over 1 items, 1 failed, 1 left out", "{kind:?}");
        let error = result.items()[0].score.as_ref().unwrap_err().to_string();
        assert!(error.contains("gibberish") && error.contains("not now"), "{error}");
    }
}

#[tokio::test]
async fn a_dropped_evaluation_stops_its_work() {
    struct Gone(Arc<AtomicUsize>);
    impl Drop for Gone {
        fn drop(&mut self) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }
    let (started, dropped) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let (count, gone) = (started.clone(), dropped.clone());
    let lm = ScriptedLm::from_async_fn(move |_| {
        count.fetch_add(1, Ordering::SeqCst);
        let gone = Gone(gone.clone());
        async move {
            let _gone = gone;
            std::future::pending::<Reply>().await
        }
    });
    let program = Predict::<AddOne>::new().with_lm(Lm::custom(lm));
    let rows = rows(10);
    {
        let evaluate = Evaluate::new(correct).concurrency(4);
        let run = evaluate.run(&program, &rows);
        assert!(futures_util::FutureExt::now_or_never(run).is_none());
        assert_eq!(started.load(Ordering::SeqCst), 4);
    }
    assert_eq!(dropped.load(Ordering::SeqCst), 4, "what was in flight is given up");
    for _ in 0..10 {
        tokio::task::yield_now().await;
    }
    assert_eq!(started.load(Ordering::SeqCst), 4, "and nothing else begins");
}

#[tokio::test(start_paused = true)]
async fn an_item_that_takes_too_long_is_cut_short() {
    struct Slow;
    impl Metric<AddOne, AddOneOutput> for Slow {
        async fn score(
            &self,
            judged: Judged<'_, AddOne, AddOneOutput>,
        ) -> Result<Score, dspy::error::BoxError> {
            if judged.example.number == 1 {
                std::future::pending::<()>().await;
            }
            Ok(Score::new(1.0))
        }
    }
    let evaluate = Evaluate::new(Slow).deadline(Duration::from_millis(20));
    let result = evaluate.run(&program(adds), &rows(3)).await.unwrap();
    assert!(matches!(result.items()[1].score, Err(ItemError::MetricDeadline(_))));
    assert!(result.items()[1].prediction.is_some(), "what was there is kept");
    assert_eq!(
        result.to_string(),
        "100.0 % over 2 items, 1 left out",
        "the metric was slow, not the program"
    );

    let lm = ScriptedLm::from_async_fn(|_| std::future::pending::<Reply>());
    let hangs = Predict::<AddOne>::new().with_lm(Lm::custom(lm));
    let evaluate = Evaluate::new(correct).deadline(Duration::from_secs(20));
    let result = evaluate.run(&hangs, &rows(1)).await.unwrap();
    assert!(matches!(result.items()[0].score, Err(ItemError::Deadline(_))));
    assert_eq!(result.summary().failed(), 1);
}

#[tokio::test]
async fn streams_are_evaluated_in_order_and_in_bounded_memory() {
    let mut seen = Vec::new();
    let each = |example: AddOne, item: dspy::evaluate::Item<AddOneOutput>| {
        seen.push((example.number, item.score.unwrap().value));
    };
    let evaluate = Evaluate::new(correct).concurrency(7);
    let summary = evaluate.run_stream(&program(adds), stream::iter(rows(100)), each).await.unwrap();
    assert_eq!((summary.items(), summary.score()), (100, Some(1.0)));
    assert!((0..).zip(&seen).all(|(index, (number, score))| *number == index && *score == 1.0));
    assert_eq!(summary.usage().requests, 100);
}

#[tokio::test]
async fn an_empty_set_is_an_error() {
    let result = Evaluate::new(correct).run(&program(adds), &[]).await;
    assert_eq!(result.unwrap_err(), EvaluateError::Empty);
}

#[tokio::test]
async fn judges_are_metrics() {
    let lm = Lm::scripted([
        "[[ ## reasoning ## ]]\nAll there.\n\n[[ ## recall ## ]]\n1.0\n\n[[ ## precision ## ]]\n0.5\n\n[[ ## completed ## ]]",
    ]);
    let judge = dspy::evaluate::SemanticF1::new(|example: &AddOne, output: &AddOneOutput| {
        [format!("{} + 1?", example.number), example.sum.to_string(), output.sum.to_string()]
    })
    .with_lm(lm);
    let result = Evaluate::new(judge).run(&program(adds), &rows(1)).await.unwrap();
    let score = result.items()[0].score.as_ref().unwrap();
    assert!((score.value - 2.0 / 3.0).abs() < 1e-9);
    assert_eq!(score.feedback.as_deref(), Some("All there."));
    assert_eq!(result.items()[0].usage.requests, 2, "the judge's call counts");
}

fn file(name: &str, text: &str) -> std::path::PathBuf {
    let path = std::env::temp_dir().join(format!("dspy-data-{}-{name}", std::process::id()));
    std::fs::write(&path, text).unwrap();
    path
}

#[tokio::test]
async fn results_are_written_with_their_examples() {
    let data = rows(2);
    let result = Evaluate::new(correct).run(&program(adds), &data).await.unwrap();
    let (csv, jsonl) = (file("out.csv", ""), file("out.jsonl", ""));
    result.write_csv(&data, &csv).unwrap();
    result.write_jsonl(&data, &jsonl).unwrap();
    let text = std::fs::read_to_string(&csv).unwrap();
    assert_eq!(text, "number,sum,predicted_sum,score\n0,1,1,1.0\n1,2,2,1.0\n");
    let text = std::fs::read_to_string(&jsonl).unwrap();
    assert_eq!(text.lines().next(), Some(r#"{"number":0,"sum":1,"predicted_sum":1,"score":1.0}"#));
}

/// Say something.
#[signature]
#[derive(Clone, Debug)]
struct Note {
    #[input]
    text: String,
    #[output]
    said: String,
}

#[tokio::test]
async fn no_cell_is_a_formula() {
    let data = vec![Note { text: "=HYPERLINK(\"http://h\")".into(), said: "-1".into() }];
    let echo = Predict::<Note>::new().with_lm(Lm::scripted(["[[ ## said ## ]]\n@SUM(A1)"]));
    let result = Evaluate::new(|_: &Note, _: &NoteOutput| 0.5).run(&echo, &data).await.unwrap();
    let (csv, jsonl) = (file("formula.csv", ""), file("formula.jsonl", ""));
    result.write_csv(&data, &csv).unwrap();
    result.write_jsonl(&data, &jsonl).unwrap();
    let text = std::fs::read_to_string(&csv).unwrap();
    let row = "\"'=HYPERLINK(\"\"http://h\"\")\",-1,'@SUM(A1),0.5\n";
    assert_eq!(text, format!("text,said,predicted_said,score\n{row}"));
    assert!(std::fs::read_to_string(&jsonl).unwrap().starts_with(r#"{"text":"=HYPERLINK("#));
}

#[field_type]
#[derive(Debug, PartialEq)]
#[serde(rename_all = "lowercase")]
enum Color {
    Red,
    Green,
}

#[signature]
#[derive(Debug, PartialEq)]
struct Row {
    #[input]
    text: String,
    #[input]
    numbers: Vec<i64>,
    #[input]
    note: Option<String>,
    #[output]
    color: Color,
    #[output]
    good: bool,
}

#[test]
fn csv_cells_are_read_by_the_type_of_their_field() {
    let path = file(
        "rows.csv",
        "good,text,numbers,color,extra,note\nTrue,12,\"[1, 2]\",red,x,\nfalse,\"a, b\",[],green,y,n\n",
    );
    let rows: Vec<Row> = dspy::data::read_csv(&path).unwrap();
    let first = Row { text: "12".into(), numbers: vec![1, 2], note: None, color: Color::Red, good: true };
    assert_eq!(rows[0], first);
    assert_eq!((rows[1].text.as_str(), rows[1].note.as_deref()), ("a, b", Some("n")));
}

#[test]
fn data_errors_name_row_and_field() {
    let check = |error: dspy::data::DataError, parts: &[&str]| {
        let message = error.to_string();
        assert!(parts.iter().all(|part| message.contains(part)), "{message}");
    };
    let read = |text: &str| dspy::data::read_jsonl::<AddOne>(file("bad.jsonl", text)).unwrap_err();
    check(
        read("{\"number\": 1, \"sum\": 2}\n\n{\"number\": \"x\", \"sum\": 2}\n"),
        &["row 3", "`number`", "bad.jsonl"],
    );
    check(read("{\"number\": 1}\n"), &["row 1", "`sum`", "missing"]);
    check(read("{\"number\": 1\n"), &["row 1"]);
    check(read("3\n"), &["row 1", "expected a JSON object"]);
    check(read("\n"), &["no rows"]);
    let csv = file("bad.csv", "text,numbers,color,good\na,[],red,true\na,[],blue,true\n");
    check(dspy::data::read_csv::<Row>(csv).unwrap_err(), &["row 3", "`color`", "blue"]);
    let ragged = file("ragged.csv", "text,numbers,color,good\na,[]\n");
    check(dspy::data::read_csv::<Row>(ragged).unwrap_err(), &["row 2"]);
    check(
        dspy::data::read_json::<AddOne>(file("bad.json", "[{\"number\": 1, \"sum\": null}]")).unwrap_err(),
        &["row 1", "`sum`"],
    );
    check(dspy::data::read_json::<AddOne>("no/such/file").unwrap_err(), &["no/such/file"]);
}

#[tokio::test]
async fn a_million_examples_need_no_more_memory_than_a_few() {
    // A shortened form of the claim: the stream is pulled only as fast as items are done.
    let pulled = Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let counter = pulled.clone();
    let source = stream::iter((0..2_000).map(move |number| {
        counter.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        AddOne { number, sum: number + 1 }
    }));
    let mut widest = 0;
    let mut done = 0;
    let each = |_: AddOne, _: dspy::evaluate::Item<AddOneOutput>| {
        done += 1;
        widest = widest.max(pulled.load(std::sync::atomic::Ordering::Relaxed) - done);
    };
    Evaluate::new(correct).concurrency(4).run_stream(&program(adds), source, each).await.unwrap();
    assert!(widest <= 8, "{widest} examples were held at once");
}
