//! The jobs of a program: its rows by model, or by model and predictor.

use std::path::Path;

use dspy_base::digest::Digest;
use dspy_core::finetune::{TrainingRow, TrainingSet};
use dspy_core::lm::Lm;
use dspy_core::predict::Predictor;
use dspy_core::program::{HasPredictors, TraceStep, current_lm, module_settings, selecting_predictors};
use dspy_core::signature::Values;
use dspy_core::{Error, Seed};

use super::trainer::TrainingJob;
use crate::demos;
use crate::error::OptimizeError;

/// The predictors that share a tuned model.
pub(super) struct Group {
    pub(super) name: String,
    pub(super) lm: Lm,
    predictors: Vec<String>,
    rows: Vec<TrainingRow>,
}

/// Returns the jobs of a program, without rows: one for each model or, unless `multitask`, for each predictor.
pub(super) fn groups(program: &impl HasPredictors, multitask: bool) -> Result<Vec<Group>, OptimizeError> {
    let mut groups: Vec<Group> = Vec::new();
    for (path, predictor) in program.named_predictors() {
        let lm = predictor.lm().cloned().or_else(current_lm).ok_or(Error::NoLm)?;
        let same = |group: &&mut Group| {
            multitask && group.lm.id() == lm.id() && group.lm.deployment() == lm.deployment()
        };
        match groups.iter_mut().find(same) {
            Some(group) => group.predictors.push(path),
            None => {
                let name = if multitask { lm.id().to_owned() } else { format!("{}, `{path}`", lm.id()) };
                groups.push(Group { name, lm, predictors: vec![path], rows: Vec::new() });
            }
        }
    }
    Ok(groups)
}

/// Checks that a teacher selects the demonstrations that the program shows, as these are the ones of its rows.
///
/// # Errors
/// If the program selects demonstrations, and the teacher from others or in another way.
pub(super) fn check_selection(
    program: &impl HasPredictors,
    teacher: &impl HasPredictors,
) -> Result<(), OptimizeError> {
    let teachers = teacher.named_predictors();
    let selecting = selecting_predictors(program).into_iter().filter(|(_, _, shown)| shown.is_some());
    let same_way = module_settings(program) == module_settings(teacher);
    let differ = |(path, predictor, _): &(String, &Predictor, _)| {
        let other = teachers.iter().find(|(other, _)| other == path);
        !same_way || other.is_none_or(|(_, other)| other.demos() != predictor.demos())
    };
    let problems = selecting.filter(differ).map(|(path, ..)| {
        format!(
            "`{path}` selects its demonstrations for each input, so that training prompts need a teacher with the same \
             demonstrations and settings; set a `teacher_lm` instead, or `exclude_demos`"
        )
    });
    let problems: Vec<String> = problems.collect();
    if problems.is_empty() { Ok(()) } else { Err(OptimizeError::Teacher(problems)) }
}

/// The settings of jobs.
pub(super) struct Plan<'a> {
    pub(super) seed: Seed,
    /// The folder for states, and the name of the study in it.
    pub(super) folder: Option<&'a Path>,
    pub(super) study: String,
}

impl Plan<'_> {
    /// Returns the jobs of the groups that have rows, and the predictors that have none. `successes` has the calls of
    /// the successful run of a row.
    pub(super) fn jobs(
        &self,
        program: &impl HasPredictors,
        mut groups: Vec<Group>,
        successes: &[(&Values, &[TraceStep])],
    ) -> Result<(Vec<TrainingJob>, Vec<String>), OptimizeError> {
        let predictors = selecting_predictors(program);
        let mut seen: Vec<&str> = Vec::new();
        let steps = successes.iter().flat_map(|(row, steps)| steps.iter().map(move |step| (*row, step)));
        for (row, step) in steps.filter(|(_, step)| step.error.is_none() && !step.outputs.is_empty()) {
            // Calls of predictors outside the program have no path in it.
            let Some((path, predictor, shown)) = predictors.iter().find(|(path, ..)| *path == step.predictor)
            else {
                continue;
            };
            // A prompt that shows the answer teaches to copy it.
            let is_shown = [row, &step.inputs].into_iter().any(|values| demos::shows(predictor, values));
            let row = if is_shown {
                let mut predictor = (*predictor).clone();
                [row, &step.inputs].into_iter().for_each(|values| demos::leave_out(&mut predictor, values));
                // The teacher has selected from those that are not about the row.
                let selects = shown.is_some_and(|shown| predictor.demos().len() > shown);
                TrainingRow::of_step(&predictor, selects, step)?
            } else {
                TrainingRow::of_step(predictor, shown.is_some(), step)?
            };
            if let Some(group) = groups.iter_mut().find(|group| group.predictors.contains(path)) {
                group.rows.push(row);
                if !seen.contains(&path.as_str()) {
                    seen.push(path);
                }
            }
        }
        let without = predictors.iter().map(|(path, ..)| path).filter(|path| !seen.contains(&path.as_str()));
        let without = without.cloned().collect();
        let jobs = groups.into_iter().filter(|group| !group.rows.is_empty());
        Ok((jobs.map(|group| self.job(group)).collect(), without))
    }

    fn job(&self, group: Group) -> TrainingJob {
        let Group { name, lm, predictors, mut rows } = group;
        // The deployment tells models of one name at different endpoints apart.
        let deployment = lm.deployment();
        let digest = Digest::new().add_text(&self.study).add_text(&name).add_text(&deployment).short();
        let file = format!("training-{digest}.json");
        let seed = self.seed.branch("training").branch(&name);
        seed.branch("order").rng().shuffle(&mut rows);
        TrainingJob {
            name,
            model: lm,
            predictors,
            rows: rows.into_iter().collect::<TrainingSet>(),
            state: self.folder.map(|folder| folder.join(file)),
            // Within the range that JSON numbers of all servers have.
            seed: seed.value() >> 33,
        }
    }
}
