//! The changes of the result, and of other good candidates, from the original program.

use std::fmt;

use dspy_core::signature::Demo;
use serde_json::Value;

use super::diff::{self, Kind};
use super::text::{Text, counted, left_out, score};
use super::{LABEL, close, open};
use crate::report::{Changes, PredictorChange, Report, model_name};

/// The number of candidates beside the result.
const OTHERS: usize = 5;
/// The largest number of fields of a demonstration.
const FIELDS: usize = 12;

/// The largest amounts that are shown of one candidate.
#[derive(Clone, Copy)]
struct Limits {
    predictors: usize,
    texts: usize,
    demos: usize,
    /// In characters.
    text: usize,
    /// In characters.
    value: usize,
}

const RESULT: Limits = Limits { predictors: 40, texts: 60, demos: 12, text: 12_000, value: 600 };
const OTHER: Limits = Limits { predictors: 20, texts: 10, demos: 2, text: 1_500, value: 200 };

pub(super) fn write(f: &mut fmt::Formatter<'_>, report: &Report, ranked: &[usize]) -> fmt::Result {
    open(f, "changes", "Changes")?;
    writeln!(f, "<p>The result against the original program.</p>")?;
    program(f, &report.changes(), RESULT)?;
    let differs =
        |index: &&usize| **index != report.best && report.trials[**index].parameters != report.initial;
    let others: Vec<usize> = ranked.iter().filter(differs).take(OTHERS).copied().collect();
    if !others.is_empty() {
        writeln!(f, "<h3>Other candidates</h3>")?;
    }
    for index in others {
        let trial = &report.trials[index];
        writeln!(
            f,
            "<details>\n<summary>Trial {index}, {}: {}</summary>",
            score(trial.score),
            Text(&trial.label).most(LABEL / 2)
        )?;
        program(f, &report.changes_to(trial), OTHER)?;
        writeln!(f, "</details>")?;
    }
    close(f)
}

fn program(f: &mut fmt::Formatter<'_>, changes: &Changes, limits: Limits) -> fmt::Result {
    if changes.is_empty() {
        return writeln!(f, "<p>No changes.</p>");
    }
    for change in changes.predictors.iter().take(limits.predictors) {
        writeln!(f, "<article>\n<h3><code>{}</code></h3>", Text(&change.path).most(LABEL))?;
        predictor(f, change, limits)?;
        writeln!(f, "</article>")?;
    }
    left_out(f, limits.predictors, changes.predictors.len(), "changed predictor")
}

fn predictor(f: &mut fmt::Formatter<'_>, change: &PredictorChange, limits: Limits) -> fmt::Result {
    if let Some((old, new)) = &change.model {
        writeln!(f, "<h4>Model</h4>")?;
        texts(f, model_name(old.as_deref()), model_name(new.as_deref()), limits)?;
    }
    if let Some((old, new)) = &change.instruction {
        writeln!(f, "<h4>Instruction</h4>")?;
        texts(f, old, new, limits)?;
    }
    for (name, old, new) in change.descriptions.iter().take(limits.texts) {
        writeln!(f, "<h4>Description of <code>{}</code></h4>", Text(name).most(LABEL))?;
        texts(f, old, new, limits)?;
    }
    left_out(f, limits.texts, change.descriptions.len(), "changed description")?;
    if let Some((old, new)) = &change.playbook {
        writeln!(f, "<h4>Playbook</h4>")?;
        texts(f, old, new, limits)?;
    }
    demos(f, "Added demonstrations", "+", &change.added, limits)?;
    demos(f, "Removed demonstrations", "−", &change.removed, limits)
}

/// Writes two texts as one with marked changes, or one after the other.
fn texts(f: &mut fmt::Formatter<'_>, old: &str, new: &str, limits: Limits) -> fmt::Result {
    let (old, new) = (Text(old).most(limits.text), Text(new).most(limits.text));
    let Some(parts) = diff::words(old.shown, new.shown) else {
        for (sign, tag, text) in [("−", "del", old), ("+", "ins", new)] {
            if !text.shown.is_empty() {
                writeln!(
                    f,
                    "<div class=\"text {tag}\"><b aria-hidden=\"true\">{sign}</b><{tag}>{text}</{tag}></div>"
                )?;
            }
        }
        return Ok(());
    };
    write!(f, "<div class=\"text\"><span>")?;
    for (kind, part) in &parts {
        match kind {
            Kind::Same => write!(f, "{}", Text(part))?,
            Kind::Removed => write!(f, "<del>{}</del>", Text(part))?,
            Kind::Added => write!(f, "<ins>{}</ins>", Text(part))?,
        }
    }
    writeln!(f, "{}</span></div>", new.rest())
}

fn demos(f: &mut fmt::Formatter<'_>, title: &str, sign: &str, demos: &[Demo], limits: Limits) -> fmt::Result {
    if demos.is_empty() {
        return Ok(());
    }
    let made = demos.iter().filter(|demo| demo.augmented).count();
    writeln!(
        f,
        "<h4>{title}: {}</h4>\n<p>{made} bootstrapped, {} labelled.</p>",
        demos.len(),
        demos.len() - made
    )?;
    for demo in demos.iter().take(limits.demos) {
        writeln!(f, "<div class=\"demo\"><b aria-hidden=\"true\">{sign}</b><dl>")?;
        for (name, value) in demo.values.iter().take(FIELDS) {
            let other;
            let text = match value {
                Value::String(text) => text.as_str(),
                value => {
                    other = value.to_string();
                    &other
                }
            };
            writeln!(
                f,
                "<div><dt>{}</dt><dd>{}</dd></div>",
                Text(name).most(LABEL / 3),
                Text(text).most(limits.value)
            )?;
        }
        if demo.values.len() > FIELDS {
            writeln!(
                f,
                "<div><dt>…</dt><dd>{}</dd></div>",
                counted((demo.values.len() - FIELDS) as u64, "more field")
            )?;
        }
        writeln!(f, "</dl></div>")?;
    }
    left_out(f, limits.demos, demos.len(), "demonstration")
}
