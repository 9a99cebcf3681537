//! Timeouts, the retry policy, limits, capabilities and prices of an endpoint.

use std::time::Duration;

use super::Endpoint;
use crate::{Capabilities, Circuit, Price};

impl Endpoint {
    /// Sets the time limit of one attempt, including the reply. Default: five minutes.
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.server.timeout = timeout;
        self
    }

    /// Sets the time limit of a request, including all attempts and the waits between them. Default: ten minutes.
    #[must_use]
    pub fn deadline(mut self, deadline: Duration) -> Self {
        self.server.deadline = deadline;
        self
    }

    /// Sets the maximum number of retries after a transient failure. Default: four.
    #[must_use]
    pub fn retries(mut self, retries: u32) -> Self {
        self.server.retries = retries;
        self
    }

    /// Sets the first and the longest wait before a retry; the wait doubles in between and is jittered. Default: half
    /// a second and half a minute. A wait that the server requests takes precedence.
    #[must_use]
    pub fn backoff(mut self, first: Duration, longest: Duration) -> Self {
        self.server.backoff = (first, longest);
        self
    }

    /// Sets the longest time without a byte after which a streamed reply is abandoned and retried. No limit by
    /// default, as some servers send nothing while the model reasons; the [`timeout`](Self::timeout) applies in any
    /// case.
    #[must_use]
    pub fn idle_timeout(mut self, idle: Duration) -> Self {
        self.server.idle_timeout = Some(idle);
        self
    }

    /// Sets how many requests may start per minute; see
    /// [`Limits::requests_per_minute`](crate::Limits::requests_per_minute). No limit by default.
    ///
    /// This limit and the three that follow apply to all handles of the process with the same base URL, key and
    /// headers, no matter how or when they were created; the latest setting applies. Requests wait in the order of
    /// arrival, hold nothing while they wait, and fail at the [`deadline`](Self::deadline) with the error
    /// [`RateLimit`](crate::LmErrorKind::RateLimit). A retry counts as a request.
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
    /// Independently of this setting, the handles slow down together if the server reports a [rate
    /// limit](crate::LmErrorKind::RateLimit) for a model: they all wait for as long as the server requests, continue
    /// at half the rate, and recover the rest over half a minute.
    #[must_use]
    pub fn requests_per_minute(mut self, requests: u32) -> Self {
        self.server.limits = self.server.limits.requests_per_minute(requests);
        self
    }

    /// Sets how many tokens may be used per minute; see
    /// [`Limits::tokens_per_minute`](crate::Limits::tokens_per_minute), and
    /// [`requests_per_minute`](Self::requests_per_minute) for its scope. No limit by default.
    #[must_use]
    pub fn tokens_per_minute(mut self, tokens: u32) -> Self {
        self.server.limits = self.server.limits.tokens_per_minute(tokens);
        self
    }

    /// Sets how many requests may be in flight at once; see [`requests_per_minute`](Self::requests_per_minute) for
    /// the scope of the limit. Default: 512, as each takes a connection.
    #[must_use]
    pub fn max_concurrent(mut self, requests: u32) -> Self {
        self.server.limits = self.server.limits.max_concurrent(requests);
        self
    }

    /// Sets the circuit breaker: the failures after which requests are refused, and for how long; see [`Circuit`],
    /// and [`requests_per_minute`](Self::requests_per_minute) for its scope. By default it opens after ten failed
    /// attempts in a row over at least half a minute, for half a minute.
    #[must_use]
    pub fn circuit(mut self, circuit: Circuit) -> Self {
        self.server.limits = self.server.limits.circuit(circuit);
        self
    }

    /// Overrides the capabilities of all models of the server. The temperature is still omitted for models that are
    /// known to refuse it; [`Params::extra`](crate::Params::extra) is sent in any case.
    #[must_use]
    pub fn capabilities(mut self, capabilities: Capabilities) -> Self {
        self.capabilities = Some(capabilities);
        self
    }

    /// Sets the price of the tokens of this server's models; see [`Lm::price`](crate::Lm::price).
    #[must_use]
    pub fn price(mut self, price: Price) -> Self {
        self.price = Some(price);
        self
    }
}
