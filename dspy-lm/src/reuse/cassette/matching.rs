//! The search for the recorded interaction that answers a request.

use serde_json::{Map, Value};

use super::diff;
use super::tape::{Interaction, Tape};

/// The rule by which a request matches a recorded one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Matching {
    /// Everything is equal, including model and endpoint, and the order is the recorded one.
    Strict,
    /// Everything is equal, including model and endpoint, in any order.
    #[default]
    Exact,
    /// The messages are equal except for white space, in any order; model, endpoint and parameters are
    /// ignored.
    Lenient,
}

/// A request for which a recorded answer is searched.
#[derive(Debug)]
pub(super) struct Asked<'a> {
    pub(super) model: &'a str,
    pub(super) endpoint: &'a str,
    pub(super) request: &'a Map<String, Value>,
}

impl Matching {
    /// Returns the first unused interaction that answers the request, or a message about why there is none.
    pub(super) fn find(self, tape: &Tape, asked: &Asked<'_>) -> Result<usize, String> {
        let unused = || {
            let all = tape.interactions.iter().enumerate();
            all.filter_map(|(at, one)| Some((at, one.as_ref().filter(|one| !one.used)?)))
        };
        let found = match self {
            Matching::Strict => unused().next().filter(|(_, one)| is_equal(one, asked)),
            Matching::Exact => unused().find(|(_, one)| is_equal(one, asked)),
            Matching::Lenient => {
                let says = said(asked.request);
                let alike = || unused().filter(|(_, one)| said(&one.request) == says);
                let same = |(_, one): &(usize, &Interaction)| one.model == asked.model;
                let here = |found: &(usize, &Interaction)| same(found) && found.1.endpoint == asked.endpoint;
                alike().find(here).or_else(|| alike().find(same)).or_else(|| alike().next())
            }
        };
        found.map(|(at, _)| at).ok_or_else(|| self.explain(tape, asked))
    }

    fn explain(self, tape: &Tape, asked: &Asked<'_>) -> String {
        let all = || tape.interactions.iter().flatten();
        let equal = match self {
            Matching::Lenient => all().filter(|one| said(&one.request) == said(asked.request)).count(),
            Matching::Strict | Matching::Exact => all().filter(|one| is_equal(one, asked)).count(),
        };
        let next = all().find(|one| !one.used);
        if equal > 0 && (self != Matching::Strict || next.is_none()) {
            return format!("it was recorded {equal} times and requested once more");
        }
        match (self, next) {
            (Matching::Strict, Some(next)) => {
                format!("the next one in the recorded order is another:\n{}", diff::of(next, asked))
            }
            _ => match all().max_by_key(|one| diff::likeness(one, asked)) {
                Some(nearest) => format!("the nearest one differs:\n{}", diff::of(nearest, asked)),
                None => "nothing is recorded".to_owned(),
            },
        }
    }
}

fn is_equal(one: &Interaction, asked: &Asked<'_>) -> bool {
    one.model == asked.model && one.endpoint == asked.endpoint && one.request == *asked.request
}

/// Returns the messages without differences that do not matter.
fn said(request: &Map<String, Value>) -> Value {
    fn plain(value: &Value) -> Value {
        match value {
            Value::String(text) => words(text),
            // A list of lines is equal to its text.
            Value::Array(lines) if !lines.is_empty() && lines.iter().all(Value::is_string) => {
                let lines: Vec<_> = lines.iter().filter_map(Value::as_str).collect();
                words(&lines.join("\n"))
            }
            Value::Array(items) => items.iter().map(plain).collect(),
            Value::Object(members) => {
                members.iter().map(|(name, value)| (name.clone(), plain(value))).collect()
            }
            other => other.clone(),
        }
    }
    fn words(text: &str) -> Value {
        text.split_whitespace().collect::<Vec<_>>().join(" ").into()
    }
    request.get("messages").map(plain).unwrap_or_default()
}
