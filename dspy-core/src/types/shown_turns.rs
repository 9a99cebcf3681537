//! The turns of an agent as its prompts show them, each rendered once.

use std::sync::{Arc, OnceLock};

use serde_json::Value;

use super::trajectory::{SUMMARY, Trajectory, Turn};
use crate::lm::{Message, Part};

/// The turns of an agent with what prompts show of them. Clones share the turns.
#[derive(Debug, Clone, Default)]
pub struct ShownTurns {
    summary: Option<Arc<str>>,
    turns: Vec<Arc<ShownTurn>>,
}

/// A turn, and its forms in prompts, made on first use.
#[derive(Debug)]
struct ShownTurn {
    turn: Turn,
    messages: OnceLock<Arc<[Message]>>,
    /// The text below the number of the turn; `None` if the turn has media.
    text: OnceLock<Option<Arc<str>>>,
}

impl ShownTurns {
    /// Creates an empty list, below a summary of earlier turns.
    pub fn new(summary: Option<&str>) -> Self {
        ShownTurns { summary: summary.map(Into::into), turns: Vec::new() }
    }

    /// Appends a turn, which is complete.
    pub fn push(&mut self, turn: Turn) {
        let (messages, text) = (OnceLock::new(), OnceLock::new());
        self.turns.push(Arc::new(ShownTurn { turn, messages, text }));
    }

    /// Returns the turns as the value of an input field.
    pub(crate) fn to_value(&self) -> Value {
        let mut shown: Trajectory = self.turns.iter().map(|shown| shown.turn.clone()).collect();
        shown.summary = self.summary.as_deref().map(str::to_owned);
        serde_json::to_value(shown).unwrap_or_default()
    }

    /// Returns the same messages as [`Trajectory::messages`].
    pub(crate) fn messages(&self) -> Vec<Message> {
        let mut messages = Vec::with_capacity(2 * self.turns.len() + 1);
        messages.extend(self.summary.as_deref().map(super::trajectory::summary_message));
        for shown in &self.turns {
            let own = shown.messages.get_or_init(|| {
                let mut own = Vec::new();
                shown.turn.push_messages(&mut own);
                own.into()
            });
            messages.extend_from_slice(own);
        }
        messages
    }

    /// Returns the same text as [`Trajectory`] shows; `None` if there are media in it.
    pub(crate) fn text(&self) -> Option<String> {
        let texts: Option<Vec<&str>> = self.turns.iter().map(|shown| shown.text()).collect();
        let texts = texts?;
        let mut out = String::with_capacity(64 + texts.iter().map(|text| text.len() + 16).sum::<usize>());
        if let Some(summary) = &self.summary {
            out.push_str(&format!("{SUMMARY}{summary}\n\n"));
        }
        for (index, text) in texts.into_iter().enumerate() {
            Trajectory::push_number(&mut out, index);
            out.push_str(text);
        }
        if self.turns.is_empty() && self.summary.is_none() {
            out.push_str(Trajectory::EMPTY);
        }
        Some(out)
    }
}

impl ShownTurn {
    fn text(&self) -> Option<&str> {
        let text = self.text.get_or_init(|| match &self.turn.parts()[..] {
            [] => Some("".into()),
            [Part::Text(text)] => Some(text.clone()),
            _ => None,
        });
        text.as_deref()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::{Observation, Trajectory, Turn};
    use super::*;
    use crate::lm::ToolCall;

    #[test]
    fn the_same_is_shown_as_without_sharing() {
        let call = ToolCall::new("rain", json!({"city": "Bergen"})).with_id("a");
        let mut first = Turn::new("I look. ", [call.clone(), call.with_id("b")]);
        first.results.push(Observation::new("a", "rain", "12 mm\nor more\n\n"));
        let second = Turn { note: Some("No tool was called.".into()), ..Turn::default() };
        let turns = [first, second, Turn::default(), Turn::new("Known.", [])];
        for summary in [None, Some("Earlier.")] {
            for count in 0..=turns.len() {
                let mut log: Trajectory = turns[..count].iter().cloned().collect();
                log.summary = summary.map(str::to_owned);
                let mut shown = ShownTurns::new(summary);
                turns[..count].iter().cloned().for_each(|turn| shown.push(turn));
                for _ in 0..2 {
                    assert_eq!(shown.text().unwrap(), log.to_string());
                    assert_eq!(shown.messages(), log.messages());
                    assert_eq!(shown.to_value(), serde_json::to_value(&log).unwrap());
                }
            }
        }
    }
}
