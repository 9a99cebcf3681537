//! The limits of a run.

use std::fmt;
use std::time::Duration;

use dspy_core::lm::Part;
use dspy_core::types::Turn;

use super::state::AgentState;
use crate::account::{Allowance, Reached};
use crate::text::clipped;

/// The maximum number of images, recordings and files in a result.
const MEDIA: usize = 16;

/// The longest sequence of turns that is recognised when it is repeated.
const LONGEST_SEQUENCE: usize = 4;

/// The reason why a run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Termination {
    /// The model called `finish`.
    Finish,
    /// The limit of turns was reached.
    MaxTurns,
    /// The limit of tokens was reached.
    MaxTokens,
    /// The limit of money was reached.
    MaxCost,
    /// The model twice called no tool.
    NoCalls,
    /// The model repeated the same calls with the same results.
    Repeats,
    /// The prompt exceeded the context window and could not be made shorter.
    ContextWindow,
}

impl Termination {
    /// Returns the reason as text: the value of `termination` in
    /// [`Prediction::added`](dspy_core::predict::Prediction::added).
    pub const fn as_str(self) -> &'static str {
        match self {
            Termination::Finish => "finish",
            Termination::MaxTurns => "max_turns",
            Termination::MaxTokens => "max_tokens",
            Termination::MaxCost => "max_cost",
            Termination::NoCalls => "no_calls",
            Termination::Repeats => "repeats",
            Termination::ContextWindow => "context_window",
        }
    }
}

impl fmt::Display for Termination {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    pub(super) turns: usize,
    pub(super) spending: Allowance,
    /// The maximum number of calls of a turn that run.
    pub(super) calls: usize,
    /// The number of equal sequences of turns in a row that ends the run.
    pub(super) repeats: usize,
    /// The number of tools in flight.
    pub(super) concurrency: usize,
    pub(super) tool_time: Duration,
    pub(super) result_bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            turns: 20,
            spending: Allowance::default(),
            calls: 64,
            repeats: 3,
            concurrency: 8,
            tool_time: Duration::from_mins(2),
            result_bytes: 20_000,
        }
    }
}

impl Limits {
    /// Returns the limit that the run has reached.
    pub(super) fn reached(&self, state: &AgentState, spending: Option<Reached>) -> Option<Termination> {
        if state.turns >= self.turns {
            Some(Termination::MaxTurns)
        } else if let Some(limit) = spending {
            Some(match limit {
                Reached::Tokens => Termination::MaxTokens,
                Reached::Cost => Termination::MaxCost,
            })
        } else if idle(state) {
            Some(Termination::NoCalls)
        } else if self.repeated(&state.log.turns) {
            Some(Termination::Repeats)
        } else {
            None
        }
    }

    /// Returns whether the last turns are a short sequence that is repeated, with the same calls and the same results.
    fn repeated(&self, turns: &[Turn]) -> bool {
        (1..=LONGEST_SEQUENCE).any(|length| {
            // A sequence that is repeated is one in which each turn equals the one `length` before it.
            let needed = length.saturating_mul(self.repeats.saturating_sub(1));
            let pairs = turns.iter().rev().zip(turns.iter().rev().skip(length));
            self.repeats > 0
                && turns.len() >= length.saturating_mul(self.repeats)
                && turns[turns.len() - length..].iter().all(|turn| !turn.calls.is_empty())
                && pairs.take(needed).all(|(later, earlier)| same(later, earlier))
        })
    }

    /// Returns a result without the middle of what is too long.
    pub(super) fn clipped(&self, text: &str) -> String {
        clipped(text, self.result_bytes)
    }

    /// Returns the parts of a result with only as much text as a result may have, and with a bounded number of media.
    pub(super) fn clipped_parts(&self, parts: &[Part]) -> Vec<Part> {
        let (mut kept, mut room, mut media, mut left_out) = (Vec::new(), self.result_bytes, 0, (0, 0));
        for part in parts {
            match part {
                Part::Text(text) if text.len() <= room => {
                    room -= text.len();
                    kept.push(part.clone());
                }
                Part::Text(text) => {
                    let end = text.floor_char_boundary(room);
                    room = 0;
                    left_out.0 += text.len() - end;
                    kept.extend((end > 0).then(|| Part::Text(text[..end].into())));
                }
                _ if media < MEDIA => {
                    media += 1;
                    kept.push(part.clone());
                }
                _ => left_out.1 += 1,
            }
        }
        let note = match left_out {
            (0, 0) => return kept,
            (bytes, 0) => format!("\n[… {bytes} bytes left out …]"),
            (0, media) => format!("\n[… {media} media left out …]"),
            (bytes, media) => format!("\n[… {bytes} bytes and {media} media left out …]"),
        };
        kept.push(Part::Text(note.into()));
        kept
    }
}

/// Returns whether the last two turns called nothing.
fn idle(state: &AgentState) -> bool {
    let turns = &state.log.turns;
    turns.len() >= 2 && turns[turns.len() - 2..].iter().all(|turn| turn.calls.is_empty())
}

fn same(a: &Turn, b: &Turn) -> bool {
    let calls = a.calls.iter().zip(&b.calls).all(|(a, b)| a.name == b.name && a.arguments == b.arguments);
    let results = a.results.iter().zip(&b.results).all(|(a, b)| a.text == b.text && a.parts == b.parts);
    a.calls.len() == b.calls.len() && a.results.len() == b.results.len() && calls && results
}
