//! Advice for the predictors of a program, from what happened in an attempt.

use std::collections::BTreeMap;

use dspy_core::Result;
use dspy_core::evaluate::Score;
use dspy_core::predict::Predictor;
use dspy_core::program::{HasPredictors, Trace, hold_trace, register_copy};
use dspy_core::signature::{FieldSpec, Role, SignatureSpec, Values};
use serde_json::Value;

use crate::text::clipped;

/// The largest number of bytes of an attempt that the model sees: of each value, and of all steps.
const MOST_OF_VALUE: usize = 4_000;
const MOST_OF_STEPS: usize = 40_000;

/// The predictor that reads an attempt and writes advice.
pub(crate) fn advisor() -> Predictor {
    let text = |name, about| FieldSpec::text(Role::Input, name, about);
    let inputs = [
        text("predictors", "The predictors of the program, each with its path, fields and instruction."),
        text("steps", "What each predictor was given and returned in the attempt, in order."),
        text("outcome", "The reward of the attempt and the one that is wanted, or the error that ended it."),
    ];
    let discussion = "Which predictors are responsible for what is missing, and why.";
    let advice = "For each responsible predictor, by its path: what to do differently with inputs of this kind, in one \
                  or two sentences that are understood without this attempt. Omit predictors that did well.";
    let outputs = [
        FieldSpec::text(Role::Output, "discussion", discussion),
        FieldSpec::of::<BTreeMap<String, String>>(Role::Output, "advice", advice),
    ];
    let instruction = "A program of several predictors made an attempt that did not reach the wanted reward. Find the \
                       predictors that are responsible and advise them for the next attempt on the same input.";
    Predictor::new(SignatureSpec::new("Advise", instruction, inputs.into_iter().chain(outputs)))
}

/// An attempt, as far as the advisor is told of it.
pub(crate) struct Attempted<'a> {
    pub(crate) trace: &'a Trace,
    /// The score, or the error that ended the attempt.
    pub(crate) outcome: Result<Score, String>,
    pub(crate) wanted: f64,
}

impl Attempted<'_> {
    pub(crate) fn steps(&self) -> String {
        let mut text = String::new();
        for (index, step) in self.trace.steps.iter().enumerate() {
            let returned = match &step.error {
                Some(error) => format!("error: {}", shortened(error)),
                None => shown(&step.outputs),
            };
            let line = format!(
                "{}. `{}` was given\n{}\nand returned\n{returned}\n",
                index + 1,
                step.predictor,
                shown(&step.inputs)
            );
            if text.len() + line.len() > MOST_OF_STEPS {
                text.push_str(&format!("… and {} more steps\n", self.trace.steps.len() - index));
                break;
            }
            text.push_str(&line);
        }
        text
    }

    pub(crate) fn outcome(&self) -> String {
        let score = match &self.outcome {
            Err(error) => return format!("The attempt failed: {}", shortened(error)),
            Ok(score) => score,
        };
        let mut text = format!("The reward was {}; wanted is at least {}.", score.value, self.wanted);
        if let Some(feedback) = &score.feedback {
            text.push_str(&format!(" {}", shortened(feedback)));
        }
        for (path, feedback) in &score.predictors {
            text.push_str(&format!("\nAbout `{path}`: {}", shortened(feedback)));
        }
        text
    }
}

/// Requests advice about an attempt. The call is in no trace.
pub(crate) async fn advise(
    advisor: &Predictor,
    program: &(impl HasPredictors + Sync),
    attempted: &Attempted<'_>,
) -> Result<Vec<(String, String)>> {
    let inputs =
        [("predictors", described(program)), ("steps", attempted.steps()), ("outcome", attempted.outcome())];
    let inputs = inputs.into_iter().map(|(name, text)| (name.to_owned(), text.into()));
    let answer = call_aside(advisor, program, inputs.collect()).await?;
    let named = program.named_predictors();
    let Some(advice) = answer.get("advice").and_then(Value::as_object) else { return Ok(Vec::new()) };
    // Advice for a path that does not exist is dropped, unless there is one predictor only.
    let path = |path: &str| match &named[..] {
        [(only, _)] => Some(only.clone()),
        _ => named.iter().find(|(known, _)| known == path).map(|(known, _)| known.clone()),
    };
    let advice = advice.iter().filter_map(|(to, text)| Some((path(to)?, text.as_str()?.trim().to_owned())));
    Ok(advice.filter(|(_, text)| !text.is_empty()).collect())
}

/// Calls a predictor that works beside the program, with the program's model if it has none. Its steps are in no trace.
pub(crate) async fn call_aside(
    beside: &Predictor,
    program: &(impl HasPredictors + Sync),
    inputs: Values,
) -> Result<Values> {
    let (answer, _) = hold_trace(with_lm_of(beside, program).call(inputs)).await;
    Ok(answer?.into_output())
}

/// Returns the predictor with its own model, or else that of the first predictor of the program that has one.
pub(crate) fn with_lm_of(predictor: &Predictor, program: &impl HasPredictors) -> Predictor {
    let mut predictor = predictor.clone();
    if predictor.lm().is_none() {
        let mut named = program.named_predictors().into_iter();
        predictor.set_lm(named.find_map(|(_, predictor)| predictor.lm().cloned()));
    }
    predictor
}

/// Returns a copy of the program whose predictors have notes below their instructions.
pub(crate) fn with_notes<M: HasPredictors + Clone>(program: &M, notes: impl Fn(&str) -> Option<String>) -> M {
    let mut copy = program.clone();
    copy.for_each_predictor(|path, predictor| {
        if let Some(notes) = notes(path) {
            let instruction = format!("{}\n\n{notes}", predictor.instruction());
            predictor.set_instruction(instruction);
        }
    });
    register_copy(program, &copy);
    copy
}

fn described(program: &impl HasPredictors) -> String {
    let mut text = String::new();
    for (path, predictor) in program.named_predictors() {
        let spec = predictor.spec();
        let names = |fields: &mut dyn Iterator<Item = &FieldSpec>| {
            fields.map(|field| field.name().to_owned()).collect::<Vec<_>>().join(", ")
        };
        let (inputs, outputs) = (names(&mut spec.inputs()), names(&mut spec.outputs()));
        let instruction = shortened(predictor.instruction());
        text.push_str(&format!("- `{path}`: {inputs} -> {outputs}. {instruction}\n"));
    }
    text
}

pub(crate) fn shown(values: &Values) -> String {
    let mut text = String::new();
    for (name, value) in values {
        let value = match value {
            Value::String(text) => shortened(text),
            other => shortened(&other.to_string()),
        };
        text.push_str(&format!("  {name}: {value}\n"));
    }
    text.trim_end().to_owned()
}

/// Returns a string as the model sees it: without the middle of what is too long.
pub(crate) fn shortened(text: &str) -> String {
    clipped(text, MOST_OF_VALUE)
}
