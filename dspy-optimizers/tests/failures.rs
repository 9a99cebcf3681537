//! What goes wrong: metrics, models, programs, journals. Each is a typed error or a result, and nothing is lost.

#![allow(clippy::unwrap_used, reason = "in tests a panic is the report")]

mod common;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use common::{Caught, HINTS, Idle, Obedient, Parrot, Row, TwoSteps, folder, one_step, right, rows};
use dspy_core::lm::{Lm, LmError, LmErrorKind, Reply, ScriptedLm};
use dspy_core::predict::{DynPredict, Prediction};
use dspy_core::program::{HasPredictors, Module, Settings, Visitor, VisitorMut};
use dspy_core::signature::Values;
use dspy_optimizers::proposer::{Proposer, TextRequest};
use dspy_optimizers::{
    Ace, BootstrapFewShot, BootstrapFewShotWithRandomSearch, Budget, Capo, Copro, Data, Gepa, InferRules,
    JournalError, MiproV2, ModuleOpro, OptimizeError, Portfolio, Simba, Stopped,
};

fn predict() -> DynPredict {
    DynPredict::new("question -> answer".parse().unwrap())
}

fn scripted<R: Into<Reply>>(reply: impl Fn(usize) -> R + Send + Sync + 'static) -> (Arc<ScriptedLm>, Lm) {
    let count = AtomicUsize::new(0);
    let script = Arc::new(ScriptedLm::from_fn(move |_| reply(count.fetch_add(1, Ordering::SeqCst)).into()));
    let lm = Lm::shared(script.clone());
    (script, lm)
}

const GOOD: &str = "[[ ## answer ## ]]\nmoo\n\n[[ ## completed ## ]]";

#[tokio::test]
async fn a_metric_that_panics_is_at_fault_not_the_program() {
    let (_, lm) = scripted(|_| GOOD);
    let metric = |row: &Row, _: &Values| -> bool {
        assert!(row.0["answer"] != "woof", "cannot judge dogs");
        row.0["answer"] == "moo"
    };
    let mut program = predict();
    program.set_lm(lm);
    let search = BootstrapFewShotWithRandomSearch::builder().metric(metric).num_candidate_programs(0);
    let optimized = search.clone().build().compile(program.clone(), &rows(10)).await.unwrap();
    let bare = &optimized.report().trials[0];
    assert_eq!(bare.score, Some(0.25), "two cows of the eight that could be judged");
    assert!(bare.items[2].score.is_none());
    assert!(bare.items[2].error.as_ref().unwrap().contains("cannot judge dogs"));
    let [warning] = &optimized.report().warnings[..] else { panic!("{}", optimized.report()) };
    assert!(warning.starts_with("the metric failed on 2 rows, left out"), "{warning}");
    assert!(warning.contains("row 2 of the trainset") && warning.contains("cannot judge dogs"), "{warning}");
    let error = search.max_errors(1).build().compile(program, &rows(10)).await.unwrap_err();
    assert!(matches!(&error, OptimizeError::Metric { failed: 2, .. }), "{error}");
    assert!(error.to_string().contains("row 7 of the trainset: the metric panicked"), "{error}");
}

#[tokio::test]
async fn a_row_on_which_the_metric_fails_counts_once_for_all_candidates() {
    let metric = |row: &Row, _: &Values| if row.0["answer"] == "woof" { f64::NAN } else { 0.5 };
    let run = |concurrency, most| {
        let search = BootstrapFewShotWithRandomSearch::builder().metric(metric).num_candidate_programs(4);
        let search = search.concurrency(concurrency).max_errors(most).build();
        let mut program = predict();
        program.set_lm(scripted(|_| GOOD).1);
        async move { search.compile(program, &rows(5)).await }
    };
    let (one, eight) = (run(1, 1).await.unwrap(), run(8, 1).await.unwrap());
    assert_eq!(one.report(), eight.report());
    assert_eq!(one.report().trials.len(), 7);
    let error = run(1, 0).await.unwrap_err().to_string();
    assert!(error.contains("on 1 row, for example row 2 of the trainset: the score is NaN"), "{error}");
}

#[tokio::test]
async fn a_mended_metric_goes_on_with_what_was_paid() {
    let folder = folder("mended");
    let lm = Parrot::new();
    let broken = |_: &Row, _: &Values| -> Result<bool, String> { Err("the judge is ill".into()) };
    let search = BootstrapFewShotWithRandomSearch::builder().num_candidate_programs(1).run_dir(&folder);
    let error =
        search.clone().metric(broken).build().compile(TwoSteps::new(&lm), &rows(12)).await.unwrap_err();
    assert!(error.to_string().contains("the judge is ill"), "{error}");
    let paid = lm.calls();
    assert!(paid >= 22);
    let optimized =
        search.clone().metric(right).build().compile(TwoSteps::new(&lm), &rows(12)).await.unwrap();
    assert_eq!(optimized.report().usage.requests as usize, lm.calls(), "each call was made once");
    let fresh = Parrot::new();
    let search = BootstrapFewShotWithRandomSearch::builder().num_candidate_programs(1).metric(right);
    let unbroken = search.build().compile(TwoSteps::new(&fresh), &rows(12)).await.unwrap();
    assert_eq!((optimized.report(), lm.calls()), (unbroken.report(), fresh.calls()));
    std::fs::remove_dir_all(folder).unwrap();
}

#[tokio::test]
async fn failures_of_the_program_are_scores_of_zero_with_their_reason() {
    let (_, lm) = scripted(|_| "");
    let mut program = predict();
    program.set_lm(lm);
    let search = BootstrapFewShotWithRandomSearch::builder().metric(right).num_candidate_programs(0);
    let optimized = search.build().compile(program, &rows(12)).await.unwrap();
    let report = optimized.report();
    assert_eq!(report.score(), Some(0.0));
    assert!(report.trials.iter().all(|trial| trial.items.iter().all(|item| item.error.is_some())));
    assert!(report.trials[2].notes[1].contains("12 failed, the first:"), "{report}");
    let [warning] = &report.warnings[..] else { panic!("{report}") };
    assert!(warning.contains("failed on every row that it ran on, 12 rows"), "{warning}");
    assert!(warning.contains("row 0 of the trainset: the program failed: "), "{warning}");
}

/// A program that calls its model and then fails, on these rows.
#[derive(Debug, Clone)]
struct Faulty(DynPredict, fn(&Values) -> bool);

impl HasPredictors for Faulty {
    fn visit<'a>(&'a self, visitor: &mut Visitor<'a, '_>) {
        self.0.visit(visitor);
    }

    fn visit_mut(&mut self, visitor: &mut VisitorMut<'_>) {
        self.0.visit_mut(visitor);
    }
}

impl Module for Faulty {
    type Input = Values;
    type Output = Values;

    async fn forward(&self, input: Values) -> dspy_core::Result<Prediction<Values>> {
        let fails = (self.1)(&input);
        let prediction = self.0.call(input).await?;
        if fails { Err(dspy_core::Error::other("there is no field `anwser`")) } else { Ok(prediction) }
    }
}

#[tokio::test]
async fn a_program_that_fails_on_every_row_ends_the_search_before_it_begins() {
    let (script, lm) = scripted(|_| GOOD);
    let mut program = Faulty(predict(), |_| true);
    program.set_lm(lm.clone());
    let random = BootstrapFewShotWithRandomSearch::builder().metric(right).build();
    let gepa = Gepa::builder().metric(right).max_rollouts(100).proposer(no_proposal()).build();
    let error = random.compile(program.clone(), &rows(12)).await.unwrap_err();
    assert!(matches!(&error, OptimizeError::Program { failed: 12, .. }), "{error}");
    let message = error.to_string();
    assert!(message.contains("row 0 of the trainset: the program failed: there is no field"), "{message}");
    assert_eq!(script.requests().len(), 12);
    let error = gepa.compile(program.clone(), &rows(3)).await.unwrap_err();
    assert!(matches!(&error, OptimizeError::Program { failed: 3, .. }), "{error}");
    assert_eq!(script.requests().len(), 15);

    // One row is enough to go on, and the report says so.
    program.1 = |input| input["question"] != "What does cow number 0 say?";
    let copro =
        Copro::builder().metric(|_: &Row, _: &Values| 0.5).breadth(2).depth(1).proposer(no_proposal());
    let optimized = copro.build().compile(program, &rows(12)).await.unwrap();
    let [.., warning] = &optimized.report().warnings[..] else { panic!("{}", optimized.report()) };
    assert!(
        warning.contains("failed on 11 of 12 rows") && warning.contains("the first is row 1: "),
        "{warning}"
    );
}

#[tokio::test]
async fn a_corrected_program_goes_on_in_the_same_folder_with_what_was_paid() {
    let (folder, (script, lm)) = (folder("corrected"), scripted(|_| GOOD));
    let run = |fails: fn(&Values) -> bool, version: Option<&str>| {
        let mut program = Faulty(predict(), fails);
        program.set_lm(lm.clone());
        let search = BootstrapFewShotWithRandomSearch::builder().metric(right).num_candidate_programs(0);
        let search =
            version.map_or(search.clone(), |version| search.code_version(version)).run_dir(&folder).build();
        async move { search.compile(program, &rows(12)).await }
    };
    for _ in 0..2 {
        let error = run(|_| true, None).await.unwrap_err();
        assert!(matches!(error, OptimizeError::Program { failed: 12, .. }), "{error}");
        let message = error.to_string();
        assert!(
            message.contains("run again with the run_dir") && message.contains("`code_version`"),
            "{message}"
        );
        assert_eq!(script.requests().len(), 12, "no reply is paid twice");
    }
    // A new version of the code is another run, and the error says so.
    let error = run(|_| false, Some("2")).await.unwrap_err();
    assert!(error.to_string().contains("`code_version` was not set, is now \"2\""), "{error}");
    let optimized = run(|_| false, None).await.unwrap();
    assert_eq!(optimized.report().baseline, Some(0.25));
    let whole = script.requests().len();
    let again = run(|_| false, None).await.unwrap();
    assert!(again.report() == optimized.report());
    assert_eq!(script.requests().len(), whole);
    std::fs::remove_dir_all(folder).unwrap();
}

fn no_proposal() -> impl dspy_optimizers::proposer::TextProposer {
    async |_: TextRequest| Ok(Vec::new())
}

#[tokio::test]
async fn scores_that_are_all_zero_are_a_warning() {
    let search = BootstrapFewShotWithRandomSearch::builder().num_candidate_programs(0);
    for (score, warns) in [(0.0, true), (0.1, false)] {
        let mut program = predict();
        program.set_lm(scripted(|_| GOOD).1);
        let metric = move |_: &Row, _: &Values| score;
        let optimized = search.clone().metric(metric).build().compile(program, &rows(4)).await.unwrap();
        let warned = optimized.report().to_string().contains("warning: every score is 0");
        assert_eq!(warned, warns, "{}", optimized.report());
    }
}

#[tokio::test]
async fn another_version_of_the_code_or_another_optimizer_is_another_run() {
    let folder = folder("version");
    let run = |version: Option<&str>| {
        let mut search =
            BootstrapFewShotWithRandomSearch::builder().num_candidate_programs(0).run_dir(&folder);
        if let Some(version) = version {
            search = search.code_version(version);
        }
        let search = search.metric(right).build();
        let mut program = predict();
        program.set_lm(scripted(|_| GOOD).1);
        async move { search.compile(program, rows(4)).await }
    };
    run(None).await.unwrap();
    let error = run(Some("2")).await.unwrap_err().to_string();
    assert!(error.contains("`code_version` was not set, is now \"2\"; choose another run_dir"), "{error}");
    std::fs::remove_file(folder.join("journal.jsonl")).unwrap();
    run(Some("1")).await.unwrap();
    run(Some("1")).await.unwrap();
    let error = run(Some("2")).await.unwrap_err().to_string();
    assert!(error.contains("`code_version` was \"1\", is now \"2\""), "{error}");

    let mut program = predict();
    program.set_lm(scripted(|_| GOOD).1);
    let other = BootstrapFewShot::builder().metric(right).run_dir(&folder).seed(3).build();
    let error = other.compile(program, rows(4)).await.unwrap_err();
    let OptimizeError::Journal(JournalError::OtherRun { differences, .. }) = error else { panic!("{error}") };
    let only = "`optimizer` was \"BootstrapFewShotWithRandomSearch\", is now \"BootstrapFewShot\"";
    assert_eq!(differences, [only]);
    std::fs::remove_dir_all(folder).unwrap();
}

#[tokio::test]
async fn a_time_limit_around_an_optimization_ends_it_in_time() {
    let mut program = predict();
    program.set_lm(Lm::builtin());
    let search = BootstrapFewShotWithRandomSearch::builder().metric(right).best_score(None);
    let run = search.num_candidate_programs(200).build().compile(program, rows(40));
    let ended = tokio::time::timeout(std::time::Duration::from_millis(1), run).await;
    assert!(ended.is_err(), "the model lets the timer run between its calls");
}

#[tokio::test]
async fn a_refused_request_is_the_programs_failure_and_not_sent_again() {
    let folder = folder("refused");
    let refuse = || scripted(|_| LmError::new(LmErrorKind::ContextWindow, "scripted", "too long"));
    let run = |lm: Lm| {
        let search = BootstrapFewShotWithRandomSearch::builder().metric(right).num_candidate_programs(0);
        let mut program = predict();
        program.set_lm(lm);
        search.run_dir(&folder).build().compile(program, rows(4))
    };
    let (script, lm) = refuse();
    let first = run(lm).await.unwrap();
    assert_eq!(script.requests().len(), 3 * 4 + 4);
    assert_eq!(first.report().usage.requests, 16);
    // Before the result of a rollout is known, its refusals are.
    let path = folder.join("journal.jsonl");
    let journal = std::fs::read_to_string(&path).unwrap();
    let before = journal.lines().take_while(|line| !line.contains("\"event\":\"done\""));
    let before: String = before.map(|line| format!("{line}\n")).collect();
    std::fs::write(&path, &before).unwrap();
    let (known, (script, lm)) = (common::calls_in(&before), refuse());
    let again = run(lm).await.unwrap();
    assert!(known > 0);
    assert_eq!((script.requests().len(), again.report()), (16 - known, first.report()));
    std::fs::remove_dir_all(folder).unwrap();
}

#[tokio::test]
async fn an_outage_that_the_program_wraps_is_still_one() {
    for wrap in [true, false] {
        let down = Parrot::down_from(9);
        let program = Caught::new(&down, wrap);
        let search = BootstrapFewShotWithRandomSearch::builder().metric(right);
        let error = search.build().compile(program, &rows(10)).await.unwrap_err();
        assert!(matches!(error, OptimizeError::Outage { .. }), "{error}");
        assert!(error.to_string().contains("out of reach"), "{error}");
    }
}

#[tokio::test]
async fn a_passing_outage_is_ridden_out_without_paying_twice() {
    // Every fifth call fails once.
    let (script, lm) = scripted(|call| {
        if call % 5 == 4 {
            Reply::from(LmError::new(LmErrorKind::RateLimit, "scripted", "slow down"))
        } else {
            Reply::from(GOOD)
        }
    });
    let mut program = predict();
    program.set_lm(lm);
    let search = BootstrapFewShotWithRandomSearch::builder().metric(right).num_candidate_programs(0);
    let optimized = search.concurrency(1).build().compile(program, &rows(10)).await.unwrap();
    let paid = optimized.report().usage.requests as usize;
    let sent = script.requests().len();
    assert_eq!(paid, sent - sent / 5);
    let tried = optimized.report().trials[2].notes[0].clone();
    assert_eq!(tried, "2 of 10 rows tried succeeded");
    assert_eq!(paid, 3 * 10 + 10);
}

#[tokio::test]
async fn no_model_is_an_error_that_names_the_way_out() {
    let search = BootstrapFewShotWithRandomSearch::builder().metric(right).build();
    let error = search.compile(predict(), &rows(4)).await.unwrap_err();
    assert!(matches!(error, OptimizeError::Outage { .. }));
    assert!(error.to_string().contains("no language model is configured"), "{error}");
    assert_eq!(error.to_string().matches("no language model").count(), 1, "{error}");
}

#[tokio::test]
async fn unusable_rows_are_found_before_anything_is_paid() {
    struct Bad;
    impl dspy_core::signature::Example for Bad {
        type Input = Values;
        fn input(&self) -> Result<Values, dspy_core::signature::FieldError> {
            Err(dspy_core::signature::FieldError::new("question", "is torn"))
        }
        fn values(&self) -> Result<Values, dspy_core::signature::FieldError> {
            Ok(Values::new())
        }
    }
    let (script, lm) = scripted(|_| GOOD);
    let optimizer = BootstrapFewShot::builder().metric(|_: &Bad, _: &Values| true).build();
    let run = optimizer.compile(predict(), [Bad]);
    let error = Settings::new().lm(lm).scope(run).await.unwrap_err();
    assert!(matches!(error, OptimizeError::Example { set: "trainset", index: 0, .. }), "{error}");
    assert!(script.requests().is_empty());
}

#[tokio::test]
async fn another_model_is_another_run() {
    let folder = folder("model");
    let run = |lm: Lm| {
        let optimizer = BootstrapFewShot::builder().metric(right).run_dir(&folder).build();
        Settings::new().lm(lm).scope(async move { optimizer.compile(predict(), rows(3)).await })
    };
    run(scripted(|_| GOOD).1).await.unwrap();
    let error = run(Lm::shared(Parrot::new())).await.unwrap_err();
    assert!(matches!(error, OptimizeError::Journal(JournalError::OtherRun { .. })));
    assert!(
        error.to_string().contains("`program.self.model.name` was \"scripted\", is now \"parrot\""),
        "{error}"
    );
    let error = run(scripted(|_| GOOD).1.temperature(0.5)).await.unwrap_err();
    let message = error.to_string();
    assert!(message.contains("`program.self.model.params` has changed: parameters of calls"), "{message}");
    std::fs::remove_dir_all(folder).unwrap();
}

#[tokio::test]
async fn a_folder_that_cannot_be_written_is_an_error_before_anything_is_paid() {
    let file = folder("not-a-folder");
    std::fs::write(&file, "x").unwrap();
    let (script, lm) = scripted(|_| GOOD);
    let optimizer = BootstrapFewShot::builder().metric(right).run_dir(file.join("run")).build();
    let error = Settings::new().lm(lm).scope(optimizer.compile(predict(), rows(3))).await.unwrap_err();
    assert!(matches!(error, OptimizeError::Journal(JournalError::NoFolder { .. })), "{error}");
    assert!(error.to_string().contains("not-a-folder") && error.to_string().contains("is a file"), "{error}");
    assert!(script.requests().is_empty());
    std::fs::remove_file(file).unwrap();
}

#[tokio::test]
async fn a_changed_program_is_described_in_words() {
    let folder = folder("words");
    let run = |program: DynPredict, count: usize| {
        let optimizer = BootstrapFewShot::builder().metric(right).run_dir(&folder).build();
        Settings::new()
            .lm(scripted(|_| GOOD).1)
            .scope(async move { optimizer.compile(program, rows(count)).await })
    };
    run(predict(), 3).await.unwrap();
    let mut other = predict();
    other.for_each_predictor(|_, predictor| predictor.set_instruction("Say it."));
    let message = run(other, 3).await.unwrap_err().to_string();
    assert!(
        message.contains("`program.self.prompt` has changed: the instruction, descriptions,"),
        "{message}"
    );
    let fields = DynPredict::new("question -> answer: int".parse().unwrap());
    let message = run(fields, 4).await.unwrap_err().to_string();
    for part in
        ["`program.self.signature` has changed: the fields", "`trainset.digest` has changed: the content"]
    {
        assert!(message.contains(part), "{message}");
    }
    std::fs::remove_dir_all(folder).unwrap();
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_folder_that_cannot_be_created_is_an_error_with_advice() {
    let optimizer = BootstrapFewShot::builder().metric(right).run_dir("/proc/nope").build();
    let (_, lm) = scripted(|_| GOOD);
    let error = Settings::new().lm(lm).scope(optimizer.compile(predict(), rows(3))).await.unwrap_err();
    assert!(matches!(error, OptimizeError::Journal(JournalError::NotWritable { .. })), "{error}");
    assert!(error.to_string().contains("choose a folder that you may write to"), "{error}");
}

#[tokio::test]
async fn a_limit_in_dollars_that_is_no_number_is_an_error() {
    for usd in [f64::NAN, -1.0] {
        let optimizer = BootstrapFewShot::builder().metric(right).budget(Budget::calls(9).usd(usd)).build();
        let estimated = optimizer.estimate(&predict(), rows(3)).unwrap_err();
        let error = optimizer.compile(predict(), rows(3)).await.unwrap_err();
        for error in [estimated, error] {
            assert!(matches!(error, OptimizeError::Option { option: "budget.usd", .. }), "{error}");
        }
    }
}

#[tokio::test]
async fn a_valset_that_shares_some_rows_with_the_trainset_is_a_warning() {
    let lm = Obedient::new();
    for (train, val, shared) in [(0..8, 0..8, None), (0..8, 8..16, None), (0..8, 6..12, Some("2 of 6 rows"))]
    {
        let all = rows(16);
        let data = Data::new(all[train].to_vec()).valset(all[val].to_vec());
        let search =
            BootstrapFewShotWithRandomSearch::builder().metric(right).num_candidate_programs(0).build();
        let optimized = search.compile(common::one_step(&lm), data).await.unwrap();
        let warnings = &optimized.report().warnings;
        let found =
            warnings.iter().find(|warning| warning.contains("of the valset are also in the trainset"));
        assert_eq!(found.is_some(), shared.is_some(), "{warnings:?}");
        assert!(found.is_none_or(|found| found.starts_with(shared.unwrap())), "{warnings:?}");
    }
}

#[tokio::test]
async fn a_spent_budget_cannot_be_swallowed() {
    // The program answers something when its model fails: results under a spent budget would be lies.
    let lm = Parrot::new();
    let program = Caught::swallowing(&lm);
    let search = BootstrapFewShotWithRandomSearch::builder().metric(right).num_candidate_programs(1);
    let optimized =
        search.budget(Budget::calls(25)).concurrency(4).build().compile(program, &rows(10)).await.unwrap();
    let report = optimized.report();
    assert!(matches!(report.stopped, Stopped::Budget(_)));
    // The rest does not pay for another evaluation.
    assert_eq!((report.trials.len(), lm.calls()), (2, 20));
    assert!(report.trials.iter().all(|trial| trial.items.len() == 10));
}

#[tokio::test]
async fn a_dropped_compilation_stops_its_work() {
    struct Gone(Arc<AtomicUsize>);
    impl Drop for Gone {
        fn drop(&mut self) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }
    let (started, dropped) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let (count, gone) = (started.clone(), dropped.clone());
    let lm = Lm::custom(ScriptedLm::from_async_fn(move |_| {
        count.fetch_add(1, Ordering::SeqCst);
        let gone = Gone(gone.clone());
        async move {
            let _gone = gone;
            std::future::pending::<Reply>().await
        }
    }));
    let mut program = predict();
    program.set_lm(lm);
    let search = BootstrapFewShotWithRandomSearch::builder().metric(right).concurrency(4).build();
    let run = search.compile(program, rows(10));
    assert!(futures_util::FutureExt::now_or_never(run).is_none());
    assert_eq!((started.load(Ordering::SeqCst), dropped.load(Ordering::SeqCst)), (4, 4));
    for _ in 0..10 {
        tokio::task::yield_now().await;
    }
    assert_eq!(started.load(Ordering::SeqCst), 4, "nothing else begins");
}

#[tokio::test]
async fn a_predictor_that_never_runs_changes_nothing() {
    let all = async |_: TextRequest| Ok(vec![HINTS.join(" ")]);
    let (lm, data) = (Obedient::new(), || Data::new(rows(10)).valset(rows(10)));
    let copro = Copro::builder().metric(right).breadth(2).depth(2).proposer(all).build();
    let opro = ModuleOpro::builder().metric(right).steps(3).proposer(all).build();
    let mipro = MiproV2::builder().metric(right).num_candidates(4).num_trials(8).proposer(all).build();
    let (_, writer) = scripted(|_| format!("[[ ## rules ## ]]\n{}", HINTS.join(" ")));
    let infer = InferRules::builder().metric(right).num_candidates(2).prompt_lm(writer).build();
    for report in [
        copro.compile(Idle::new(&lm), data()).await.unwrap().report().clone(),
        opro.compile(Idle::new(&lm), data()).await.unwrap().report().clone(),
        mipro.compile(Idle::new(&lm), data()).await.unwrap().report().clone(),
        infer.compile(Idle::new(&lm), data()).await.unwrap().report().clone(),
    ] {
        assert_eq!((report.score(), report.stopped), (Some(1.0), Stopped::Finished), "{report}");
    }
}

#[tokio::test]
async fn a_predictor_that_no_row_reaches_is_a_warning_also_after_a_resume() {
    let folder = folder("idle");
    let search = || BootstrapFewShotWithRandomSearch::builder().metric(right).run_dir(&folder).build();
    for _ in 0..2 {
        let optimized = search().compile(Idle::new(&Obedient::new()), &rows(6)).await.unwrap();
        let warnings = &optimized.report().warnings;
        let idle: Vec<_> =
            warnings.iter().filter(|warning| warning.contains("was called on no row")).collect();
        assert_eq!(idle.len(), 1, "{warnings:?}");
        assert!(idle[0].starts_with("the predictor `idle` was called on no row"), "{warnings:?}");
    }
    std::fs::remove_dir_all(folder).unwrap();
    let report = |program| async { search_of(program).await.report().warnings.clone() };
    let all = report(TwoSteps::new(&Parrot::new())).await;
    assert!(all.iter().all(|warning| !warning.contains("was called on no row")), "{all:?}");
}

async fn search_of(program: TwoSteps) -> dspy_optimizers::Optimized<TwoSteps> {
    let search = BootstrapFewShotWithRandomSearch::builder().metric(right).build();
    search.compile(program, &rows(6)).await.unwrap()
}

#[tokio::test]
async fn a_teacher_with_other_predictors_is_an_error_before_any_call() {
    let lm = Obedient::new();
    let mut teacher = DynPredict::new("question -> answer, reason".parse().unwrap());
    teacher.set_lm(Lm::shared(lm.clone()));
    let data = || Data::new(rows(40)).teacher(teacher.clone());
    macro_rules! check {
        ($($builder:expr),+ $(,)?) => {
            $({
                let error = $builder.metric(right).build().compile(one_step(&lm), data()).await.unwrap_err();
                assert!(matches!(&error, OptimizeError::Teacher(_)), "{error}");
                assert!(error.to_string().contains("`self` has another signature"), "{error}");
            })+
        };
    }
    check! {
        Ace::builder(),
        Capo::builder(),
        Copro::builder(),
        Gepa::builder(),
        ModuleOpro::builder(),
        MiproV2::builder(),
        Portfolio::builder(Budget::calls(2_000)),
        Simba::builder(),
        BootstrapFewShot::builder(),
    }
    assert_eq!(lm.calls(), 0);
}

#[tokio::test]
async fn a_proposer_that_is_refused_is_named_with_its_role_and_what_to_do() {
    let (_, lm) = scripted(|_| LmError::new(LmErrorKind::Auth, "prop", "key refused"));
    let copro = Copro::builder().metric(right).proposer(Proposer::new().with_lm(lm)).build();
    let error = copro.compile(one_step(&Obedient::new()), &rows(6)).await.unwrap_err();
    assert!(matches!(&error, OptimizeError::Outage { .. }), "{error:?}");
    let message = error.to_string();
    assert!(message.starts_with("the proposer's model `prop`"), "{message}");
    assert!(message.contains("key refused; check its address and key, or"), "{message}");
}

#[tokio::test]
async fn a_warning_of_several_lines_is_one_line_in_the_summary_and_whole_in_the_report() {
    let reply = format!("I would rather\nnot {}\nsay", "really ".repeat(200));
    let (_, lm) = scripted(move |_| reply.clone());
    let copro = Copro::builder().metric(right).breadth(2).depth(1).proposer(Proposer::new().with_lm(lm));
    let optimized = copro.build().compile(one_step(&Obedient::new()), &rows(6)).await.unwrap();
    let report = optimized.report();
    let warning = report.warnings.iter().find(|warning| warning.contains("the proposer failed")).unwrap();
    assert!(warning.contains("| I would rather\n  | not really"), "{warning}");
    let summary = report.to_string();
    let line = summary.lines().find(|line| line.starts_with("warning: ")).unwrap();
    assert!(
        line.contains("| I would rather | not really") && line.ends_with("more characters in the report)"),
        "{line}"
    );
    assert!(line.len() < 500, "{line}");
    assert!(report.to_html().contains("| I would rather\n  | not really"), "whole in the page");
}
