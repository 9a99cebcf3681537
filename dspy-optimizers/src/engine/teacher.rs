//! The check that the teacher of the data fits the program.

use std::collections::BTreeMap;

use dspy_core::program::HasPredictors;

use crate::error::OptimizeError;

/// Checks that a teacher has the predictors of the program: traces and demonstrations are matched by path.
///
/// # Errors
/// If a path or a signature differs.
pub(crate) fn check_teacher(
    program: &impl HasPredictors,
    teacher: Option<&impl HasPredictors>,
) -> Result<(), OptimizeError> {
    let problems = teacher.map(|teacher| differences(program, teacher)).unwrap_or_default();
    if problems.is_empty() { Ok(()) } else { Err(OptimizeError::Teacher(problems)) }
}

fn differences(student: &impl HasPredictors, teacher: &impl HasPredictors) -> Vec<String> {
    let (own, other) = (signatures(student), signatures(teacher));
    let missing = own.iter().filter_map(|(path, signature)| match other.get(path) {
        None => Some(format!("the teacher has no `{path}`")),
        Some(other) if other != signature => Some(format!("`{path}` has another signature")),
        Some(_) => None,
    });
    let extra = other.keys().filter(|path| !own.contains_key(*path));
    missing.chain(extra.map(|path| format!("the program has no `{path}`"))).collect()
}

fn signatures(program: &impl HasPredictors) -> BTreeMap<String, String> {
    let predictors = program.named_predictors().into_iter();
    predictors.map(|(path, predictor)| (path, predictor.declared().fingerprint())).collect()
}
