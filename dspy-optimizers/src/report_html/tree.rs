//! The trials by the trials that they were made from.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use super::text::{Text, left_out, score};
use super::{LABEL, close, open};
use crate::report::{Report, Trial};

/// The number of candidates that are shown with all trials that they come from.
const TOP: usize = 60;
/// The largest number of trials.
const LISTED: usize = 200;
/// The largest number of parents that are named.
const PARENTS: usize = 6;
/// The depth from which the indentation stays the same.
const DEEPEST: usize = 10;

pub(super) fn write(f: &mut fmt::Formatter<'_>, report: &Report, ranked: &[usize]) -> fmt::Result {
    if report.trials.iter().all(|trial| trial.parents.is_empty()) {
        return Ok(());
    }
    let shown = shown(report, ranked);
    let mut roots = Vec::new();
    let mut children: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
    for index in &shown {
        match earlier(&report.trials, *index).find(|parent| shown.contains(parent)) {
            Some(parent) => children.entry(parent).or_default().push(*index),
            None => roots.push(*index),
        }
    }
    open(f, "tree", "Candidate tree")?;
    writeln!(f, "<p>Each candidate is below the one that it was made from.</p>\n<ul class=\"tree\">")?;
    let mut open_ends: Vec<(usize, usize)> = roots.into_iter().rev().map(|root| (root, 0)).collect();
    while let Some((index, depth)) = open_ends.pop() {
        let trial = &report.trials[index];
        let (class, mark) = if index == report.best { (" class=\"chosen\"", "★ ") } else { ("", "") };
        let branch = if depth == 0 { "" } else { "└ " };
        write!(
            f,
            "<li{class} style=\"--depth:{}\">{branch}{mark}<b>{index}</b> {} <span>{}",
            depth.min(DEEPEST),
            score(trial.score),
            Text(&trial.label).most(LABEL / 3)
        )?;
        if !trial.parents.is_empty() {
            let parents: Vec<String> = trial.parents.iter().take(PARENTS).map(ToString::to_string).collect();
            let more = if trial.parents.len() > PARENTS { ", …" } else { "" };
            write!(f, ", from {}{more}", parents.join(" and "))?;
        }
        writeln!(f, "</span></li>")?;
        let below = children.remove(&index).unwrap_or_default();
        open_ends.extend(below.into_iter().rev().map(|child| (child, depth + 1)));
    }
    writeln!(f, "</ul>")?;
    left_out(f, shown.len(), report.trials.len(), "trial")?;
    close(f)
}

/// Returns the trials to show: all if they are few, otherwise the result and the best ones with their ancestors.
fn shown(report: &Report, ranked: &[usize]) -> BTreeSet<usize> {
    if report.trials.len() <= LISTED {
        return (0..report.trials.len()).collect();
    }
    let mut shown = BTreeSet::new();
    let result = Some(report.best).filter(|best| *best < report.trials.len());
    for top in result.into_iter().chain(ranked.iter().copied().take(TOP)) {
        let mut next = Some(top);
        while let Some(index) = next {
            if shown.len() == LISTED || !shown.insert(index) {
                break;
            }
            next = earlier(&report.trials, index).next();
        }
    }
    shown
}

/// Returns the parents of a trial that precede it. Those of a custom optimizer could be any numbers.
fn earlier(trials: &[Trial], index: usize) -> impl Iterator<Item = usize> {
    trials[index].parents.iter().copied().filter(move |parent| *parent < index)
}
