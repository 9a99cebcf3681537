//! The front: few candidates that together reach the highest score of every row.

use std::collections::BTreeMap;
use std::fmt;

use super::text::{Text, count, counted, left_out, score};
use super::{LABEL, close, open};
use crate::report::Report;

/// The largest number of candidates in the front.
const LISTED: usize = 20;

pub(super) fn write(f: &mut fmt::Formatter<'_>, report: &Report, ranked: &[usize]) -> fmt::Result {
    let scores = Scores::of(report, ranked);
    let rows = scores.highest.len();
    let mut front = scores.front(LISTED);
    if front.len() < 2 {
        return Ok(());
    }
    open(f, "front", "Front")?;
    let mean = scores.highest.values().sum::<f64>() / rows as f64;
    writeln!(
        f,
        "<p>The highest scores of {} have a mean of {}; the result has {}. No single candidate reaches them all. \
         These candidates reach them together, each on rows that those above it do not.</p>",
        counted(rows as u64, "row"),
        score(Some(mean)),
        score(report.score())
    )?;
    let found = front.len();
    front.truncate(LISTED);
    writeln!(
        f,
        "<div class=\"scroll\" tabindex=\"0\" role=\"region\" aria-labelledby=\"front\">\n<table>\n<thead>\n<tr><th \
         scope=\"col\">Trial</th><th scope=\"col\" class=\"n\">Further rows</th><th scope=\"col\" class=\"n\">Score</th><th \
         scope=\"col\">Candidate</th></tr>\n</thead>\n<tbody>"
    )?;
    for (index, further) in front {
        let trial = &report.trials[index];
        let mark = if index == report.best { "★ " } else { "" };
        writeln!(
            f,
            "<tr><th scope=\"row\">{mark}{index}</th><td class=\"n\">{}</td><td class=\"n\">{}</td><td class=\"label\">{}</td>\
             </tr>",
            count(further as u64),
            score(trial.score),
            Text(&trial.label).most(LABEL)
        )?;
    }
    writeln!(f, "</tbody>\n</table>\n</div>")?;
    left_out(f, LISTED, found, "candidate")?;
    close(f)
}

/// The candidates by the rows on which they have the highest score.
struct Scores {
    highest: BTreeMap<usize, f64>,
    /// The rows of each candidate, in the order of the ranking.
    reached: Vec<(usize, Vec<usize>)>,
}

impl Scores {
    fn of(report: &Report, ranked: &[usize]) -> Self {
        let results = |index: usize| {
            let items = report.trials[index].items.iter();
            items.filter_map(|item| Some((item.index, item.score.filter(|score| score.is_finite())?)))
        };
        let scored = || ranked.iter().copied().filter(|index| report.trials[*index].score.is_some());
        let mut highest: BTreeMap<usize, f64> = BTreeMap::new();
        for (row, score) in scored().flat_map(results) {
            let held = highest.entry(row).or_insert(score);
            *held = held.max(score);
        }
        let reached = scored().map(|index| {
            let rows =
                results(index).filter(|(row, score)| highest.get(row).is_some_and(|most| score >= most));
            (index, rows.map(|(row, _)| row).collect())
        });
        let reached = reached.collect();
        Scores { highest, reached }
    }

    /// Returns the candidate with the most rows that are still open, again and again, with their number: at most one
    /// more than `most`.
    fn front(&self, most: usize) -> Vec<(usize, usize)> {
        let mut open: std::collections::BTreeSet<usize> = self.highest.keys().copied().collect();
        let mut front = Vec::new();
        while !open.is_empty() && front.len() <= most {
            let further = |rows: &Vec<usize>| rows.iter().filter(|row| open.contains(row)).count();
            // The first of equals, which is the highest in the ranking.
            let next = self.reached.iter().rev().max_by_key(|(_, rows)| further(rows));
            let Some((index, rows)) = next else { break };
            let count = further(rows);
            if count == 0 {
                break;
            }
            rows.iter().for_each(|row| {
                open.remove(row);
            });
            front.push((*index, count));
        }
        front
    }
}
