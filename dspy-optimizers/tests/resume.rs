//! Runs that are killed, at any point, and started again.

#![allow(clippy::unwrap_used, clippy::panic, reason = "in tests a panic is the report")]

mod common;

use std::future::poll_fn;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::task::Poll;

use common::{Parrot, Row, Steps, TwoSteps, calls_in, folder, journal_of, leave, right, rows};
use dspy_core::error::BoxError;
use dspy_core::evaluate::{Judged, Metric, Score};
use dspy_core::lm::Lm;
use dspy_core::predict::DynPredict;
use dspy_core::program::HasPredictors as _;
use dspy_core::signature::Values;
use dspy_optimizers::{
    BootstrapFewShot, BootstrapFewShotWithRandomSearch, Budget, JournalError, Limit, OptimizeError,
    Optimized, Report, RunFacts, Stopped,
};

type Result<T> = std::result::Result<T, OptimizeError>;

async fn run(lm: &Arc<Parrot>, folder: &Path, budget: Budget) -> Result<Report> {
    let optimizer = BootstrapFewShotWithRandomSearch::builder()
        .metric(right)
        .num_candidate_programs(2)
        .max_labeled_demos(4)
        .concurrency(4)
        .budget(budget)
        .run_dir(folder)
        .build();
    Ok(optimizer.compile(TwoSteps::new(lm), &rows(6)).await?.report().clone())
}

/// A metric of the numbers that a trip through JSON is hardest on, and of the cost of the prediction.
#[derive(Clone)]
struct Thrifty;

impl Metric<Row, Values> for Thrifty {
    async fn score(&self, judged: Judged<'_, Row, Values>) -> std::result::Result<Score, BoxError> {
        let usage = judged.prediction.usage();
        let traced: u64 = judged.trace.unwrap().steps.iter().map(|step| step.usage.total_tokens()).sum();
        assert_eq!(usage.total_tokens(), traced);
        let words = judged.example.0["question"].as_str().unwrap().len() as f64;
        Ok(Score::new(1.0 / (words * 3.0 + usage.total_tokens() as f64 * 0.1)).with_feedback("thrifty"))
    }
}

async fn thrifty(lm: &Arc<Parrot>, folder: &Path) -> Result<Optimized<TwoSteps>> {
    let search = BootstrapFewShotWithRandomSearch::builder().metric(Thrifty).num_candidate_programs(1);
    search.max_labeled_demos(2).run_dir(folder).build().compile(TwoSteps::new(lm), &rows(3)).await
}

#[tokio::test]
async fn a_killed_search_goes_on_with_the_same_result_and_pays_nothing_twice() {
    let whole = folder("whole");
    let lm = Parrot::new();
    let report = run(&lm, &whole, Budget::UNLIMITED).await.unwrap();
    let total = lm.calls();
    let journal = journal_of(&whole);
    assert_eq!(calls_in(&journal), total);

    let part = folder("part");
    let ends: Vec<usize> = journal.match_indices('\n').map(|(at, _)| at + 1).collect();
    // After every event; of some also before the line break, and in the middle of the line.
    let parts = ends.iter().step_by(10).flat_map(|end| [end - 1, end - 7]);
    for cut in ends.iter().copied().chain(parts).chain([0, 3]) {
        leave(&part, &journal[..cut]);
        let lm = Parrot::new();
        let resumed = run(&lm, &part, Budget::UNLIMITED).await.unwrap();
        assert_eq!(resumed, report, "cut at byte {cut}");
        assert_eq!(lm.calls(), total - calls_in(&journal[..cut]), "cut at byte {cut}");
    }
    for folder in [whole, part] {
        std::fs::remove_dir_all(folder).unwrap();
    }
}

#[tokio::test]
async fn a_resumed_run_equals_an_unbroken_one_to_the_last_bit() {
    let (whole, part) = (folder("bits-whole"), folder("bits-part"));
    let lm = Parrot::new();
    let unbroken = thrifty(&lm, &whole).await.unwrap();
    unbroken.save(whole.join("program.json")).unwrap();
    let saved = std::fs::read(whole.join("program.json")).unwrap();
    // Times, and what earlier processes have paid, differ.
    let json = |report: &Report| {
        let mut report = report.clone();
        report.run = RunFacts::default();
        serde_json::to_string(&report).unwrap()
    };
    let shown = json(unbroken.report());
    let journal = journal_of(&whole);
    for end in journal.match_indices('\n').map(|(at, _)| at + 1) {
        leave(&part, &journal[..end]);
        let resumed = thrifty(&Parrot::new(), &part).await.unwrap();
        assert_eq!(json(resumed.report()), shown, "cut at byte {end}");
        resumed.save(part.join("program.json")).unwrap();
        assert_eq!(std::fs::read(part.join("program.json")).unwrap(), saved);
    }
    for folder in [whole, part] {
        std::fs::remove_dir_all(folder).unwrap();
    }
}

#[tokio::test]
async fn the_same_question_again_is_another_call() {
    let calls = async |steps: usize| {
        let lm = Parrot::new();
        let step = DynPredict::new("question -> answer".parse().unwrap());
        let mut program = Steps(vec![step; steps]);
        program.set_lm(Lm::shared(lm.clone()));
        let optimizer = BootstrapFewShot::builder().metric(|_: &Row, _: &Values| false).build();
        optimizer.compile(program, &rows(3)).await.unwrap();
        lm.calls()
    };
    assert_eq!(calls(2).await, 2 * calls(1).await);
}

/// Names the folder in a child process, which dies at a call.
const CHILD: &str = "DSPY_TEST_RUN_DIR";

#[tokio::test]
async fn child_that_dies() {
    let Ok(folder) = std::env::var(CHILD) else { return };
    let lm = Parrot::dying_at(17);
    let _ = run(&lm, Path::new(&folder), Budget::UNLIMITED).await;
}

#[tokio::test]
async fn a_process_that_dies_loses_nothing_that_was_answered() {
    let (dir, fresh) = (folder("killed"), folder("killed-fresh"));
    for attempt in 1..=3 {
        let mut child = Command::new(std::env::current_exe().unwrap());
        child.args(["child_that_dies", "--exact", "--test-threads=1"]).env(CHILD, &dir);
        let status = child.output().unwrap().status;
        assert!(!status.success(), "it dies without a chance to clean up");
        assert_eq!(calls_in(&journal_of(&dir)), 17 * attempt);
    }
    let lm = Parrot::new();
    let resumed = run(&lm, &dir, Budget::UNLIMITED).await.unwrap();
    let unbroken_lm = Parrot::new();
    let unbroken = run(&unbroken_lm, &fresh, Budget::UNLIMITED).await.unwrap();
    assert_eq!((resumed, lm.calls() + 51), (unbroken, unbroken_lm.calls()));
    for folder in [dir, fresh] {
        std::fs::remove_dir_all(folder).unwrap();
    }
}

#[tokio::test]
async fn bootstraps_resume_wherever_they_were_cut() {
    let (whole, part) = (folder("boot-whole"), folder("boot-part"));
    let run = async |lm: &Arc<Parrot>, folder: &Path| {
        let optimizer =
            BootstrapFewShot::builder().metric(right).max_bootstrapped_demos(1).max_labeled_demos(5);
        let optimized = optimizer.run_dir(folder).build().compile(TwoSteps::new(lm), &rows(6)).await.unwrap();
        optimized.report().clone()
    };
    let lm = Parrot::new();
    let report = run(&lm, &whole).await;
    let journal = journal_of(&whole);
    for cut in (0..journal.len()).step_by(11) {
        leave(&part, &journal[..cut]);
        let resumed = Parrot::new();
        assert_eq!(run(&resumed, &part).await, report, "cut at byte {cut}");
        assert_eq!(resumed.calls(), lm.calls() - calls_in(&journal[..cut]), "cut at byte {cut}");
    }
    for folder in [whole, part] {
        std::fs::remove_dir_all(folder).unwrap();
    }
}

#[tokio::test]
async fn an_outage_or_a_spent_budget_is_no_loss() {
    let (folder, fresh) = (folder("outage"), folder("outage-fresh"));
    let lm = Parrot::new();
    let unbroken = run(&lm, &fresh, Budget::UNLIMITED).await.unwrap();
    let total = lm.calls();

    let down = Parrot::down_from(20);
    let error = run(&down, &folder, Budget::UNLIMITED).await.unwrap_err();
    assert!(matches!(&error, OptimizeError::Outage { run_dir: Some(_), .. }), "{error}");
    assert!(error.to_string().contains("to resume, run again with the run_dir"), "{error}");
    let lm = Parrot::new();
    let spent = run(&lm, &folder, Budget::calls(40)).await.unwrap();
    assert_eq!(spent.stopped, Stopped::Budget(Limit::Calls));
    let used = spent.usage.requests as usize;
    assert_eq!(lm.calls() + 20, used, "the first 20 are in the journal and count");
    assert!(used <= 40 && 40 - used < 24, "no candidate begins that cannot be scored: {used}");
    let idle = Parrot::new();
    assert_eq!(run(&idle, &folder, Budget::calls(40)).await.unwrap(), spent);
    assert_eq!(idle.calls(), 0);
    let lm = Parrot::new();
    let finished = run(&lm, &folder, Budget::UNLIMITED).await.unwrap();
    assert_eq!(finished, unbroken);
    assert_eq!(lm.calls(), total - used);
    for folder in [folder, fresh] {
        std::fs::remove_dir_all(folder).unwrap();
    }
}

#[tokio::test]
async fn a_dropped_run_gives_its_folder_back() {
    let folder = folder("dropped");
    let lm = Parrot::new();
    {
        let mut run = std::pin::pin!(run(&lm, &folder, Budget::UNLIMITED));
        let begun = poll_fn(|context| Poll::Ready(run.as_mut().poll(context).is_pending()));
        assert!(begun.await);
        let error = self::run(&lm, &folder, Budget::UNLIMITED).await.unwrap_err();
        assert!(matches!(error, OptimizeError::Journal(JournalError::InUse { .. })), "{error}");
    }
    run(&lm, &folder, Budget::UNLIMITED).await.unwrap();
    std::fs::remove_dir_all(folder).unwrap();
}

#[tokio::test]
async fn a_changed_byte_that_leaves_a_line_valid_is_found() {
    let (folder, lm) = (folder("changed"), Parrot::new());
    run(&lm, &folder, Budget::UNLIMITED).await.unwrap();
    let (path, paid) = (folder.join("journal.jsonl"), lm.calls());
    let journal = std::fs::read_to_string(&path).unwrap();
    let changed = journal.replacen("\"value\":1.0", "\"value\":0.0", 1);
    assert_ne!(changed, journal);
    std::fs::write(&path, &changed).unwrap();
    let error = run(&lm, &folder, Budget::UNLIMITED).await.unwrap_err();
    let at = 1 + journal.lines().zip(changed.lines()).position(|(a, b)| a != b).unwrap();
    assert!(
        matches!(error, OptimizeError::Journal(JournalError::Corrupt { line, .. }) if line == at),
        "{error}"
    );
    let message = error.to_string();
    assert!(message.contains("journal.jsonl") && message.contains("its checksum"), "{message}");
    assert!(
        message.contains(&format!("line {at}")) && message.contains("delete this line and all"),
        "{message}"
    );
    assert_eq!(lm.calls(), paid);
    std::fs::remove_dir_all(folder).unwrap();
}

#[tokio::test]
async fn a_line_that_is_missing_repeated_moved_or_inserted_is_named() {
    let (whole, part) = (folder("chain-whole"), folder("chain-part"));
    let lm = Parrot::new();
    let report = thrifty(&lm, &whole).await.unwrap().report().clone();
    let (journal, total) = (journal_of(&whole), lm.calls());
    let lines: Vec<&str> = journal.lines().collect();
    let count = lines.len();
    // The damage, the lines of the file afterwards, and the first one that is wrong, from 1.
    let mut cases: Vec<(String, Vec<&str>, usize)> = Vec::new();
    for at in (1..count).step_by(6) {
        let mut edit = |name: &str, wrong: usize, edit: &dyn Fn(&mut Vec<&str>)| {
            let mut edited = lines.clone();
            edit(&mut edited);
            cases.push((format!("line {} {name}", at + 1), edited, wrong));
        };
        edit("is repeated", at + 2, &|lines| lines.insert(at, lines[at]));
        edit("is repeated at the end", count + 1, &|lines| lines.push(lines[at]));
        edit("is behind a blank one", at + 1, &|lines| lines.insert(at, ""));
        edit("is behind one without a checksum", at + 1, &|lines| lines.insert(at, "{}"));
        if at + 1 < count {
            edit("is missing", at + 1, &|lines| {
                lines.remove(at);
            });
            edit("is behind the next one", at + 1, &|lines| lines.swap(at, at + 1));
            edit("is the last one", at + 1, &|lines| lines[at..].rotate_left(1));
        }
    }
    for (name, edited, wrong) in cases {
        let text = edited.join("\n") + "\n";
        leave(&part, &text);
        let lm = Parrot::new();
        let error = thrifty(&lm, &part).await.unwrap_err();
        let message = error.to_string();
        let OptimizeError::Journal(JournalError::Corrupt { line, .. }) = error else {
            panic!("{name}: {message}")
        };
        assert_eq!(line, wrong, "{name}: {message}");
        assert!(message.contains(&format!("at line {wrong}: ")) && !message.contains("column"), "{message}");
        assert_eq!(edited[wrong - 1].is_empty(), message.contains("it is blank"), "{name}: {message}");
        assert_eq!((lm.calls(), journal_of(&part)), (0, text), "nothing is done");
        // As the message says: without this line and all after it, the run goes on.
        let before = edited[..wrong - 1].join("\n") + "\n";
        leave(&part, &before);
        assert_eq!(*thrifty(&lm, &part).await.unwrap().report(), report, "{name}");
        assert_eq!(lm.calls(), total - calls_in(&before), "{name}");
    }
    for folder in [whole, part] {
        std::fs::remove_dir_all(folder).unwrap();
    }
}

#[tokio::test]
async fn a_journal_is_that_of_one_run() {
    let folder = folder("other");
    let lm = Parrot::new();
    run(&lm, &folder, Budget::UNLIMITED).await.unwrap();
    let paid = lm.calls();
    let other = BootstrapFewShotWithRandomSearch::builder()
        .metric(right)
        .num_candidate_programs(2)
        .max_labeled_demos(5)
        .run_dir(&folder)
        .seed(1)
        .build();
    let error = other.compile(TwoSteps::new(&lm), &rows(7)).await.unwrap_err();
    let message = error.to_string();
    assert!(matches!(error, OptimizeError::Journal(JournalError::OtherRun { .. })), "{message}");
    for part in
        ["`seed` was 0, is now 1", "`settings.max_labeled_demos` was 4, is now 5", "`trainset.rows` was 6"]
    {
        assert!(message.contains(part), "{message}");
    }
    assert!(message.contains("choose another run_dir, or delete the file"), "{message}");

    let path = folder.join("journal.jsonl");
    let journal = std::fs::read_to_string(&path).unwrap();
    std::fs::write(&path, journal.replacen("\"event\":\"call\"", "\"event\":\"c", 1)).unwrap();
    let error = run(&lm, &folder, Budget::UNLIMITED).await.unwrap_err();
    assert!(matches!(error, OptimizeError::Journal(JournalError::Corrupt { line: 2.., .. })), "{error}");
    std::fs::write(&path, "something else\nentirely\n").unwrap();
    let error = run(&lm, &folder, Budget::UNLIMITED).await.unwrap_err();
    assert!(matches!(error, OptimizeError::Journal(JournalError::Foreign { .. })), "{error}");
    assert_eq!(
        (lm.calls(), std::fs::read_to_string(&path).unwrap().len()),
        (paid, 24),
        "nothing was touched"
    );
    std::fs::remove_dir_all(folder).unwrap();
}
