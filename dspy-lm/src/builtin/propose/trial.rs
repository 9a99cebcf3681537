//! The answering half, applied to records: whether an instruction leads to the right answers.

use serde_json::Value;

use super::table::Table;
use crate::builtin::choice_hints::{ChoiceHints, Prose};
use crate::builtin::prompt::Field;

/// The maximum number of rows on which an instruction is tried.
const MOST_ROWS: usize = 150;

/// Returns the share of rows that an instruction answers right. A tie counts as a part of a right answer.
pub(super) fn accuracy(table: &Table, instruction: &str) -> f64 {
    let field = |name: &str| Field { name: name.to_owned(), ..Field::default() };
    let inputs: Vec<Field> = table.columns.iter().map(|column| field(&column.name)).collect();
    let output = field(&table.output);
    let choices: Vec<Value> = table.labels.iter().map(|label| Value::from(label.as_str())).collect();
    let hints = ChoiceHints::read(&output, &choices, Prose { instruction, inputs: &inputs });
    let step = table.len().div_ceil(MOST_ROWS).max(1);
    let (mut right, mut total) = (0.0, 0.0);
    for (input, label) in table.inputs.iter().zip(&table.right).step_by(step) {
        let mut scores = vec![0.0; choices.len()];
        let evidence = hints.evidence(&input.stems).chain(hints.rules(input));
        evidence.for_each(|(_, choice, weight)| scores[choice] += weight);
        let best = scores.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let ties = scores.iter().filter(|score| **score >= best - 1e-9).count();
        total += 1.0;
        if scores[*label] >= best - 1e-9 {
            right += 1.0 / ties as f64;
        }
    }
    right / f64::max(total, 1.0)
}
