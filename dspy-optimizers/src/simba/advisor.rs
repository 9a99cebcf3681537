//! Advice for the steps of a program, by a language model that compares two runs.

use std::collections::BTreeMap;

use dspy_core::Result;
use dspy_core::lm::Lm;
use dspy_core::predict::DynPredict;
use dspy_core::program::{HasPredictors, Module as _, Settings, TraceStep};
use dspy_core::signature::Values;
use serde_json::{Value, json};

use super::prompts;
use crate::data::label_names;
use crate::engine::{Outcome, Rollout};
use crate::proposer::{clean, cut, describe_program};

/// The largest length of the advice for a step, in characters.
const LONGEST: usize = 10_000;

/// The largest number of calls of a run that are shown, and of characters of a value and of a whole run.
const MOST_CALLS: usize = 50;
const MOST_OF_VALUE: usize = 4_000;
const MOST_OF_RUN: usize = 60_000;

/// A program that compares runs.
#[derive(Debug, Clone)]
pub(super) struct Advisor(DynPredict);

/// The runs to compare.
pub(super) struct Comparison<'a> {
    /// The input of the program and the labels.
    pub(super) row: &'a Values,
    pub(super) better: Option<&'a (f64, Rollout)>,
    pub(super) worse: Option<&'a (f64, Rollout)>,
    /// The number of the sample.
    pub(super) sample: u64,
}

impl Advisor {
    pub(super) fn new(lm: Option<&Lm>) -> Self {
        let mut advise = DynPredict::new(prompts::advise());
        if let Some(lm) = lm {
            advise.set_lm(lm.clone());
        }
        Advisor(advise)
    }

    /// Returns what determines the advice besides the requests.
    pub(super) fn identity(&self) -> Value {
        crate::identity::program_identity(&self.0)
    }

    /// Returns the advice by the path of the predictor.
    pub(super) async fn advise(
        &self,
        program: &impl HasPredictors,
        comparison: &Comparison<'_>,
    ) -> Result<BTreeMap<String, String>> {
        let inputs = inputs(program, comparison);
        let reply = Settings::new().rollout(comparison.sample).scope(self.0.call(inputs)).await?;
        let advice = reply["module_advice"].as_object().into_iter().flatten();
        let cleaned = advice.filter_map(|(path, text)| Some((path.clone(), clean(text.as_str()?, LONGEST)?)));
        Ok(cleaned.collect())
    }
}

fn inputs(program: &impl HasPredictors, comparison: &Comparison<'_>) -> Values {
    let Comparison { row, better, worse, .. } = comparison;
    let (predictors, labels) = (program.named_predictors(), label_names(program));
    let (expected, example): (Values, Values) = {
        let (mut expected, mut example) = (Values::new(), Values::new());
        for (name, value) in *row {
            let part = if labels.contains(name) { &mut expected } else { &mut example };
            part.insert(name.clone(), value.clone());
        }
        (expected, example)
    };
    let mut inputs = Values::new();
    inputs.insert("program".into(), describe_program(program).into());
    inputs.insert("example".into(), shown(&example).to_string().into());
    if !expected.is_empty() {
        inputs.insert("expected".into(), shown(&expected).to_string().into());
    }
    for (side, run) in [("better", better), ("worse", worse)] {
        let Some((score, rollout)) = run else { continue };
        let calls: Vec<Value> = rollout.steps.iter().take(MOST_CALLS).map(call).collect();
        let trajectory = cut(&Value::from(calls).to_string(), MOST_OF_RUN);
        inputs.insert(format!("{side}_trajectory"), trajectory.into());
        inputs.insert(format!("{side}_score"), (*score).into());
        if let Some(feedback) = feedback(&rollout.outcome) {
            inputs.insert(format!("{side}_feedback"), feedback.into());
        }
    }
    let names: Vec<&str> = predictors.iter().map(|(path, _)| path.as_str()).collect();
    inputs.insert("module_names".into(), names.into());
    inputs
}

fn call(step: &TraceStep) -> Value {
    let mut call = json!({"module": step.predictor, "inputs": shown(&step.inputs)});
    match &step.error {
        Some(error) => call["error"] = cut(error, MOST_OF_VALUE).into(),
        None => call["outputs"] = shown(&step.outputs),
    }
    call
}

fn shown(values: &Values) -> Value {
    let short = |value: &Value| match value {
        Value::String(text) => Value::from(cut(text, MOST_OF_VALUE)),
        other => {
            let text = other.to_string();
            if text.chars().nth(MOST_OF_VALUE).is_some() {
                cut(&text, MOST_OF_VALUE).into()
            } else {
                other.clone()
            }
        }
    };
    Value::Object(values.iter().map(|(name, value)| (name.clone(), short(value))).collect())
}

/// Returns the feedback of the metric, or the error of the program.
fn feedback(outcome: &Outcome) -> Option<String> {
    match outcome {
        Outcome::Scored(score) => {
            let general = score.feedback.iter().cloned();
            let own = score.predictors.iter().map(|(path, text)| format!("{path}: {text}"));
            let all: Vec<String> = general.chain(own).collect();
            (!all.is_empty()).then(|| cut(&all.join("\n"), MOST_OF_VALUE))
        }
        Outcome::Failed(error) | Outcome::Unscored(error) => {
            Some(format!("The program failed: {}", cut(error, MOST_OF_VALUE)))
        }
    }
}
