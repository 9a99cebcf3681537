//! The result of an evaluation: numbers, a table, files.

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;

use serde::Serialize;
use serde_json::{Value, json};

use super::Item;
use crate::data::DataError;
use crate::lm::Usage;
use crate::signature::{Example, Values};

/// The totals of an evaluation.
#[derive(Debug, Clone, PartialEq)]
pub struct Summary {
    failure_score: f64,
    sum: f64,
    scored: usize,
    failed: usize,
    unscored: usize,
    usage: Usage,
    /// The sum and the count of each objective.
    objectives: BTreeMap<String, (f64, usize)>,
}

impl Summary {
    pub(super) fn new(failure_score: f64) -> Self {
        Summary {
            failure_score,
            sum: 0.0,
            scored: 0,
            failed: 0,
            unscored: 0,
            usage: Usage::default(),
            objectives: BTreeMap::new(),
        }
    }

    pub(super) fn count<O>(&mut self, item: &Item<O>) {
        self.usage += item.usage;
        match &item.score {
            Ok(score) => {
                self.scored += 1;
                self.sum += score.value;
                for (name, value) in &score.objectives {
                    let (sum, count) = self.objectives.entry(name.clone()).or_default();
                    *sum += value;
                    *count += 1;
                }
            }
            Err(error) if error.is_programs_fault() => self.failed += 1,
            Err(_) => self.unscored += 1,
        }
    }

    /// Returns the mean score. Items at which the program failed count with the failure score; items that say
    /// nothing about the program (outages, failures of the metric) are excluded. `None` if all are excluded.
    pub fn score(&self) -> Option<f64> {
        let counted = self.scored + self.failed;
        (counted > 0).then(|| (self.sum + self.failed as f64 * self.failure_score) / counted as f64)
    }

    /// Returns the number of items.
    pub fn items(&self) -> usize {
        self.scored + self.failed + self.unscored
    }

    /// Returns the number of items at which the program failed.
    pub fn failed(&self) -> usize {
        self.failed
    }

    /// Returns the number of items that are excluded from the score.
    pub fn unscored(&self) -> usize {
        self.unscored
    }

    /// Returns the mean of each [objective](super::Score::objectives) over the items whose score has it. Items at
    /// which the program failed have none.
    pub fn objectives(&self) -> impl Iterator<Item = (&str, f64)> {
        self.objectives.iter().map(|(name, (sum, count))| (name.as_str(), sum / *count as f64))
    }

    /// Returns the tokens, requests and cost of the evaluation.
    pub fn usage(&self) -> Usage {
        self.usage
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.score() {
            Some(score) => write!(f, "{:.1} % over {} items", score * 100.0, self.scored + self.failed)?,
            None => write!(f, "no score")?,
        }
        if self.failed > 0 {
            write!(f, ", {} failed", self.failed)?;
        }
        if self.unscored > 0 {
            write!(f, ", {} left out", self.unscored)?;
        }
        Ok(())
    }
}

/// The result of an evaluation, item by item.
#[derive(Debug)]
pub struct Evaluation<O> {
    items: Vec<Item<O>>,
    summary: Summary,
}

impl<O> Evaluation<O> {
    pub(super) fn new(items: Vec<Item<O>>, failure_score: f64) -> Self {
        let mut summary = Summary::new(failure_score);
        for item in &items {
            summary.count(item);
        }
        Evaluation { items, summary }
    }

    /// Returns the items, in the order of the data set.
    pub fn items(&self) -> &[Item<O>] {
        &self.items
    }

    /// Converts the evaluation into its items.
    pub fn into_items(self) -> Vec<Item<O>> {
        self.items
    }

    /// Returns the totals.
    pub fn summary(&self) -> &Summary {
        &self.summary
    }

    /// Returns the mean score; see [`Summary::score`].
    pub fn score(&self) -> Option<f64> {
        self.summary.score()
    }

    /// Returns the items with an error.
    pub fn errors(&self) -> impl Iterator<Item = &Item<O>> {
        self.items.iter().filter(|item| item.score.is_err())
    }
}

impl<O: Serialize> Evaluation<O> {
    /// Formats the first `rows` items as a table for a terminal, with long values truncated. `examples` are
    /// the evaluated examples.
    pub fn table<E: Example>(&self, examples: &[E], rows: usize) -> String {
        let rows: Vec<Values> = self.rows(examples).take(rows).collect();
        render_table(&rows)
    }

    /// Writes one CSV row for each item: the example's fields, the output's fields as `predicted_…`, the
    /// score, the objectives as `score_…`, feedback and error.
    ///
    /// A string that a spreadsheet would interpret as a formula (it begins with `=`, `+`, `-`, `@`, a tab or
    /// a line break, and is not a number) is prefixed with an apostrophe; [`write_jsonl`](Self::write_jsonl)
    /// writes all strings unchanged. An existing file is replaced as a whole. On Unix, a new file is readable
    /// by its owner only.
    ///
    /// # Errors
    /// If the file cannot be written, or the path is not a regular file.
    pub fn write_csv<E: Example>(&self, examples: &[E], path: impl AsRef<Path>) -> Result<(), DataError> {
        crate::data::write_csv(path.as_ref(), self.rows(examples))
    }

    /// Writes one JSON object for each item, like [`write_csv`](Self::write_csv) but with typed values.
    ///
    /// # Errors
    /// The same as those of [`write_csv`](Self::write_csv).
    pub fn write_jsonl<E: Example>(&self, examples: &[E], path: impl AsRef<Path>) -> Result<(), DataError> {
        crate::data::write_jsonl(path.as_ref(), self.rows(examples))
    }

    fn rows<'a, E: Example>(&'a self, examples: &'a [E]) -> impl Iterator<Item = Values> + 'a {
        self.items.iter().map(move |item| {
            let mut row =
                examples.get(item.index).and_then(|example| example.values().ok()).unwrap_or_default();
            let output = item
                .prediction
                .as_ref()
                .and_then(|prediction| serde_json::to_value(prediction.output()).ok());
            match output {
                Some(Value::Object(fields)) => {
                    row.extend(fields.into_iter().map(|(name, value)| (format!("predicted_{name}"), value)));
                }
                Some(value) => drop(row.insert("predicted".into(), value)),
                None => {}
            }
            match &item.score {
                Ok(score) => {
                    row.insert("score".into(), json!(score.value));
                    for (name, value) in &score.objectives {
                        row.insert(format!("score_{name}"), json!(value));
                    }
                    if let Some(feedback) = &score.feedback {
                        row.insert("feedback".into(), json!(feedback));
                    }
                    for (path, feedback) in &score.predictors {
                        row.insert(format!("feedback_{path}"), json!(feedback));
                    }
                }
                Err(error) => drop(row.insert("error".into(), json!(error.to_string()))),
            }
            row
        })
    }
}

impl<O> fmt::Display for Evaluation<O> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.summary.fmt(f)
    }
}

/// The maximum width of a table cell, in characters.
const WIDEST: usize = 36;

fn render_table(rows: &[Values]) -> String {
    let mut names: Vec<&String> = Vec::new();
    for name in rows.iter().flat_map(Values::keys) {
        if !names.contains(&name) {
            names.push(name);
        }
    }
    let cell = |value: Option<&Value>| {
        let text = match value {
            None => String::new(),
            Some(Value::String(text)) => text.clone(),
            Some(other) => other.to_string(),
        };
        let mut text = text.split_whitespace().collect::<Vec<_>>().join(" ");
        if text.chars().count() > WIDEST {
            text = text.chars().take(WIDEST - 1).chain(['…']).collect();
        }
        text
    };
    let mut lines: Vec<Vec<String>> = vec![names.iter().map(|name| (*name).clone()).collect()];
    lines.extend(rows.iter().map(|row| names.iter().map(|name| cell(row.get(*name))).collect()));
    let widths: Vec<usize> = (0..names.len())
        .map(|column| lines.iter().map(|line| line[column].chars().count()).max().unwrap_or_default())
        .collect();
    let mut out = String::new();
    for (index, line) in lines.iter().enumerate() {
        let cells: Vec<_> = line.iter().zip(&widths).map(|(cell, &width)| format!("{cell:width$}")).collect();
        out.push_str(cells.join("  ").trim_end());
        out.push('\n');
        if index == 0 {
            out.push_str(&widths.iter().map(|width| "─".repeat(*width)).collect::<Vec<_>>().join("  "));
            out.push('\n');
        }
    }
    out
}
