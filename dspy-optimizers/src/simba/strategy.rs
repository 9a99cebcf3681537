//! The strategies that make a new program out of the runs on a row.

use std::collections::{BTreeMap, BTreeSet};

use dspy_core::Seed;
use dspy_core::program::{HasPredictors, TraceStep};
use dspy_core::signature::{Demo, Values};
use serde_json::Value;

use super::advisor::Comparison;
use super::buckets::{Bucket, Buckets};
use super::prompts::with_advice;
use crate::engine::Rollout;
use crate::proposer::cut;
use crate::samplers::poisson;

/// The largest length of an input of a demonstration, in characters.
const MOST_OF_INPUT: usize = 100_000;

/// The mean number of demonstrations is divided by this if there are to be none.
const DEMOS_IF_NONE: usize = 3;

/// Removes a random number of the demonstrations of a program, at least one if it has `max_demos`.
pub(super) fn drop_demos(program: &mut impl HasPredictors, max_demos: usize, seed: Seed) {
    let demos = program.named_predictors().into_iter().map(|(_, predictor)| predictor.demos().len());
    let most = demos.max().unwrap_or(0);
    let full = if max_demos == 0 { DEMOS_IF_NONE } else { max_demos };
    let mut rng = seed.rng();
    let count = poisson(most as f64 / full as f64, most, &mut rng).max(usize::from(most >= full)).min(most);
    let gone: BTreeSet<usize> = (0..count).map(|_| rng.below(most)).collect();
    if gone.is_empty() {
        return;
    }
    program.for_each_predictor(|_, predictor| {
        let kept = predictor.demos().iter().enumerate().filter(|(at, _)| !gone.contains(at));
        let kept: Vec<Demo> = kept.map(|(_, demo)| demo.clone()).collect();
        if kept.len() < predictor.demos().len() {
            predictor.set_demos(kept);
        }
    });
}

/// Appends the last call of each predictor in the best run as a demonstration. Returns whether there was one.
pub(super) fn append_demo(program: &mut impl HasPredictors, buckets: &Buckets, bucket: &Bucket) -> bool {
    let (score, run) = bucket.best();
    if *score <= buckets.low {
        return false;
    }
    let mut last = last_calls(run);
    let mut appended = false;
    program.for_each_predictor(|path, predictor| {
        let Some(demo) = last.remove(path) else { return };
        if predictor.demos().iter().all(|known| known.values != demo.values) {
            let mut demos = predictor.demos().to_vec();
            demos.push(demo);
            predictor.set_demos(demos);
            appended = true;
        }
    });
    appended
}

fn last_calls(run: &Rollout) -> BTreeMap<String, Demo> {
    let steps = run.steps.iter().filter(|step| step.error.is_none());
    let demo = |step: &TraceStep| {
        let input = |(name, value): (&String, &Value)| {
            let value = value.as_str().map_or_else(|| value.clone(), |text| cut(text, MOST_OF_INPUT).into());
            (name.clone(), value)
        };
        let values: Values = step.inputs.iter().map(input).chain(step.outputs.clone()).collect();
        (step.predictor.clone(), Demo::augmented(values))
    };
    steps.map(demo).collect()
}

/// Returns the runs of a row to learn a rule from; `None` if the best one is not good or the worst one not bad.
pub(super) fn comparison<'a>(
    buckets: &Buckets,
    bucket: &'a Bucket,
    row: &'a Values,
    sample: u64,
) -> Option<Comparison<'a>> {
    let (best, worst) = (bucket.best(), bucket.worst());
    if best.0 <= buckets.low || worst.0 >= buckets.high {
        return None;
    }
    // Of two equally good runs, only one is shown: as a good one if it is among the best of the minibatch.
    let (better, worse) = match () {
        () if best.0 > worst.0 => (Some(best), Some(worst)),
        () if best.0 > buckets.high => (Some(best), None),
        () => (None, Some(worst)),
    };
    Some(Comparison { row, better, worse, sample })
}

/// Returns the instruction of each step with its advice below, unless the instruction has it already.
pub(super) fn appended(
    program: &impl HasPredictors,
    advice: &BTreeMap<String, String>,
) -> BTreeMap<String, String> {
    let predictors = program.named_predictors();
    let advised = predictors.into_iter().filter_map(|(path, predictor)| {
        let (text, instruction) = (advice.get(&path)?, predictor.instruction());
        (!instruction.contains(text)).then(|| (path, with_advice(instruction, text)))
    });
    advised.collect()
}

#[cfg(test)]
mod tests {
    use dspy_core::predict::DynPredict;
    use serde_json::json;

    use super::*;

    fn program(demos: usize) -> DynPredict {
        let mut program = DynPredict::new("a -> b".parse().unwrap());
        let demo =
            |at| serde_json::from_value(json!({"a": format!("{at}"), "b": "x"})).map(Demo::new).unwrap();
        program.predictor_mut().set_demos((0..demos).map(demo).collect::<Vec<_>>());
        program
    }

    #[test]
    fn a_full_program_loses_at_least_one_demonstration() {
        let left = |demos, max, seed| {
            let mut program = program(demos);
            drop_demos(&mut program, max, Seed::new(seed));
            program.predictor().demos().len()
        };
        let full: Vec<usize> = (0..200).map(|seed| left(4, 4, seed)).collect();
        assert!(full.iter().all(|left| *left < 4) && full.contains(&3) && full.contains(&2));
        let half: Vec<usize> = (0..200).map(|seed| left(2, 4, seed)).collect();
        assert!(half.contains(&2) && half.contains(&1), "some keep all, some do not");
        assert_eq!(left(0, 4, 0), 0);
        assert!((0..50).all(|seed| left(3, 0, seed) < 3));
    }

    #[test]
    fn runs_are_compared_if_one_is_good_and_one_is_bad() {
        let run = |score: f64| {
            let outcome = json!({"scored": {"value": score}});
            let usage = dspy_core::lm::Usage::default();
            serde_json::from_value::<Rollout>(json!({"outcome": outcome, "usage": usage})).unwrap()
        };
        // Two runs on each of 10 rows: bad ones, half good ones, a pair that differs, good ones.
        let first = [0.0, 0.0, 0.5, 0.5, 0.5, 0.5, 0.5, 1.0, 1.0, 1.0];
        let second = [0.0, 0.0, 0.5, 0.5, 0.5, 0.5, 0.5, 0.2, 1.0, 1.0];
        let buckets = Buckets::of((0..10).cycle().zip([first, second].concat().into_iter().map(run)));
        let row = Values::new();
        let of = |at: usize| {
            let bucket = buckets.list.iter().find(|bucket| bucket.row == at).unwrap();
            let made = comparison(&buckets, bucket, &row, 0)?;
            Some((made.better.map(|run| run.0), made.worse.map(|run| run.0)))
        };
        assert_eq!(of(0), None, "none is good");
        assert_eq!(of(2), Some((None, Some(0.5))), "an even one shows what is missing");
        assert_eq!(of(7), Some((Some(1.0), Some(0.2))));
        assert_eq!(of(9), None, "none is bad");
    }
}
