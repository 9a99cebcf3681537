//! `Ace`: lessons that become items of playbooks, the acceptance test before each of them, and what every optimizer keeps.

#![allow(clippy::unwrap_used, reason = "in tests a panic is the report")]

mod common;
#[path = "common/laws.rs"]
mod laws;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use common::{HINTS, Obedient, Row, folder, one_step, pair, right, rows};
use dspy_core::lm::{BoxFuture, Lm};
use dspy_core::predict::DynPredict;
use dspy_core::program::HasPredictors as _;
use dspy_core::signature::{Playbook, Values};
use dspy_core::state::ProgramState;
use dspy_optimizers::gepa::Evolve;
use dspy_optimizers::proposer::{
    CurationRequest, Delta, Diagnosis, DiagnosisRequest, Effect, TextProposer, TextRequest,
};
use dspy_optimizers::{Ace, Budget, Data, Gepa, OptimizeError, Report, Stopped};
use laws::{Run, with_run};

/// A reflector and curator that calls no model: the lesson of a run is the expected sound.
#[derive(Default)]
struct Scholar {
    diagnosed: Arc<AtomicUsize>,
    curated: Arc<AtomicUsize>,
    requests: Arc<Mutex<Vec<DiagnosisRequest>>>,
    /// Whether the first lesson is wrong.
    slow: bool,
}

/// The animal of a question with its sound: `cow=moo`.
fn fact(inputs: &Values, expected: &Values) -> Option<String> {
    let animal = inputs["question"].as_str()?.split_whitespace().nth(2)?;
    Some(format!("{animal}={}", expected.get("answer")?.as_str()?))
}

impl TextProposer for Scholar {
    fn propose(&self, _request: TextRequest) -> BoxFuture<'_, dspy_core::Result<Vec<String>>> {
        Box::pin(async { Ok(Vec::new()) })
    }

    fn diagnose(&self, request: DiagnosisRequest) -> BoxFuture<'_, dspy_core::Result<Diagnosis>> {
        self.diagnosed.fetch_add(1, Ordering::SeqCst);
        self.requests.lock().unwrap().push(request.clone());
        let record = &request.records[0];
        let good = record.score == Some(1.0);
        let lesson = match (&request.tried, self.slow) {
            (None, true) => "Think harder.".to_owned(),
            _ => fact(&record.inputs, &record.expected).unwrap(),
        };
        let about = |text: &str| text.split('=').next() == lesson.split('=').next();
        let used = request.playbook.items().iter().filter(|item| about(item.text()));
        let effect = if good { Effect::Helpful } else { Effect::Harmful };
        let effects = used.map(|item| (item.id().to_owned(), effect)).collect();
        let lesson = if good { String::new() } else { lesson };
        Box::pin(async { Ok(Diagnosis { cause: "ignorance".into(), lesson, effects }) })
    }

    fn curate(&self, request: CurationRequest) -> BoxFuture<'_, dspy_core::Result<Vec<Delta>>> {
        self.curated.fetch_add(1, Ordering::SeqCst);
        let lessons = request.diagnoses.into_iter().map(|diagnosis| diagnosis.lesson);
        let lessons = lessons.filter(|lesson| !lesson.is_empty());
        let add = |text| Delta::Add { section: "sounds".into(), text };
        let deltas = lessons.map(add).collect();
        Box::pin(async { Ok(deltas) })
    }
}

fn playbook(texts: &[&str]) -> Playbook {
    let mut playbook = Playbook::new();
    texts.iter().for_each(|text| drop(playbook.add("sounds", text).unwrap()));
    playbook
}

fn knowing(lm: &Arc<Obedient>, texts: &[&str]) -> DynPredict {
    let mut program = one_step(lm);
    program.predictor_mut().set_playbook(playbook(texts));
    program
}

#[tokio::test]
async fn lessons_become_items_by_the_published_number_of_calls() {
    let (lm, scholar) = (Obedient::new(), Scholar::default());
    let (diagnosed, curated) = (scholar.diagnosed.clone(), scholar.curated.clone());
    let ace = Ace::builder().metric(right).batch(5).acceptance_rows(8).proposer(scholar).build();
    let optimized = ace.compile(one_step(&lm), Data::new(rows(5)).valset(rows(20))).await.unwrap();
    let report = optimized.report();
    assert_eq!((report.baseline, report.score(), report.best), (Some(0.0), Some(1.0), 1), "{report}");
    let found = optimized.predictor().playbook();
    assert!(HINTS.iter().all(|hint| found.items().iter().any(|item| item.text() == *hint)), "{found}");
    assert_eq!(report.trials[1].label, "epoch 1, batch 1, rows alone: 5 added");
    assert!(report.trials[1].notes[0].starts_with("adopted: 100.0 % on 8 rows, 0.0 % before"), "{report}");
    // Each of the wrong runs has one reflection, and goes right with its lesson. The curator sees each alone, which is a
    // gain, so it does not see all of them.
    assert_eq!((diagnosed.load(Ordering::SeqCst), curated.load(Ordering::SeqCst)), (5, 5));
    // The original program on the valset, the batch, each row again, the acceptance test (of the new program only) and the rest of
    // the valset.
    assert_eq!(lm.calls(), 20 + 5 + 5 + 8 + 12);
    assert_eq!(report.usage.requests as usize, lm.calls());
    assert!(report.changes().to_string().contains("  playbook\n  + ### sounds\n"), "{}", report.changes());
    assert!(report.to_html().contains("<h4>Playbook</h4>"));
}

#[tokio::test]
async fn rows_are_run_again_until_a_lesson_helps() {
    for (reflections, again) in [(1, 0), (2, 5), (3, 10)] {
        let (lm, scholar) = (Obedient::new(), Scholar { slow: true, ..Scholar::default() });
        let requests = scholar.requests.clone();
        let ace = Ace::builder().metric(right).reflections(reflections).batch(5).proposer(scholar).build();
        let optimized = ace.compile(one_step(&lm), Data::new(rows(5)).valset(rows(10))).await.unwrap();
        let requests = std::mem::take(&mut *requests.lock().unwrap());
        let tried =
            requests.iter().filter(|request| request.tried.as_deref() == Some("Think harder.")).count();
        assert_eq!((requests.len(), tried), (5 * reflections.min(2), 5 * (reflections.min(2) - 1)));
        let best = if reflections == 1 { 0.0 } else { 1.0 };
        assert_eq!(optimized.report().score(), Some(best), "{}", optimized.report());
        assert_eq!(lm.calls(), 10 + 5 + again + 10);
    }
}

#[tokio::test]
async fn a_worse_playbook_is_rejected() {
    let lm = Obedient::new();
    let spoil = async |request: TextRequest| Ok(vec![request.current.replace("cow=moo", "cow=meow")]);
    let ace = Ace::builder().metric(right).batch(5).epochs(2).proposer(spoil).build();
    let known = ["cow=moo", "cat=meow", "dog=woof", "duck=quack"];
    let program = knowing(&lm, &known);
    let optimized = ace.compile(program.clone(), Data::new(rows(10)).valset(rows(10))).await.unwrap();
    let report = optimized.report();
    assert_eq!((report.best, report.score()), (0, Some(0.8)), "{report}");
    let rejected = &report.trials[1];
    assert!(rejected.notes[0].starts_with("rejected: 60.0 % on 10 rows, 80.0 % before"), "{report}");
    assert_eq!((rejected.score, report.trials.len()), (None, 2), "the same playbook is compared once");
    assert_eq!(optimized.predictor().playbook(), program.predictor().playbook());
}

/// Spoils an item until the curator sees at least this many records; then it proposes facts.
struct Patient {
    records: usize,
    seen: Arc<Mutex<Vec<usize>>>,
}

impl TextProposer for Patient {
    fn propose(&self, _request: TextRequest) -> BoxFuture<'_, dspy_core::Result<Vec<String>>> {
        Box::pin(async { Ok(Vec::new()) })
    }

    fn diagnose(&self, _request: DiagnosisRequest) -> BoxFuture<'_, dspy_core::Result<Diagnosis>> {
        Box::pin(async { Ok(Diagnosis::default()) })
    }

    fn curate(&self, request: CurationRequest) -> BoxFuture<'_, dspy_core::Result<Vec<Delta>>> {
        let count = request.records.len();
        self.seen.lock().unwrap().push(count);
        let add = |text: &str| Delta::Add { section: "sounds".into(), text: text.into() };
        let deltas = if count < self.records {
            vec![Delta::Update { id: "sou-1".into(), text: format!("cow=meow after {count}") }]
        } else {
            vec![add("cat=meow"), add("dog=woof")]
        };
        Box::pin(async { Ok(deltas) })
    }
}

#[tokio::test]
async fn the_curator_sees_the_rows_of_rejected_batches_again() {
    let (lm, seen) = (Obedient::new(), Arc::default());
    let patient = Patient { records: 15, seen: Arc::clone(&seen) };
    let ace =
        Ace::builder().metric(right).batch(5).epochs(2).rows_per_curation(100).proposer(patient).build();
    let program = knowing(&lm, &["cow=moo"]);
    let optimized = ace.compile(program, Data::new(rows(20)).valset(rows(10))).await.unwrap();
    let report = optimized.report();
    let seen = seen.lock().unwrap().clone();
    // After the third batch a playbook is adopted.
    assert_eq!(seen[..4], [5, 10, 15, 5], "{report}");
    assert!(report.score() > report.baseline, "{report}");
    // At most four batches are kept; a row is seen once.
    assert!(seen.iter().all(|count| *count <= 20), "{seen:?}");
}

#[tokio::test]
async fn all_rows_are_seen_together_if_single_ones_teach_nothing() {
    let (lm, seen) = (Obedient::new(), Arc::default());
    let patient = Patient { records: 5, seen: Arc::clone(&seen) };
    let ace = Ace::builder().metric(right).batch(5).proposer(patient).build();
    let optimized =
        ace.compile(knowing(&lm, &["cow=moo"]), Data::new(rows(5)).valset(rows(10))).await.unwrap();
    let report = optimized.report();
    // Of five rows, four go wrong with one known sound.
    assert_eq!(*seen.lock().unwrap(), [1, 1, 1, 1, 5], "{report}");
    let notes: Vec<&str> = report.trials[1..].iter().map(|trial| trial.notes[0].as_str()).collect();
    assert!(notes[0].starts_with("rejected: 0.0 %") && notes[1].starts_with("adopted: 60.0 %"), "{report}");
    assert_eq!((report.best, report.score()), (2, Some(0.6)), "{report}");
    let parents: Vec<&[usize]> = report.trials[1..].iter().map(|trial| &trial.parents[..]).collect();
    assert_eq!(parents, [[0], [0]]);
}

/// A scholar whose diagnoses cost a call each and find no effect of any item.
struct Vague(Scholar, DynPredict);

impl TextProposer for Vague {
    fn propose(&self, request: TextRequest) -> BoxFuture<'_, dspy_core::Result<Vec<String>>> {
        self.0.propose(request)
    }

    fn diagnose(&self, request: DiagnosisRequest) -> BoxFuture<'_, dspy_core::Result<Diagnosis>> {
        Box::pin(async move {
            dspy_core::program::Module::call(&self.1, request.records[0].inputs.clone()).await?;
            let mut diagnosis = self.0.diagnose(request).await?;
            diagnosis.effects.clear();
            Ok(diagnosis)
        })
    }

    fn curate(&self, request: CurationRequest) -> BoxFuture<'_, dspy_core::Result<Vec<Delta>>> {
        self.0.curate(request)
    }
}

#[tokio::test]
async fn right_runs_have_one_reflection_and_leave_the_race_at_the_end() {
    let mut improved = 0;
    for calls in (150..=300).step_by(7).map(Some).chain([None]) {
        let (lm, scholar) = (Obedient::new(), Scholar::default());
        let diagnosed = scholar.diagnosed.clone();
        let ace = Ace::builder().metric(right).batch(20).epochs(1_000).acceptance_rows(8);
        let ace = ace.proposer(Vague(scholar, one_step(&lm)));
        let ace = calls.into_iter().fold(ace, |ace, calls| ace.budget(Budget::calls(calls)));
        let data = Data::new(rows(60)).valset(rows(40));
        let report = ace.build().compile(one_step(&lm), data).await.unwrap().report().clone();
        // What was adopted has run on the whole valset in the end.
        assert!(report.best == 0 || report.score().is_some(), "{calls:?} calls: {report}");
        improved += usize::from(report.best > 0);
        if calls.is_none() {
            // Each wrong run has one, and so has each right run with a new playbook.
            let most = 60 * report.trials.len();
            assert!(diagnosed.load(Ordering::SeqCst) <= most, "{report}");
            assert_eq!(report.stopped, Stopped::Finished);
        }
    }
    assert!(improved > 10, "{improved}");
}

#[tokio::test]
async fn items_that_mislead_are_removed() {
    let (lm, scholar) = (Obedient::new(), Scholar::default());
    let ace = Ace::builder().metric(right).batch(3).epochs(2).max_harmful(2).proposer(scholar).build();
    let optimized = ace.compile(knowing(&lm, &["cow=meow"]), &rows(15)).await.unwrap();
    let found = optimized.predictor().playbook();
    assert_eq!(optimized.report().score(), Some(1.0), "{}\n{found}", optimized.report());
    assert!(
        found.get("sou-1").is_none() && found.items().iter().any(|item| item.text() == "cow=moo"),
        "{found}"
    );
    assert!(found.items().iter().any(|item| item.helpful() > 0), "{found:?}");
}

#[tokio::test]
async fn playbooks_are_saved_and_loaded() {
    let lm = Obedient::new();
    let ace = Ace::builder().metric(right).batch(5).proposer(Scholar::default()).build();
    let optimized = ace.compile(one_step(&lm), &rows(5)).await.unwrap();
    let folder = folder("ace-saved");
    std::fs::create_dir_all(&folder).unwrap();
    let (own, python) = (folder.join("own.json"), folder.join("python.json"));
    optimized.save(&own).unwrap();
    let loaded = one_step(&lm).load(&own).unwrap();
    assert_eq!(loaded.predictor().playbook(), optimized.predictor().playbook());
    assert_eq!(loaded.predictor().spec(), optimized.predictor().spec());
    // Python has the playbook as a part of the instruction, and it is read from there.
    ProgramState::of(&*optimized).write_python(&python).unwrap();
    let text = std::fs::read_to_string(&python).unwrap();
    assert!(text.contains("## Playbook\\n") && text.contains("[sou-1] "), "{text}");
    let again = one_step(&lm).load(&python).unwrap();
    assert!(again.predictor().playbook().reads_as(optimized.predictor().playbook()));
    assert_eq!(again.predictor().instruction(), one_step(&lm).predictor().instruction());
    std::fs::remove_dir_all(folder).unwrap();
}

#[tokio::test]
async fn only_the_chosen_predictors_have_a_playbook() {
    let lm = Obedient::new();
    let metric = |row: &Row, output: &Values| row.0["answer"] == output["left"];
    let ace = || Ace::builder().metric(metric).batch(5).proposer(Scholar::default());
    let mut program = pair();
    program.set_lm(Lm::shared(lm.clone()));
    let optimized = ace().predictors(["left"]).build().compile(program.clone(), &rows(5)).await.unwrap();
    let found: BTreeMap<String, usize> = optimized
        .named_predictors()
        .into_iter()
        .map(|(path, predictor)| (path, predictor.playbook().len()))
        .collect();
    assert_eq!((found["left"], found["right"]), (5, 0), "{}", optimized.report());
    let unknown = ace().predictors(["middle"]).build().compile(program, &rows(5)).await.unwrap_err();
    assert!(matches!(unknown, OptimizeError::Option { option: "predictors", .. }), "{unknown}");
}

#[tokio::test]
async fn gepa_evolves_playbooks() {
    let lm = Obedient::new();
    let proposer = async |request: TextRequest| {
        let facts = request.records.iter().filter_map(|record| fact(&record.inputs, &record.expected));
        let lines: Vec<String> = facts.filter(|fact| !request.current.contains(fact)).collect();
        Ok(vec![format!("{}\n{}", request.current, lines.join("\n"))])
    };
    let gepa =
        Gepa::builder().metric(right).components([Evolve::Playbooks]).max_rollouts(300).proposer(proposer);
    let optimized = gepa.build().compile(knowing(&lm, &["Be kind."]), &rows(20)).await.unwrap();
    let found = optimized.predictor().playbook();
    assert_eq!(optimized.report().score(), Some(1.0), "{}", optimized.report());
    assert!(found.get("sou-1").is_some_and(|item| item.text() == "Be kind.") && found.len() == 6, "{found}");
    assert_eq!(optimized.predictor().instruction(), one_step(&lm).predictor().instruction());
}

/// A small run in which the current model reflects and curates.
fn small(run: Run) -> BoxFuture<'static, Result<Report, OptimizeError>> {
    Box::pin(async move {
        let ace = Ace::builder()
            .metric(right)
            .batch(3)
            .rows_per_curation(2)
            .epochs(2)
            .acceptance_rows(4)
            .max_harmful(2);
        let program = DynPredict::new("question -> answer".parse().unwrap());
        let data = Data::new(rows(6)).valset(rows(7));
        let optimized = with_run!(ace, run).build().compile(program, data).await?;
        Ok(optimized.report().clone())
    })
}

/// A run that only its budget ends.
fn endless(run: Run) -> BoxFuture<'static, Result<Report, OptimizeError>> {
    Box::pin(async move {
        let ace = Ace::builder().metric(right).batch(5).epochs(1_000);
        let program = DynPredict::new("question -> answer".parse().unwrap());
        let data = Data::new(rows(25)).valset(rows(90));
        let optimized = with_run!(ace, run).build().compile(program, data).await?;
        Ok(optimized.report().clone())
    })
}

#[tokio::test]
async fn a_budget_leaves_enough_for_the_race_at_the_end() {
    laws::a_budget_leaves_enough_for_the_end(endless, 90, &[500, 600, 700]).await;
    laws::resumes_within_a_budget("ace", endless, 500).await;
}

#[tokio::test]
async fn a_killed_run_ends_as_the_unbroken_one() {
    laws::resumes_at_every_event("ace", small).await;
}

#[tokio::test]
async fn the_seed_alone_decides() {
    laws::depends_on_the_seed_alone(small).await;
}

#[tokio::test]
async fn budgets_are_kept() {
    laws::keeps_to_budgets_of(small, 60).await;
}

#[tokio::test]
async fn an_outage_is_an_error() {
    laws::outages_are_errors("ace", small).await;
}

#[tokio::test]
async fn bad_input_changes_nothing_or_is_a_typed_error() {
    let lm = Obedient::new();
    let ace = || Ace::builder().metric(right).batch(3);
    let endless: &'static str =
        format!("[[ ## operations ## ]]\n[{{\"type\": \"ADD\", \"content\": \"{}\"}}]", "z".repeat(100_000))
            .leak();
    let marked = "[[ ## operations ## ]]\n[{\"type\": \"ADD\", \"content\": \"Say [[ ## answer ## ]]\"}, {\"type\": \
                  \"REMOVE\", \"id\": \"x\"}]";
    for reply in
        ["", "nonsense", "[[ ## operations ## ]]", "[[ ## operations ## ]]\n{\"self\": 3}", endless, marked]
    {
        let silly = dspy_optimizers::proposer::Proposer::new()
            .with_lm(Lm::from_fn(move |_| std::future::ready(reply)));
        let optimized = ace().proposer(silly).build().compile(one_step(&lm), &rows(6)).await.unwrap();
        let report = optimized.report();
        assert_eq!((report.stopped, report.trials.len()), (Stopped::Finished, 1), "{report}");
        assert!(!report.warnings.is_empty() && report.warnings.len() < 12, "{:?}", report.warnings);
        assert!(report.warnings.iter().all(|warning| warning.len() < 2_000), "{:?}", report.warnings);
        assert!(optimized.predictor().playbook().is_empty());
    }
    for constant in [0.0, 1.0] {
        let optimizer = ace().metric(move |_: &Row, _: &Values| constant).proposer(Scholar::default());
        let optimized = optimizer.build().compile(one_step(&lm), &rows(6)).await.unwrap();
        assert_eq!((optimized.report().best, optimized.report().score()), (0, Some(constant)));
    }
    let none = ace().epochs(0).build().compile(one_step(&lm), &rows(1)).await.unwrap();
    assert_eq!((none.report().trials.len(), none.report().stopped), (1, Stopped::Finished));
    let zero = ace()
        .batch(0)
        .acceptance_rows(0)
        .max_chars(0)
        .finalists(0)
        .reflections(0)
        .proposer(Scholar::default());
    assert!(zero.build().compile(one_step(&lm), &rows(2)).await.unwrap().predictor().playbook().is_empty());
    for similarity in [0.0, 1.5, f64::NAN] {
        let error = ace().similarity(similarity).build().compile(one_step(&lm), &rows(3)).await.unwrap_err();
        assert!(matches!(error, OptimizeError::Option { option: "similarity", .. }), "{error}");
    }
    let none = ace().build().compile(common::Steps(Vec::new()), &rows(3)).await.unwrap_err();
    assert!(matches!(none, OptimizeError::NoPredictors));
    let metric = |_: &Row, _: &Values| -> Result<f64, &'static str> { Err("no opinion") };
    let error = ace().metric(metric).build().compile(one_step(&lm), &rows(6)).await.unwrap_err();
    assert!(matches!(error, OptimizeError::Metric { .. }), "{error}");
    let error = ace().metric(|_: &Row, _: &Values| f64::NAN).build().compile(one_step(&lm), &rows(6)).await;
    assert!(matches!(error, Err(OptimizeError::Metric { .. })));
    let spent = ace().budget(Budget::calls(0)).build().compile(one_step(&lm), &rows(6)).await.unwrap();
    assert!(matches!(spent.report().stopped, Stopped::Budget(_)));
}

#[tokio::test]
async fn without_a_valset_the_first_scores_serve_the_first_batch() {
    let lm = Obedient::new();
    let ace = Ace::builder().metric(right).batch(10).proposer(Scholar::default()).build();
    let data = rows(10);
    let estimate = ace.estimate(&one_step(&lm), &data).unwrap();
    let optimized = ace.compile(one_step(&lm), &data).await.unwrap();
    assert_eq!(optimized.report().score(), Some(1.0), "{}", optimized.report());
    // The original program, each row with its lesson, and the new program.
    assert_eq!(lm.calls(), 10 + 10 + 10, "{}", optimized.report());
    let with_valset = ace.estimate(&one_step(&lm), Data::new(&data[..]).valset(&data[..])).unwrap();
    assert_eq!(with_valset.program_calls.most.unwrap() - estimate.program_calls.most.unwrap(), 10);
}

#[tokio::test]
async fn a_result_on_a_part_of_the_rows_is_a_clear_one_and_says_so() {
    // Of 60 rows, the only fact that is learned is worth three, or all of them together are worth all.
    let is = |row: &Row, answer: &str| row.0["answer"] == answer;
    let cows = rows(300).into_iter().filter(|row| is(row, "moo")).take(3);
    let few: Vec<Row> = cows.chain(rows(300).into_iter().filter(|row| is(row, "hoot"))).take(60).collect();
    for (val, chosen) in [(few, false), (rows(60), true)] {
        let train: Vec<Row> = rows(5).into_iter().filter(|row| chosen || is(row, "moo")).collect();
        let compile = async |budget| {
            let lm = Obedient::new();
            let ace = Ace::builder().metric(right).batch(5).acceptance_rows(20).proposer(Scholar::default());
            let ace = ace.budget(budget).build();
            let optimized = ace.compile(one_step(&lm), Data::new(&train[..]).valset(&val[..])).await.unwrap();
            (optimized.report().clone(), lm.calls() as u64)
        };
        let (whole, total) = compile(Budget::UNLIMITED).await;
        assert!(whole.score() > whole.baseline, "{whole}");
        assert_eq!(whole.best_trial().unwrap().partial, None);
        for calls in (60..total).step_by(5) {
            let (report, _) = compile(Budget::calls(calls)).await;
            let Some(partial) = report.best_trial().unwrap().partial else {
                assert_eq!(report.best, 0, "{report}");
                continue;
            };
            assert!(chosen, "a gain on a few rows may be luck: {report}");
            assert_eq!((partial.of, report.score()), (60, None));
            let shown = format!("{:.1} % on {} of 60 rows, from", partial.score * 100.0, partial.rows);
            assert!(report.to_string().lines().next().unwrap().contains(&shown), "{report}");
            let warning = format!("the result rests on {} of 60 rows", partial.rows);
            assert!(report.warnings.iter().any(|known| known.starts_with(&warning)), "{report}");
            assert!(report.to_html().contains(&format!("on {} of 60 rows", partial.rows)));
            let json = serde_json::to_string(&report).unwrap();
            assert_eq!(serde_json::from_str::<Report>(&json).unwrap(), report);
        }
    }
}

#[tokio::test]
async fn blank_proposals_change_nothing_and_are_counted() {
    let lm = Obedient::new();
    let blank = async |_: TextRequest| Ok(vec!["  \n".to_owned()]);
    let ace = Ace::builder().metric(right).batch(5).proposer(blank).build();
    let known = ["cow=moo", "cat=meow"];
    let data = Data::new(rows(10)).valset(rows(10));
    let optimized = ace.compile(knowing(&lm, &known), data).await.unwrap();
    let report = optimized.report();
    assert_eq!((optimized.predictor().playbook().len(), report.trials.len()), (2, 1), "{report}");
    let warning = "the proposer has returned 8 empty answers for `self`; none of them was scored";
    assert_eq!(report.warnings, [warning]);
}
