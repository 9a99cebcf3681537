//! The feedback of the metric to the original program.

use std::collections::BTreeSet;

use dspy_core::signature::Values;
use serde_json::Value;

use crate::data::Rows;
use crate::engine::{Outcome, Rollout};

/// The feedback of a metric.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Feedback {
    None,
    /// Nothing that differs from row to row but the values of the rows, such as "expected Paris": the rows show as much.
    Values,
    /// More than the rows show, such as the form of an answer.
    Words,
}

impl Feedback {
    /// Reads the feedback of the rollouts on these rows. That of rows with the best score, such as "right", says nothing
    /// about what to change.
    pub(super) fn of<E>(
        rows: &Rows<'_, E>,
        rollouts: &[Rollout],
        labels: &BTreeSet<String>,
        best: Option<f64>,
    ) -> Self {
        let scored = rows.iter().zip(rollouts).filter_map(|(row, rollout)| match &rollout.outcome {
            Outcome::Scored(score) => Some((row.values, score)),
            _ => None,
        });
        let scored: Vec<_> = scored.collect();
        if scored.iter().any(|(_, score)| !score.predictors.is_empty()) {
            return Feedback::Words;
        }
        let texts =
            scored.iter().filter_map(|(values, score)| Some((*values, score, score.feedback.as_deref()?)));
        let texts: Vec<_> = texts.collect();
        if texts.is_empty() {
            return Feedback::None;
        }
        let missed = texts.iter().filter(|(_, score, _)| best.is_none_or(|best| score.value < best));
        let missed: Vec<(&Values, &str)> = missed.map(|(values, _, text)| (*values, *text)).collect();
        let all_labels = rows.iter().flat_map(|row| label_words(row.values, labels)).collect();
        if says_more(&missed, labels, &all_labels) { Feedback::Words } else { Feedback::Values }
    }
}

/// Returns whether texts of feedback have a word in which they differ and which is in no value of the row, no label and
/// no number. Texts about rows without labels always say more.
fn says_more(texts: &[(&Values, &str)], labels: &BTreeSet<String>, all_labels: &BTreeSet<String>) -> bool {
    let said: Vec<BTreeSet<String>> = texts.iter().map(|(_, text)| words(text).collect()).collect();
    let Some(shared) = said.iter().cloned().reduce(|shared, words| &shared & &words) else { return false };
    texts.iter().zip(&said).any(|((values, _), said)| {
        if !values.keys().any(|name| labels.contains(name)) {
            return !said.is_empty();
        }
        let own: BTreeSet<String> = values.values().flat_map(words_of).collect();
        let is_number = |word: &str| word.contains(|c: char| c.is_ascii_digit());
        let is_new =
            |word: &&String| !shared.contains(*word) && !own.contains(*word) && !all_labels.contains(*word);
        said.iter().filter(is_new).any(|word| !is_number(word))
    })
}

fn label_words(values: &Values, labels: &BTreeSet<String>) -> Vec<String> {
    let of = values.iter().filter(|(name, _)| labels.contains(*name));
    of.flat_map(|(_, value)| words_of(value)).collect()
}

fn words_of(value: &Value) -> Vec<String> {
    value.as_str().map_or_else(|| words(&value.to_string()).collect(), |text| words(text).collect())
}

fn words(text: &str) -> impl Iterator<Item = String> {
    let all = text.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty());
    all.map(str::to_lowercase).collect::<Vec<_>>().into_iter()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn says(rows: &[(&str, &str)]) -> bool {
        let values: Vec<Values> = rows
            .iter()
            .map(|(answer, _)| {
                Values::from_iter([
                    ("question".to_owned(), "Where is it?".into()),
                    ("answer".to_owned(), (*answer).into()),
                ])
            })
            .collect();
        let labels = BTreeSet::from(["answer".to_owned()]);
        let all = values.iter().flat_map(|values| label_words(values, &labels)).collect();
        let texts: Vec<(&Values, &str)> =
            values.iter().zip(rows).map(|(values, (_, text))| (values, *text)).collect();
        says_more(&texts, &labels, &all)
    }

    #[test]
    fn the_expected_value_alone_is_nothing_new() {
        assert!(!says(&[("Paris", "expected Paris"), ("New York", "expected \"New York\"")]));
        assert!(!says(&[("yes", "expected yes, not no"), ("no", "expected no, not yes")]));
        assert!(!says(&[("yes", "wrong by 0.5"), ("no", "wrong by 0.25")]));
        assert!(!says(&[("Paris", "this is wrong"), ("Rome", "this is wrong")]));
        assert!(!says(&[]));
    }

    #[test]
    fn words_that_differ_are_more() {
        assert!(says(&[
            ("Paris", "expected Paris; in upper case"),
            ("Rome", "expected Rome; in lower case")
        ]));
        assert!(says(&[("Paris", "too long"), ("Rome", "not a place")]));
    }

    #[test]
    fn without_labels_any_feedback_is_more() {
        let values = Values::from_iter([("question".to_owned(), "Where is it?".into())]);
        let labels = BTreeSet::from(["answer".to_owned()]);
        assert!(says_more(&[(&values, "answer in upper case")], &labels, &BTreeSet::new()));
        assert!(!says_more(&[(&values, "")], &labels, &BTreeSet::new()));
    }
}
