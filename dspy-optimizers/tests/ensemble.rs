//! Ensembles: their answers, their members, their state, and the optimization of each member.

#![allow(clippy::unwrap_used, clippy::panic, reason = "in tests a panic is the report")]

mod common;
#[path = "common/cuts.rs"]
mod cuts;

use std::sync::{Arc, Mutex};

use common::{
    HINTS, Obedient, Parrot, Row, TwoSteps, folder, journal_of, leave, one_step, question, right, rows,
};
use dspy_core::lm::{BoxFuture, LanguageModel, Lm, LmError, LmErrorKind, Request, Response, Usage};
use dspy_core::predict::{DynPredict, Prediction};
use dspy_core::program::{HasPredictors as _, Module as _, trace};
use dspy_core::signature::Values;
use dspy_core::state::ProgramState;
use dspy_optimizers::engine::Study;
use dspy_optimizers::{
    BootstrapFewShot, BootstrapFewShotWithRandomSearch, Budget, Data, Ensemble, EnsembleOptimizer, IntoData,
    LabeledFewShot, Limit, OptimizeError, Optimized, Optimizer, Reducer, Report, Rows, SharedMetric, Stopped,
};

fn member(reply: &'static str) -> DynPredict {
    let lm = Lm::from_fn(move |_| async move { reply });
    DynPredict::new("question -> answer: int".parse().unwrap()).with_lm(lm)
}

fn saying(numbers: &[&'static str]) -> Vec<DynPredict> {
    numbers.iter().map(|number| member(number)).collect()
}

#[test]
fn reducers_keep_to_the_order_of_the_answers() {
    let of = |answers: &[f64]| answers.iter().map(|answer| Prediction::new(*answer)).collect::<Vec<_>>();
    let voted = |answers: &[f64]| *Reducer::majority().reduce(of(answers)).unwrap();
    assert_eq!(voted(&[1.0, 2.0, 2.0]), 2.0);
    assert_eq!(voted(&[3.0, 1.0, 2.0, 1.0, 3.0]), 3.0, "a tie: the first");
    assert_eq!(voted(&[2.0]), 2.0);
    let whole = Reducer::majority_by(|number: &f64| number.trunc() as i64);
    assert_eq!(*whole.reduce(of(&[1.0, 2.5, 2.25])).unwrap(), 2.5, "the first of the majority");
    let mean = Reducer::mean(|number: &f64| *number, |number, mean| *number = mean);
    assert_eq!(*mean.reduce(of(&[1.0, f64::NAN, 2.0])).unwrap(), 1.5);
    assert!(mean.reduce(of(&[f64::NAN])).unwrap().is_nan());
    assert_eq!(*mean.reduce(of(&[1.5e308, 1.5e308])).unwrap(), 1.5e308);
    let best = Reducer::best_by(|number: &Prediction<f64>| **number);
    assert_eq!(*best.reduce(of(&[f64::NAN, 1.0, 3.0, f64::NAN, 2.0])).unwrap(), 3.0);
    let last = Reducer::new(|mut all: Vec<Prediction<f64>>| Ok(all.remove(all.len() - 1)));
    assert_eq!(*last.reduce(of(&[1.0, 3.0])).unwrap(), 3.0);
    assert!(last.reduce(Vec::new()).is_err());
    // Members of objects in another order are the same answer.
    let object = |text: &str| Prediction::new(serde_json::from_str::<Values>(text).unwrap());
    let objects = [r#"{"a": 2}"#, r#"{"a": 1, "b": 2}"#, r#"{"b": 2, "a": 1}"#].map(object);
    assert_eq!(Reducer::majority().reduce(objects.into()).unwrap()["a"], 1);
}

#[tokio::test]
async fn the_majority_decides_and_all_members_are_paid() {
    let ensemble = Ensemble::new(saying(&["1", "2", "2"])).concurrency(1);
    let answer = ensemble.call(question("cow")).await.unwrap();
    assert_eq!(answer["answer"], 2);
    assert_eq!(answer.usage().requests, 3);
    let boxed = Ensemble::new(saying(&["1", "2"]).into_iter().map(dspy_core::program::Module::boxed));
    assert_eq!(boxed.call(question("cow")).await.unwrap()["answer"], 1);
    let none: Ensemble<DynPredict> = Ensemble::new([]);
    assert!(none.call(question("cow")).await.unwrap_err().to_string().contains("ensemble is empty"));
}

#[tokio::test]
async fn a_failed_member_is_left_out_and_an_outage_is_an_error() {
    let failing = Ensemble::new(saying(&["no number", "7", "nor this"]));
    assert_eq!(failing.call(question("cow")).await.unwrap()["answer"], 7);
    let hopeless = Ensemble::new(saying(&["no number", "nor this"])).call(question("cow")).await;
    let error = hopeless.unwrap_err();
    assert!(error.as_parse().is_some() && error.to_string().contains("number"), "{error}");
    let mut members = saying(&["6", "7", "7"]);
    members[0].set_lm(Lm::from_fn(|_| async { panic!("no memory") as &str }));
    let panicking = Ensemble::new(members);
    assert_eq!(panicking.call(question("cow")).await.unwrap()["answer"], 7);
    let alone = panicking.programs()[..1].to_vec();
    let error = Ensemble::new(alone).call(question("cow")).await.unwrap_err();
    assert!(error.to_string().contains("no memory"), "{error}");
    let down = Lm::from_fn(|_| async { Err::<&str, _>(LmError::new(LmErrorKind::Server, "m", "down")) });
    let mut members = saying(&["7", "7", "7"]);
    members[1].set_lm(down);
    assert!(Ensemble::new(members).call(question("cow")).await.unwrap_err().is_outage());
}

#[tokio::test]
async fn a_sample_depends_on_the_seed_and_the_input_only() {
    let ensemble = |seed: u64| {
        let all = Reducer::mean(
            |output: &Values| output["answer"].as_f64().unwrap(),
            |output, mean| output["answer"] = mean.into(),
        );
        Ensemble::new(saying(&["1", "10", "100", "1000"])).reduce(all).size(2).seed(seed)
    };
    let answers = async |seed: u64| {
        let mut answers = Vec::new();
        for animal in ["cow", "cat", "dog", "duck", "owl", "cow"] {
            let answer = ensemble(seed).call(question(animal)).await.unwrap();
            assert_eq!(answer.usage().requests, 2);
            answers.push(answer["answer"].as_f64().unwrap());
        }
        answers
    };
    let first = answers(0).await;
    assert_eq!(first, answers(0).await);
    assert_eq!(first[0], first[5], "the same input has the same members");
    assert!(first.iter().any(|answer| *answer != first[0]), "other inputs have others: {first:?}");
    assert_ne!(first, answers(1).await);
}

#[tokio::test]
async fn it_saves_and_loads_and_its_members_have_paths() {
    let lm = Parrot::new();
    let mut ensemble = Ensemble::new(vec![TwoSteps::new(&lm); 2]);
    ensemble.for_each_predictor(|path, predictor| predictor.set_instruction(format!("I am {path}.")));
    let paths: Vec<_> = ensemble.named_predictors().into_iter().map(|(path, _)| path).collect();
    assert_eq!(paths, ["programs[0].note", "programs[0].answer", "programs[1].note", "programs[1].answer"]);
    let folder = folder("ensemble-state");
    std::fs::create_dir_all(&folder).unwrap();
    ensemble.save(folder.join("state.json")).unwrap();
    let loaded = Ensemble::new(vec![TwoSteps::new(&lm); 2]).load(folder.join("state.json")).unwrap();
    assert_eq!(ProgramState::of(&loaded).predictors, ProgramState::of(&ensemble).predictors);
    let fewer = Ensemble::new([TwoSteps::new(&lm)]).load(folder.join("state.json"));
    assert!(fewer.unwrap_err().to_string().contains("programs[1].note"));
    // A truncated file, and the file of another program.
    let text = std::fs::read_to_string(folder.join("state.json")).unwrap();
    for end in [0, 1, text.len() / 2, text.trim_end().len() - 1] {
        std::fs::write(folder.join("part.json"), &text[..end]).unwrap();
        let part = Ensemble::new(vec![TwoSteps::new(&lm); 2]).load(folder.join("part.json"));
        assert!(part.unwrap_err().to_string().contains("part.json"), "{end}");
    }
    TwoSteps::new(&lm).save(folder.join("other.json")).unwrap();
    let other = Ensemble::new(vec![TwoSteps::new(&lm); 2]).load(folder.join("other.json"));
    assert!(other.unwrap_err().to_string().contains("programs[0].note"));
    std::fs::remove_dir_all(folder).unwrap();

    let (_, steps) = trace(loaded.call(question("cow"))).await;
    let mut called: Vec<_> = steps.steps.into_iter().map(|step| step.predictor).collect();
    called.sort();
    let mut all = paths;
    all.sort();
    assert_eq!(called, all, "clones of one program have the paths of their places");
}

#[tokio::test]
async fn the_best_candidates_become_members() {
    let lm = Parrot::new();
    let search = BootstrapFewShotWithRandomSearch::builder().metric(right).num_candidate_programs(4).build();
    let optimized = search.compile(TwoSteps::new(&lm), &rows(20)).await.unwrap();
    let ensemble = Ensemble::of_best(&optimized, 3).unwrap();
    let ranking = optimized.report().ranking();
    assert_eq!(ensemble.programs().len(), 3);
    let states: Vec<_> =
        ensemble.programs().iter().map(|program| ProgramState::of(program).predictors).collect();
    assert_eq!(states[0], optimized.report().best_trial().unwrap().parameters);
    assert!(states.iter().all(|state| ranking.iter().any(|trial| trial.parameters == *state)));
    assert!((0..3).all(|at| !states[..at].contains(&states[at])), "all differ");
    assert!(Ensemble::of_best(&optimized, 100).unwrap().programs().len() <= 7);
    assert!(matches!(
        Ensemble::of_best(&optimized, 0).unwrap_err(),
        OptimizeError::Option { option: "k", .. }
    ));

    // An optimizer that scores nothing has one candidate.
    let bootstrap = BootstrapFewShot::builder().metric(right).build();
    let optimized = bootstrap.compile(TwoSteps::new(&lm), &rows(20)).await.unwrap();
    let single = Ensemble::of_best(&optimized, 3).unwrap();
    assert_eq!(ProgramState::of(&single.programs()[0]), ProgramState::of(&*optimized));
    assert_eq!(single.programs().len(), 1);
}

/// Three members that learn by bootstrapping.
fn optimizer() -> EnsembleOptimizer<TwoSteps, Row, dspy_optimizers::SharedMetric<Row, Values>> {
    let inner = |seed| {
        let bootstrap = BootstrapFewShot::builder().metric(right).max_bootstrapped_demos(2);
        bootstrap.max_labeled_demos(3).max_rounds(2).seed(seed).build().boxed()
    };
    EnsembleOptimizer::builder(inner).metric(right).build()
}

#[tokio::test]
async fn every_member_is_optimized_and_differently() {
    let mut runs: Vec<(Report, usize)> = Vec::new();
    for concurrency in [1, 16] {
        let lm = Parrot::new();
        let ensemble = Ensemble::new(vec![TwoSteps::new(&lm); 3]);
        let optimized = optimizer().concurrency(concurrency).compile(ensemble, &rows(10)).await.unwrap();
        let report = optimized.report();
        assert_eq!(report.trials.len(), 2, "{report}");
        assert_eq!(report.baseline, Some(0.0));
        assert!(report.score().unwrap() > 0.0, "{report}");
        let states: Vec<_> =
            optimized.programs().iter().map(|member| ProgramState::of(member).predictors).collect();
        assert!(states[0] != states[1] && states[1] != states[2], "{report}");
        runs.push((report.clone(), lm.calls()));
    }
    assert_eq!(runs[0], runs[1]);
    let lm = Parrot::new();
    let other = optimizer().seed(1).compile(Ensemble::new(vec![TwoSteps::new(&lm); 3]), &rows(10)).await;
    assert_ne!(other.unwrap().report().trials[1].parameters, runs[0].0.trials[1].parameters);
}

#[tokio::test]
async fn a_kill_changes_nothing() {
    cuts::same_after_every_kill("ensemble", async |folder| {
        let lm = Parrot::new();
        let ensemble = Ensemble::new(vec![TwoSteps::new(&lm); 2]);
        let optimized = optimizer().run_dir(folder).compile(ensemble, &rows(3)).await.unwrap();
        (optimized.report().clone(), lm.calls())
    })
    .await;
}

#[tokio::test]
async fn a_budget_ends_it_with_the_best_so_far() {
    let total = {
        let lm = Parrot::new();
        optimizer().compile(Ensemble::new(vec![TwoSteps::new(&lm); 2]), &rows(5)).await.unwrap();
        lm.calls()
    };
    for calls in 0..total {
        let lm = Parrot::new();
        let ensemble = Ensemble::new(vec![TwoSteps::new(&lm); 2]);
        let optimizer = optimizer().budget(Budget::calls(calls as u64));
        let optimized = optimizer.compile(ensemble, &rows(5)).await.unwrap();
        assert!(matches!(optimized.report().stopped, Stopped::Budget(_)), "{calls} of {total}");
        assert!(lm.calls() <= calls);
    }
}

#[tokio::test]
async fn a_budget_pays_for_every_member_and_the_score_after_them() {
    let inner = |seed| {
        let search = BootstrapFewShotWithRandomSearch::builder().metric(right).num_candidate_programs(6);
        search.max_bootstrapped_demos(2).max_labeled_demos(3).seed(seed).build().boxed()
    };
    let mut scored = 0;
    for calls in (0..400).step_by(10) {
        let lm = Obedient::new();
        let optimizer = EnsembleOptimizer::builder(inner).metric(right).budget(Budget::calls(calls)).build();
        let ensemble = Ensemble::new(vec![one_step(&lm); 3]);
        let optimized = optimizer.compile(ensemble, &rows(10)).await.unwrap();
        let report = optimized.report();
        assert_eq!(report.stopped, Stopped::Budget(Limit::Calls), "{calls}: {report}");
        assert!(report.trials.iter().all(|trial| trial.score.is_some()), "{calls}: {report}");
        scored += usize::from(report.trials.len() == 2);
    }
    // The first score needs 30 calls, the second one as many.
    assert_eq!(scored, 34);
}

/// A model that is right only with demonstrations, and reports the tokens of its prompt.
struct Metered(Arc<Parrot>);

impl LanguageModel for Metered {
    fn id(&self) -> &'static str {
        "metered"
    }

    fn complete<'a>(&'a self, request: &'a Request) -> BoxFuture<'a, Result<Response, LmError>> {
        Box::pin(async move {
            let response = self.0.complete(request).await?;
            let bytes: usize = request.messages.iter().map(|message| message.text().len()).sum();
            Ok(response.with_usage(Usage::tokens(bytes as u64 / 4, 10).at_cost(bytes as f64 * 1e-6)))
        })
    }
}

#[tokio::test]
async fn the_last_score_is_reserved_at_the_prompts_of_the_optimized_members() {
    let run = async |budget: Budget| {
        let lm = Lm::custom(Metered(Parrot::new())).max_tokens(20);
        let mut member = DynPredict::new("question -> answer".parse().unwrap());
        member.set_lm(lm);
        let inner = |seed| LabeledFewShot::builder().k(8).seed(seed).build().boxed();
        let optimizer = EnsembleOptimizer::builder(inner).metric(right).concurrency(1).budget(budget).build();
        let optimized = optimizer.compile(Ensemble::new(vec![member; 3]), &rows(20)).await.unwrap();
        optimized.report().clone()
    };
    let whole = run(Budget::UNLIMITED).await;
    let costs: Vec<u64> = whole.trials.iter().map(|trial| trial.usage.total_tokens()).collect();
    assert!(costs[1] > 2 * costs[0], "the demonstrations make the prompts longer: {costs:?}");
    let (total, usd) = (whole.usage.total_tokens(), whole.usage.cost_usd.unwrap());
    let (mut scored, mut given) = (0, 0);
    for part in 0..24 {
        let part = f64::from(part) / 20.0;
        for budget in
            [Budget::UNLIMITED.tokens((total as f64 * part) as u64), Budget::UNLIMITED.usd(usd * part)]
        {
            let report = run(budget).await;
            let late =
                report.warnings.iter().find(|warning| warning.contains("optimized members had a score"));
            assert_eq!(late, None, "{part}: {report}");
            let is_scored = report.trials.len() == 2;
            assert!(is_scored || part < 1.15, "{part}: {report}");
            (scored, given) = (scored + usize::from(is_scored), given + usize::from(!is_scored));
        }
    }
    assert!(scored > 0 && given > 20, "{scored}, {given}");
}

#[tokio::test]
async fn the_own_budget_of_a_member_is_not_that_of_the_ensemble() {
    let inner = |seed| {
        let bootstrap = BootstrapFewShot::builder().metric(right).budget(Budget::calls(3));
        bootstrap.seed(seed).build().boxed()
    };
    let optimizer = EnsembleOptimizer::builder(inner).metric(right).build();
    let ensemble = Ensemble::new(vec![TwoSteps::new(&Parrot::new()); 2]);
    let optimized = optimizer.compile(ensemble, &rows(10)).await.unwrap();
    let report = optimized.report();
    assert_eq!((report.stopped, report.trials.len()), (Stopped::Finished, 2), "{report}");
    assert!(report.trials[1].notes.iter().all(|note| note.contains("budget")), "{report}");
}

#[tokio::test]
async fn a_kill_under_a_budget_changes_nothing() {
    let run = async |folder: &std::path::Path| {
        let ensemble = Ensemble::new(vec![TwoSteps::new(&Parrot::new()); 2]);
        let optimizer = optimizer().budget(Budget::calls(36)).concurrency(1).run_dir(folder);
        optimizer.compile(ensemble, &rows(3)).await.unwrap().report().clone()
    };
    let (whole, part) = (folder("ensemble-budget"), folder("ensemble-budget-part"));
    let report = run(&whole).await;
    assert!(report.trials.len() == 2 && report.stopped == Stopped::Budget(Limit::Calls), "{report}");
    let journal = journal_of(&whole);
    let (mut reserved, mut answered, mut end) = (0, 0, 0);
    for line in journal.lines() {
        end += line.len() + 1;
        reserved += usize::from(line.contains("\"event\":\"reserved\""));
        answered += usize::from(line.contains("\"event\":\"call\""));
        // A call in flight counts as paid, which may end the resumed run earlier.
        if reserved == answered {
            leave(&part, &journal[..end]);
            assert_eq!(run(&part).await, report, "cut at byte {end}");
        }
    }
    for folder in [whole, part] {
        std::fs::remove_dir_all(folder).unwrap();
    }
}

#[tokio::test]
async fn a_teacher_teaches_member_by_member() {
    let lm = Obedient::new();
    let pair = |first: &str, second: &str| {
        let mut members = [one_step(&lm), one_step(&lm)];
        for (member, hint) in members.iter_mut().zip([first, second]) {
            member.for_each_predictor(|_, predictor| predictor.set_instruction(hint));
        }
        Ensemble::new(members)
    };
    let inner = |seed| {
        let bootstrap = BootstrapFewShot::builder().metric(right).max_labeled_demos(0);
        bootstrap.seed(seed).build().boxed()
    };
    let optimizer = EnsembleOptimizer::builder(inner).metric(right).build();
    let data = rows(5);
    let taught = Data::new(&data).teacher(pair(HINTS[0], HINTS[1]));
    let optimized = optimizer.compile(pair("a", "b"), taught).await.unwrap();
    let shown: Vec<_> = optimized
        .report()
        .trials
        .last()
        .unwrap()
        .parameters
        .iter()
        .map(|(_, state)| state)
        .map(|state| state.demos.iter().map(|demo| demo.values["answer"].clone()).collect::<Vec<_>>())
        .collect();
    assert_eq!(shown, [["moo"], ["meow"]]);
    let single = Data::new(&data).teacher(Ensemble::new([one_step(&lm)]));
    let error = optimizer.compile(pair("a", "b"), single).await.unwrap_err();
    assert!(matches!(error, OptimizeError::Teacher(_)), "{error}");
}

/// The order of the rows to learn from and of those to score on, for each member.
type Orders = Arc<Mutex<Vec<[Vec<usize>; 2]>>>;

/// Records the rows that it is given.
struct Given(Orders);

impl Optimizer<DynPredict, Row> for Given {
    async fn compile<D>(&self, program: DynPredict, data: D) -> Result<Optimized<DynPredict>, OptimizeError>
    where
        D: IntoData<DynPredict, Row>,
    {
        let data = data.into_data();
        let study = Study::builder("Given", program, &data).start(&SharedMetric::new(right))?;
        let places = |rows: &Rows<'_, Row>| rows.iter().map(|row| row.position).collect::<Vec<_>>();
        self.0.lock().unwrap().push([places(study.train()), places(study.val())]);
        study.finish(Ok(Stopped::Finished)).await
    }
}

#[tokio::test]
async fn members_have_a_valset_only_if_the_data_has_one() {
    let lm = Obedient::new();
    let orders = Orders::default();
    let inner = {
        let orders = orders.clone();
        move |_| Given(orders.clone()).boxed()
    };
    let optimizer = EnsembleOptimizer::builder(inner).metric(right).build();
    let ensemble = Ensemble::new([one_step(&lm), one_step(&lm)]);
    let (train, val) = (rows(20), rows(5));
    optimizer.compile(ensemble.clone(), &train).await.unwrap();
    let without = std::mem::take(&mut *orders.lock().unwrap());
    assert!(without.len() == 2 && without.iter().all(|[train, val]| train == val), "{without:?}");
    assert_ne!(without[0], without[1], "each member has another order");
    optimizer.compile(ensemble, Data::new(&train[..]).valset(&val[..])).await.unwrap();
    let with = std::mem::take(&mut *orders.lock().unwrap());
    assert!(with.iter().all(|[train, val]| train.len() == 20 && *val == [0, 1, 2, 3, 4]), "{with:?}");
}

#[tokio::test]
async fn a_journal_is_not_resumed_with_another_reducer() {
    let lm = Parrot::new();
    let dir = folder("ensemble-reducer");
    let run = async |reducer: Reducer<Values>| {
        let ensemble = Ensemble::new(vec![TwoSteps::new(&lm); 2]).reduce(reducer);
        optimizer().run_dir(&dir).compile(ensemble, &rows(3)).await
    };
    run(Reducer::majority()).await.unwrap();
    let error = run(Reducer::best_by(|_| 0.0)).await.unwrap_err();
    assert!(matches!(error, OptimizeError::Journal(_)), "{error}");
    run(Reducer::majority()).await.unwrap();
    std::fs::remove_dir_all(dir).unwrap();
}

#[tokio::test]
async fn a_dead_model_is_an_error_and_an_inner_folder_too() {
    let lm = Parrot::down_from(40);
    let ensemble = Ensemble::new(vec![TwoSteps::new(&lm); 2]);
    let error = optimizer().compile(ensemble.clone(), &rows(8)).await.unwrap_err();
    assert!(matches!(error, OptimizeError::Outage { .. }), "{error}");
    let inner = |_| BootstrapFewShot::builder().metric(right).run_dir("runs/inner").build().boxed();
    let nested = EnsembleOptimizer::builder(inner).metric(right).build();
    let lm = Parrot::new();
    let error = nested.compile(Ensemble::new([TwoSteps::new(&lm)]), &rows(3)).await.unwrap_err();
    assert!(matches!(error, OptimizeError::Option { option: "run_dir", .. }), "{error}");
    let empty: Ensemble<TwoSteps> = Ensemble::new([]);
    let error = optimizer().compile(empty, &rows(3)).await.unwrap_err();
    assert!(matches!(error, OptimizeError::NoPredictors), "{error}");
}
