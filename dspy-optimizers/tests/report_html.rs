//! The report as a page: escaped, well formed, bounded, the same after a resume.

#![allow(clippy::unwrap_used, clippy::panic, reason = "in tests a panic is the report")]

mod common;

use std::time::{Duration, Instant};

use common::{HINTS, Obedient, Steps, folder, journal_of, leave, one_step, right, rows};
use dspy_core::Seed;
use dspy_core::lm::Usage;
use dspy_core::predict::DynPredict;
use dspy_core::program::HasPredictors as _;
use dspy_core::signature::Demo;
use dspy_optimizers::{
    BootstrapFewShotWithRandomSearch, Candidate, Data, ItemReport, Options, Report, RunFacts, SharedMetric,
    Stopped, Trial, Verification, engine::Study,
};
use proptest::prelude::*;
use serde_json::json;

/// Elements without an end.
const VOID: [&str; 1] = ["meta"];

/// Checks that every element is closed in the right order, that attributes are quoted, and that nothing is loaded or
/// run. Returns the text without the markup.
fn checked(page: &str) -> String {
    let rest = page.strip_prefix("<!DOCTYPE html>").unwrap();
    let (mut open, mut text) = (Vec::new(), String::new());
    let mut rest = rest;
    while let Some((before, tagged)) = rest.split_once('<') {
        if open.last() != Some(&"style") {
            assert!(!before.contains('>'), "an unescaped `>` in {before:?}");
            text.push_str(before);
        }
        let (tag, after) = tagged.split_once('>').unwrap();
        rest = after;
        if let Some(name) = tag.strip_prefix('/') {
            assert_eq!(open.pop(), Some(name), "at {:?}", &after[..after.len().min(80)]);
            continue;
        }
        let (tag, closed) = tag.strip_suffix('/').map_or((tag, false), |tag| (tag, true));
        let (name, mut attributes) = tag.split_once(' ').unwrap_or((tag, ""));
        assert!(name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit()), "{name:?}");
        assert!(!["script", "iframe", "link", "img", "object", "a", "form"].contains(&name), "{name}");
        while !attributes.is_empty() {
            let (attribute, value) = attributes.trim_start().split_once("=\"").unwrap();
            assert!(
                attribute.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-'),
                "{attribute:?}"
            );
            assert!(!attribute.starts_with("on") && !["href", "src"].contains(&attribute), "{attribute}");
            attributes = value.split_once('"').unwrap().1;
        }
        if !closed && !VOID.contains(&name) {
            open.push(name);
        }
    }
    assert!(open.is_empty(), "{open:?} are not closed");
    text.push_str(rest);
    text
}

fn unescaped(text: &str) -> String {
    [("&lt;", "<"), ("&gt;", ">"), ("&quot;", "\""), ("&#39;", "'"), ("&amp;", "&")]
        .iter()
        .fold(text.to_owned(), |text, (escaped, plain)| text.replace(escaped, plain))
}

fn program() -> DynPredict {
    DynPredict::new("question -> answer".parse().unwrap())
        .with_instruction("Answer the question in a few words.")
}

fn item(index: usize, score: f64) -> ItemReport {
    let item = json!({"index": index, "score": score, "usage": Usage::tokens(80, 10)});
    serde_json::from_value(item).unwrap()
}

/// A search of a few generations with everything that a report can have.
fn sample() -> Report {
    let original = program();
    let mut report = Report::new("Gepa", &original);
    report.seed = 7;
    let mut draws = Seed::new(3).rng();
    let mut best = 0.0;
    for trial in 0..36_usize {
        let mut changed = original.clone();
        if trial > 0 {
            let advice =
                ["Name the source.", "Use at most ten words.", "Answer unknown if the passage is silent."];
            changed.predictor_mut().set_instruction(format!(
                "Answer the question in short words. {} {}",
                advice[trial % 3],
                advice[trial % 2]
            ));
            let demo = |n: usize| {
                let values = json!({"question": format!("What does animal {n} say?\nAnswer & explain <briefly>."), "answer": "moo"});
                Demo::new(serde_json::from_value(values).unwrap())
            };
            changed.predictor_mut().set_demos((0..trial % 5).map(demo).collect::<Vec<_>>());
        }
        let skill = 30 + trial + draws.below(20);
        let items: Vec<_> = (0..24)
            .map(|row| {
                let score = if draws.below(100) < skill {
                    1.0
                } else if draws.below(6) == 0 {
                    0.42
                } else {
                    0.0
                };
                item(row, score)
            })
            .collect();
        let label = if trial == 0 {
            "original program".to_owned()
        } else {
            format!("reflection {trial} on minibatch {}", trial * 3)
        };
        let mut made = Trial::new(label, &changed);
        let mean = items.iter().filter_map(|item| item.score).sum::<f64>() / 24.0;
        (made.score, made.items) = (Some(mean), items);
        made.usage = Usage::tokens(2_400 + 31 * trial as u64, 310).at_cost(0.0021);
        if trial % 7 == 5 {
            made.notes.push("the minibatch was better, 3 of 3 rows".into());
            made.items[3].error = Some("the model's reply has no field `answer`".into());
        }
        if trial > 0 {
            made.parents.push(draws.below(trial));
        }
        if trial % 9 == 8 {
            made.parents.push(draws.below(trial));
        }
        if mean > best {
            (best, report.best) = (mean, trial);
        }
        report.trials.push(made);
    }
    report.baseline = report.trials[0].score;
    report.usage = Usage::tokens(130_400, 12_050).at_cost(0.0812);
    let verified = json!({"passed": {
        "rows": 60, "trial": report.best, "score": 0.71, "margin": 0.083, "baseline": 0.45, "search_score": best,
    }});
    report.verification = serde_json::from_value(verified).unwrap();
    report
        .warnings
        .push("the price of `judge-1` is unknown, so the limit in US dollars was not enforced".into());
    report
}

#[test]
fn a_report_has_its_sections_in_order() {
    let report = sample();
    let page = report.to_html();
    let text = unescaped(&checked(&page));
    let sections: Vec<&str> =
        page.split("<h2 id=\"").skip(1).map(|rest| rest.split('"').next().unwrap()).collect();
    assert_eq!(sections, ["warnings", "scores", "changes", "candidates", "front", "tree", "rows", "cost"]);
    for needed in
        ["Gepa", "Seed 7, 36 trials; all candidates were tried.", "71.0 % ± 8.3", "$0.0812", "130,400"]
    {
        assert!(text.contains(needed), "{needed}");
    }
    assert!(
        page.contains("in <del>a few</del><ins>short</ins> words."),
        "the instructions are compared by words"
    );
    assert_eq!(page.matches("class=\"mark\"").count(), 36 + 3, "one mark for each trial, and the legend");
    assert_eq!(page, report.to_html());
    for needed in
        ["lang=\"en\"", "name=\"viewport\"", "<title>Gepa", "prefers-color-scheme: dark", "@media print"]
    {
        assert!(page.contains(needed), "{needed}");
    }
}

#[test]
fn an_empty_report_is_a_page() {
    let text = checked(&Report::new("Nothing", &program()).to_html());
    assert!(text.contains("No candidate was completed"), "{text}");
}

#[test]
fn a_report_survives_odd_numbers() {
    let mut report = sample();
    report.best = 99;
    report.trials[3].score = Some(f64::NAN);
    report.trials[4].score = Some(f64::INFINITY);
    report.trials[5].score = Some(-1e300);
    report.trials[6].score = Some(1e300);
    report.trials[7].items[0].score = Some(f64::NEG_INFINITY);
    report.trials[8].parents = vec![8, 30, 12_345];
    report.trials[9].items.clear();
    checked(&report.to_html());
    report.trials.truncate(1);
    report.trials[0].score = Some(0.0);
    checked(&report.to_html());
}

/// Puts a text everywhere where a report has one.
fn with_text(text: &str) -> Report {
    let original = program();
    let mut report = Report::new(text, &original);
    let mut changed = original.clone();
    changed.predictor_mut().set_instruction(text);
    let values = serde_json::from_value(json!({"question": text, "answer": {text: [text]}})).unwrap();
    changed.predictor_mut().set_demos(vec![Demo::new(values)]);
    for parent in [vec![], vec![0]] {
        let mut trial = Trial::new(text, &changed);
        (trial.score, trial.parents, trial.notes) = (Some(0.5), parent, vec![text.into()]);
        trial.items = vec![item(0, 1.0), item(1, 0.0)];
        trial.items[0].error = Some(text.into());
        report.trials.push(trial);
    }
    report.warnings.push(text.into());
    let entry = json!({"study": text, "phase": text, "kind": "proposer", "model": text, "usage": Usage::tokens(1, 1)});
    let other =
        json!({"phase": text, "kind": "program", "model": "m", "usage": Usage::tokens(1, 1), "cached": 2});
    report.spend = serde_json::from_value(json!([entry, other])).unwrap();
    let time = json!({"study": text, "phase": text, "seconds": 1.5});
    let facts = json!({"seconds": 2.0, "earlier_seconds": 1.0, "paid_earlier": Usage::tokens(1, 1), "phases": [time]});
    report.run = serde_json::from_value(facts).unwrap();
    report
}

#[test]
fn markup_in_texts_is_shown_as_text() {
    let hostile = "</script></style><script>alert(\"1\")</script><img src=x onerror='alert(2)'><!-- & \u{202e}\u{0}\r]]>";
    let page = with_text(hostile).to_html();
    let text = unescaped(&checked(&page));
    assert!(text.contains("</script></style><script>alert(\"1\")"), "{text}");
    assert!(text.contains("[U+202E]\u{2400}\u{240d}]]>"));
    assert!(!page.contains(['\u{202e}', '\0', '\r']));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn every_text_is_escaped(text in "(\\PC|[<>&\"'/\\x00-\\x1f\\u{80}-\\u{9f}\\u{202a}-\\u{202e}=!-]){0,60}") {
        let page = with_text(&text).to_html();
        let shown = unescaped(&checked(&page));
        if text.chars().all(|c| c == '\n' || c == '\t' || (' '..='\u{7e}').contains(&c)) {
            prop_assert!(shown.contains(&text), "{text:?}");
        }
        prop_assert!(!page.chars().any(|c| c.is_control() && c != '\n' && c != '\t'));
    }
}

#[test]
fn ten_thousand_trials_of_twenty_predictors_have_a_small_page() {
    let program = Steps(vec![program(); 20]);
    let mut report = Report::new("Gepa", &program);
    let mut draws = Seed::new(1).rng();
    let long = "Think about every word of the question. ".repeat(20);
    for index in 0..10_000_usize {
        // The parameters of most trials are short, for the memory of this test; those that the page shows are not.
        let mut trial = Trial::new(format!("reflection {index}"), &program);
        trial.score = Some(index as f64 / 20_000.0 + draws.below(1_000) as f64 / 2_000.0);
        trial.items = (0..50).map(|row| item(row * 7, draws.below(2) as f64)).collect();
        trial.parents = if index == 0 { Vec::new() } else { vec![index - 1] };
        if index % 100 == 99 {
            let mut longer = program.clone();
            longer.for_each_predictor(|_, predictor| predictor.set_instruction(long.as_str()));
            trial.parameters = Trial::new("", &longer).parameters;
            trial.score = Some(1.0 + index as f64 / 1e6);
        }
        report.trials.push(trial);
    }
    report.best = 9_999;
    let begun = Instant::now();
    let page = report.to_html();
    let taken = begun.elapsed();
    checked(&page);
    println!("{} KiB in {taken:?}", page.len() / 1024);
    assert!(page.len() < 1 << 20, "{} KiB", page.len() / 1024);
    assert!(taken < Duration::from_secs(30), "{taken:?}"); // On a busy machine, without optimization.
    assert!(page.contains("9,800 more candidates are left out"));
    let path = folder("report-large").join("report.html");
    report.write_html(&path).unwrap();
    assert_eq!(std::fs::read_to_string(path).unwrap(), page);
}

#[test]
fn a_report_is_read_as_it_was_written() {
    let (report, folder) = (sample(), folder("report-sample"));
    report.write_json(folder.join("report.json")).unwrap();
    report.write_html(folder.join("report.html")).unwrap();
    assert_eq!(Report::read_json(folder.join("report.json")).unwrap(), report);
    let error = Report::read_json(folder.join("report.html")).unwrap_err().to_string();
    assert!(error.contains("report.html` cannot be read: expected value"), "{error}");
    let error = report.write_json(&folder).unwrap_err().to_string();
    assert!(error.contains("cannot be written"), "{error}");
    assert_eq!(std::fs::read_dir(folder).unwrap().count(), 2, "nothing unfinished is left");
}

async fn run(folder: &std::path::Path) -> Report {
    let search = BootstrapFewShotWithRandomSearch::builder().metric(right).num_candidate_programs(1);
    let search = search.max_labeled_demos(2).run_dir(folder).build();
    search.compile(one_step(&Obedient::new()), rows(6)).await.unwrap().report().clone()
}

#[tokio::test]
async fn the_files_in_the_run_dir_are_the_same_after_a_resume() {
    let (whole, part) = (folder("report-whole"), folder("report-part"));
    let report = run(&whole).await;
    assert_eq!(std::fs::read_to_string(whole.join("report.html")).unwrap(), report.to_html());
    // Everything but the times, and what earlier processes have paid.
    let read = |folder: &std::path::Path| {
        let mut report = Report::read_json(folder.join("report.json")).unwrap();
        report.run = RunFacts::default();
        (serde_json::to_string(&report).unwrap(), report.to_html())
    };
    let files = read(&whole);
    assert_eq!(Report::read_json(whole.join("report.json")).unwrap(), report);
    assert_eq!(report.warnings.len(), 1, "every score is 0: {report}");
    let journal = journal_of(&whole);
    let half = journal[..journal.len() / 2].rfind('\n').unwrap() + 1;
    leave(&part, &journal[..half]);
    assert_eq!(run(&part).await, report);
    assert_eq!(read(&part), files);
    run(&whole).await;
    assert_eq!(read(&whole), files, "and after another start");
}

#[tokio::test]
async fn a_report_that_cannot_be_written_is_a_warning() {
    let folder = folder("report-blocked");
    std::fs::create_dir_all(folder.join("report.html")).unwrap();
    let report = run(&folder).await;
    let warning = report.warnings.last().unwrap();
    assert!(warning.contains("report.html` cannot be written"), "{warning}");
    assert!(folder.join("report.json").is_file());
}

#[tokio::test]
async fn a_nested_study_writes_no_files_of_its_own() {
    let folder = folder("report-nested");
    let data = Data::new(rows(5));
    let metric = SharedMetric::new(right);
    let options = Options::default().run_dir(&folder);
    let lm = Obedient::new();
    let study = Study::builder("Outer", one_step(&lm), &data).options(&options).start(&metric).unwrap();
    let inner = BootstrapFewShotWithRandomSearch::builder().metric(right).num_candidate_programs(1).build();
    let inner =
        study.nested("inner", dspy_optimizers::Budget::UNLIMITED, inner.compile(one_step(&lm), rows(5)));
    inner.await.unwrap();
    assert!(!folder.join("report.json").exists());
    study.score("hinted", &Candidate::new().instruction("", HINTS[0])).await.ok();
    study.finish(Ok(Stopped::Finished)).await.unwrap();
    let report = Report::read_json(folder.join("report.json")).unwrap();
    assert_eq!((report.optimizer.as_str(), report.verification), ("Outer", Verification::Off));
}
