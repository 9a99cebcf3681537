//! Run directories that hold something else, or nothing any more.

#![allow(clippy::unwrap_used, reason = "in tests a panic is the report")]

mod common;

use std::fs;
use std::path::Path;
use std::sync::Arc;

use common::{Parrot, Row, TwoSteps, folder, right, rows};
use dspy_core::adapter::JsonAdapter;
use dspy_core::lm::{BoxFuture, LanguageModel, Lm, LmError, Params, Request, Response};
use dspy_core::predict::{DynPredict, Predictor};
use dspy_core::program::HasPredictors as _;
use dspy_core::signature::{Demo, Values};
use dspy_optimizers::{BootstrapFewShot, JournalError, OptimizeError, Report};

async fn run(lm: &Arc<Parrot>, folder: &Path) -> Result<Report, OptimizeError> {
    let optimizer = BootstrapFewShot::builder().metric(right).max_labeled_demos(4).run_dir(folder).build();
    Ok(optimizer.compile(TwoSteps::new(lm), &rows(5)).await?.report().clone())
}

#[tokio::test]
async fn what_is_not_a_journal_is_left_alone() {
    let folder = folder("foreign");
    fs::create_dir_all(&folder).unwrap();
    let path = folder.join("journal.jsonl");
    let long = "x".repeat(1 << 20);
    for content in [
        "my diary",
        "my diary\n",
        "{\"entry\": 1}",
        "{\"entry\": 1}\n",
        "{\"entry\": 1}\n{\"entry\": 2}\n",
        "{\"format\": \"other/1\"}\n",
        "[]\n",
        "\n",
        "\u{0}\u{0}\u{0}",
        &long,
        &format!("{{\"format\":\"{long}\"}}\n"),
    ] {
        fs::write(&path, content).unwrap();
        let lm = Parrot::new();
        let error = run(&lm, &folder).await.unwrap_err();
        assert!(matches!(error, OptimizeError::Journal(JournalError::Foreign { .. })), "{error}");
        assert!(error.to_string().len() < 2_000);
        assert_eq!((fs::read_to_string(&path).unwrap(), lm.calls()), (content.to_owned(), 0));
    }
    fs::remove_file(&path).unwrap();
    fs::create_dir(&path).unwrap();
    let error = run(&Parrot::new(), &folder).await.unwrap_err();
    assert!(matches!(error, OptimizeError::Journal(JournalError::Foreign { .. })), "{error}");
    fs::remove_dir_all(folder).unwrap();
}

#[tokio::test]
async fn only_a_torn_last_line_is_dropped() {
    let folder = folder("torn");
    let lm = Parrot::new();
    let report = run(&lm, &folder).await.unwrap();
    let path = folder.join("journal.jsonl");
    let journal = fs::read_to_string(&path).unwrap();
    fs::write(&path, format!("{journal}{{\"event\":\"call\",\"at\":")).unwrap();
    assert_eq!(run(&Parrot::new(), &folder).await.unwrap(), report);
    assert_eq!(fs::read_to_string(&path).unwrap(), journal);
    // A power cut leaves a hole where the last line was to be.
    fs::write(&path, format!("{journal}\0\0\0\0\n")).unwrap();
    assert_eq!(run(&Parrot::new(), &folder).await.unwrap(), report);
    assert_eq!(fs::read_to_string(&path).unwrap(), journal);
    // Only the end of the line is lost.
    fs::write(&path, journal.trim_end()).unwrap();
    assert_eq!(run(&Parrot::new(), &folder).await.unwrap(), report);
    assert_eq!(fs::read_to_string(&path).unwrap(), journal);
    let damaged = format!("{journal}what somebody has written below\n");
    fs::write(&path, &damaged).unwrap();
    let error = run(&Parrot::new(), &folder).await.unwrap_err();
    assert!(matches!(error, OptimizeError::Journal(JournalError::Corrupt { .. })), "{error}");
    assert_eq!(fs::read_to_string(&path).unwrap(), damaged);
    fs::remove_dir_all(folder).unwrap();
}

#[tokio::test]
async fn a_flipped_bit_is_an_error_or_makes_no_difference() {
    let folder = folder("flipped");
    let report = run(&Parrot::new(), &folder).await.unwrap();
    let path = folder.join("journal.jsonl");
    let journal = fs::read(&path).unwrap();
    for number in 0..60 {
        // Structure, names and keys; the content of an answer is what its model has said.
        let at = (number * 7919) % journal.len();
        let mut flipped = journal.clone();
        flipped[at] ^= 1 << (number % 8);
        fs::write(&path, &flipped).unwrap();
        match run(&Parrot::new(), &folder).await {
            Ok(again) => assert_eq!(again.optimizer, report.optimizer),
            Err(OptimizeError::Journal(
                JournalError::Corrupt { .. } | JournalError::Foreign { .. } | JournalError::OtherRun { .. },
            )) => {
                assert_eq!(fs::read(&path).unwrap(), flipped, "nothing was touched");
            }
            Err(error) => panic!("bit {number}: {error}"),
        }
    }
    fs::remove_dir_all(folder).unwrap();
}

#[tokio::test]
async fn an_empty_run_dir_is_refused() {
    let lm = Parrot::new();
    let error = run(&lm, Path::new("")).await.unwrap_err();
    assert!(matches!(error, OptimizeError::Journal(JournalError::Io { .. })), "{error}");
    assert!(error.to_string().contains("run_dir is an empty path"), "{error}");
    assert_eq!(lm.calls(), 0);
    assert!(!Path::new("journal.jsonl").exists());
}

#[tokio::test]
async fn deployments_are_other_runs() {
    struct At(&'static str);
    impl LanguageModel for At {
        fn id(&self) -> &'static str {
            "m"
        }
        fn endpoint(&self) -> &str {
            self.0
        }
        fn complete<'a>(&'a self, _: &'a Request) -> BoxFuture<'a, Result<Response, LmError>> {
            Box::pin(async { Ok(Response::text("[[ ## answer ## ]]\nx")) })
        }
    }
    let folder = folder("deployments");
    let run = async |url| {
        let optimizer =
            BootstrapFewShot::builder().metric(|_: &Row, _: &Values| true).run_dir(&folder).build();
        let program = {
            let mut program = DynPredict::new("question -> answer".parse().unwrap());
            program.set_lm(Lm::custom(At(url)));
            program
        };
        optimizer.compile(program, &rows(3)).await.map(drop)
    };
    run("http://user:hush@h/v1?deployment=red").await.unwrap();
    run("http://user:hush@h/v1?deployment=red").await.unwrap();
    let error = run("http://user:hush@h/v1?deployment=blue").await.unwrap_err();
    assert!(matches!(error, OptimizeError::Journal(JournalError::OtherRun { .. })), "{error}");
    let journal = fs::read_to_string(folder.join("journal.jsonl")).unwrap();
    for text in [error.to_string(), journal] {
        assert!(!text.contains("hush") && !text.contains("=red"), "{text}");
    }
    fs::remove_dir_all(folder).unwrap();
}

#[tokio::test]
async fn other_prompts_and_parameters_are_other_runs() {
    let folder = folder("prompts");
    let run = async |change: &dyn Fn(&mut Predictor)| {
        let optimizer =
            BootstrapFewShot::builder().metric(|_: &Row, _: &Values| true).run_dir(&folder).build();
        let program = {
            let mut program = DynPredict::new("question -> answer".parse().unwrap());
            program.set_lm(Lm::scripted(vec!["[[ ## answer ## ]]\nx"; 99]));
            change(program.predictor_mut());
            program
        };
        optimizer.compile(program, &rows(3)).await.map(drop)
    };
    for _ in 0..2 {
        run(&|_| {}).await.unwrap();
    }
    let demo = Values::from_iter([("question".to_owned(), "a".into()), ("answer".to_owned(), "b".into())]);
    let mut warm = Params::default();
    warm.temperature = Some(1.0);
    let changes: [&dyn Fn(&mut Predictor); 5] = [
        &|predictor| predictor.set_instruction("Answer at length."),
        &|predictor| predictor.set_description("answer", "One word."),
        &|predictor| predictor.set_demos([Demo::new(demo.clone())]),
        &|predictor| predictor.set_adapter(JsonAdapter),
        &|predictor| predictor.set_params(warm.clone()),
    ];
    for (number, change) in changes.into_iter().enumerate() {
        let error = run(change).await.unwrap_err();
        assert!(matches!(error, OptimizeError::Journal(JournalError::OtherRun { .. })), "{number}: {error}");
    }
    fs::remove_dir_all(folder).unwrap();
}

#[cfg(unix)]
mod unix {
    use std::os::unix::fs::{PermissionsExt as _, symlink};

    use super::*;

    #[tokio::test]
    async fn a_journal_is_for_its_owner() {
        let folder = folder("private");
        run(&Parrot::new(), &folder).await.unwrap();
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        let path = folder.join("journal.jsonl");
        assert_eq!((mode(&folder), mode(&path)), (0o700, 0o600));
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
        run(&Parrot::new(), &folder).await.unwrap();
        assert_eq!(mode(&path), 0o640, "what somebody has set stays");
        fs::remove_dir_all(folder).unwrap();
    }

    #[tokio::test]
    async fn links_and_pipes_are_refused() {
        let folder = folder("links");
        fs::create_dir_all(&folder).unwrap();
        let (path, victim) = (folder.join("journal.jsonl"), folder.join("victim"));
        for content in [Some("mine"), Some(""), None] {
            if let Some(content) = content {
                fs::write(&victim, content).unwrap();
            }
            symlink(&victim, &path).unwrap();
            let error = run(&Parrot::new(), &folder).await.unwrap_err();
            assert!(matches!(error, OptimizeError::Journal(JournalError::Foreign { .. })), "{error}");
            assert_eq!(fs::read_to_string(&victim).ok().as_deref(), content);
            fs::remove_file(&path).unwrap();
            let _ = fs::remove_file(&victim);
        }
        assert!(std::process::Command::new("mkfifo").arg(&path).status().unwrap().success());
        let error = run(&Parrot::new(), &folder).await.unwrap_err();
        assert!(matches!(error, OptimizeError::Journal(JournalError::Foreign { .. })), "{error}");
        fs::remove_dir_all(folder).unwrap();
    }

    #[tokio::test]
    async fn a_folder_that_is_removed_on_the_way_is_reported() {
        for replaced in [false, true] {
            let folder = folder("removed");
            let gone = folder.clone();
            let metric = move |_: &Row, _: &Values| {
                let _ = fs::remove_dir_all(&gone);
                if replaced {
                    let _ = fs::create_dir_all(&gone);
                    let _ = fs::write(gone.join("journal.jsonl"), "something else");
                }
                true
            };
            let optimizer = BootstrapFewShot::builder().metric(metric).run_dir(&folder).build();
            let optimized = optimizer.compile(TwoSteps::new(&Parrot::new()), &rows(5)).await.unwrap();
            let warnings = &optimized.report().warnings;
            assert!(warnings.iter().any(|warning| warning.contains("removed or replaced")), "{warnings:?}");
            assert!(optimized.report().to_string().contains("removed or replaced"));
            let _ = fs::remove_dir_all(folder);
        }
    }
}
