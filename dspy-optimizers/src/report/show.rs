//! The `Display` forms of a report and its trials.

use std::fmt;

use super::{Report, Stopped, Trial, Verification};

/// The largest number of candidates that are listed.
const LISTED: usize = 10;

impl fmt::Display for Stopped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Stopped::Finished => f.write_str("all candidates were tried"),
            Stopped::NoHeadroom => f.write_str("the original program leaves no headroom"),
            Stopped::ScoreReached => f.write_str("the score to stop at was reached"),
            Stopped::Budget(limit) => write!(f, "the budget was exhausted ({limit})"),
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, seed {}", self.optimizer, self.seed)?;
        if let Some(score) = self.score() {
            write!(f, ": {}", percent(score))?;
            if let Some(baseline) = self.baseline {
                write!(f, ", from {}", percent(baseline))?;
            }
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
        let usage = self.usage;
        write!(f, "cost: {} calls, {} tokens", usage.requests, usage.total_tokens())?;
        if let Some(usd) = usage.cost_usd {
            write!(f, ", ${usd:.4}")?;
        }
        writeln!(f, "; {}", self.stopped)?;
        if let Some(headroom) = &self.headroom {
            writeln!(f, "{headroom}")?;
        }
        if self.verification != Verification::Off {
            writeln!(f, "{}", self.verification)?;
        }
        for decision in &self.decisions {
            writeln!(f, "decision: {decision}")?;
        }
        for warning in &self.warnings {
            writeln!(f, "warning: {warning}")?;
        }
        write!(f, "{}", self.changes())
    }
}

impl fmt::Display for Trial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.score {
            Some(score) => write!(f, "{:>7}  ", percent(score))?,
            None => write!(f, "      -  ")?,
        }
        write!(f, "{}", self.label)?;
        for (index, note) in self.notes.iter().enumerate() {
            write!(f, "{}{note}", if index == 0 { " (" } else { "; " })?;
        }
        if self.notes.is_empty() { Ok(()) } else { write!(f, ")") }
    }
}

pub(crate) fn percent(score: f64) -> String {
    format!("{:.1} %", score * 100.0)
}
