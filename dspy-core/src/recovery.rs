//! Recovery from replies that cannot be read: the policy, and the next step after each failure.

use crate::adapter::ParseErrorKind;

/// A policy for replies that cannot be read.
///
/// ```
/// use dspy_core::program::Recovery;
///
/// let patient = Recovery::default().reprompts(3).retry_max_tokens(4_096);
/// assert_eq!(patient.reprompts, 3);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Recovery {
    /// The number of re-prompts: requests that show the model its own reply and the problems with it.
    /// Default: 1.
    pub reprompts: u32,
    /// Whether a last attempt requests a JSON object, from a fresh prompt. Default: true.
    pub json_fallback: bool,
    /// The largest `max_tokens` to retry with after a completion is truncated. The limit is doubled each
    /// time; if none was set, this is the first. `None`, the default, makes a truncated reply an error.
    pub retry_max_tokens: Option<u32>,
    /// Whether a stream is aborted as soon as a finished field fails a check. This saves the rest of a
    /// useless reply, but the model does not learn about further problems. Default: false.
    pub abort_early: bool,
}

impl Recovery {
    /// A policy without recovery: the first unreadable reply is an error.
    pub const NONE: Recovery =
        Recovery { reprompts: 0, json_fallback: false, retry_max_tokens: None, abort_early: false };

    /// Sets the [number of re-prompts](field@Self::reprompts).
    #[must_use]
    pub const fn reprompts(mut self, reprompts: u32) -> Self {
        self.reprompts = reprompts;
        self
    }

    /// Sets whether there is a [JSON fallback](field@Self::json_fallback).
    #[must_use]
    pub const fn json_fallback(mut self, on: bool) -> Self {
        self.json_fallback = on;
        self
    }

    /// Sets the [limit of retries after truncation](field@Self::retry_max_tokens), in tokens.
    #[must_use]
    pub const fn retry_max_tokens(mut self, max_tokens: u32) -> Self {
        self.retry_max_tokens = Some(max_tokens);
        self
    }

    /// Sets whether streams are [aborted early](field@Self::abort_early).
    #[must_use]
    pub const fn abort_early(mut self, on: bool) -> Self {
        self.abort_early = on;
        self
    }

    /// Sets the number of re-prompts; renamed to [`reprompts`](Self::reprompts).
    #[doc(hidden)]
    #[must_use]
    #[deprecated(note = "renamed to `reprompts`")]
    pub const fn reasks(self, reasks: u32) -> Self {
        self.reprompts(reasks)
    }

    /// Sets the limit of retries; renamed to [`retry_max_tokens`](Self::retry_max_tokens).
    #[doc(hidden)]
    #[must_use]
    #[deprecated(note = "renamed to `retry_max_tokens`")]
    pub const fn longer(self, max_tokens: u32) -> Self {
        self.retry_max_tokens(max_tokens)
    }
}

impl Default for Recovery {
    /// Creates the default policy: one re-prompt, then one JSON attempt.
    fn default() -> Self {
        Recovery { reprompts: 1, json_fallback: true, ..Recovery::NONE }
    }
}

/// The next step after a reply that could not be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Step {
    /// The same request with this limit.
    RaiseLimit(u32),
    /// The same prompt followed by the reply and its problems.
    Reprompt,
    /// A fresh prompt for a JSON object.
    JsonFallback,
    /// No further request.
    GiveUp,
}

/// The attempts that a call has left.
#[derive(Debug)]
pub(crate) struct Attempts {
    reprompts: u32,
    json_fallback: bool,
    retry_max_tokens: Option<u32>,
    /// The limit of the latest request.
    max_tokens: Option<u32>,
}

impl Attempts {
    /// Creates the attempts of a call whose first request has the limit `max_tokens`.
    pub(crate) fn new(policy: Recovery, max_tokens: Option<u32>) -> Self {
        let Recovery { reprompts, json_fallback, retry_max_tokens, .. } = policy;
        Attempts { reprompts, json_fallback, retry_max_tokens, max_tokens }
    }

    /// Returns the step after a failure of this kind, and subtracts it from the remaining attempts. `other_form`
    /// returns whether a JSON object is a different form from the first request's.
    pub(crate) fn after(&mut self, failure: ParseErrorKind, other_form: impl FnOnce() -> bool) -> Step {
        match failure {
            // The same type would fail again.
            ParseErrorKind::Schema => Step::GiveUp,
            // The same limit would truncate the reply again.
            ParseErrorKind::Truncated => match self.raised() {
                Some(limit) => {
                    self.max_tokens = Some(limit);
                    Step::RaiseLimit(limit)
                }
                None => Step::GiveUp,
            },
            _ if self.reprompts > 0 => {
                self.reprompts -= 1;
                Step::Reprompt
            }
            _ if self.json_fallback && other_form() => {
                self.json_fallback = false;
                Step::JsonFallback
            }
            _ => Step::GiveUp,
        }
    }

    /// Returns a higher limit than the one that truncated the reply, if the policy has one.
    fn raised(&self) -> Option<u32> {
        let most = self.retry_max_tokens?;
        match self.max_tokens {
            None => Some(most),
            Some(tried) => Some(tried.saturating_mul(2).min(most)).filter(|next| *next > tried),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn steps(mut attempts: Attempts, other_form: bool, failures: &[ParseErrorKind]) -> Vec<Step> {
        failures.iter().map(|failure| attempts.after(*failure, || other_form)).collect()
    }

    #[test]
    fn reprompts_come_before_the_fallback() {
        use ParseErrorKind::{Check, Malformed};
        let policy = Recovery::default().reprompts(2);
        let failures = [Malformed, Check, Malformed, Malformed];
        let all = [Step::Reprompt, Step::Reprompt, Step::JsonFallback, Step::GiveUp];
        assert_eq!(steps(Attempts::new(policy, None), true, &failures), all);
        // A fresh request in the same form would not help.
        let without = [Step::Reprompt, Step::Reprompt, Step::GiveUp, Step::GiveUp];
        assert_eq!(steps(Attempts::new(policy, None), false, &failures), without);
    }

    #[test]
    fn limits_double_up_to_the_largest() {
        use ParseErrorKind::{Malformed, Schema, Truncated};
        let policy = Recovery::NONE.reprompts(1).retry_max_tokens(500);
        let attempts = || Attempts::new(policy, Some(200));
        let truncated = steps(attempts(), true, &[Truncated, Malformed, Truncated, Truncated]);
        assert_eq!(truncated, [Step::RaiseLimit(400), Step::Reprompt, Step::RaiseLimit(500), Step::GiveUp]);
        assert_eq!(steps(Attempts::new(policy, None), true, &[Truncated]), [Step::RaiseLimit(500)]);
        assert_eq!(steps(Attempts::new(Recovery::default(), None), true, &[Truncated]), [Step::GiveUp]);
        assert_eq!(steps(attempts(), true, &[Schema]), [Step::GiveUp]);
    }
}
