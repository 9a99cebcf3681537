//! The labelled rows of a task as columns: numbers, categories and prose.

use std::collections::{BTreeMap, HashMap, HashSet};

use super::task::Task;
use crate::builtin::features::number;
use crate::builtin::input::{Input, readable};
use crate::builtin::words::words;

/// The maximum number of words of a label, and of a category.
const LABEL_WORDS: usize = 6;
const CATEGORY_WORDS: usize = 4;
/// The maximum number of labels, and of categories of a column.
const MOST_LABELS: usize = 120;
const MOST_CATEGORIES: usize = 24;
/// The share of values that must be numbers in a numeric column.
const NUMERIC: f64 = 0.8;

/// A column of inputs.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Column {
    pub(super) name: String,
    pub(super) cells: Cells,
}

/// The values of a column.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Cells {
    Numbers(Vec<Option<f64>>),
    /// Indices into the names of the categories.
    Categories(Vec<String>, Vec<Option<usize>>),
    Prose,
}

/// Labelled rows.
#[derive(Debug, Clone)]
pub(super) struct Table {
    pub(super) output: String,
    pub(super) columns: Vec<Column>,
    /// The distinct labels, the most frequent first.
    pub(super) labels: Vec<String>,
    /// The label of each row.
    pub(super) right: Vec<usize>,
    /// The features of each row.
    pub(super) inputs: Vec<Input>,
    /// The values of each row by column.
    pub(super) values: Vec<Vec<String>>,
}

impl Table {
    /// Creates the table of a task whose answers are labels; `None` if they are not. If something is `formed`, so that
    /// feedback states the form of the answers, they are labels only if most of them occur several times.
    pub(super) fn of(task: &Task, formed: bool) -> Option<Table> {
        let rows: Vec<_> =
            task.rows.iter().filter_map(|row| Some((&row.inputs, row.right.as_ref()?))).collect();
        let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
        rows.iter().for_each(|(_, right)| *counts.entry(right.as_str()).or_default() += 1);
        let is_label = |label: &&str| -> bool {
            // An identifier such as `card_not_working` is one label, however many words it has.
            let length = label.split_whitespace().count();
            label.len() <= 80
                && !label.contains(['\n', '"'])
                && length <= LABEL_WORDS
                && !words(label).is_empty()
        };
        // Of few rows, many may have a label of their own.
        let repeated = match rows.len() {
            0..=6 => !formed || counts.len() * 2 <= rows.len(),
            7..=20 if !formed => counts.len() * 3 <= rows.len() * 2,
            many => counts.len() * 2 <= many,
        };
        let few = counts.len() <= MOST_LABELS && repeated;
        // Different numbers are quantities, not labels.
        let quantities = counts.len() > 6 && counts.keys().all(|label| number(label).is_some());
        // Answers that all differ, where the program wrote sentences, are free text.
        let wrote_text =
            task.rows.iter().filter_map(|row| row.wrong.as_deref()).any(|wrong| !is_label(&wrong));
        let free = counts.len() > 1 && counts.len() == rows.len() && wrote_text;
        if rows.is_empty() || !few || quantities || free || !counts.keys().all(is_label) {
            return None;
        }
        let mut labels: Vec<String> = counts.keys().map(|label| (*label).to_owned()).collect();
        labels.sort_by_key(|label| (std::cmp::Reverse(counts[label.as_str()]), label.clone()));
        let right =
            rows.iter().filter_map(|(_, right)| labels.iter().position(|label| label == *right)).collect();
        let mut names: Vec<&str> = Vec::new();
        let mut seen = HashSet::new();
        for (inputs, _) in &rows {
            names.extend(inputs.iter().map(|(name, _)| name.as_str()).filter(|name| seen.insert(*name)));
        }
        names.truncate(60);
        let values: Vec<Vec<String>> = rows
            .iter()
            .map(|(inputs, _)| {
                let by_name: HashMap<&str, &str> =
                    inputs.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect();
                names
                    .iter()
                    .map(|name| by_name.get(name).map(|value| readable(value)).unwrap_or_default())
                    .collect()
            })
            .collect();
        let columns = names.iter().enumerate().map(|(at, name)| Column {
            name: (*name).to_owned(),
            cells: Cells::of(values.iter().map(|row| row[at].trim()).collect()),
        });
        let columns: Vec<Column> = columns.collect();
        let inputs = values
            .iter()
            .map(|row| {
                let pairs: Vec<(&str, &str)> =
                    names.iter().copied().zip(row.iter().map(String::as_str)).collect();
                Input::new(&pairs)
            })
            .collect();
        Some(Table { output: task.output.clone(), columns, labels, right, inputs, values })
    }

    pub(super) fn len(&self) -> usize {
        self.right.len()
    }

    /// Returns the name of the column with the longest prose.
    pub(super) fn prose_name(&self) -> Option<&str> {
        let length = |at: usize| self.values.iter().map(|row| row[at].len()).sum::<usize>();
        let prose = (0..self.columns.len()).filter(|at| self.columns[*at].cells == Cells::Prose);
        prose.max_by_key(|at| length(*at)).map(|at| self.columns[at].name.as_str())
    }

    /// Returns the table with these rows only; a row may occur several times.
    pub(super) fn sample(&self, rows: &[usize]) -> Table {
        let columns = self.columns.iter().map(|column| Column {
            name: column.name.clone(),
            cells: match &column.cells {
                Cells::Numbers(cells) => Cells::Numbers(rows.iter().map(|row| cells[*row]).collect()),
                Cells::Categories(names, cells) => {
                    Cells::Categories(names.clone(), rows.iter().map(|row| cells[*row]).collect())
                }
                Cells::Prose => Cells::Prose,
            },
        });
        Table {
            output: self.output.clone(),
            columns: columns.collect(),
            labels: self.labels.clone(),
            right: rows.iter().map(|row| self.right[*row]).collect(),
            inputs: rows.iter().map(|row| self.inputs[*row].clone()).collect(),
            values: rows.iter().map(|row| self.values[*row].clone()).collect(),
        }
    }
}

impl Cells {
    fn of(values: Vec<&str>) -> Cells {
        let present: Vec<&str> = values.iter().copied().filter(|value| !value.is_empty()).collect();
        let numbers = present.iter().filter(|value| number(value).is_some()).count();
        if numbers > 0 && numbers as f64 >= NUMERIC * present.len() as f64 {
            return Cells::Numbers(values.iter().map(|value| number(value)).collect());
        }
        let mut names: Vec<String> = present.iter().map(|value| (*value).to_owned()).collect();
        names.sort_unstable();
        names.dedup();
        let short = names.iter().all(|name| {
            (1..=CATEGORY_WORDS).contains(&words(name).len()) && !name.contains(['"', '\n', ';', '.'])
        });
        if short && names.len() <= MOST_CATEGORIES && names.len() * 2 <= present.len() {
            let at = |value: &&str| names.iter().position(|name| name == value);
            let cells = values.iter().map(at).collect();
            return Cells::Categories(names, cells);
        }
        Cells::Prose
    }
}
