//! The teacher and the student of a bootstrap.

use std::collections::BTreeMap;

use dspy_core::program::HasPredictors;

use super::Bootstrap;
use crate::demos;
use crate::engine::{Program, Study};
use crate::error::OptimizeError;
use crate::labeled_few_shot::sampling;

/// The teacher, which makes the demonstrations, and the student, which receives them.
pub(crate) struct Roles<P> {
    /// The program without demonstrations.
    pub(crate) student: P,
    /// The teacher of the data, if it has one.
    teacher: Option<P>,
}

impl<P: Program> Roles<P> {
    pub(crate) fn of<E>(study: &Study<'_, P, E>) -> Result<Self, OptimizeError> {
        let mut student = study.program().clone();
        demos::clear(&mut student);
        let teacher = study.teacher().cloned();
        if let Some(teacher) = &teacher {
            let problems = differences(&student, teacher);
            if !problems.is_empty() {
                return Err(OptimizeError::Teacher(problems));
            }
        }
        Ok(Roles { student, teacher })
    }

    /// Returns the teacher of a bootstrap. One that has demonstrations is used unchanged; otherwise it gets
    /// labelled ones.
    pub(super) fn teacher<E>(&self, bootstrap: &Bootstrap<'_>, study: &Study<'_, P, E>) -> P {
        let Bootstrap { order, settings, seed, .. } = bootstrap;
        let mut teacher = self.teacher.as_ref().unwrap_or(&self.student).clone();
        let taught = teacher.named_predictors().iter().any(|(_, predictor)| !predictor.demos().is_empty());
        if !taught && settings.max_labeled_demos > 0 {
            let sample = sampling(seed.branch("teacher"));
            demos::attach(&mut teacher, study.train(), order, settings.max_labeled_demos, Some(sample));
        }
        if let Some(lm) = &settings.teacher_lm {
            teacher.set_lm(lm.clone());
        }
        teacher
    }
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
