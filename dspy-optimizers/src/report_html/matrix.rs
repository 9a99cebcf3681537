//! The results of the best candidates by row.

use std::collections::BTreeMap;
use std::fmt;

use super::text::{Text, count, left_out};
use super::{close, open};
use crate::report::{ItemReport, Report};

/// The largest number of candidates.
const CANDIDATES: usize = 20;
/// The largest number of rows.
const ROWS: usize = 200;
/// The largest number of characters of an error.
const ERROR: usize = 160;

pub(super) fn write(f: &mut fmt::Formatter<'_>, report: &Report, ranked: &[usize]) -> fmt::Result {
    let (columns, candidates) = columns(report, ranked);
    let mut rows: BTreeMap<usize, Vec<Option<&ItemReport>>> = BTreeMap::new();
    for (place, index) in columns.iter().enumerate() {
        for item in &report.trials[*index].items {
            let row = rows.entry(item.index).or_insert_with(|| vec![None; columns.len()]);
            row[place].get_or_insert(item);
        }
    }
    if rows.is_empty() {
        return Ok(());
    }
    open(f, "rows", "Results by row")?;
    writeln!(
        f,
        "<p>The hardest rows come first. The stronger the shade, the higher the score, from 0 to 1. ✕: the program or the \
         metric failed. ·: not run. ★: the result. ■: the original program.</p>\n<div class=\"scroll\" tabindex=\"0\" role=\"region\" \
         aria-labelledby=\"rows\">\n<table class=\"matrix\">\n<thead>\n<tr><th scope=\"col\">Row</th>"
    )?;
    for index in &columns {
        let mark = if *index == report.best {
            "★"
        } else if report.trials[*index].parameters == report.initial {
            "■"
        } else {
            ""
        };
        write!(f, "<th scope=\"col\">{mark}{index}</th>")?;
    }
    writeln!(f, "</tr>\n</thead>\n<tbody>")?;
    let total = rows.len();
    let mut rows: Vec<_> = rows.into_iter().collect();
    rows.sort_by(|(_, a), (_, b)| mean(a).total_cmp(&mean(b)));
    for (row, cells) in rows.iter().take(ROWS) {
        write!(f, "<tr><th scope=\"row\">{row}</th>")?;
        cells.iter().try_for_each(|item| cell(f, *item))?;
        writeln!(f, "</tr>")?;
    }
    writeln!(f, "</tbody>\n</table>\n</div>")?;
    left_out(f, ROWS, total, "row")?;
    left_out(f, columns.len(), candidates, "candidate")?;
    if report.trials.iter().any(|trial| trial.score.is_some() && trial.items.is_empty()) {
        writeln!(f, "<p class=\"note\">Candidates without results by row are not in this table.</p>")?;
    }
    close(f)
}

/// Returns the candidates to show: the result, the original program and the best others, and the number of all that
/// have results.
fn columns(report: &Report, ranked: &[usize]) -> (Vec<usize>, usize) {
    let has_rows = |index: &usize| report.trials.get(*index).is_some_and(|trial| !trial.items.is_empty());
    let original = report.trials.iter().position(|trial| {
        trial.score.is_some() && !trial.items.is_empty() && trial.parameters == report.initial
    });
    let first = [Some(report.best), original].into_iter().flatten().filter(has_rows);
    let mut columns: Vec<usize> = Vec::with_capacity(CANDIDATES);
    for index in first.chain(ranked.iter().copied().filter(has_rows)) {
        if columns.len() == CANDIDATES {
            break;
        }
        if !columns.contains(&index) {
            columns.push(index);
        }
    }
    (columns, ranked.iter().filter(|index| has_rows(index)).count())
}

fn mean(cells: &[Option<&ItemReport>]) -> f64 {
    let scores: Vec<f64> = cells.iter().flatten().filter_map(|item| item.score).collect();
    if scores.is_empty() { f64::INFINITY } else { scores.iter().sum::<f64>() / scores.len() as f64 }
}

fn cell(f: &mut fmt::Formatter<'_>, item: Option<&ItemReport>) -> fmt::Result {
    let Some(item) = item else { return write!(f, "<td>·</td>") };
    if let Some(error) = &item.error {
        return write!(f, "<td class=\"failed\" title=\"{}\">✕</td>", Text(error).most(ERROR));
    }
    let Some(score) = item.score else { return write!(f, "<td class=\"failed\">✕</td>") };
    let shade = (score.clamp(0.0, 1.0) * 4.0).round() as u8;
    write!(f, "<td class=\"s{shade}\">{}</td>", short(score))
}

/// Formats a score with as few characters as possible.
fn short(score: f64) -> String {
    if score.fract() == 0.0 && score.abs() < 1e6 {
        return count_signed(score);
    }
    if score.abs() >= 1000.0 {
        return format!("{score:.0e}");
    }
    let text = format!("{score:.2}");
    match text.strip_prefix("0.") {
        Some(digits) => format!(".{digits}"),
        None => text,
    }
}

fn count_signed(score: f64) -> String {
    let text = count(score.abs() as u64);
    if score < 0.0 { format!("-{text}") } else { text }
}
