//! The prompts of `Simba`.

use std::collections::BTreeMap;

use dspy_core::signature::{FieldSpec, Role, SignatureSpec};

use crate::proposer::fields::{input, output};

/// Two runs of a program on one example to advice for its steps.
pub(super) fn advise() -> SignatureSpec {
    SignatureSpec::new(
        "AdviseSteps",
        "A program of one or more language model steps ran twice on the same example, once with a better and once \
         with a worse result. Find out what the better run did that the worse one did not, and write advice that \
         makes each step act as in the better run. A step sees only its own inputs, so the advice says when it \
         applies (which inputs) and what to do then. It has to help with other examples of the same kind, so do not \
         repeat the inputs of this one. Leave out steps that did nothing wrong. If one of the runs is missing, learn \
         from the other one alone.",
        [
            input::<String>(
                "program",
                "The steps of the program with their inputs, outputs and instructions.",
            ),
            input::<String>("example", "The example: the inputs of the program."),
            input::<Option<String>>("expected", "The right values, where they are known."),
            input::<Option<String>>(
                "better_trajectory",
                "The calls of the steps in the better run, in order.",
            ),
            input::<Option<f64>>("better_score", "Its score; higher is better."),
            input::<Option<String>>("better_feedback", "What the metric said about it."),
            input::<Option<String>>("worse_trajectory", "The calls of the steps in the worse run, in order."),
            input::<Option<f64>>("worse_score", "Its score."),
            input::<Option<String>>("worse_feedback", "What the metric said about it."),
            input::<Vec<String>>("module_names", "The names of the steps."),
            output("discussion", "What made the difference, in a few sentences."),
            FieldSpec::of::<BTreeMap<String, String>>(
                Role::Output,
                "module_advice",
                "The advice for each step that needs some, by the name of the step.",
            ),
        ],
    )
}

/// Returns an instruction with advice.
pub(super) fn with_advice(instruction: &str, advice: &str) -> String {
    let separator = if instruction.trim().is_empty() { "" } else { "\n\n" };
    format!("{}{separator}{advice}", instruction.trim_end())
}
