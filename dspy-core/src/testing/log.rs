//! The memory of a fake model.

use std::collections::{HashMap, VecDeque};

use crate::decode::thoughts;
use crate::lm::{LmErrorKind, RequestDigest};
use crate::signature::Values;

/// The form in which a [`FakeLm`](super::FakeLm) wrote a reply.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Style {
    /// Exactly as the adapter asks for.
    Valid,
    /// With format errors, but decodable to the intended values.
    Sloppy,
    /// Not decodable.
    Malformed,
    /// Truncated at a random place, and reported as such.
    Truncated,
    /// No reply but an error.
    Error(LmErrorKind),
    /// A few words, for a request that was not made by a predictor.
    Words,
}

/// A reply of a [`FakeLm`](super::FakeLm).
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct FakeReply {
    /// The name of the signature; `None` for a request that was not made by a predictor.
    pub signature: Option<String>,
    /// The form of the reply.
    pub style: Style,
    /// The intended output values.
    pub intended: Values,
    /// The text of the reply; empty for an error.
    pub text: String,
}

/// The maximum number of prose replies that are kept for the second step of a two-step adapter.
const PROSE: usize = 1_024;
/// The maximum number of requests answered by an error that are remembered.
const FAILED: usize = 65_536;

/// The bounded record of earlier replies.
#[derive(Debug, Default)]
pub(super) struct Memory {
    pub(super) replies: VecDeque<FakeReply>,
    /// Answers in prose, with the values that they state.
    prose: VecDeque<(String, Values)>,
    /// The number of errors returned for each request.
    failures: HashMap<RequestDigest, u64>,
}

impl Memory {
    pub(super) fn keep(&mut self, reply: FakeReply, most: usize) {
        self.replies.push_back(reply);
        while self.replies.len() > most {
            self.replies.pop_front();
        }
    }

    pub(super) fn keep_prose(&mut self, prose: &str, values: &Values) {
        // The second step does not see the reasoning.
        let start = thoughts::answer(prose).unwrap_or(0);
        self.prose.push_back((prose[start..].to_owned(), values.clone()));
        while self.prose.len() > PROSE {
            self.prose.pop_front();
        }
    }

    /// Returns the values stated by the latest answer that `text` quotes.
    pub(super) fn stated(&self, text: &str) -> Option<&Values> {
        if self.prose.is_empty() {
            return None;
        }
        // Some adapters escape the text that they quote.
        let plain = text.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&");
        let quoted = |prose: &str| text.contains(prose) || plain.contains(prose);
        self.prose.iter().rev().find(|(prose, _)| quoted(prose.trim())).map(|(_, values)| values)
    }

    pub(super) fn failures(&self, request: RequestDigest) -> u64 {
        self.failures.get(&request).copied().unwrap_or(0)
    }

    pub(super) fn count_failure(&mut self, request: RequestDigest) {
        if self.failures.len() >= FAILED {
            self.failures.clear();
        }
        *self.failures.entry(request).or_default() += 1;
    }
}
