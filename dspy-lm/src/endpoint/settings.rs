//! Timeouts, the retry policy, limits, capabilities and prices of an endpoint.

use std::time::Duration;

use super::Endpoint;
use crate::{Capabilities, Circuit, Price};

impl Endpoint {
    /// Sets how long one attempt may take, reply included. Five minutes at first.
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// Sets how long a request may take with all its attempts and the waits between them. Ten minutes at first.
    #[must_use]
    pub fn deadline(mut self, deadline: Duration) -> Self {
        self.deadline = deadline;
        self
    }

    /// Sets how often a failed request is sent again if there is hope. Four times at first.
    #[must_use]
    pub fn retries(mut self, retries: u32) -> Self {
        self.retries = retries;
        self
    }

    /// Sets the wait before the first repetition and the longest one; it doubles in between and is jittered.
    /// Half a second and half a minute at first. Where the server says how long to wait, that is what counts.
    #[must_use]
    pub fn backoff(mut self, first: Duration, longest: Duration) -> Self {
        self.backoff = (first, longest);
        self
    }

    /// Sets after which time without a byte a streamed reply is given up and asked for anew. No such time at first,
    /// as some servers say nothing while the model reasons; the [`timeout`](Self::timeout) holds in any case.
    #[must_use]
    pub fn idle_timeout(mut self, idle: Duration) -> Self {
        self.idle_timeout = Some(idle);
        self
    }

    /// Sets how many requests may start in any minute; see [`Limits::requests_per_minute`](crate::Limits::requests_per_minute). No limit at first.
    ///
    /// This limit and the three that follow hold for all handles of the process that reach the same base URL with the
    /// same key and headers, however they were made, before or after; what was set last counts. Requests wait in the
    /// order in which they came, without holding anything, and give up at the [`deadline`](Self::deadline) with the
    /// error [`RateLimit`](crate::LmErrorKind::RateLimit). A repetition of a failed request is a request.
    ///
    /// ```
    /// # #[cfg(feature = "http")] {
    /// use dspy_lm::{Endpoint, Lm};
    /// let server = Endpoint::new("http://localhost:8000/v1").requests_per_minute(500).max_concurrent(16);
    /// let (large, small) = (server.model("large")?, server.model("small")?);
    /// # }
    /// # Ok::<(), dspy_lm::LmError>(())
    /// ```
    ///
    /// Whatever is set, the handles slow down together where the server answers that a model is
    /// [asked too much](crate::LmErrorKind::RateLimit): they all wait for as long as it says, go on at half the rate, and win
    /// back the rest over half a minute.
    #[must_use]
    pub fn requests_per_minute(mut self, requests: u32) -> Self {
        self.limits = self.limits.requests_per_minute(requests);
        self
    }

    /// Sets how many tokens may be used in a minute; see [`Limits::tokens_per_minute`](crate::Limits::tokens_per_minute) and, for whom it holds,
    /// [`requests_per_minute`](Self::requests_per_minute). No limit at first.
    #[must_use]
    pub fn tokens_per_minute(mut self, tokens: u32) -> Self {
        self.limits = self.limits.tokens_per_minute(tokens);
        self
    }

    /// Sets how many requests may be under way at the same time; for whom it holds see
    /// [`requests_per_minute`](Self::requests_per_minute). 512 at first: each takes a connection.
    #[must_use]
    pub fn max_concurrent(mut self, requests: u32) -> Self {
        self.limits = self.limits.max_concurrent(requests);
        self
    }

    /// Sets when to leave a server alone that does not answer any more, and for how long; for whom it holds see
    /// [`requests_per_minute`](Self::requests_per_minute). After ten failed attempts in a row over at least half a
    /// minute, for half a minute, at first; see [`Circuit`].
    #[must_use]
    pub fn circuit(mut self, circuit: Circuit) -> Self {
        self.limits = self.limits.circuit(circuit);
        self
    }

    /// Overrides what the server can do, for all its models. Where a model is known to refuse a temperature, it gets
    /// none all the same; [`Params::extra`](crate::Params::extra) sends what it holds in any case.
    #[must_use]
    pub fn capabilities(mut self, capabilities: Capabilities) -> Self {
        self.capabilities = Some(capabilities);
        self
    }

    /// Sets what the tokens of this server's models cost; see [`Lm::price`](crate::Lm::price).
    #[must_use]
    pub fn price(mut self, price: Price) -> Self {
        self.price = Some(price);
        self
    }
}
