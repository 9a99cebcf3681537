//! The ranking of the candidates.

use std::fmt;

use super::text::{Text, count, counted, dollars, left_out, score};
use super::{LABEL, close, open};
use crate::report::Report;

/// The largest number of candidates in the table.
const LISTED: usize = 200;
/// The largest number of notes of a candidate.
const NOTES: usize = 5;

pub(super) fn write(f: &mut fmt::Formatter<'_>, report: &Report, ranked: &[usize]) -> fmt::Result {
    if ranked.is_empty() {
        return Ok(());
    }
    open(f, "candidates", "Candidates")?;
    writeln!(
        f,
        "<div class=\"scroll\" tabindex=\"0\" role=\"region\" aria-labelledby=\"candidates\">\n<table>\n<thead>"
    )?;
    writeln!(
        f,
        "<tr><th scope=\"col\">Trial</th><th scope=\"col\" class=\"n\">Score</th><th scope=\"col\">Candidate</th><th \
         scope=\"col\" class=\"n\">Rows</th><th scope=\"col\" class=\"n\">Calls</th><th scope=\"col\" class=\"n\">Tokens</th>\
         <th scope=\"col\" class=\"n\">Cost</th></tr>\n</thead>\n<tbody>"
    )?;
    // The result is listed even if many candidates have higher scores in the search.
    let result = ranked.iter().position(|trial| *trial == report.best).filter(|place| *place >= LISTED);
    let listed = ranked.iter().take(LISTED).copied().chain(result.map(|_| report.best));
    for index in listed {
        let trial = &report.trials[index];
        let (class, mark) = if index == report.best { (" class=\"chosen\"", "★ ") } else { ("", "") };
        let usage = &trial.usage;
        writeln!(
            f,
            "<tr{class}><th scope=\"row\">{mark}{index}</th><td class=\"n\">{}</td><td class=\"label\">{}",
            score(trial.score),
            Text(&trial.label).most(LABEL)
        )?;
        for note in trial.notes.iter().take(NOTES) {
            write!(f, "<small>{}</small>", Text(note).most(LABEL))?;
        }
        if trial.notes.len() > NOTES {
            let more = counted((trial.notes.len() - NOTES) as u64, "more note");
            write!(f, "<small>… and {more}</small>")?;
        }
        writeln!(
            f,
            "</td><td class=\"n\">{}</td><td class=\"n\">{}</td><td class=\"n\">{}</td><td class=\"n\">{}</td></tr>",
            count(trial.items.len() as u64),
            count(usage.requests),
            count(usage.total_tokens()),
            dollars(usage)
        )?;
    }
    writeln!(f, "</tbody>\n</table>\n</div>\n<p class=\"note\">★ is the result.</p>")?;
    left_out(f, LISTED + usize::from(result.is_some()), ranked.len(), "candidate")?;
    close(f)
}
