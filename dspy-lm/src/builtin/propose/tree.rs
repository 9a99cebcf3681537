//! Conditions on numbers and categories that go with each label: a small decision tree, or single conditions.

use std::fmt::Write as _;

use super::table::{Cells, Table};

/// The maximum number of rows of a column whose thresholds are all tried; of more rows only some are.
const THRESHOLDS: usize = 64;
/// The share of rows with the label above which a rule has no "usually".
const CERTAIN: f64 = 0.85;

/// A condition on one column.
#[derive(Debug, Clone, PartialEq)]
enum Test {
    Above(f64),
    AtMost(f64),
    Is(Vec<usize>),
    IsNot(usize),
}

/// Conditions that must all hold, by column, and the label that they go with.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Rule {
    conditions: Vec<(usize, Test)>,
    pub(super) label: usize,
    /// The share of rows under the conditions that have the label.
    pub(super) purity: f64,
    pub(super) rows: usize,
}

/// The position of a threshold between two neighbouring values: 0.5 in the middle.
pub(super) type Between<'a> = &'a mut dyn FnMut() -> f64;

/// Returns the rules of a decision tree of at most `depth` conditions.
pub(super) fn grow(table: &Table, depth: usize, between: Between<'_>) -> Vec<Rule> {
    let mut rules = Vec::new();
    let rows: Vec<usize> = (0..table.len()).collect();
    if table.columns.iter().any(|column| column.cells != Cells::Prose) {
        branch(table, &rows, depth, &mut Vec::new(), between, &mut rules);
    }
    // A rule without conditions is no rule.
    rules.retain(|rule| !rule.conditions.is_empty());
    rules
}

/// Returns rules of one condition each, for all columns that tell the labels apart.
pub(super) fn stumps(table: &Table, most: usize, between: Between<'_>) -> Vec<Rule> {
    let rows: Vec<usize> = (0..table.len()).collect();
    let least = smallest_leaf(table);
    let base = gini(&counts(table, &rows)) * rows.len() as f64;
    let shares: Vec<f64> =
        counts(table, &rows).iter().map(|count| count / rows.len().max(1) as f64).collect();
    let mut found: Vec<(f64, Vec<Rule>)> = Vec::new();
    for (at, column) in table.columns.iter().enumerate() {
        let tests: Vec<Test> = match &column.cells {
            Cells::Prose => continue,
            Cells::Numbers(_) => match best_split(table, &rows, Some(at), least, between) {
                Some((_, Test::AtMost(value), _)) => vec![Test::AtMost(value), Test::Above(value)],
                _ => continue,
            },
            Cells::Categories(names, _) => (0..names.len()).map(|value| Test::Is(vec![value])).collect(),
        };
        let mut rules: Vec<Rule> = Vec::new();
        let mut left = 0.0;
        for test in tests {
            let inside: Vec<usize> =
                rows.iter().copied().filter(|row| holds(table, at, &test, *row)).collect();
            let counts = counts(table, &inside);
            left += gini(&counts) * inside.len() as f64;
            // The label that is more frequent here than elsewhere, by the most.
            let lift = |label: usize| counts[label] / inside.len().max(1) as f64 - shares[label];
            let Some(label) = (0..counts.len()).max_by(|a, b| lift(*a).total_cmp(&lift(*b))) else {
                continue;
            };
            let purity = counts[label] / inside.len().max(1) as f64;
            if inside.len() < least || lift(label) < 0.08 {
                continue;
            }
            let alike =
                rules.iter_mut().find(|rule| rule.label == label && (rule.purity - purity).abs() < 0.15);
            match (alike.map(|rule| (rule.conditions.first_mut(), &mut rule.rows)), test) {
                (Some((Some((_, Test::Is(known))), rows)), Test::Is(more)) => {
                    known.extend(more);
                    *rows += inside.len();
                }
                (_, test) => {
                    rules.push(Rule { conditions: vec![(at, test)], label, purity, rows: inside.len() });
                }
            }
        }
        if !rules.is_empty() {
            found.push((base - left, rules));
        }
    }
    found.sort_by(|a, b| b.0.total_cmp(&a.0));
    found.into_iter().take(most).flat_map(|(_, rules)| rules).collect()
}

fn smallest_leaf(table: &Table) -> usize {
    match table.len() {
        0..=9 => 1,
        10..=39 => 2,
        many => many / 25 + 1,
    }
}

fn branch(
    table: &Table,
    rows: &[usize],
    depth: usize,
    path: &mut Vec<(usize, Test)>,
    between: Between<'_>,
    out: &mut Vec<Rule>,
) {
    let counts = counts(table, rows);
    let split = if depth == 0 || gini(&counts) <= 0.0 {
        None
    } else {
        best_split(table, rows, None, smallest_leaf(table), between)
    };
    let Some((column, test, inside)) = split else {
        let Some(label) = (0..counts.len()).rev().max_by(|a, b| counts[*a].total_cmp(&counts[*b])) else {
            return;
        };
        let purity = counts[label] / rows.len().max(1) as f64;
        return out.push(Rule { conditions: path.clone(), label, purity, rows: rows.len() });
    };
    let outside: Vec<usize> = rows.iter().copied().filter(|row| !inside.contains(row)).collect();
    let opposite = match &test {
        Test::AtMost(value) => Test::Above(*value),
        Test::Is(values) => Test::IsNot(values.first().copied().unwrap_or_default()),
        other => other.clone(),
    };
    for (test, rows) in [(test, inside), (opposite, outside)] {
        path.push((column, test));
        branch(table, &rows, depth - 1, path, between, out);
        path.pop();
    }
}

fn counts(table: &Table, rows: &[usize]) -> Vec<f64> {
    let mut counts = vec![0.0; table.labels.len()];
    rows.iter().for_each(|row| counts[table.right[*row]] += 1.0);
    counts
}

fn gini(counts: &[f64]) -> f64 {
    let total: f64 = counts.iter().sum();
    1.0 - counts.iter().map(|count| (count / total.max(1.0)).powi(2)).sum::<f64>()
}

fn holds(table: &Table, column: usize, test: &Test, row: usize) -> bool {
    match (&table.columns[column].cells, test) {
        (Cells::Numbers(cells), Test::Above(value)) => cells[row].is_some_and(|cell| cell > *value),
        (Cells::Numbers(cells), Test::AtMost(value)) => cells[row].is_some_and(|cell| cell <= *value),
        (Cells::Categories(_, cells), Test::Is(values)) => {
            cells[row].is_some_and(|cell| values.contains(&cell))
        }
        (Cells::Categories(_, cells), Test::IsNot(value)) => cells[row].is_some_and(|cell| cell != *value),
        _ => false,
    }
}

/// A split of rows that was tried.
struct Split {
    /// The decrease of impurity.
    gain: f64,
    /// The share of the width of the values that lies between the two sides.
    gap_share: f64,
    column: usize,
    test: Test,
    /// The values on both sides of the threshold.
    gap: (f64, f64),
}

/// Returns the split that separates the labels best: the column, the test and the rows that pass it.
fn best_split(
    table: &Table,
    rows: &[usize],
    only: Option<usize>,
    least: usize,
    between: Between<'_>,
) -> Option<(usize, Test, Vec<usize>)> {
    let base = gini(&counts(table, rows)) * rows.len() as f64;
    let mut best: Option<Split> = None;
    for (at, column) in table.columns.iter().enumerate().filter(|(at, _)| only.is_none_or(|only| only == *at))
    {
        // The width of the values, by which gaps between them are compared.
        let mut width = 0.0;
        let tests: Vec<(Test, (f64, f64))> = match &column.cells {
            Cells::Prose => continue,
            Cells::Numbers(cells) => {
                let mut values: Vec<f64> = rows.iter().filter_map(|row| cells[*row]).collect();
                values.sort_unstable_by(f64::total_cmp);
                values.dedup();
                width = values.last().zip(values.first()).map_or(0.0, |(high, low)| high - low);
                let step = values.len().div_ceil(THRESHOLDS).max(1);
                let pairs = values.windows(2).step_by(step);
                pairs
                    .map(|pair| (Test::AtMost(f64::midpoint(pair[0], pair[1])), (pair[0], pair[1])))
                    .collect()
            }
            Cells::Categories(names, _) => {
                (0..names.len()).map(|value| (Test::Is(vec![value]), (0.0, 0.0))).collect()
            }
        };
        for (test, gap) in tests {
            let mut inside = vec![0.0; table.labels.len()];
            let mut outside = vec![0.0; table.labels.len()];
            for row in rows {
                let side = if holds(table, at, &test, *row) { &mut inside } else { &mut outside };
                side[table.right[*row]] += 1.0;
            }
            let (a, b): (f64, f64) = (inside.iter().sum(), outside.iter().sum());
            if a < least as f64 || b < least as f64 {
                continue;
            }
            let gain = base - gini(&inside) * a - gini(&outside) * b;
            // Of splits that separate equally well, the one with the wider gap is more certain.
            let gap_share = if width > 0.0 { (gap.1 - gap.0) / width } else { 0.0 };
            let is_better = best.as_ref().is_none_or(|known| {
                gain > known.gain + 1e-9 || (gain > known.gain - 1e-9 && gap_share > known.gap_share + 1e-9)
            });
            if gain > 1e-9 && is_better {
                best = Some(Split { gain, gap_share, column: at, test, gap });
            }
        }
    }
    let Split { column, mut test, gap: (low, high), .. } = best?;
    if let Test::AtMost(value) = &mut test {
        *value = plain_number(low, high, between());
    }
    let inside = rows.iter().copied().filter(|row| holds(table, column, &test, *row)).collect();
    Some((column, test, inside))
}

/// Returns the number with the fewest decimal places that is at least `low` and below `high`, near the given share of
/// the way.
fn plain_number(low: f64, high: f64, share: f64) -> f64 {
    let exact = low + (high - low) * share;
    let rounded = (0..8).map(|places| {
        let scale = 10_f64.powi(places);
        (exact * scale).round() / scale
    });
    rounded.into_iter().find(|value| (low..high).contains(value)).unwrap_or(low)
}

impl Rule {
    /// Writes the conditions: `size is above 2 and at most 5 and colour is "red"`.
    pub(super) fn conditions(&self, table: &Table) -> String {
        let mut out = String::new();
        let mut done: Vec<usize> = Vec::new();
        for (at, _) in &self.conditions {
            if done.contains(at) {
                continue;
            }
            done.push(*at);
            let column = &table.columns[*at];
            let of_column = || self.conditions.iter().filter(|(known, _)| known == at).map(|(_, test)| test);
            let and = if out.is_empty() { "" } else { " and " };
            let _ = write!(out, "{and}{} is ", column.name);
            match &column.cells {
                Cells::Categories(names, _) => {
                    let name = |value: &usize| format!("\"{}\"", names[*value]);
                    let is = of_column().find_map(|test| match test {
                        Test::Is(values) => Some(values.iter().map(name).collect::<Vec<_>>().join(" or ")),
                        _ => None,
                    });
                    let is_not = of_column().filter_map(|test| match test {
                        Test::IsNot(value) => Some(format!("not {}", name(value))),
                        _ => None,
                    });
                    let again = format!(" and {} is ", column.name);
                    out.push_str(&is.unwrap_or_else(|| is_not.collect::<Vec<_>>().join(&again)));
                }
                _ => {
                    let low = of_column()
                        .filter_map(|test| if let Test::Above(value) = test { Some(*value) } else { None });
                    let high = of_column()
                        .filter_map(|test| if let Test::AtMost(value) = test { Some(*value) } else { None });
                    let (low, high) = (low.reduce(f64::max), high.reduce(f64::min));
                    let bounds =
                        [low.map(|low| format!("above {low}")), high.map(|high| format!("at most {high}"))];
                    out.push_str(&bounds.into_iter().flatten().collect::<Vec<_>>().join(" and "));
                }
            }
        }
        out
    }

    /// Returns the word that weakens the rule: "usually" or "sometimes", or nothing.
    pub(super) fn hedge(&self) -> &'static str {
        match self.purity {
            purity if purity >= CERTAIN => "",
            purity if purity >= 0.6 => "usually ",
            _ => "sometimes ",
        }
    }
}
