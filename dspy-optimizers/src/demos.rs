//! Demonstrations from labelled rows.

use dspy_core::Seed;
use dspy_core::predict::Predictor;
use dspy_core::program::HasPredictors;
use dspy_core::signature::{Demo, FieldSpec, Role, SignatureSpec, Values};
use serde_json::Value;

use crate::data::Rows;

/// Returns a demonstration with the fields of the row that are in the signature, or `None` if the row has
/// none of the inputs or none of the outputs, as such a demonstration would be omitted from prompts.
pub(crate) fn labelled(row: &Values, spec: &SignatureSpec) -> Option<Demo> {
    let part = |role| {
        let fields = spec.fields().iter().filter(move |field| field.role() == role);
        let known = |field: &FieldSpec| {
            let value = row.get(field.name()).filter(|value| fits(field, value))?;
            Some((field.name().to_owned(), value.clone()))
        };
        fields.filter_map(known).collect::<Vec<_>>()
    };
    let (inputs, outputs) = (part(Role::Input), part(Role::Output));
    let says_something = |values: &[(String, Value)]| values.iter().any(|(_, value)| !value.is_null());
    let asks = says_something(&inputs) || spec.inputs().next().is_none();
    (asks && says_something(&outputs)).then(|| Demo::new(inputs.into_iter().chain(outputs).collect()))
}

/// Returns whether a value of a row fits the type of the field. The fields may have only their name in
/// common.
fn fits(field: &FieldSpec, value: &Value) -> bool {
    if value.is_null() {
        return field.is_optional();
    }
    (field.is_text() && value.is_string())
        || field.plan().is_ok_and(|plan| plan.coerce(value.clone()).is_ok())
}

/// Returns whether a demonstration has the same inputs as a row, compared on the inputs that both have.
pub(crate) fn is_about(demo: &Demo, row: &Values, spec: &SignatureSpec) -> bool {
    let mut shared = spec.inputs().filter_map(|field| {
        let (own, other) = (demo.values.get(field.name())?, row.get(field.name())?);
        Some(own == other)
    });
    shared.next().is_some_and(|first| first && shared.all(|same| same))
}

/// Returns whether a predictor shows a row as a demonstration.
pub(crate) fn shows(predictor: &Predictor, row: &Values) -> bool {
    predictor.demos().iter().any(|demo| is_about(demo, row, predictor.spec()))
}

/// Removes the demonstrations that are about a row, which show its answer.
pub(crate) fn leave_out(predictor: &mut Predictor, row: &Values) {
    // Unchanged predictors are not set, so that they keep sharing their rendered prompt.
    if shows(predictor, row) {
        let spec = predictor.spec();
        let others = predictor.demos().iter().filter(|demo| !is_about(demo, row, spec)).cloned();
        let others: Vec<Demo> = others.collect();
        predictor.set_demos(others);
    }
}

/// Returns up to `count` demonstrations from the rows at `places`: a random sample, or the first ones without
/// a seed.
pub(crate) fn pick<E>(
    rows: &Rows<'_, E>,
    places: &[usize],
    spec: &SignatureSpec,
    count: usize,
    sample: Option<Seed>,
) -> Vec<Demo> {
    let place = |place: &usize| rows.get(*place).and_then(|row| labelled(row.values, spec));
    let Some(seed) = sample else { return places.iter().filter_map(place).take(count).collect() };
    // The sample is drawn from usable rows only, so it is smaller than `count` only if there are not enough
    // of them.
    let usable: Vec<&usize> = places.iter().filter(|at| place(at).is_some()).collect();
    let chosen = seed.rng().sample(usable.len(), count);
    chosen.into_iter().filter_map(|at| place(usable[at])).collect()
}

/// Returns the values of a random sample of rows that a proposer sees as examples of a predictor: its fields, of rows
/// that have its outputs.
pub(crate) fn shown<E>(rows: &Rows<'_, E>, spec: &SignatureSpec, count: usize, seed: Seed) -> Vec<Values> {
    let places: Vec<usize> = (0..rows.len()).collect();
    pick(rows, &places, spec, count, Some(seed)).into_iter().map(|demo| demo.values).collect()
}

/// Removes all demonstrations of a program.
pub(crate) fn clear(program: &mut impl HasPredictors) {
    program.for_each_predictor(|_, predictor| {
        if !predictor.demos().is_empty() {
            predictor.set_demos(Vec::new());
        }
    });
}

/// Sets labelled rows as the demonstrations of every predictor, replacing existing ones.
pub(crate) fn attach<E>(
    program: &mut impl HasPredictors,
    rows: &Rows<'_, E>,
    places: &[usize],
    count: usize,
    sample: Option<Seed>,
) {
    program.for_each_predictor(|path, predictor| {
        let seed = sample.map(|seed| seed.branch(path));
        predictor.set_demos(pick(rows, places, predictor.spec(), count, seed));
    });
}
