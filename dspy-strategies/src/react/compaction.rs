//! The view of a long log: old results are removed first, then old turns are summarised.

use dspy_core::lm::Part;
use dspy_core::predict::Predictor;
use dspy_core::program::hold_trace;
use dspy_core::signature::{FieldSpec, Role, SignatureSpec, Values};
use dspy_core::types::{ShownTurns, Trajectory, Turn};
use dspy_core::{Error, Result};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::text::clipped;

/// The share of the context window at which the log is made shorter.
const FULL: f64 = 0.75;

/// The number of latest turns that stay as they are.
const KEPT: usize = 2;

/// The largest result that is kept when old results are removed.
const SMALL: usize = 200;

/// The size of an image, in bytes of text with as many tokens.
const MEDIA: usize = 4_000;

/// The part of the log that the model sees.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub(super) struct View {
    /// A summary of the turns before `from`.
    summary: Option<String>,
    /// The first turn that is shown.
    from: usize,
    /// The first turn whose results are shown whole.
    cleared: usize,
    /// The number of turns when a summary brought no gain; there is none before the log has doubled.
    gainless: usize,
}

/// The turns that the model sees, rendered as far as they were shown before.
#[derive(Debug, Default)]
pub(super) struct Shown {
    view: View,
    turns: ShownTurns,
    /// The number of turns of the log that are in it, or before those that are shown.
    until: usize,
}

impl Shown {
    /// Returns the turns of a log, all of which are complete, as the model sees them.
    pub(super) fn of(&mut self, view: &View, log: &Trajectory) -> &ShownTurns {
        if self.view != *view || self.until > log.turns.len() {
            let turns = ShownTurns::new(view.summary.as_deref());
            *self = Shown { view: view.clone(), turns, until: 0 };
        }
        let from = self.until.max(view.from);
        for (index, turn) in log.turns.iter().enumerate().skip(from) {
            self.turns.push(if index < view.cleared { cleared(turn) } else { turn.clone() });
        }
        self.until = log.turns.len();
        &self.turns
    }
}

/// Returns turns whose results have lost what is beyond this number of bytes, and their media.
pub(super) fn with_short_results(mut shown: Trajectory, most: usize) -> Trajectory {
    for result in shown.turns.iter_mut().flat_map(|turn| &mut turn.results) {
        result.text = clipped(&result.text, most);
        // The text has placeholders of the media.
        result.parts.clear();
    }
    shown
}

impl View {
    /// Returns the turns as the model sees them.
    pub(super) fn of(&self, log: &Trajectory) -> Trajectory {
        let turns = log.turns.iter().enumerate().skip(self.from);
        let turns =
            turns.map(|(index, turn)| if index < self.cleared { cleared(turn) } else { turn.clone() });
        let mut shown: Trajectory = turns.collect();
        shown.summary.clone_from(&self.summary);
        shown
    }

    /// Returns whether the view is one of a log with so many turns.
    pub(super) fn fits(&self, turns: usize) -> bool {
        self.from <= turns && self.cleared <= turns && self.gainless <= turns
    }

    /// Returns whether a prompt of that size is too close to the context window.
    pub(super) fn is_full(prompt_tokens: u64, context_tokens: Option<u64>) -> bool {
        context_tokens.is_some_and(|window| prompt_tokens as f64 >= window as f64 * FULL)
    }

    /// Makes the shown turns shorter. Returns whether they are.
    ///
    /// # Errors
    /// If the model that summarises fails.
    pub(super) async fn shorten(
        &mut self,
        log: &Trajectory,
        summarizer: &Predictor,
        urgent: bool,
    ) -> Result<bool> {
        let kept = if urgent { 1 } else { KEPT };
        let until = log.turns.len().saturating_sub(kept);
        let before = size(&self.of(log));
        if self.cleared < until {
            self.cleared = until;
            if gained(before, size(&self.of(log))) && !urgent {
                return Ok(true);
            }
        }
        if self.from < until && (urgent || log.turns.len() >= self.gainless * 2) {
            let old: Trajectory = log.turns[self.from..until].iter().map(cleared).collect();
            let mut told = old.clone();
            told.summary.clone_from(&self.summary);
            let inputs = Values::from_iter([("turns".to_owned(), told.to_string().into())]);
            let (answer, _) = hold_trace(summarizer.call(inputs)).await;
            let text = match &answer {
                Ok(answer) => {
                    answer.get("summary").and_then(Value::as_str).unwrap_or_default().trim().to_owned()
                }
                // A summary that cannot be read is none.
                Err(Error::Parse(_)) => String::new(),
                Err(_) => return answer.map(|_| false),
            };
            if !text.is_empty() && text.len() < told.to_string().len() {
                (self.summary, self.from) = (Some(text), until);
            } else {
                self.gainless = log.turns.len();
            }
        }
        Ok(gained(before, size(&self.of(log))))
    }
}

/// Returns a turn with only its short results.
fn cleared(turn: &Turn) -> Turn {
    let mut turn = turn.clone();
    for result in &mut turn.results {
        if result.text.len() > SMALL || !result.parts.is_empty() {
            result.parts.clear();
            result.text = format!("(a result of {} bytes, removed to save space)", result.text.len());
        }
    }
    turn
}

fn size(shown: &Trajectory) -> usize {
    let results = shown.turns.iter().flat_map(|turn| &turn.results);
    let media = results.flat_map(|result| &result.parts).filter(|part| matches!(part, Part::Media(_)));
    shown.to_string().len() + media.count() * MEDIA
}

fn gained(before: usize, after: usize) -> bool {
    after as f64 <= before as f64 * 0.9
}

/// The predictor that summarises old turns.
pub(super) fn summarizer() -> Predictor {
    let summary = "Under the headings Goal, Done, Facts, Open and Failed: what the task asks for, what was done, every \
                   fact, name, number and id that may still be needed, what is left to do, and what did not work.";
    let fields = [
        FieldSpec::text(
            Role::Input,
            "turns",
            "The turns of an agent: thoughts, calls of tools and their results.",
        ),
        FieldSpec::text(Role::Output, "summary", summary),
    ];
    let instruction =
        "Summarise the turns of an agent, so that it can continue without reading them. Invent nothing.";
    Predictor::new(SignatureSpec::new("Summarise", instruction, fields))
}
