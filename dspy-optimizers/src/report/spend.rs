//! The cost of an optimization by phase, kind of call and model.

use std::fmt;

use dspy_core::lm::Usage;
use serde::{Deserialize, Serialize};

use crate::counts::counted;

/// The purpose of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum CallKind {
    /// Runs of programs, and of metrics that call models.
    #[default]
    Program,
    /// Other effects, such as proposals of instructions.
    Proposer,
    /// Embeddings of texts.
    Embedding,
}

impl fmt::Display for CallKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            CallKind::Program => "program",
            CallKind::Proposer => "proposer",
            CallKind::Embedding => "embedding",
        })
    }
}

/// The cost of an optimization by phase, kind of call and model. The entries add up to
/// [`Report::usage`](crate::Report::usage); every call is in exactly one, also after a resume.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Spend {
    pub(crate) entries: Vec<SpendEntry>,
}

/// The cost of the calls of one kind of one model in a phase.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[non_exhaustive]
pub struct SpendEntry {
    /// The path of the study inside others; empty for the outermost.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub study: String,
    /// The name of the phase; empty for calls before the first one. A study has up to 32 phases; calls of further
    /// ones are under `other phases`.
    pub phase: String,
    /// The purpose of the calls.
    pub kind: CallKind,
    /// The name of the model.
    pub model: String,
    /// The cost. Its `cost_usd` is `None` if the price of any call is unknown.
    pub usage: Usage,
    /// The number of further calls that a cache has answered, at no cost.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub cached: u64,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde wants it so")]
fn is_zero(count: &u64) -> bool {
    *count == 0
}

/// A sum of [entries](SpendEntry).
#[derive(Debug, Clone, PartialEq, Default)]
#[non_exhaustive]
pub struct SpendSum {
    /// The name that the entries have in common.
    pub name: String,
    /// The total cost. Its `cost_usd` is `None` if the price of any call is unknown.
    pub usage: Usage,
    /// The number of calls that a cache has answered.
    pub cached: u64,
}

impl Spend {
    /// Returns the entries, by study and phase in the order of the run.
    pub fn entries(&self) -> &[SpendEntry] {
        &self.entries
    }

    /// Returns the cost of each phase, in the order of the run. The name is the path of the study with that of
    /// the phase.
    pub fn by_phase(&self) -> Vec<SpendSum> {
        self.sums(|entry| format!("{}{}", entry.study, entry.phase))
    }

    /// Returns the cost of each model, in the order of their first calls.
    pub fn by_model(&self) -> Vec<SpendSum> {
        self.sums(|entry| entry.model.clone())
    }

    /// Returns the cost of the calls of one kind.
    pub fn of(&self, kind: CallKind) -> SpendSum {
        let sums = self.sums(|entry| entry.kind.to_string());
        let name = kind.to_string();
        sums.into_iter().find(|sum| sum.name == name).unwrap_or(SpendSum { name, ..SpendSum::default() })
    }

    fn sums(&self, name: impl Fn(&SpendEntry) -> String) -> Vec<SpendSum> {
        let mut sums: Vec<SpendSum> = Vec::new();
        for entry in &self.entries {
            let name = name(entry);
            let place = sums.iter().position(|sum| sum.name == name).unwrap_or_else(|| {
                sums.push(SpendSum { name, ..SpendSum::default() });
                sums.len() - 1
            });
            sums[place].usage += entry.usage;
            sums[place].cached += entry.cached;
        }
        sums
    }
}

/// The facts of a run that differ between runs with equal results: times, and the part that earlier processes have
/// paid. Reports are compared without them.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[non_exhaustive]
pub struct RunFacts {
    /// The duration in seconds, including earlier processes.
    pub seconds: f64,
    /// The part of it that earlier processes took, if the run was resumed.
    pub earlier_seconds: f64,
    /// The part of [`Report::usage`](crate::Report::usage) that earlier processes have paid, if the run was
    /// resumed. This process has read the replies from the journal.
    pub paid_earlier: Usage,
    /// The calls that were in flight when an earlier process ended, if there were any. As it is not known whether they
    /// were made, the budget counts them, and [`Report::usage`](crate::Report::usage) does not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub written_off: Option<WrittenOff>,
    /// The time of each phase in this process.
    pub phases: Vec<PhaseTime>,
}

impl RunFacts {
    /// Returns a warning of calls whose replies are unknown, if there are any.
    pub(crate) fn warning(&self) -> Option<String> {
        let WrittenOff { calls, tokens, cost_usd } = self.written_off?;
        let calls = counted(calls, "call");
        let known = [tokens.map(|tokens| counted(tokens, "token")), cost_usd.map(|usd| format!("${usd:.4}"))];
        let known = known.into_iter().flatten().fold(calls.clone(), |all, part| all + ", " + &part);
        let unknown = match (tokens, cost_usd) {
            (Some(_), Some(_)) => String::new(),
            (Some(_), None) => unknown("US dollars"),
            (None, Some(_)) => unknown("tokens"),
            (None, None) => unknown("tokens and US dollars"),
        };
        Some(format!(
            "the replies of {calls} are unknown, as an earlier process ended meanwhile; the cost of this report leaves \
             them out, but they count against the budget at their highest possible cost: {known}{unknown}"
        ))
    }
}

/// Says what is not known about calls that were written off, and how limits count them.
fn unknown(quantity: &str) -> String {
    format!(
        "; their {quantity} are unknown, as no limit needed them, and a limit that was set later counts each at the \
         highest cost of an answered call"
    )
}

/// Calls that were in flight when an earlier process ended, so that their replies are unknown.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct WrittenOff {
    /// The number of calls.
    pub calls: u64,
    /// The most tokens that they may have used; `None` if it is unknown, as no limit of the budget was in tokens or US
    /// dollars when they were made.
    pub tokens: Option<u64>,
    /// The most US dollars that they may have cost; `None` if it is unknown, as no limit of the budget was in US dollars
    /// when they were made, or the price was unknown.
    pub cost_usd: Option<f64>,
}

/// The time of a phase.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[non_exhaustive]
pub struct PhaseTime {
    /// The path of the study inside others; empty for the outermost.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub study: String,
    /// The name of the phase.
    pub phase: String,
    /// Its duration in seconds, including that of studies nested in it.
    pub seconds: f64,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(phase: &str, kind: CallKind, model: &str, usage: Usage) -> SpendEntry {
        let (phase, model) = (phase.to_owned(), model.to_owned());
        SpendEntry { phase, kind, model, usage, cached: 1, ..SpendEntry::default() }
    }

    #[test]
    fn a_cost_that_is_not_known_is_not_called_zero() {
        let facts = |calls, tokens, cost_usd| {
            let written_off = Some(WrittenOff { calls, tokens, cost_usd });
            RunFacts { written_off, ..RunFacts::default() }
        };
        assert_eq!(RunFacts::default().warning(), None);
        let nothing = facts(2, None, None);
        let unknown = nothing.warning().unwrap();
        assert!(unknown.contains(": 2 calls; their tokens and US dollars are unknown"), "{unknown}");
        let json = serde_json::to_value(&nothing).unwrap();
        let written = serde_json::json!({"calls": 2, "tokens": null, "cost_usd": null});
        assert_eq!(json["written_off"], written);
        assert_eq!(serde_json::from_value::<RunFacts>(json).unwrap(), nothing);
        assert!(serde_json::to_value(RunFacts::default()).unwrap().get("written_off").is_none());
        let tokens = facts(2, Some(70), None).warning().unwrap();
        assert!(tokens.contains(": 2 calls, 70 tokens; their US dollars are unknown"), "{tokens}");
        let known = facts(1, Some(70), Some(0.25)).warning().unwrap();
        assert!(known.ends_with(": 1 call, 70 tokens, $0.2500"), "{known}");
    }

    #[test]
    fn an_unknown_price_makes_a_sum_unknown_and_never_zero() {
        let priced = Usage::tokens(10, 2).at_cost(0.5);
        let spend = Spend {
            entries: vec![
                entry("bootstrap", CallKind::Program, "a", priced),
                entry("search", CallKind::Program, "a", priced),
                entry("search", CallKind::Proposer, "b", Usage::tokens(7, 1)),
            ],
        };
        let costs = |sums: Vec<SpendSum>| -> Vec<_> {
            sums.into_iter()
                .map(|sum| (sum.name, sum.usage.requests, sum.usage.cost_usd, sum.cached))
                .collect()
        };
        assert_eq!(
            costs(spend.by_phase()),
            [("bootstrap".into(), 1, Some(0.5), 1), ("search".into(), 2, None, 2)]
        );
        assert_eq!(costs(spend.by_model()), [("a".into(), 2, Some(1.0), 2), ("b".into(), 1, None, 1)]);
        assert_eq!(spend.of(CallKind::Proposer).usage, Usage::tokens(7, 1));
        assert_eq!(
            spend.of(CallKind::Embedding),
            SpendSum { name: "embedding".into(), ..SpendSum::default() }
        );
    }
}
