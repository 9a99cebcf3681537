//! The turns of a conversation as an input field.

use std::borrow::Cow;
use std::collections::VecDeque;

use dspy_base::keyword;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

/// Earlier turns of a conversation, for an input field. Their fields have the names of the signature's
/// fields.
///
/// The prompt shows each turn as a user message and a reply, between the demonstrations and the current
/// inputs; the field itself is not shown. A turn is a struct, most easily another signature. It may omit
/// fields; a field that the signature does not have is an error of the call. Nothing is added to a history
/// automatically, neither reasoning nor replies that could not be read: it holds the turns that you push.
///
/// ```
/// use dspy_core::types::History;
///
/// #[derive(serde::Serialize, serde::Deserialize)]
/// struct Turn {
///     question: String,
///     answer: String,
/// }
///
/// let mut history = History::new().with_limit(2);
/// for (question, answer) in [("Who?", "Me."), ("When?", "Now."), ("Where?", "Here.")] {
///     history.push(Turn { question: question.into(), answer: answer.into() });
/// }
/// assert_eq!(history.len(), 2);
/// assert_eq!(history.iter().next().unwrap().question, "When?");
/// ```
///
/// As JSON it is `{"messages": [{"question": …, "answer": …}, …]}`, as in Python DSPy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct History<T> {
    #[serde(rename = "messages")]
    turns: VecDeque<T>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    limit: Option<usize>,
}

impl<T> History<T> {
    /// Creates an empty history without a limit.
    pub fn new() -> Self {
        History { turns: VecDeque::new(), limit: None }
    }

    /// Returns the history limited to its last `limit` turns.
    #[must_use]
    pub fn with_limit(mut self, limit: usize) -> Self {
        self.limit = Some(limit);
        self.shorten();
        self
    }

    /// Appends a turn. With a limit, the oldest turns are dropped.
    pub fn push(&mut self, turn: T) {
        self.turns.push_back(turn);
        self.shorten();
    }

    fn shorten(&mut self) {
        if let Some(limit) = self.limit {
            self.turns.drain(..self.turns.len().saturating_sub(limit));
        }
    }

    /// Returns the number of turns.
    pub fn len(&self) -> usize {
        self.turns.len()
    }

    /// Returns whether there are no turns.
    pub fn is_empty(&self) -> bool {
        self.turns.is_empty()
    }

    /// Returns the turns, oldest first.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = &T> + ExactSizeIterator {
        self.turns.iter()
    }
}

impl<T> Default for History<T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T> Extend<T> for History<T> {
    fn extend<I: IntoIterator<Item = T>>(&mut self, turns: I) {
        turns.into_iter().for_each(|turn| self.push(turn));
    }
}

impl<T> FromIterator<T> for History<T> {
    fn from_iter<I: IntoIterator<Item = T>>(turns: I) -> Self {
        History { turns: turns.into_iter().collect(), limit: None }
    }
}

impl<T> IntoIterator for History<T> {
    type Item = T;
    type IntoIter = std::collections::vec_deque::IntoIter<T>;

    fn into_iter(self) -> Self::IntoIter {
        self.turns.into_iter()
    }
}

impl<'a, T> IntoIterator for &'a History<T> {
    type Item = &'a T;
    type IntoIter = std::collections::vec_deque::Iter<'a, T>;

    fn into_iter(self) -> Self::IntoIter {
        self.turns.iter()
    }
}

// The fields of a turn are those of the signature, so the type of a turn needs no schema.
impl<T> JsonSchema for History<T> {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "History".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "object",
            (keyword::HISTORY): true,
            "properties": {
                "messages": { "type": "array", "items": { "type": "object" } },
                "limit": { "type": ["integer", "null"], "minimum": 0 },
            },
            "required": ["messages"],
        })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn only_the_last_turns_are_kept() {
        let mut history: History<u8> = (0..5).collect();
        assert_eq!(history.len(), 5);
        history = history.with_limit(2);
        history.extend([5, 6, 7]);
        assert_eq!(history.iter().copied().collect::<Vec<_>>(), [6, 7]);
        history = history.with_limit(0);
        history.push(1);
        assert!(history.is_empty());
    }

    #[test]
    fn json_forms_come_back() {
        let history: History<u8> = [1, 2].into_iter().collect::<History<_>>().with_limit(3);
        let form = json!({"messages": [1, 2], "limit": 3});
        assert_eq!(serde_json::to_value(&history).unwrap(), form);
        assert_eq!(serde_json::from_value::<History<u8>>(form).unwrap(), history);
        assert_eq!(serde_json::from_value::<History<u8>>(json!({"messages": [1]})).unwrap().len(), 1);
    }
}
