//! The teacher and the student of a bootstrap.

use super::Bootstrap;
use crate::demos;
use crate::engine::{Program, Study};
use crate::labeled_few_shot::sampling;

/// The teacher, which makes the demonstrations, and the student, which receives them.
pub(crate) struct Roles<P> {
    /// The program without demonstrations.
    pub(crate) student: P,
    /// The teacher of the data, if it has one.
    teacher: Option<P>,
}

impl<P: Program> Roles<P> {
    pub(crate) fn of<E>(study: &Study<'_, P, E>) -> Self {
        let mut student = study.program().clone();
        demos::clear(&mut student);
        let teacher = study.teacher().cloned();
        Roles { student, teacher }
    }

    /// Returns the teacher of the data, or else the student.
    pub(crate) fn given(&self) -> &P {
        self.teacher.as_ref().unwrap_or(&self.student)
    }

    /// Returns the teacher of a bootstrap. One that has demonstrations is used unchanged; otherwise it gets
    /// labelled ones.
    pub(super) fn teacher<E>(&self, bootstrap: &Bootstrap<'_>, study: &Study<'_, P, E>) -> P {
        let Bootstrap { order, settings, seed, .. } = bootstrap;
        let mut teacher = self.given().clone();
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
