//! The `Display` forms of a report and its trials.

use std::fmt::{self, Write as _};

use dspy_base::shown::Shown;
use dspy_core::lm::Usage;

use super::{Report, Spend, SpendEntry, Stopped, Trial, Verification};
use crate::counts::counted;

/// The largest number of candidates that are listed.
const LISTED: usize = 10;

impl fmt::Display for Stopped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Stopped::Finished => f.write_str("all candidates were tried"),
            Stopped::NoHeadroom => f.write_str("no headroom is left"),
            Stopped::ConstantMetric => f.write_str("the metric gives every answer the same score"),
            Stopped::ScoreReached => f.write_str("the score to stop at was reached"),
            Stopped::Budget(limit) => write!(f, "the budget was exhausted ({limit})"),
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Instructions, labels and remarks have text of models.
        let f = &mut Shown(f);
        write!(f, "{}, seed {}", self.optimizer, self.seed)?;
        let partial = self.best_trial().and_then(|best| best.partial).map(|partial| partial.to_string());
        if let Some(score) = self.score().map(percent).or(partial) {
            write!(f, ": {score}")?;
            if let Some(baseline) = self.baseline {
                write!(f, ", from {}", percent(baseline))?;
            }
            f.write_str(", on rows of the search")?;
        }
        writeln!(f)?;
        if self.trials.is_empty() {
            writeln!(f, "  no candidate was completed, so the result is the original program")?;
        }
        let best = self.best_trial();
        for trial in self.ranking().into_iter().take(LISTED) {
            let mark = if best.is_some_and(|best| std::ptr::eq(best, trial)) { '*' } else { ' ' };
            writeln!(f, "{mark} {trial}")?;
        }
        if self.trials.len() > LISTED {
            writeln!(f, "    … and {} more", self.trials.len() - LISTED)?;
        }
        write!(f, "cost: {}", cost(&self.usage))?;
        if self.run.paid_earlier.requests > 0 {
            write!(f, " ({} by earlier processes)", cost(&self.run.paid_earlier))?;
        }
        writeln!(f, "; {}", self.stopped)?;
        if self.spend.entries().len() > 1 {
            write!(f, "{}", self.spend)?;
        }
        if let Some(headroom) = &self.headroom {
            writeln!(f, "{headroom}")?;
        }
        if self.verification != Verification::Off || self.has_gain() {
            writeln!(f, "{}", self.verification)?;
        }
        for decision in &self.decisions {
            writeln!(f, "decision: {}", one_line(decision))?;
        }
        for warning in self.warnings.iter().chain(&self.run.warning()) {
            writeln!(f, "warning: {}", one_line(warning))?;
        }
        write!(f, "{}", self.changes())
    }
}

impl fmt::Display for Trial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let f = &mut Shown(f);
        match self.score {
            Some(score) => write!(f, "{:>7}  ", percent(score))?,
            None => write!(f, "      -  ")?,
        }
        write!(f, "{}", self.label)?;
        for (index, note) in self.notes.iter().enumerate() {
            write!(f, "{}{}", if index == 0 { " (" } else { "; " }, one_line(note))?;
        }
        if self.notes.is_empty() { Ok(()) } else { write!(f, ")") }
    }
}

/// Prints a table: phase, kind of call, model, cost.
impl fmt::Display for Spend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let f = &mut Shown(f);
        let entries = &self.entries()[..self.entries().len().min(LISTED)];
        let rows = entries.iter().map(|SpendEntry { study, phase, kind, model, usage, cached }| {
            let usd = match usage.cost_usd {
                Some(usd) => format!("${usd:.4}"),
                None if usage.requests == 0 => "-".into(),
                None => "price unknown".into(),
            };
            let cached = if *cached > 0 { format!(", {cached} from a cache") } else { String::new() };
            let tokens = format!("{} + {}", usage.prompt_tokens, counted(usage.completion_tokens, "token"));
            [
                format!("{study}{phase}"),
                kind.to_string(),
                model.clone(),
                counted(usage.requests, "call"),
                tokens,
                usd + &cached,
            ]
        });
        let rows: Vec<[String; 6]> = rows.collect();
        let widths: [usize; 5] = std::array::from_fn(|column| {
            rows.iter().map(|row| row[column].chars().count()).max().unwrap_or_default()
        });
        for [phase, kind, model, calls, tokens, usd] in &rows {
            let [of_phase, of_kind, of_model, of_calls, of_tokens] = widths;
            writeln!(
                f,
                "  {phase:of_phase$}  {kind:of_kind$}  {model:of_model$}  {calls:>of_calls$}  {tokens:>of_tokens$}  {usd}"
            )?;
        }
        let more = self.entries().len() - rows.len();
        if more > 0 { writeln!(f, "  … and {more} more") } else { Ok(()) }
    }
}

/// Formats a cost; dollars are left out if a price is unknown.
pub(super) fn cost(usage: &Usage) -> String {
    let usd = usage.cost_usd.map_or_else(String::new, |usd| format!(", ${usd:.4}"));
    format!("{}, {}{usd}", counted(usage.requests, "call"), counted(usage.total_tokens(), "token"))
}

/// The largest number of characters of a remark in a summary.
const REMARK: usize = 400;

/// Returns a remark as one line of bounded length. Reports have the whole.
fn one_line(text: &str) -> String {
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    let end = line.char_indices().nth(REMARK).map_or(line.len(), |(at, _)| at);
    let more = line[end..].chars().count();
    if more == 0 {
        line
    } else {
        format!("{}… ({} in the report)", &line[..end], counted(more, "more character"))
    }
}

pub(crate) fn percent(score: f64) -> String {
    format!("{:.1} %", score * 100.0)
}
