//! The words that go with each label.

use std::collections::{BTreeMap, HashMap, HashSet};

use super::table::{Cells, Table};
use crate::builtin::choice_hints::is_connecting;
use crate::builtin::choice_names::split_case;
use crate::builtin::words::words;

/// The pseudo-count that smooths the counts.
const CAUTION: f64 = 1.0;
/// The minimum log-odds of a word that is listed.
const TELLING: f64 = 0.35;
/// The number of rows of a label from which a word must occur in two of them.
const ENOUGH: f64 = 5.0;
/// The share of a word's rows that have the label, above which the word is certain.
const CERTAIN: f64 = 0.8;

/// A word that goes with a label.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Clue {
    pub(super) word: String,
    pub(super) certain: bool,
}

/// The maximum number of words for the only label of a table.
const MOST_OF_ONE: usize = 6;

/// Returns at most `most` words for each label, the most telling first. Nothing tells the words of a single label from
/// others, so they are the long ones, which are less common.
pub(super) fn clues(table: &Table, most: usize) -> Vec<Vec<Clue>> {
    let skipped: HashSet<String> = table
        .columns
        .iter()
        .flat_map(|column| words(&split_case(&column.name)))
        .map(|word| word.stem)
        .collect();
    let own: Vec<HashSet<String>> = table
        .labels
        .iter()
        .map(|label| words(&split_case(label)).into_iter().map(|word| word.stem).collect())
        .collect();
    let mut counts: BTreeMap<String, Vec<f64>> = BTreeMap::new();
    let mut written: HashMap<String, BTreeMap<String, usize>> = HashMap::new();
    let mut totals = vec![0.0; table.labels.len()];
    for (row, label) in table.values.iter().zip(&table.right) {
        totals[*label] += 1.0;
        let mut seen = HashSet::new();
        let prose = row.iter().zip(&table.columns).filter(|(_, column)| column.cells == Cells::Prose);
        for (text, _) in prose {
            for word in words(text) {
                let form = word.written(text).to_lowercase();
                let is_number = form.starts_with(|c: char| c.is_ascii_digit());
                if word.stop
                    || is_number
                    || is_connecting(&form)
                    || form.contains(['\'', '’'])
                    || skipped.contains(&word.stem)
                {
                    continue;
                }
                if seen.insert(word.stem.clone()) {
                    counts.entry(word.stem.clone()).or_insert_with(|| vec![0.0; totals.len()])[*label] += 1.0;
                }
                *written.entry(word.stem).or_default().entry(form).or_default() += 1;
            }
        }
    }
    let rows = table.len() as f64;
    let alone = totals.len() == 1;
    let mut found: Vec<Vec<(f64, Clue)>> = vec![Vec::new(); totals.len()];
    for (stem, counts) in &counts {
        let all: f64 = counts.iter().sum();
        let rate = all / rows;
        let odds = |label: usize| ((counts[label] + CAUTION * rate) / (totals[label] + CAUTION) / rate).ln();
        let best =
            (0..counts.len()).max_by(|a, b| (counts[*a] * odds(*a)).total_cmp(&(counts[*b] * odds(*b))));
        let Some(label) = best else { continue };
        let support = if totals[label] >= ENOUGH { 2.0 } else { 1.0 };
        let telling = alone || odds(label) >= TELLING;
        if counts[label] < support || !telling || own[label].contains(stem) {
            continue;
        }
        let forms = written.get(stem).into_iter().flatten();
        let Some((form, _)) = forms.max_by(|a, b| a.1.cmp(b.1).then(b.0.cmp(a.0))) else { continue };
        let clue = Clue { word: form.clone(), certain: !alone && counts[label] / all >= CERTAIN };
        let weight = if alone { form.chars().count() as f64 } else { odds(label) };
        found[label].push((counts[label] * weight, clue));
    }
    let most = if alone { most.min(MOST_OF_ONE) } else { most };
    let best = |mut clues: Vec<(f64, Clue)>| {
        clues.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.word.cmp(&b.1.word)));
        clues.into_iter().take(most).map(|(_, clue)| clue).collect()
    };
    found.into_iter().map(best).collect()
}
