//! What a fake model remembers.

use std::collections::{HashMap, VecDeque};

use crate::decode::thoughts;
use crate::lm::{LmErrorKind, RequestDigest};
use crate::signature::Values;

/// How a [`FakeLm`](super::FakeLm) made a reply.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Style {
    /// Exactly as the adapter asks for it.
    Valid,
    /// In bad form, but such that it reads as the intended values.
    Sloppy,
    /// So that it cannot be read.
    Malformed,
    /// Cut off somewhere, and marked as such.
    Truncated,
    /// No reply but an error.
    Error(LmErrorKind),
    /// Words, for a request that no predictor made.
    Words,
}

/// One reply of a [`FakeLm`](super::FakeLm).
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct FakeReply {
    /// The signature that was asked; nothing for a request that no predictor made.
    pub signature: Option<String>,
    /// How the reply was made.
    pub style: Style,
    /// The output values that the model had in mind.
    pub intended: Values,
    /// The text of the reply; empty for an error.
    pub text: String,
}

/// How many replies in prose are remembered for the second step of a two-step adapter.
const PROSE: usize = 1_024;
/// How many requests that were answered by an error are remembered.
const FAILED: usize = 65_536;

/// What happened so far, bounded.
#[derive(Debug, Default)]
pub(super) struct Memory {
    pub(super) replies: VecDeque<FakeReply>,
    /// Answers in prose, with the values that they state.
    prose: VecDeque<(String, Values)>,
    /// How often each request was answered by an error.
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
        // Thoughts do not reach the second step.
        let start = thoughts::answer(prose).unwrap_or(0);
        self.prose.push_back((prose[start..].to_owned(), values.clone()));
        while self.prose.len() > PROSE {
            self.prose.pop_front();
        }
    }

    /// The values that the latest answer quoted in `text` states.
    pub(super) fn stated(&self, text: &str) -> Option<&Values> {
        if self.prose.is_empty() {
            return None;
        }
        // Some adapters escape what they quote.
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
