//! Programs on many inputs, and data in CSV.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "in tests a panic is the report")]

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use dspy::data::{self, read_results};
use dspy::lm::{LmError, LmErrorKind, Reply, ScriptedLm};
use dspy::prelude::*;
use dspy::program::Recovery;
use futures_util::{StreamExt as _, stream};
use tokio::sync::Semaphore;

/// Double the number.
#[signature]
#[derive(Debug, Clone, PartialEq)]
struct Double {
    #[input]
    number: i64,
    #[output]
    twice: i64,
}

fn number_of(request: &dspy::lm::Request) -> i64 {
    let text = request.messages[1].text().into_owned();
    text.lines().nth(1).and_then(|line| line.trim().parse().ok()).unwrap_or(-1)
}

fn doubles(number: i64) -> Reply {
    format!("[[ ## twice ## ]]\n{}\n\n[[ ## completed ## ]]", number * 2).into()
}

/// A program that counts its calls.
fn program(respond: impl Fn(i64) -> Reply + Send + Sync + 'static) -> (Predict<Double>, Arc<AtomicUsize>) {
    let calls = Arc::new(AtomicUsize::new(0));
    let count = calls.clone();
    let lm = ScriptedLm::from_fn(move |request| {
        count.fetch_add(1, Ordering::SeqCst);
        respond(number_of(request))
    });
    (Predict::new().with_lm(Lm::custom(lm)).with_recovery(Recovery::NONE), calls)
}

/// A folder of its own for each test.
fn file(name: &str) -> PathBuf {
    let folder = std::env::temp_dir().join(format!("dspy-batch-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let path = folder.join(name);
    let _ = std::fs::remove_file(&path);
    path
}

#[tokio::test]
async fn results_come_in_order_and_failures_stay_their_own() {
    let (program, _) = program(|number| if number == 3 { "nonsense".into() } else { doubles(number) });
    for concurrency in [1, 4, 100] {
        let results = program.batch(0..8).concurrency(concurrency).collect().await;
        let seen: Vec<Option<i64>> = results.iter().map(|r| r.as_ref().ok().map(|p| p.twice)).collect();
        assert_eq!(seen, [Some(0), Some(2), Some(4), None, Some(8), Some(10), Some(12), Some(14)]);
    }
    // Inputs may be examples, and there may be none.
    let examples = [Double { number: 21, twice: 0 }];
    assert_eq!(program.batch(examples).collect().await[0].as_ref().unwrap().twice, 42);
    assert!(program.batch(Vec::<i64>::new()).collect().await.is_empty());
}

#[module]
struct Panics {
    double: Predict<Double>,
}

impl Module for Panics {
    type Input = DoubleInput;
    type Output = DoubleOutput;
    async fn forward(&self, input: DoubleInput) -> dspy::Result<Prediction<DoubleOutput>> {
        assert_ne!(input.number, 1, "not one");
        self.double.call(input).await
    }
}

#[tokio::test]
async fn a_panic_is_the_error_of_its_input() {
    let (double, _) = program(doubles);
    let results = Panics { double }.batch(0..3).collect().await;
    assert!(results[1].as_ref().unwrap_err().to_string().contains("not one"));
    assert_eq!((results[0].as_ref().unwrap().twice, results[2].as_ref().unwrap().twice), (0, 4));
}

/// A program whose calls wait until they are let go.
fn gated() -> (Predict<Double>, Arc<Semaphore>, Arc<AtomicUsize>) {
    let (gate, running) = (Arc::new(Semaphore::new(0)), Arc::new(AtomicUsize::new(0)));
    let (wait, count) = (gate.clone(), running.clone());
    let lm = Lm::from_fn(move |request| {
        let (wait, count) = (wait.clone(), count.clone());
        async move {
            count.fetch_add(1, Ordering::SeqCst);
            wait.acquire().await.unwrap().forget();
            doubles(number_of(&request))
        }
    });
    (Predict::new().with_lm(lm), gate, running)
}

#[tokio::test]
async fn a_stream_of_inputs_is_read_as_results_are_taken_and_no_further() {
    let (program, gate, running) = gated();
    let read = Arc::new(AtomicUsize::new(0));
    let count = read.clone();
    let endless = stream::iter(0_i64..).inspect(move |_| {
        count.fetch_add(1, Ordering::SeqCst);
    });
    let mut results = program.batch_stream(endless).concurrency(4).results();
    assert_eq!(read.load(Ordering::SeqCst), 0, "nothing runs before somebody asks");
    assert!(futures_util::poll!(results.next().boxed_local()).is_pending());
    assert_eq!((read.load(Ordering::SeqCst), running.load(Ordering::SeqCst)), (4, 4));
    gate.add_permits(1000);
    for expected in 0..10 {
        assert_eq!(results.next().await.unwrap().unwrap().twice, expected * 2);
    }
    let most = read.load(Ordering::SeqCst);
    assert!(most < 100, "{most} inputs were read for 10 results");
    // Dropped, it asks no more.
    let before = running.load(Ordering::SeqCst);
    drop(results);
    tokio::task::yield_now().await;
    assert_eq!(running.load(Ordering::SeqCst), before);
}

use futures_util::FutureExt as _;

#[tokio::test]
async fn results_keep_the_settings_of_where_they_were_asked_for() {
    let lm = Lm::custom(ScriptedLm::from_fn(|request| doubles(number_of(request))));
    let program = Predict::<Double>::new();
    let results = Settings::from(lm).scope(async { program.batch(0..3).results() }).await;
    assert_eq!(results.filter_map(async |result| result.ok()).count().await, 3);
}

#[tokio::test]
async fn a_file_of_results_is_gone_on_with_and_nothing_is_asked_twice() {
    let path = file("resume.jsonl");
    let (program, calls) = program(|number| match number {
        2 => "nonsense".into(),
        3 => LmError::new(LmErrorKind::Server, "m", "down").into(),
        _ => doubles(number),
    });
    let written = program.batch(0..4).write_jsonl(&path).await.unwrap();
    assert_eq!((written.asked, written.found, written.failed), (4, 0, 2));
    assert_eq!((calls.load(Ordering::SeqCst), written.usage.requests > 0), (4, true));

    // More inputs: only the new ones and the one that an outage cost are asked.
    let written = program.batch(0..6).concurrency(2).write_jsonl(&path).await.unwrap();
    assert_eq!((written.asked, written.found, written.failed), (3, 3, 1));
    assert_eq!(calls.load(Ordering::SeqCst), 7);
    let (able, _) = self::program(doubles);
    assert_eq!(able.batch(0..6).write_jsonl(&path).await.unwrap().asked, 1);
    let rows = read_results::<DoubleOutput>(&path).unwrap();
    let seen: Vec<_> =
        rows.iter().map(|row| (row.index, row.result.as_ref().ok().map(|out| out.twice))).collect();
    assert_eq!(seen, [(0, Some(0)), (1, Some(2)), (2, None), (3, Some(6)), (4, Some(8)), (5, Some(10))]);
}

#[tokio::test]
async fn a_run_that_is_killed_at_any_byte_loses_at_most_what_was_under_way() {
    let path = file("killed.jsonl");
    let (program, calls) = program(doubles);
    program.batch(0..3).concurrency(1).write_jsonl(&path).await.unwrap();
    let whole = std::fs::read(&path).unwrap();
    for cut in 0..=whole.len() {
        std::fs::write(&path, &whole[..cut]).unwrap();
        let lines = whole[..cut].split_inclusive(|byte| *byte == b'\n');
        // A line that lacks nothing but its end is one.
        let kept = lines.filter(|line| serde_json::from_slice::<serde_json::Value>(line).is_ok()).count();
        calls.store(0, Ordering::SeqCst);
        let written = program.batch(0..3).concurrency(1).write_jsonl(&path).await.unwrap();
        assert_eq!((written.found, calls.load(Ordering::SeqCst)), (kept, 3 - kept), "cut at {cut}");
        assert_eq!(std::fs::read(&path).unwrap(), whole, "cut at {cut}");
    }
}

#[tokio::test]
async fn dropped_half_way_it_keeps_what_it_had() {
    let path = file("dropped.jsonl");
    let (program, gate, running) = gated();
    gate.add_permits(2);
    {
        let mut writing = std::pin::pin!(program.batch(0..5).concurrency(2).write_jsonl(&path));
        while running.load(Ordering::SeqCst) < 4 {
            assert!(futures_util::poll!(&mut writing).is_pending());
            tokio::task::yield_now().await;
        }
    }
    assert_eq!(read_results::<DoubleOutput>(&path).unwrap().len(), 2);
    gate.add_permits(100);
    let written = program.batch(0..5).write_jsonl(&path).await.unwrap();
    assert_eq!((written.asked, written.found), (3, 2));
}

#[tokio::test]
async fn what_is_not_its_own_file_is_left_alone() {
    let (program, calls) = program(doubles);
    let refused = async |name: &str, content: &str, expected: &str| {
        let path = file(name);
        std::fs::write(&path, content).unwrap();
        let error = program.batch(0..2).write_jsonl(&path).await.unwrap_err().to_string();
        assert!(error.contains(expected), "{name}: {error}");
        assert_eq!(std::fs::read_to_string(&path).unwrap(), content, "{name}");
    };
    let line = r#"{"index":0,"program":"other","input":"x","output":{}}"#;
    refused("notes.txt", "Dear diary", "row 1: not a result").await;
    refused("rows.jsonl", "{\"question\":\"a\"}\n{\"question\":", "row 1: not a result").await;
    refused("half.jsonl", &format!("{line}\nsomething else"), "another program").await;
    refused("other.jsonl", &format!("{line}\n"), "another program").await;
    refused("gap.jsonl", "\n", "row 1: not a result").await;
    assert_eq!(calls.load(Ordering::SeqCst), 0);

    // The same program with another instruction, or other inputs, is another run.
    let path = file("own.jsonl");
    program.batch(0..2).write_jsonl(&path).await.unwrap();
    let before = std::fs::read(&path).unwrap();
    let told = program.clone().with_instruction("Double it twice.");
    assert!(told.batch(0..2).write_jsonl(&path).await.unwrap_err().to_string().contains("another program"));
    let error = program.batch(1..3).write_jsonl(&path).await.unwrap_err().to_string();
    assert!(error.contains("input 0") && error.contains("another input"), "{error}");
    assert_eq!(std::fs::read(&path).unwrap(), before);
    let folder = path.parent().unwrap();
    assert!(program.batch(0..2).write_jsonl(folder).await.unwrap_err().to_string().contains("not a file"));
}

#[tokio::test]
async fn two_runs_do_not_write_one_file() {
    let path = file("locked.jsonl");
    let (program, gate, running) = gated();
    let mut first = std::pin::pin!(program.batch(0..2).write_jsonl(&path));
    while running.load(Ordering::SeqCst) == 0 {
        assert!(futures_util::poll!(&mut first).is_pending());
    }
    let error = program.batch(0..2).write_jsonl(&path).await.unwrap_err().to_string();
    assert!(error.contains("another run is writing"), "{error}");
    gate.add_permits(10);
    assert_eq!(first.await.unwrap().asked, 2);
}

/// Rows of several types.
#[signature]
#[derive(Debug, PartialEq)]
struct Ticket {
    #[input]
    text: String,
    #[input]
    urgent: Option<bool>,
    #[output]
    team: String,
    #[output]
    tags: Vec<String>,
}

#[test]
fn csv_rows_may_lack_labels_and_come_one_by_one() {
    let labelled =
        "\u{feff}text,urgent,team,tags,extra\n\"Help, please\",true,a,\"[\"\"x\"\"]\",1\nHi,,b,[],2\n";
    let rows: Vec<Ticket> = data::parse_csv(labelled).unwrap();
    assert_eq!(rows[0].text, "Help, please");
    assert_eq!((rows[0].urgent, rows[1].urgent), (Some(true), None));
    let inputs: Vec<TicketInput> = data::parse_csv("text,urgent\nHelp,true\nHi,\n").unwrap();
    assert_eq!((inputs[0].urgent, inputs[1].text.as_str()), (Some(true), "Hi"));
    let outputs: Vec<TicketOutput> = data::parse_csv("team,tags\na,[]\n").unwrap();
    assert_eq!(outputs[0].team, "a");

    let path = file("rows.csv");
    std::fs::write(&path, "text,urgent\nHelp,true\nHi,maybe\nBye,false\n").unwrap();
    let rows: Vec<Result<TicketInput, _>> = data::stream_csv(&path).unwrap().collect();
    assert_eq!(rows.iter().map(Result::is_ok).collect::<Vec<_>>(), [true, false, true]);
    let error = rows[1].as_ref().unwrap_err().to_string();
    assert!(error.contains("row 3, field `urgent`"), "{error}");
    assert!(data::read_csv::<TicketInput>(&path).is_err());
    assert!(data::parse_csv::<TicketInput>("text\n").unwrap().is_empty());
    std::fs::write(&path, "text\n").unwrap();
    assert!(data::read_csv::<TicketInput>(&path).unwrap_err().to_string().ends_with("no rows"));

    for (text, expected) in [
        ("text,text\na,b\n", "row 1, field `text`: two columns have this name"),
        ("text,urgent\na\n", "row 2: 1 cells under a header of 2"),
        ("urgent\ntrue\n", "row 2, field `text`: the value is missing"),
    ] {
        let error = data::parse_csv::<TicketInput>(text).unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
    }
}
