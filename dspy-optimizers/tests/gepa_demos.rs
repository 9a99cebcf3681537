//! `Gepa` with demonstrations that evolve: parent and child know the same of the rows that they are compared on.

#![allow(clippy::unwrap_used, reason = "in tests a panic is the report")]

mod common;

use std::sync::{Arc, Mutex};

use common::{Row, rows};
use dspy_core::lm::{Lm, Request, ScriptedLm};
use dspy_core::predict::DynPredict;
use dspy_core::program::HasPredictors as _;
use dspy_core::signature::Values;
use dspy_optimizers::gepa::Evolve;
use dspy_optimizers::{Data, Gepa, Trial};

/// The number of the row that a question is about.
fn number(question: &str) -> usize {
    let rest = question.split(" number ").nth(1).unwrap();
    rest.split(' ').next().unwrap().parse().unwrap()
}

/// The rows that the demonstrations of a request are about, and its own.
type Shown = (Vec<usize>, usize);

fn asked(request: &Request) -> Shown {
    let users = request.messages[1..].iter().step_by(2).map(|message| number(&message.text()));
    let mut users: Vec<usize> = users.collect();
    let own = users.pop().unwrap();
    (users, own)
}

fn shown(trial: &Trial) -> Vec<usize> {
    let demos = trial.parameters["self"].demos.iter();
    demos.map(|demo| number(demo.values["question"].as_str().unwrap())).collect()
}

#[tokio::test]
async fn a_demonstration_about_a_row_of_the_minibatch_stays() {
    const MINIBATCH: usize = 4;
    let all = rows(48);
    // The rows that follow the first eight are those of the valset.
    let (train, val) = all.split_at(8);
    let mut replaced = 0;
    for seed in 0..8 {
        let log: Arc<Mutex<Vec<Shown>>> = Arc::default();
        let kept = log.clone();
        // Any demonstrations may help, by chance.
        let lm = ScriptedLm::from_fn(move |request: &Request| {
            kept.lock().unwrap().push(asked(request));
            format!("[[ ## answer ## ]]\n{}\n\n[[ ## completed ## ]]", request.digest())
        });
        let mut program = DynPredict::new("question -> answer".parse().unwrap());
        program.set_lm(Lm::custom(lm));
        let luck = |_: &Row, output: &Values| {
            let digit = output["answer"].as_str().unwrap().chars().find_map(|c| c.to_digit(10));
            f64::from(digit.unwrap_or_default()) / 9.0
        };
        let optimizer = Gepa::builder()
            .metric(luck)
            .components([Evolve::Demos])
            .max_demos(2)
            .minibatch(MINIBATCH)
            .max_minibatch(MINIBATCH)
            .max_rollouts(900)
            .max_merges(0)
            .concurrency(1)
            .seed(seed)
            .build();
        let optimized = optimizer.compile(program, Data::new(train).valset(val)).await.unwrap();
        let (report, log) = (optimized.report(), log.lock().unwrap().clone());
        for trial in report.trials.iter().filter(|trial| !trial.parents.is_empty()) {
            let (before, after) = (shown(&report.trials[trial.parents[0]]), shown(trial));
            let gone: Vec<usize> = before.into_iter().filter(|row| !after.contains(row)).collect();
            // A child that is new runs on the minibatch of its parent, then on the valset.
            let first = log.iter().position(|(demos, _)| *demos == after).unwrap();
            let runs = &log[first..=first + MINIBATCH];
            let is_train: Vec<bool> = runs.iter().map(|(_, row)| *row < train.len()).collect();
            if runs.iter().any(|(demos, _)| *demos != after) || is_train != [true, true, true, true, false] {
                continue;
            }
            let minibatch: Vec<usize> = runs[..MINIBATCH].iter().map(|(_, row)| *row).collect();
            assert!(gone.iter().all(|row| !minibatch.contains(row)), "{seed}: {gone:?} of {minibatch:?}");
            replaced += gone.len();
        }
    }
    assert!(replaced > 5, "{replaced}");
}
