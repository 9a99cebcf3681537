//! Every optimizer with a proposer pays it only for what the rest of the budget compares, stops asking one that is of no
//! use, and checks its options alike in `estimate` and `compile`.

#![allow(clippy::unwrap_used, reason = "in tests a panic is the report")]

mod common;

use std::path::PathBuf;
use std::sync::Arc;

use common::{Pair, Row, folder, journal_of, leave, pair, rows};
use dspy_core::evaluate::SharedMetric;
use dspy_core::lm::{Lm, Request, ScriptedLm};
use dspy_core::program::Settings;
use dspy_core::signature::Values;
use dspy_optimizers::engine::{Contestant, Study};
use dspy_optimizers::{
    Ace, BetterTogether, BootstrapFewShot, BoxOptimizer, Budget, CallKind, Capo, Copro, Data, Estimate, Gepa,
    InferRules, Limit, MiproV2, ModuleOpro, OptimizeError, Optimizer as _, Options, Race, Report, Simba,
    Stopped,
};

/// Answers as the program, better if its prompt has a text of the proposer, and writes what a proposer is asked for.
fn reply(request: &Request, readable: bool) -> String {
    let system = request.messages[0].text();
    let asks = |field: &str| system.contains(&format!("`{field}`"));
    let done = |field: &str, value: &str| format!("[[ ## {field} ## ]]\n{value}\n\n[[ ## completed ## ]]");
    let text = format!("knows {}", request.digest());
    let written = [
        "rules",
        "merged_instruction",
        "paraphrase",
        "revised_text",
        "summary",
        "observations",
        "description",
    ];
    if asks("answer") && !written.into_iter().chain(["instruction", "operations", "item_tags"]).any(asks) {
        let asked = request.messages.last().unwrap().text().into_owned();
        let sounds = [("cow", "moo"), ("cat", "meow"), ("dog", "woof"), ("duck", "quack"), ("owl", "hoot")];
        let sound = sounds.iter().find(|(animal, _)| asked.contains(&format!("does {animal} ")));
        let known = system.contains("knows ") && !asked.contains(" owl ");
        return done("answer", sound.filter(|_| known).map_or("moo", |(_, sound)| sound));
    }
    if !readable {
        return "qwerty".into();
    }
    if asks("operations") {
        let add = format!("[{{\"type\": \"ADD\", \"section\": \"hints\", \"content\": \"{text}\"}}]");
        return done("operations", &add);
    }
    if asks("item_tags") {
        let lesson = done("key_insight", &text).replace("\n\n[[ ## completed ## ]]", "");
        return format!("[[ ## root_cause ## ]]\nx\n\n{lesson}\n\n{}", done("item_tags", "[]"));
    }
    let field = written.into_iter().find(|field| asks(field)).unwrap_or("instruction");
    done(field, &text)
}

fn metric(row: &Row, output: &Values) -> bool {
    Some(&row.0["answer"]) == output.values().next()
}

type Named = (&'static str, BoxOptimizer<Pair, Row>);

/// The optimizers with proposers.
fn all(budget: Budget, at: Option<&PathBuf>) -> Vec<Named> {
    macro_rules! of {
        ($builder:expr) => {{
            let builder = $builder.metric(metric).budget(budget).concurrency(1);
            match at {
                Some(folder) => builder.run_dir(folder).build().boxed(),
                None => builder.build().boxed(),
            }
        }};
    }
    let inner = ModuleOpro::builder().metric(metric).steps(3).build().boxed();
    let demos = BootstrapFewShot::builder().metric(metric).build().boxed();
    let both = BetterTogether::builder()
        .optimizer("opro", inner)
        .optimizer("demos", demos)
        .strategy("opro -> demos")
        .metric(metric)
        .budget(budget)
        .valset_ratio(0.4)
        .concurrency(1);
    let both = match at {
        Some(folder) => both.run_dir(folder).build(),
        None => both.build(),
    };
    vec![
        ("InferRules", of!(InferRules::builder().num_candidates(6))),
        ("ModuleOpro", of!(ModuleOpro::builder().steps(3))),
        ("MiproV2", of!(MiproV2::builder().num_candidates(3).num_trials(4))),
        ("Ace", of!(Ace::builder().batch(4))),
        ("Gepa", of!(Gepa::builder().max_rollouts(90))),
        ("Copro", of!(Copro::builder().breadth(6).depth(2))),
        ("Capo", of!(Capo::builder().population(4).crossovers(2).steps(2).max_shots(1))),
        ("BetterTogether", both.unwrap().boxed()),
    ]
}

fn lm(readable: bool) -> (Lm, Arc<ScriptedLm>) {
    let model = Arc::new(ScriptedLm::from_fn(move |request: &Request| reply(request, readable)));
    (Lm::shared(model.clone()), model)
}

async fn run(optimizer: &BoxOptimizer<Pair, Row>, readable: bool) -> (Report, Estimate, u64) {
    let (lm, model) = lm(readable);
    let settings = Settings::new().lm(lm);
    let data = rows(12);
    let estimate = settings.clone().scope(async { optimizer.estimate(&pair(), &data) }).await.unwrap();
    let report = settings.scope(optimizer.compile(pair(), &data)).await.unwrap().report().clone();
    (report, estimate, model.calls())
}

fn written(report: &Report) -> u64 {
    report.spend.of(CallKind::Proposer).usage.requests
}

#[tokio::test]
async fn a_proposer_is_paid_only_for_what_is_compared() {
    for at in 0..all(Budget::UNLIMITED, None).len() {
        let mut compared = 0;
        for limit in (5..180).step_by(5).chain([26, 51, 66]) {
            let (name, optimizer) = all(Budget::calls(limit), None).swap_remove(at);
            let (report, estimate, calls) = run(&optimizer, true).await;
            let said = format!("{name} with {limit} calls: {report}\n{estimate}");
            assert!(calls <= limit && report.usage.requests == calls, "{said}");
            let others = report.trials.iter().skip(1).filter(|trial| !trial.items.is_empty()).count();
            compared += others;
            if others == 0 {
                assert_eq!(written(&report), 0, "{said}");
                let is_said = |warning: &String| {
                    warning.contains("new program could be compared") || warning.contains("is too small")
                };
                let stopped = matches!(report.stopped, Stopped::Budget(_));
                assert!(!stopped || report.warnings.iter().any(is_said), "{said}");
            }
            let is_short = estimate.warnings.iter().any(|warning| warning.contains("too few to compare"));
            assert!(!is_short || (others == 0 || name == "InferRules"), "{said}");
        }
        assert!(compared > 3, "{at}");
    }
}

#[tokio::test]
async fn a_resumed_run_compares_the_same() {
    for at in 0..all(Budget::UNLIMITED, None).len() {
        for limit in [75, 110] {
            let (whole, part) = (folder(&format!("compared-{at}")), folder(&format!("compared-{at}-part")));
            let optimizer = |folder| all(Budget::calls(limit), Some(folder)).swap_remove(at);
            let (name, whole_one) = optimizer(&whole);
            let (report, ..) = run(&whole_one, true).await;
            let journal = journal_of(&whole);
            let (mut paid, mut answered, mut end) = (0, 0, 0);
            for (number, line) in journal.lines().enumerate() {
                end += line.len() + 1;
                paid += usize::from(line.contains("\"event\":\"reserved\""));
                answered += usize::from(line.contains("\"event\":\"call\""));
                let decides = ["/count\"", "/missing\"", "/budget\""].iter().any(|part| line.contains(part));
                // A call in flight counts as paid, which may end the resumed run earlier.
                if paid > answered || (number % 17 > 0 && !decides) {
                    continue;
                }
                leave(&part, &journal[..end]);
                let (resumed, ..) = run(&optimizer(&part).1, true).await;
                assert!(
                    resumed == report,
                    "{name}, {limit}, cut at {number}: {resumed}\ninstead of {report}"
                );
            }
            for folder in [whole, part] {
                std::fs::remove_dir_all(folder).unwrap();
            }
        }
    }
}

#[tokio::test]
async fn a_proposer_of_no_use_is_not_asked_again() {
    for (name, optimizer) in all(Budget::calls(2_000), None) {
        let (report, estimate, _) = run(&optimizer, false).await;
        let said = format!("{name}: {report}\n{estimate}");
        let warned = |warning: &String| warning.contains("the proposer was not asked again");
        assert!(report.warnings.iter().any(warned), "{said}");
        assert!((1..=18).contains(&written(&report)), "{said}");
        assert!(estimate.proposer_calls.most.is_some_and(|most| written(&report) <= most), "{said}");
    }
}

#[tokio::test]
async fn a_race_takes_as_many_as_the_budget_runs() {
    for (limit, ran) in [(60, 3), (79, 3), (80, 4), (100, 5), (39, 0), (40, 2)] {
        let (lm, _) = lm(true);
        let (data, metric) = (Data::new(rows(40)), SharedMetric::new(metric));
        let options = Options::default().budget(Budget::calls(limit));
        let program = || dspy_core::predict::DynPredict::new("question -> answer".parse().unwrap());
        let raced = Settings::new().lm(lm).scope(async {
            let study = Study::builder("Own", program(), &data).options(&options).start(&metric).unwrap();
            // The cost of a run is known from another program.
            let contestants: Vec<_> =
                (0..5).map(|number| Contestant::new(format!("program {number}"), program())).collect();
            let first = study.evaluate("first", &program(), &study.val().select(0..1)).await;
            assert!(first.is_ok());
            study.race(&Race::new().alpha(0.0), &contestants, study.val()).await.unwrap()
        });
        let raced = raced.await;
        let has_run = |standing: &dspy_optimizers::engine::Standing| !standing.items.is_empty();
        let places: Vec<bool> = raced.standings.iter().map(has_run).collect();
        // One call is spent before.
        let ran = if limit % 20 == 0 && ran > 0 { ran - 1 } else { ran };
        let ran = if ran < 2 { 0 } else { ran };
        assert_eq!(places, (0..5).map(|place| place < ran).collect::<Vec<_>>(), "{limit}");
        assert_eq!(raced.stopped, Some(Limit::Calls));
    }
}

#[tokio::test]
async fn an_option_that_does_not_fit_is_refused_alike() {
    let (lm, model) = lm(true);
    let wrong: Vec<(BoxOptimizer<Pair, Row>, &str)> = vec![
        (Simba::builder().metric(metric).minibatch(6).build().boxed(), "6, for a trainset of 5 rows,"),
        (MiproV2::builder().metric(metric).minibatch(6).build().boxed(), "6, for a valset of 4 rows,"),
        (Gepa::builder().metric(metric).max_rollouts(6).build().boxed(), "less than 11"),
        (Ace::builder().metric(metric).predictors(["middle"]).build().boxed(), "`middle`"),
        (Copro::builder().metric(metric).best_score(f64::NAN).build().boxed(), "NaN"),
    ];
    for (optimizer, part) in wrong {
        let scope = Settings::new().lm(lm.clone());
        let before = scope.clone().scope(async { optimizer.estimate(&pair(), rows(5)) }).await.unwrap_err();
        let after = scope.scope(optimizer.compile(pair(), rows(5))).await.map(drop).unwrap_err();
        assert!(matches!(before, OptimizeError::Option { .. }), "{before}");
        assert_eq!(before.to_string(), after.to_string());
        assert!(before.to_string().contains(part), "{before}");
    }
    assert_eq!(model.calls(), 0);
}

#[tokio::test]
async fn a_run_warns_of_a_small_budget_as_its_estimate_does() {
    for at in 0..all(Budget::UNLIMITED, None).len() {
        let (name, optimizer) = all(Budget::calls(3), None).swap_remove(at);
        let (report, estimate, _) = run(&optimizer, true).await;
        let small = estimate.warnings.iter().find(|warning| warning.contains("is too small"));
        assert!(
            small.is_some_and(|warning| report.warnings.contains(warning)),
            "{name}: {report}\n{estimate}"
        );
    }
}
