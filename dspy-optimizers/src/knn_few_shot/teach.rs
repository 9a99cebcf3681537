//! The demonstrations of a trainset.

use std::collections::HashMap;

use dspy_core::program::{HasPredictors as _, Module};
use dspy_core::signature::Demo;
use serde::Serialize;
use serde_json::{Map, Value};

use super::NearestDemos;
use super::index::add_input;
use crate::bootstrap_few_shot::{EveryRow, Roles, RowRuns, Settings, demonstrations, notes};
use crate::data::Rows;
use crate::engine::{ExampleFor, Program, Stop, Study};
use crate::report::{Stopped, Trial};
use crate::{OptimizeError, demos};

/// The demonstrations that a row has made, by predictor path.
type Made = HashMap<String, Demo>;

/// Sets a demonstration for each row and predictor: the one that was made, or the labels of the row. Returns
/// notes on their number.
pub(super) fn label<P, E>(
    program: &mut NearestDemos<P>,
    rows: &Rows<'_, E>,
    made: &[Made],
) -> Result<Vec<String>, OptimizeError>
where
    P: Program<Input: Serialize>,
    E: ExampleFor<P>,
{
    let inputs = rows.iter().map(|row| {
        let input = row.example.input().map_err(|source| OptimizeError::Example {
            set: row.set,
            index: row.position,
            source,
        })?;
        let input: <P as Module>::Input = input.into();
        Ok(match serde_json::to_value(input) {
            Ok(Value::Object(fields)) => fields,
            // The demonstrations are then found by the inputs of their predictors.
            _ => Map::new(),
        })
    });
    let inputs = inputs.collect::<Result<Vec<_>, OptimizeError>>()?;
    let mut notes = Vec::new();
    program.for_each_predictor(|path, predictor| {
        let spec = predictor.spec().clone();
        let mut pool = Vec::new();
        for (index, (row, input)) in rows.iter().zip(&inputs).enumerate() {
            let made = made.get(index).and_then(|made| made.get(path)).cloned();
            if let Some(mut demo) = made.or_else(|| demos::labelled(row.values, &spec)) {
                add_input(&mut demo, input, &spec);
                pool.push(demo);
            }
        }
        notes.push(format!("`{path}` has {}", pool.len()));
        predictor.set_demos(pool);
    });
    Ok(notes)
}

/// Runs the teacher on each row, and makes demonstrations of its successes.
pub(super) async fn teach<P, E>(
    study: &Study<'_, NearestDemos<P>, E>,
    settings: &Settings,
) -> Result<Stopped, Stop>
where
    P: Program<Input: Serialize + Sync>,
    E: ExampleFor<P>,
{
    let (train, mut program) = (study.train(), study.program().clone());
    let teacher = teacher(study, settings)?;
    let EveryRow { rows, stopped } = EveryRow::run(study, settings, "teacher", &teacher, true).await?;
    study.sync()?;
    study.check_program()?;
    if let Some(limit) = stopped
        && rows.is_empty()
    {
        // No row was tried, so the program stays unchanged.
        return Err(Stop::Budget(limit));
    }
    let mut trial = Trial::new("demonstrations", &program);
    let mut made: Vec<Made> = Vec::new();
    for (index, RowRuns { item, success }) in rows.into_iter().enumerate() {
        let seed = study.seed().branch("call").index(index as u64);
        made.push(success.map(|steps| demonstrations(steps, seed)).unwrap_or_default());
        trial.usage += item.usage;
        trial.items.push(item);
    }
    let successes = made.iter().filter(|demos| !demos.is_empty()).count();
    trial.notes = notes(&trial.items, successes);
    trial.notes.extend(label(&mut program, train, &made)?);
    trial.parameters = Trial::new("", &program).parameters;
    let trial = study.record(trial, program);
    study.choose(trial);
    Ok(stopped.map_or(Stopped::Finished, Stopped::Budget))
}

/// Returns the teacher, which shows the demonstrations nearest to each row except the row itself.
fn teacher<P, E>(
    study: &Study<'_, NearestDemos<P>, E>,
    settings: &Settings,
) -> Result<NearestDemos<P>, OptimizeError>
where
    P: Program<Input: Serialize + Sync>,
    E: ExampleFor<P>,
{
    let mut teacher = Roles::of(study).given().clone();
    let taught = teacher.named_predictors().iter().any(|(_, predictor)| !predictor.demos().is_empty());
    if !taught {
        label(&mut teacher, study.train(), &[])?;
    }
    if let Some(lm) = &settings.teacher_lm {
        teacher.set_lm(lm.clone());
    }
    Ok(teacher.leaving_out())
}
