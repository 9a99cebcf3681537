//! The cost of calls by study, phase, kind and model.

use dspy_core::lm::{Response, Tally};

use super::event::Outcome;
use crate::report::{CallKind, Spend, SpendEntry};

/// The largest number of phases of a study.
const PHASES: usize = 32;
/// The largest number of entries.
const ENTRIES: usize = 1_024;
/// The phase of the calls beyond these.
const OTHER: &str = "other phases";

/// The cost of the calls so far.
#[derive(Debug, Clone, Default)]
pub(super) struct SpendBook(Vec<Entry>);

#[derive(Debug, Clone)]
struct Entry {
    study: String,
    phase: String,
    kind: CallKind,
    model: String,
    tally: Tally,
    cached: u64,
}

/// Returns the cost of a call.
pub(super) fn cost(outcome: &Outcome) -> Tally {
    match outcome {
        Outcome::Answered(response) => Tally::answered(response),
        Outcome::Refused(_) => Tally::refused(),
    }
}

impl SpendBook {
    pub(super) fn add(&mut self, study: &str, phase: &str, kind: CallKind, model: &str, outcome: &Outcome) {
        let is_cached = matches!(outcome, Outcome::Answered(Response { cached: true, .. }));
        if is_cached && kind == CallKind::Embedding {
            // Computed in this process, or cached: no call of a model either way.
            return;
        }
        let entry = self.entry(study, phase, kind, model);
        entry.tally.add(cost(outcome));
        entry.cached += u64::from(is_cached);
    }

    fn entry(&mut self, study: &str, phase: &str, kind: CallKind, model: &str) -> &mut Entry {
        let place = self.place(study, phase, kind, model).unwrap_or_else(|| {
            let phases = self.phases(study);
            let is_new = !phases.contains(&phase);
            let (study, phase) = if self.0.len() >= ENTRIES {
                ("", OTHER)
            } else if is_new && phases.len() >= PHASES {
                (study, OTHER)
            } else {
                (study, phase)
            };
            self.place(study, phase, kind, model).unwrap_or_else(|| {
                self.0.push(Entry {
                    study: study.to_owned(),
                    phase: phase.to_owned(),
                    kind,
                    model: model.to_owned(),
                    tally: Tally::default(),
                    cached: 0,
                });
                self.0.len() - 1
            })
        });
        &mut self.0[place]
    }

    /// Returns the place of an entry. Most calls are of the latest phase.
    fn place(&self, study: &str, phase: &str, kind: CallKind, model: &str) -> Option<usize> {
        self.0.iter().rposition(|entry| {
            entry.kind == kind && entry.phase == phase && entry.model == model && entry.study == study
        })
    }

    /// Returns the phases of a study, in the order of their first calls.
    fn phases(&self, study: &str) -> Vec<&str> {
        let mut phases: Vec<&str> = Vec::new();
        for entry in self.0.iter().filter(|entry| entry.study == study) {
            if !phases.contains(&entry.phase.as_str()) {
                phases.push(&entry.phase);
            }
        }
        phases
    }

    /// Returns the cost of a study with the studies nested in it, in an order that does not depend on the
    /// concurrency.
    pub(super) fn of(&self, study: &str) -> Spend {
        let mut entries: Vec<(&str, usize, &Entry)> = Vec::new();
        for entry in &self.0 {
            if let Some(inner) = entry.study.strip_prefix(study) {
                let phase = self.phases(&entry.study).iter().position(|phase| *phase == entry.phase);
                entries.push((inner, phase.unwrap_or_default(), entry));
            }
        }
        entries.sort_by(|(study, phase, a), (other_study, other_phase, b)| {
            (study, phase, a.kind, &a.model).cmp(&(other_study, other_phase, b.kind, &b.model))
        });
        let entry = |(study, _, entry): (&str, usize, &Entry)| SpendEntry {
            study: study.to_owned(),
            phase: entry.phase.clone(),
            kind: entry.kind,
            model: entry.model.clone(),
            usage: entry.tally.usage(),
            cached: entry.cached,
        };
        Spend { entries: entries.into_iter().map(entry).collect() }
    }
}

#[cfg(test)]
mod tests {
    use dspy_core::lm::Usage;

    use super::*;

    fn answered(cached: bool) -> Outcome {
        let mut response = Response::text("yes").with_usage(Usage::tokens(5, 1).at_cost(0.25));
        response.cached = cached;
        Outcome::Answered(response)
    }

    #[test]
    fn every_call_is_in_one_entry() {
        let mut book = SpendBook::default();
        for number in 0..5_000 {
            let phase = format!("phase {number}");
            book.add("", &phase, CallKind::Program, "m", &answered(number % 2 == 0));
            book.add(&format!("step-{number}/"), "search", CallKind::Proposer, "n", &answered(false));
        }
        let spend = book.of("");
        assert!(spend.entries().len() <= ENTRIES + 2);
        let calls: u64 = spend.entries().iter().map(|entry| entry.usage.requests).sum();
        let cached: u64 = spend.entries().iter().map(|entry| entry.cached).sum();
        assert_eq!((calls, cached), (7_500, 2_500));
        assert_eq!(spend.of(CallKind::Proposer).usage.requests, 5_000);
        assert_eq!(spend.by_phase()[0].name, "phase 0");
        assert!(spend.by_phase().iter().any(|sum| sum.name == OTHER));
        assert_eq!(book.of("step-7/").entries().len(), 1);
    }

    #[test]
    fn answers_from_a_cache_are_counted_and_cost_nothing() {
        let mut book = SpendBook::default();
        book.add("", "p", CallKind::Program, "m", &answered(true));
        let usage = book.of("").entries()[0].usage;
        assert_eq!((usage.requests, usage.cost_usd), (0, None), "nothing was paid, at no known price");
        book.add("", "p", CallKind::Program, "m", &answered(false));
        let spend = book.of("");
        let entry = &spend.entries()[0];
        assert_eq!((entry.usage.requests, entry.usage.cost_usd, entry.cached), (1, Some(0.25), 1));
    }
}
