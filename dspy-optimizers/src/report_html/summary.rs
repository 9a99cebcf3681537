//! The beginning of the page and the costs.

use std::fmt;

use super::text::{Text, count, dollars, left_out, score};
use super::{LABEL, close, open};
use crate::report::{Report, Verification};

/// The largest number of warnings, and of decisions.
const LINES: usize = 50;

pub(super) fn write(f: &mut fmt::Formatter<'_>, report: &Report) -> fmt::Result {
    writeln!(f, "<header>\n<h1>{}</h1>", Text(&report.optimizer).most(LABEL))?;
    writeln!(
        f,
        "<p>Seed {}, {} trials; {}.</p>",
        report.seed,
        count(report.trials.len() as u64),
        Text(&report.stopped.to_string())
    )?;
    writeln!(f, "<dl class=\"tiles\">")?;
    tile(f, "Original program", &score(report.baseline), "in the search")?;
    let difference = report.score().zip(report.baseline).map(|(best, before)| (best - before) * 100.0);
    let difference = difference.map(|points| format!("{points:+.1} points, in the search"));
    tile(f, "Result", &score(report.score()), difference.as_deref().unwrap_or("in the search"))?;
    if let Verification::Passed(verified) | Verification::Failed(verified) = &report.verification {
        let value = format!("{} ± {:.1}", score(Some(verified.score)), verified.margin * 100.0);
        let note = format!("original {}, on {} held-out rows", score(Some(verified.baseline)), verified.rows);
        tile(f, "Verified", &value, &note)?;
    }
    let usage = &report.usage;
    let note = format!("{} calls, {} tokens", count(usage.requests), count(usage.total_tokens()));
    tile(f, "Cost", &dollars(usage), &note)?;
    writeln!(f, "</dl>")?;
    if report.trials.is_empty() {
        writeln!(f, "<p>No candidate was completed, so the result is the original program.</p>")?;
    } else if let Some(best) = report.best_trial() {
        writeln!(f, "<p>The result is trial {}: {}.</p>", report.best, Text(&best.label).most(LABEL))?;
    }
    if let Some(headroom) = &report.headroom {
        writeln!(f, "<p>{}.</p>", Text(&capitalised(&headroom.to_string())))?;
    }
    if report.verification != Verification::Off {
        writeln!(f, "<p>{}.</p>", Text(&capitalised(&report.verification.to_string())))?;
    }
    writeln!(f, "</header>")?;
    lines(f, ("warnings", "Warnings"), &report.warnings)?;
    lines(f, ("decisions", "Decisions"), &report.decisions)
}

/// Writes a section with a list, unless the list is empty.
fn lines(f: &mut fmt::Formatter<'_>, (id, title): (&str, &str), lines: &[String]) -> fmt::Result {
    if lines.is_empty() {
        return Ok(());
    }
    open(f, id, title)?;
    writeln!(f, "<ul class=\"{id}\">")?;
    for line in lines.iter().take(LINES) {
        writeln!(f, "<li>{}</li>", Text(line).most(LABEL))?;
    }
    writeln!(f, "</ul>")?;
    left_out(f, LINES, lines.len(), id)?;
    close(f)
}

fn tile(f: &mut fmt::Formatter<'_>, name: &str, value: &str, note: &str) -> fmt::Result {
    writeln!(
        f,
        "<div><dt>{name}</dt><dd><strong>{}</strong> <span>{}</span></dd></div>",
        Text(value),
        Text(note)
    )
}

fn capitalised(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map(|first| first.to_uppercase().chain(chars).collect()).unwrap_or_default()
}

/// Writes the total cost. Reports have no costs by phase or by model.
pub(super) fn spend(f: &mut fmt::Formatter<'_>, report: &Report) -> fmt::Result {
    let usage = &report.usage;
    open(f, "cost", "Cost")?;
    writeln!(f, "<table class=\"facts\">\n<tbody>")?;
    let rows = [
        ("Calls", count(usage.requests)),
        ("Input tokens", count(usage.prompt_tokens)),
        ("of these read from the prompt cache", count(usage.cache_read_tokens)),
        ("of these written to the prompt cache", count(usage.cache_write_tokens)),
        ("Output tokens", count(usage.completion_tokens)),
        ("of these for reasoning", count(usage.reasoning_tokens)),
        ("US dollars", dollars(usage)),
    ];
    for (name, value) in rows {
        writeln!(f, "<tr><th scope=\"row\">{name}</th><td>{value}</td></tr>")?;
    }
    writeln!(
        f,
        "</tbody>\n</table>\n<p class=\"note\">The total includes earlier processes of a resumed run. The costs of single \
         trials are in the table of candidates; trials that share results each count them.</p>"
    )?;
    close(f)
}
