//! The beginning of the page and the costs.

use std::fmt;

use dspy_core::lm::Usage;

use super::text::{Text, count, counted, dollars, left_out, score};
use super::{LABEL, close, open};
use crate::report::{PartialScore, Report, SpendEntry, Verification};

/// The largest number of characters of a warning, or of a decision.
const LINE: usize = 8_000;

/// The largest number of warnings, and of decisions.
const LINES: usize = 50;

pub(super) fn write(f: &mut fmt::Formatter<'_>, report: &Report) -> fmt::Result {
    writeln!(f, "<header>\n<h1>{}</h1>", Text(&report.optimizer).most(LABEL))?;
    writeln!(
        f,
        "<p>Seed {}, {}; {}.</p>",
        report.seed,
        counted(report.trials.len() as u64, "trial"),
        Text(&report.stopped.to_string())
    )?;
    writeln!(f, "<dl class=\"tiles\">")?;
    tile(f, "Original program", &score(report.baseline), "on rows of the search")?;
    let partial = report.best_trial().and_then(|best| best.partial);
    let difference = report.score().zip(report.baseline).map(|(best, before)| (best - before) * 100.0);
    let difference = difference.map(|points| format!("{points:+.1} points, on rows of the search"));
    let of_rows =
        partial.map(|PartialScore { rows, of, .. }| format!("on {rows} of {}", counted(of as u64, "row")));
    let note = difference.or(of_rows);
    let result = report.score().or(partial.map(|partial| partial.score));
    tile(f, "Result", &score(result), note.as_deref().unwrap_or("on rows of the search"))?;
    if let Verification::Passed(verified) | Verification::Failed(verified) = &report.verification {
        let value = format!("{} ± {:.1}", score(Some(verified.score)), verified.margin * 100.0);
        let note = format!(
            "original {}, on {}",
            score(Some(verified.baseline)),
            counted(verified.rows as u64, "held-out row")
        );
        tile(f, "Verified", &value, &note)?;
    }
    let usage = &report.usage;
    let note = format!("{}, {}", counted(usage.requests, "call"), counted(usage.total_tokens(), "token"));
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
    if report.verification != Verification::Off || report.has_gain() {
        writeln!(f, "<p>{}.</p>", Text(&capitalised(&report.verification.to_string())))?;
    }
    writeln!(f, "</header>")?;
    let warnings: Vec<String> = report.warnings.iter().cloned().chain(report.run.warning()).collect();
    lines(f, ("warnings", "Warnings"), &warnings)?;
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
        writeln!(f, "<li>{}</li>", Text(line).most(LINE))?;
    }
    writeln!(f, "</ul>")?;
    left_out(f, LINES, lines.len(), id.trim_end_matches('s'))?;
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

/// The largest number of rows of a table of costs.
const COSTS: usize = 60;

/// Writes the cost: the total, by phase and kind of call, by model, and the times.
pub(super) fn spend(f: &mut fmt::Formatter<'_>, report: &Report) -> fmt::Result {
    let usage = &report.usage;
    open(f, "cost", "Cost")?;
    writeln!(f, "<table class=\"facts\">\n<tbody>")?;
    let run = &report.run;
    let earlier = &run.paid_earlier;
    let mut rows = vec![
        ("Calls", count(usage.requests)),
        ("Input tokens", count(usage.prompt_tokens)),
        ("of these read from the prompt cache", count(usage.cache_read_tokens)),
        ("of these written to the prompt cache", count(usage.cache_write_tokens)),
        ("Output tokens", count(usage.completion_tokens)),
        ("of these for reasoning", count(usage.reasoning_tokens)),
        ("US dollars", dollars(usage)),
    ];
    if run.seconds > 0.0 {
        rows.push(("Time", seconds(run.seconds)));
    }
    if earlier.requests > 0 {
        rows.push(("Calls paid by earlier processes", count(earlier.requests)));
        rows.push(("US dollars paid by earlier processes", dollars(earlier)));
    }
    if let Some(written_off) = &run.written_off {
        rows.push(("Calls with unknown replies", count(written_off.calls)));
    }
    if run.earlier_seconds > 0.0 {
        rows.push(("Time of earlier processes", seconds(run.earlier_seconds)));
    }
    for (name, value) in rows {
        writeln!(f, "<tr><th scope=\"row\">{name}</th><td>{value}</td></tr>")?;
    }
    writeln!(
        f,
        "</tbody>\n</table>\n<p class=\"note\">The total includes earlier processes of a resumed run. The costs of single \
         trials are in the table of candidates; trials that share results each count them.</p>"
    )?;
    by_phase(f, report)?;
    by_model(f, report)?;
    close(f)
}

fn by_phase(f: &mut fmt::Formatter<'_>, report: &Report) -> fmt::Result {
    let entries = report.spend.entries();
    if entries.is_empty() {
        return Ok(());
    }
    head(f, "By phase", &["Phase", "Calls of", "Model"])?;
    for entry in entries.iter().take(COSTS) {
        let SpendEntry { study, phase, kind, model, usage, cached } = entry;
        write!(
            f,
            "<tr><th scope=\"row\">{}{}</th><td>{kind}</td><td>{}</td>",
            Text(study).most(LABEL / 3),
            Text(phase).most(LABEL / 3),
            Text(model).most(LABEL / 3)
        )?;
        numbers(f, usage, *cached)?;
    }
    writeln!(f, "</tbody>\n</table>\n</div>")?;
    left_out(f, COSTS, entries.len(), "row")?;
    let times = report.run.phases.iter().take(COSTS);
    let times = times.map(|time| format!("{}{} {}", time.study, time.phase, seconds(time.seconds)));
    let times: Vec<String> = times.collect();
    if !times.is_empty() {
        let times = times.join(", ");
        writeln!(
            f,
            "<p class=\"note\">Time of the phases in this process: {}.</p>",
            Text(&times).most(20 * LABEL)
        )?;
    }
    Ok(())
}

fn by_model(f: &mut fmt::Formatter<'_>, report: &Report) -> fmt::Result {
    let sums = report.spend.by_model();
    if sums.len() < 2 {
        return Ok(());
    }
    head(f, "By model", &["Model"])?;
    for sum in sums.iter().take(COSTS) {
        write!(f, "<tr><th scope=\"row\">{}</th>", Text(&sum.name).most(LABEL / 3))?;
        numbers(f, &sum.usage, sum.cached)?;
    }
    writeln!(f, "</tbody>\n</table>\n</div>")?;
    left_out(f, COSTS, sums.len(), "model")
}

/// Writes the beginning of a table of costs.
fn head(f: &mut fmt::Formatter<'_>, title: &str, names: &[&str]) -> fmt::Result {
    write!(
        f,
        "<h3>{title}</h3>\n<div class=\"scroll\" tabindex=\"0\" role=\"region\" aria-label=\"{title}\">\n<table>\n<thead>\n<tr>"
    )?;
    names.iter().try_for_each(|name| write!(f, "<th scope=\"col\">{name}</th>"))?;
    for name in ["Calls", "From a cache", "Input tokens", "Output tokens", "US dollars"] {
        write!(f, "<th scope=\"col\" class=\"n\">{name}</th>")?;
    }
    writeln!(f, "</tr>\n</thead>\n<tbody>")
}

/// Writes the cells of a cost and the end of its row.
fn numbers(f: &mut fmt::Formatter<'_>, usage: &Usage, cached: u64) -> fmt::Result {
    let cells = [
        count(usage.requests),
        count(cached),
        count(usage.prompt_tokens),
        count(usage.completion_tokens),
        dollars(usage),
    ];
    cells.iter().try_for_each(|cell| write!(f, "<td class=\"n\">{cell}</td>"))?;
    writeln!(f, "</tr>")
}

/// Formats a time in seconds.
fn seconds(seconds: f64) -> String {
    if seconds < 100.0 { format!("{seconds:.1} s") } else { format!("{} s", count(seconds as u64)) }
}
