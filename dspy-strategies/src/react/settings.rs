//! The settings of an agent.

use std::sync::Arc;
use std::time::Duration;

use dspy_core::error::BoxError;
use dspy_core::lm::Lm;
use dspy_core::tools::Tool;

use super::{AgentState, ReAct};

impl<S> ReAct<S> {
    /// Sets the maximum number of turns. Default: 20.
    #[must_use]
    pub fn max_turns(mut self, turns: usize) -> Self {
        self.limits.turns = turns;
        self
    }

    /// Sets the number of tokens, of prompts and replies together, after which no turn begins. Calls of models inside the
    /// tools count; once the limit is reached, they are refused. Calls in flight may exceed it, and so does the one that
    /// reads the outputs from the turns. Default: none.
    #[must_use]
    pub fn max_tokens(mut self, tokens: u64) -> Self {
        self.limits.spending.tokens = Some(tokens);
        self
    }

    /// Sets the cost in US dollars after which no turn begins, in the same way as [`max_tokens`](Self::max_tokens). Calls
    /// at unknown prices do not count. Default: none. For a limit that is never exceeded, run the agent in the scope of a
    /// [`Budget`](dspy_core::lm::Budget).
    #[must_use]
    pub fn max_cost(mut self, cost_usd: f64) -> Self {
        self.limits.spending.cost_usd = Some(cost_usd);
        self
    }

    /// Sets the maximum number of calls of a turn that run. The model is told that the others have not run. Default: 64.
    #[must_use]
    pub fn max_calls_per_turn(mut self, calls: usize) -> Self {
        self.limits.calls = calls.max(1);
        self
    }

    /// Sets how many times in a row the same calls with the same results end the run, in one turn or in a sequence of up
    /// to four turns; 0 for any number. Default: 3.
    #[must_use]
    pub fn max_repeats(mut self, turns: usize) -> Self {
        self.limits.repeats = turns;
        self
    }

    /// Sets the maximum number of tools that run at a time. Default: 8.
    #[must_use]
    pub fn concurrency(mut self, tools: usize) -> Self {
        self.limits.concurrency = tools.max(1);
        self
    }

    /// Sets the time after which a tool is stopped. Default: two minutes.
    #[must_use]
    pub fn tool_timeout(mut self, timeout: Duration) -> Self {
        self.limits.tool_time = timeout;
        self
    }

    /// Sets the size in bytes beyond which a result loses its middle. Default: 20,000.
    #[must_use]
    pub fn max_result_bytes(mut self, bytes: usize) -> Self {
        self.limits.result_bytes = bytes;
        self
    }

    /// Sets the size of the model's context window in tokens. When a prompt reaches three quarters of it, the log is
    /// shortened before the next turn. Default: unknown, so that it is shortened only after an error of the endpoint.
    #[must_use]
    pub fn context_tokens(mut self, tokens: u64) -> Self {
        self.context_tokens = Some(tokens);
        self
    }

    /// Sets the model that summarises old turns. Default: that of the agent.
    #[must_use]
    pub fn summarizer_lm(mut self, lm: Lm) -> Self {
        self.summarizer.set_lm(lm);
        self
    }

    /// Hands out the state of a run before each turn, and before the calls of a turn run, so that a process which ends can
    /// be replaced: [`resume`](Self::resume) continues the latest state. The agent waits until the state is kept, and ends
    /// the run with the error of `keep`, if there is one.
    ///
    /// Results that are in the state are not obtained again. Of a call that was in flight, the model reads that it may
    /// have run; it runs again only if its tool is [repeatable](Tool::repeatable). An agent that is the program of a tool
    /// hands out its states within those of this one and goes on where it was, by the same rules.
    ///
    /// ```
    /// # use dspy_core as dspy;
    /// use dspy::error::BoxError;
    /// use dspy::signature::Signature;
    /// use dspy_strategies::{AgentState, ReAct};
    ///
    /// fn kept<S: Signature>(agent: ReAct<S>) -> ReAct<S> {
    ///     agent.on_checkpoint(|state: AgentState| async move {
    ///         tokio::task::spawn_blocking(move || state.save_in("runs")).await??;
    ///         Ok::<_, BoxError>(())
    ///     })
    /// }
    /// ```
    #[must_use]
    pub fn on_checkpoint<F, Fut, E>(mut self, keep: F) -> Self
    where
        F: Fn(AgentState) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<(), E>> + Send + 'static,
        E: Into<BoxError>,
    {
        self.checkpoint = Some(Arc::new(move |state| {
            let kept = keep(state);
            Box::pin(async move { kept.await.map_err(Into::into) })
        }));
        self
    }

    /// Returns the tools.
    pub fn tools(&self) -> &[Tool] {
        &self.tools
    }
}
