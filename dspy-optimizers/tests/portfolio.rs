//! `Portfolio`: its choice, its rungs, and what every optimizer keeps.

#![allow(clippy::unwrap_used, clippy::panic, reason = "in tests a panic is the report")]

mod common;
#[path = "common/laws.rs"]
mod laws;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};

use common::{Obedient, Row, Steps, folder, journal_of, one_step, pair, right, rows};
use dspy_core::evaluate::Score;
use dspy_core::lm::{BoxFuture, Lm, Request, ScriptedLm};
use dspy_core::predict::DynPredict;
use dspy_core::program::{HasPredictors as _, Settings};
use dspy_core::signature::{Example, FieldError, Values};
use dspy_optimizers::engine::Program;
use dspy_optimizers::{
    Budget, Data, OptimizeError, Optimized, Optimizer, Portfolio, Report, Stopped, StudyEvent, Verification,
    Verify,
};
use laws::{Run, with_run};

/// The score of an answer, with the fact that it lacks.
fn taught(row: &Row, output: &Values) -> Score {
    let question = row.0["question"].as_str().unwrap();
    let animal = question.split(' ').nth(2).unwrap();
    Score::from(right(row, output)).with_feedback(format!("{animal}={}", row.0["answer"].as_str().unwrap()))
}

async fn optimize<P, E, O>(lm: &Arc<Obedient>, optimizer: &O, program: P, rows: Vec<E>) -> Optimized<P>
where
    P: Program,
    E: Example,
    O: Optimizer<P, E>,
{
    let run = async { optimizer.compile(program, Data::new(rows)).await };
    Settings::new().lm(Lm::shared(lm.clone())).scope(run).await.unwrap()
}

/// Returns the optimizers of the decisions that begin with these words.
fn named<'r>(report: &'r Report, words: &str) -> Vec<&'r str> {
    let of =
        |decision: &'r String| decision.strip_prefix(words)?.split([':', ' ']).find(|word| !word.is_empty());
    report.decisions.iter().filter_map(of).collect()
}

#[tokio::test]
async fn it_improves_the_program_and_says_why() {
    let lm = Obedient::new();
    let portfolio = Portfolio::builder(Budget::calls(2_000)).metric(taught).build();
    let optimized = optimize(&lm, &portfolio, one_step(&lm), rows(90)).await;
    let report = optimized.report();
    assert!(report.score() > report.baseline && report.baseline == Some(0.0), "{report}");
    assert!(lm.calls() <= 2_000, "{report}");
    let chosen = named(report, "chose");
    for arm in ["LabeledFewShot", "Gepa", "BootstrapFewShotWithRandomSearch", "Copro"] {
        assert!(chosen.contains(&arm), "{arm}: {report}");
    }
    assert!(named(report, "left out").contains(&"ModuleOpro"), "{report}");
    assert!(
        report.decisions.iter().any(|decision| decision.contains("there is only one predictor")),
        "{report}"
    );
    // Each of the others is dropped once, on evidence from the same rows.
    let dropped = named(report, "dropped");
    let finished = report.stopped == Stopped::Finished;
    assert!(!finished || dropped.len() + 1 == chosen.len(), "{report}");
    assert!(report.decisions.iter().any(|decision| decision.starts_with("rung 1 of ")), "{report}");
    let Verification::Passed(verified) = &report.verification else { panic!("{report}") };
    assert!(verified.rows == 18 && verified.score >= verified.baseline, "{report}");
    // All scores are of the same rows.
    let rows_of =
        |trial: &dspy_optimizers::Trial| trial.items.iter().map(|item| item.index).collect::<Vec<_>>();
    assert!(report.trials.iter().all(|trial| rows_of(trial) == rows_of(&report.trials[0])), "{report}");
}

/// A row of a closed set of labels.
#[derive(Debug, Clone)]
struct Mood(usize);

impl Example for Mood {
    type Input = Values;

    fn input(&self) -> Result<Values, FieldError> {
        Ok(Values::from_iter([("text".to_owned(), format!("Text {}.", self.0).into())]))
    }

    fn values(&self) -> Result<Values, FieldError> {
        let mut values = self.input()?;
        values.insert("mood".into(), if self.0.is_multiple_of(2) { "good" } else { "bad" }.into());
        Ok(values)
    }
}

/// Answers that are right for every other row.
fn moody() -> DynPredict {
    let lm = Lm::from_fn(|_| async { "[[ ## mood ## ]]\ngood\n\n[[ ## completed ## ]]" });
    DynPredict::new("text -> mood: Literal['good', 'bad']".parse().unwrap()).with_lm(lm)
}

#[tokio::test]
async fn the_case_decides_which_optimizers_run() {
    let lm = Obedient::new();
    let budget = Budget::calls(5_000);
    // Labels of a closed set, many rows, scores that differ, no feedback.
    let metric =
        |row: &Mood, output: &Values| output["mood"] == if row.0.is_multiple_of(2) { "good" } else { "bad" };
    let portfolio = Portfolio::builder(budget).metric(metric).build();
    let optimized = optimize(&lm, &portfolio, moody(), (0..120).map(Mood).collect()).await;
    let report = optimized.report();
    let expected = [
        "LabeledFewShot",
        "InferRules",
        "Copro",
        "BootstrapFewShotWithRandomSearch",
        "Capo",
        "MiproV2",
        "Simba",
    ];
    assert_eq!(named(report, "chose"), expected, "{report}");
    assert_eq!(named(report, "left out"), ["ModuleOpro", "Gepa"], "{report}");

    // Several predictors, few rows, nothing succeeds, no labels of a predictor.
    let never = |_: &Row, _: &Values| false;
    let unlabelled: Vec<Row> = rows(9)
        .into_iter()
        .map(|row| Row(row.0.into_iter().filter(|(name, _)| name == "question").collect()))
        .collect();
    let portfolio = Portfolio::builder(budget).metric(never).build();
    let optimized = optimize(&lm, &portfolio, Steps(vec![one_step(&lm), one_step(&lm)]), unlabelled).await;
    let report = optimized.report();
    assert_eq!(named(report, "chose"), ["ModuleOpro"], "{report}");
    assert_eq!(report.trials[0].parameters, report.best_trial().unwrap().parameters, "{report}");

    // A small budget is for the first ones.
    let portfolio = Portfolio::builder(Budget::calls(200)).metric(taught).build();
    let optimized = optimize(&lm, &portfolio, one_step(&lm), rows(60)).await;
    let report = optimized.report();
    assert_eq!(named(report, "chose"), ["LabeledFewShot", "Copro"], "{report}");
    assert!(
        report.decisions.iter().any(|decision| decision.contains("but the budget is too small")),
        "{report}"
    );
}

/// A row whose label says nothing of the sound.
fn veiled(count: usize) -> Vec<Row> {
    let veil = |mut row: Row| {
        row.0.insert("answer".into(), "a sound".into());
        row
    };
    rows(count).into_iter().map(veil).collect()
}

/// The score of an answer, with the fact that it lacks and no row has.
fn told(row: &Row, output: &Values) -> Score {
    let animal = row.0["question"].as_str().unwrap().split(' ').nth(2).unwrap();
    let hint = common::HINTS.into_iter().find(|hint| hint.starts_with(animal)).unwrap();
    let sound = hint.split('=').nth(1).unwrap();
    Score::from(output["answer"] == sound).with_feedback(hint)
}

#[tokio::test]
async fn feedback_that_says_more_than_the_rows_comes_first() {
    let lm = Obedient::new();
    let portfolio = Portfolio::builder(Budget::calls(200)).metric(told).build();
    let optimized = optimize(&lm, &portfolio, one_step(&lm), veiled(60)).await;
    let report = optimized.report();
    assert_eq!(named(report, "chose"), ["LabeledFewShot", "Gepa"], "{report}");
    assert!(report.score() > Some(0.0), "{report}");
    let gepa = report.trials.iter().find(|trial| trial.label == "rung 1: Gepa").unwrap();
    assert!(gepa.score > Some(0.0), "its first rung pays for a round: {report}");
    assert!(
        report.decisions.iter().any(|decision| decision.contains("feedback that says more than the rows")),
        "{report}"
    );
}

#[tokio::test]
async fn an_optimizer_without_runs_takes_no_share() {
    let lm = Obedient::new();
    let portfolio = Portfolio::builder(Budget::calls(2_000)).metric(right).best_score(None).build();
    let optimized = optimize(&lm, &portfolio, one_step(&lm), rows(90)).await;
    let report = optimized.report();
    let rungs: Vec<&String> =
        report.decisions.iter().filter(|decision| decision.starts_with("rung ")).collect();
    // It takes part once, and is dropped without taking the place of another one.
    assert!(rungs[0].contains("LabeledFewShot"), "{report}");
    assert!(rungs[1..].iter().all(|rung| !rung.contains("LabeledFewShot")), "{report}");
    let competing = named(report, "chose").len() - 1;
    let second = rungs[1].split(", each with").next().unwrap();
    assert_eq!(second.split(", ").count(), competing.div_ceil(2), "{report}");
}

#[tokio::test]
async fn a_program_is_not_run_twice_on_a_row() {
    let lm = Obedient::new();
    let (train, val) = (rows(40), rows(20));
    let portfolio = Portfolio::builder(Budget::calls(1_500)).metric(taught).build();
    let folder = folder("portfolio-once");
    let data = Data::new(&train[..]).valset(&val[..]);
    let run = async { portfolio.run_dir(&folder).compile(one_step(&lm), data).await };
    let report = Settings::new().lm(Lm::shared(lm.clone())).scope(run).await.unwrap().report().clone();
    assert_eq!(report.usage.requests as usize, lm.calls());
    // The names of the runs that were paid, without the study that has paid them. A traced run is another one.
    let journal = journal_of(&folder);
    let calls = journal.lines().filter(|line| line.starts_with("{\"event\":\"call\""));
    let scopes = calls.filter_map(|line| line.split("\"scope\":\"").nth(1)?.split('"').next());
    let runs = scopes.filter_map(|scope| scope.find("program-").map(|at| &scope[at..]));
    let mut runs: Vec<&str> = runs.filter(|run| !run.ends_with("/traced")).collect();
    let all = runs.len();
    runs.sort_unstable();
    runs.dedup();
    assert!(all > 100, "{report}");
    assert_eq!(runs.len(), all, "{report}");
    std::fs::remove_dir_all(folder).unwrap();
}

/// A small run. Without a budget of the test, it has one of its own.
fn small(run: Run) -> BoxFuture<'static, Result<Report, OptimizeError>> {
    Box::pin(async move {
        let budget = if run.budget == Budget::UNLIMITED { Budget::calls(180) } else { run.budget };
        let run = Run { budget, ..run };
        let portfolio = Portfolio::builder(budget).metric(taught);
        let program = DynPredict::new("question -> answer".parse().unwrap());
        let optimized = with_run!(portfolio, run).build().compile(program, &rows(12)).await?;
        Ok(optimized.report().clone())
    })
}

#[tokio::test]
async fn a_killed_run_ends_as_the_unbroken_one() {
    laws::resumes_at_every_event("portfolio", small).await;
}

#[tokio::test]
async fn the_seed_alone_decides() {
    laws::depends_on_the_seed_alone(small).await;
}

#[tokio::test]
async fn budgets_are_kept() {
    for limit in [0, 1, 3, 4, 7, 20, 50, 90, 130, 180, 400] {
        let run = Run { budget: Budget::calls(limit), ..Run::new(Obedient::new()) };
        let lm = run.lm.clone();
        let report = Settings::new().lm(Lm::shared(lm.clone())).scope(small(run)).await.unwrap();
        assert!(lm.calls() as u64 <= limit, "{} of {limit}: {report}", lm.calls());
        if let (Some(baseline), Some(score)) = (report.baseline, report.score()) {
            assert!(score >= baseline, "{limit}: {report}");
        }
        assert_eq!(report.baseline.is_some(), limit >= 6, "{limit}: {report}");
    }
}

#[tokio::test]
async fn an_outage_is_an_error() {
    laws::outages_are_errors("portfolio", small).await;
}

#[tokio::test]
async fn every_limit_has_a_size_and_none_has_one_too() {
    for budget in [Budget::UNLIMITED, Budget::UNLIMITED.tokens(20_000), Budget::UNLIMITED.usd(0.5)] {
        let lm = Obedient::new();
        let portfolio = Portfolio::builder(budget).metric(right).build();
        let optimized = optimize(&lm, &portfolio, one_step(&lm), rows(20)).await;
        let report = optimized.report();
        assert!(report.trials.len() > 1, "{budget:?}: {report}");
        assert!(budget.tokens.is_none_or(|tokens| report.usage.total_tokens() <= tokens), "{report}");
        assert!(budget.usd.is_none_or(|usd| report.usage.cost_usd.unwrap_or_default() <= usd), "{report}");
    }
}

#[tokio::test]
async fn several_predictors_are_optimized_together() {
    let lm = Obedient::new();
    let both = |_: &Row, output: &Values| {
        let known = |side: &str| f64::from(u8::from(output[side] != "silence"));
        f64::midpoint(known("left"), known("right"))
    };
    let portfolio = Portfolio::builder(Budget::calls(1_500)).metric(both).verify(Verify::rows(10)).build();
    let optimized = optimize(&lm, &portfolio, pair(), rows(40)).await;
    let report = optimized.report();
    assert!(named(report, "chose").contains(&"ModuleOpro"), "{report}");
    assert!(report.score() > report.baseline, "{report}");
}

#[tokio::test]
async fn what_rungs_leave_is_spent_while_there_is_headroom() {
    let lm = Obedient::new();
    let far = |row: &Row, output: &Values| 0.8 * f64::from(u8::from(right(row, output)));
    for budget in [600, 1_500] {
        let portfolio = Portfolio::builder(Budget::calls(budget)).metric(far).build();
        let optimized = optimize(&lm, &portfolio, one_step(&lm), rows(60)).await;
        let report = optimized.report();
        assert!(report.usage.requests * 4 >= budget * 3, "{report}");
    }
}

#[tokio::test]
async fn what_is_left_goes_to_those_that_were_left_out_if_nothing_has_gained() {
    // The score is that of the row, whatever the program answers.
    let fixed = |row: &Row, _: &Values| match row.0["question"].as_str().unwrap().len() % 2 {
        0 => 0.25,
        _ => 0.5,
    };
    let mut turns = 0;
    for budget in [400, 700, 1_000] {
        let lm = Obedient::new();
        let portfolio = Portfolio::builder(Budget::calls(budget)).metric(fixed).build();
        let optimized = optimize(&lm, &portfolio, one_step(&lm), rows(60)).await;
        let report = optimized.report();
        let lacking = |decision: &&String| decision.contains("but the budget is too small for another");
        let left_out: Vec<&str> = report
            .decisions
            .iter()
            .filter(lacking)
            .filter_map(|decision| decision.split([' ', ':']).nth(2))
            .collect();
        let further: Vec<&str> = report
            .decisions
            .iter()
            .filter(|decision| decision.starts_with("further rung"))
            .filter_map(|decision| decision.split(": ").nth(1)?.split(',').next())
            .collect();
        let mut once = further.clone();
        once.sort_unstable();
        once.dedup();
        let of_left_out = further.iter().filter(|arm| left_out.contains(arm)).count();
        if of_left_out > 0 {
            // Those without a gain are not run again.
            assert_eq!((of_left_out, once.len()), (further.len(), further.len()), "{budget}: {report}");
        }
        turns += of_left_out;
    }
    assert!(turns > 0, "no budget left something to those that were left out");
}

#[tokio::test]
async fn bad_input_is_a_typed_error() {
    let lm = Obedient::new();
    let portfolio = Portfolio::builder(Budget::calls(100)).metric(right).build();
    let empty: [Row; 0] = [];
    let error = portfolio.compile(one_step(&lm), &empty).await.unwrap_err();
    assert!(matches!(error, OptimizeError::Empty { set: "trainset" }), "{error}");
    let error = portfolio.compile(one_step(&lm), &rows(1)).await.unwrap_err();
    assert!(matches!(error, OptimizeError::Split { set: "valset", .. }), "{error}");
    let error = portfolio.compile(Steps(Vec::new()), &rows(9)).await.unwrap_err();
    assert!(matches!(error, OptimizeError::NoPredictors), "{error}");
    let failing = |_: &Row, _: &Values| -> Result<f64, &'static str> { Err("no opinion") };
    let portfolio = Portfolio::builder(Budget::calls(100)).metric(failing).build();
    let error = portfolio.compile(one_step(&lm), &rows(9)).await.unwrap_err();
    assert!(matches!(error, OptimizeError::Metric { .. }), "{error}");
    // Two rows are enough.
    let portfolio = Portfolio::builder(Budget::calls(100)).metric(right).build();
    let optimized = optimize(&lm, &portfolio, one_step(&lm), rows(2)).await;
    assert!(optimized.report().score() >= optimized.report().baseline);
}

/// Statements that are true by chance, mostly, so that nothing can be learnt and the original program is hard to beat.
fn random_rows(count: usize) -> Vec<Row> {
    let words = [
        "lovely", "broken", "fine", "bad", "bright", "dim", "cheap", "solid", "loud", "quiet", "warm", "cold",
    ];
    let row = |at: usize| {
        let (first, second) =
            (words[(at * 5 + at / 7) % words.len()], words[(at * 11 + at / 5) % words.len()]);
        let question = format!("It is {first} and {second}, number {}", at * 37 % 100);
        let answer = !(at * 13 + at / 4 + (at * at) % 7).is_multiple_of(3);
        Row(Values::from_iter([
            ("question".to_owned(), question.into()),
            ("answer".to_owned(), answer.into()),
        ]))
    };
    (0..count).map(row).collect()
}

#[tokio::test]
async fn the_result_is_never_worse_on_the_valset_than_the_original_program() {
    let all = random_rows(90);
    for seed in 0..24 {
        for calls in [230, 250, 300] {
            let program = DynPredict::new("question -> answer: bool".parse().unwrap());
            let portfolio = Portfolio::builder(Budget::calls(calls)).metric(right).seed(seed).build();
            let data = Data::new(all[..45].to_vec()).valset(all[45..].to_vec());
            let run = async { portfolio.compile(program, data).await };
            let optimized = Settings::new().lm(Lm::builtin()).scope(run).await.unwrap();
            let report = optimized.report();
            assert!(report.score() >= report.baseline, "{report}");
        }
    }
}

#[tokio::test]
async fn the_calls_of_an_optimizer_that_fails_are_spent() {
    const BUDGET: usize = 2_000;
    let lm = Obedient::new();
    // Whatever knows an animal fails, after it was paid.
    let picky = |_: &Row, output: &Values| match output["answer"].as_str() {
        Some("silence") => Ok(0.0),
        _ => Err("no opinion"),
    };
    // The calls at the beginning of each rung.
    let starts: Arc<Mutex<BTreeMap<usize, usize>>> = Arc::default();
    let (kept, calls) = (starts.clone(), lm.clone());
    let portfolio =
        Portfolio::builder(Budget::calls(BUDGET as u64)).metric(picky).max_errors(3).concurrency(1);
    let portfolio = portfolio.verify(Verify::rows(5).reserve(0.0)).on_event(move |event| {
        if let StudyEvent::Phase { study, name, .. } = event
            && study.is_empty()
            && let Some(rest) = name.strip_prefix("rung ")
        {
            let number = rest.split(':').next().unwrap().parse().unwrap();
            kept.lock().unwrap().entry(number).or_insert(calls.calls());
        }
    });
    let optimized = optimize(&lm, &portfolio.build(), one_step(&lm), rows(90)).await;
    let report = optimized.report();
    let failed = report.warnings.iter().filter(|warning| warning.contains("no opinion")).count();
    assert!(failed > 0, "{report}");
    let mut later = 0;
    for decision in report.decisions.iter().filter(|decision| decision.contains(", each with ")) {
        let (head, rest) = decision.split_once(", each with ").unwrap();
        let (rung, arms) = head.split_once(": ").unwrap();
        let share: usize = rest.split(' ').next().unwrap().replace(',', "").parse().unwrap();
        let numbers: Vec<usize> = rung.split(' ').filter_map(|word| word.parse().ok()).collect();
        let (number, left) = (numbers[0], numbers.get(1).map_or(1, |of| of - numbers[0] + 1));
        let spent = starts.lock().unwrap()[&number];
        // Each rung that is left has an equal part.
        let all = share * arms.split(", ").count() * left;
        // A tenth is for the finals.
        assert!(
            all <= (BUDGET - BUDGET / 10).saturating_sub(spent),
            "{spent} spent before {decision}: {report}"
        );
        later += usize::from(number > 1);
    }
    assert!(later > 0, "{report}");
}

#[tokio::test]
async fn finalists_are_compared_on_a_random_sample_of_the_rows_to_learn_from() {
    let lm = Obedient::new();
    let asked: Arc<Mutex<Option<BTreeSet<usize>>>> = Arc::default();
    let log = asked.clone();
    // No program is better than another one but by luck, so that several are finalists.
    let logging = Lm::custom(ScriptedLm::from_fn(move |request: &Request| {
        if let Some(rows) = log.lock().unwrap().as_mut() {
            let asked = request.messages.last().unwrap().text().into_owned();
            let number = asked.split(" number ").nth(1).and_then(|rest| rest.split(' ').next());
            rows.extend(number.and_then(|number| number.parse::<usize>().ok()));
        }
        format!("[[ ## answer ## ]]\n{}\n\n[[ ## completed ## ]]", request.digest())
    }));
    let luck = |_: &Row, output: &Values| {
        let digit = output["answer"].as_str().unwrap().chars().find_map(|c| c.to_digit(10));
        f64::from(digit.unwrap_or_default()) / 20.0
    };
    let begin = asked.clone();
    let portfolio = Portfolio::builder(Budget::calls(2_000)).metric(luck).on_event(move |event| {
        if matches!(event, StudyEvent::Phase { study, name, .. } if study.is_empty() && name == "finals") {
            *begin.lock().unwrap() = Some(BTreeSet::new());
        }
        if matches!(event, StudyEvent::PhaseEnded { study, name, .. } if study.is_empty() && name == "finals")
        {
            begin.lock().unwrap().as_mut().unwrap().insert(usize::MAX);
        }
    });
    // The rows of the valset are not among those to learn from.
    let all = rows(400);
    let (val, train) = all.split_at(40);
    let mut program = one_step(&lm);
    program.set_lm(logging);
    let run = async { portfolio.build().compile(program, Data::new(train).valset(val)).await };
    let optimized = Settings::new().lm(Lm::shared(lm.clone())).scope(run).await.unwrap();
    let report = optimized.report();
    let count = report.decisions.iter().find_map(|decision| decision.split(" on the valset, ").nth(1));
    let count = count.and_then(|rest| rest.split(" on ").nth(1)?.split(' ').next()).unwrap();
    let count: usize = count.parse().unwrap();
    assert!(count > 10 && count < train.len() / 2, "{report}");
    let asked = asked.lock().unwrap().clone().unwrap();
    let asked: Vec<usize> = asked.into_iter().take_while(|row| *row != usize::MAX).collect();
    assert!(asked.iter().any(|row| *row >= 40 + count), "{count}, {asked:?}: {report}");
}
