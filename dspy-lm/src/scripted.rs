//! A model for tests whose replies are scripted or computed by a function.

use std::collections::VecDeque;
use std::future::{Future, ready};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard};
use std::time::Duration;

use crate::{
    BoxFuture, Capabilities, Completion, Delta, DeltaSink, FinishReason, LanguageModel, Lm, LmError,
    LmErrorKind, LmFuture, Request, Response, Usage,
};
use dspy_base::locks::MutexExt as _;

/// One scripted outcome of a request.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Reply {
    /// A complete reply.
    Text(String),
    /// A reply truncated at the token limit.
    Truncated(String),
    /// A reply with more than text: native tool calls, reasoning.
    Completion(Completion),
    /// A whole response, for several completions or a specific usage.
    Response(Response),
    /// A failure.
    Error(LmError),
}

impl From<&str> for Reply {
    fn from(text: &str) -> Self {
        Reply::Text(text.into())
    }
}

impl From<String> for Reply {
    fn from(text: String) -> Self {
        Reply::Text(text)
    }
}

impl From<Completion> for Reply {
    fn from(completion: Completion) -> Self {
        Reply::Completion(completion)
    }
}

impl From<LmError> for Reply {
    fn from(error: LmError) -> Self {
        Reply::Error(error)
    }
}

impl From<Response> for Reply {
    fn from(response: Response) -> Self {
        Reply::Response(response)
    }
}

impl<R: Into<Reply>> From<Result<R, LmError>> for Reply {
    fn from(outcome: Result<R, LmError>) -> Self {
        outcome.map_or_else(Reply::Error, Into::into)
    }
}

type Respond = Box<dyn Fn(&Request) -> BoxFuture<'static, Reply> + Send + Sync>;
type Test = Box<dyn Fn(&Request) -> bool + Send + Sync>;

/// A reply for all requests that pass a test.
struct Rule {
    test: Test,
    reply: Reply,
    used: AtomicUsize,
}

/// A model that replies from a script, by rules or by a function, and records its requests.
///
/// If it is shared by an [`Arc`](std::sync::Arc), it can be inspected after the program has run:
///
/// ```
/// use std::sync::Arc;
/// use dspy_lm::{Lm, ScriptedLm};
///
/// let script = Arc::new(ScriptedLm::new(["one", "two"]));
/// let lm = Lm::shared(script.clone());
/// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
/// assert_eq!(lm.ask("first?").await.unwrap(), "one");
/// assert_eq!(script.unused(), 1);
/// assert_eq!(lm.ask("second?").await.unwrap(), "two");
/// assert!(lm.ask("third?").await.is_err());
/// # });
/// assert_eq!(script.requests()[1].messages[0].text(), "second?");
/// ```
///
/// Rules suit programs of several steps; see [`when`](Self::when).
pub struct ScriptedLm {
    id: String,
    rules: Vec<Rule>,
    script: Mutex<VecDeque<Reply>>,
    respond: Option<Respond>,
    log: Mutex<Log>,
    kept: usize,
    latency: Duration,
    capabilities: Capabilities,
    piece: usize,
}

#[derive(Default)]
struct Log {
    latest: VecDeque<Request>,
    count: u64,
}

/// The default number of characters in a piece of a streamed reply.
const PIECE: usize = 8;
/// The default number of requests that are kept.
const KEPT: usize = 10_000;

impl ScriptedLm {
    /// Creates a model that returns these replies in order, then fails with
    /// [`Exhausted`](crate::LmErrorKind::Exhausted).
    pub fn new<R: Into<Reply>>(replies: impl IntoIterator<Item = R>) -> Self {
        ScriptedLm {
            id: "scripted".into(),
            rules: Vec::new(),
            script: Mutex::new(replies.into_iter().map(Into::into).collect()),
            respond: None,
            log: Mutex::default(),
            kept: KEPT,
            latency: Duration::ZERO,
            capabilities: Capabilities::default(),
            piece: PIECE,
        }
    }

    /// Creates a model that computes each reply from the request.
    pub fn from_fn<R: Into<Reply>>(respond: impl Fn(&Request) -> R + Send + Sync + 'static) -> Self {
        let mut scripted = Self::new(Vec::<Reply>::new());
        scripted.respond = Some(Box::new(move |request| Box::pin(ready(respond(request).into()))));
        scripted
    }

    /// Creates a model that computes each reply from the request with an async function.
    ///
    /// ```
    /// use dspy_lm::{Lm, LmError, LmErrorKind, Request, ScriptedLm};
    ///
    /// let model = ScriptedLm::from_async_fn(|request: Request| async move {
    ///     tokio::task::yield_now().await;
    ///     match request.messages.last() {
    ///         Some(message) => Ok(message.text().to_uppercase()),
    ///         None => Err(LmError::new(LmErrorKind::InvalidRequest, "shouter", "no messages")),
    ///     }
    /// });
    /// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
    /// assert_eq!(Lm::custom(model).ask("hello").await.unwrap(), "HELLO");
    /// # });
    /// ```
    pub fn from_async_fn<R, F>(respond: impl Fn(Request) -> F + Send + Sync + 'static) -> Self
    where
        R: Into<Reply>,
        F: Future<Output = R> + Send + 'static,
    {
        let mut scripted = Self::new(Vec::<Reply>::new());
        scripted.respond = Some(Box::new(move |request| {
            let reply = respond(request.clone());
            Box::pin(async move { reply.await.into() })
        }));
        scripted
    }

    /// Adds a rule: every request that passes `test` gets this reply. The first rule whose test passes
    /// applies; a request that passes none gets the next reply of the script or the reply of the function.
    ///
    /// ```
    /// use dspy_lm::{Lm, ScriptedLm};
    /// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
    /// let model = ScriptedLm::new(Vec::<&str>::new())
    ///     // By the signature of the predictor …
    ///     .when(|request| request.signature() == Some("Search"), "[[ ## query ## ]]\nrust book")
    ///     // … or by the contents of the request.
    ///     .when(|request| request.messages.iter().any(|m| m.text().contains("France")), "Paris");
    /// assert_eq!(Lm::custom(model).ask("The capital of France?").await?, "Paris");
    /// # Ok::<(), dspy_lm::LmError>(()) }).unwrap();
    /// ```
    #[must_use]
    pub fn when(
        mut self,
        test: impl Fn(&Request) -> bool + Send + Sync + 'static,
        reply: impl Into<Reply>,
    ) -> Self {
        self.rules.push(Rule { test: Box::new(test), reply: reply.into(), used: AtomicUsize::new(0) });
        self
    }

    /// Sets the model's name, for code that depends on names, such as prices, routers and histories. The
    /// default is `scripted`.
    #[must_use]
    pub fn with_id(mut self, id: impl Into<String>) -> Self {
        self.id = id.into();
        self
    }

    /// Sets the capabilities. The default is [`Capabilities::default`].
    #[must_use]
    pub fn with_capabilities(mut self, capabilities: Capabilities) -> Self {
        self.capabilities = capabilities;
        self
    }

    /// Sets a delay before each reply, on tokio's clock. The default is none.
    #[must_use]
    pub fn with_latency(mut self, latency: Duration) -> Self {
        self.latency = latency;
        self
    }

    /// Sets the number of characters in each piece of a streamed reply, at least one. The default is 8.
    #[must_use]
    pub fn with_pieces_of(mut self, characters: usize) -> Self {
        self.piece = characters.max(1);
        self
    }

    /// Sets the number of requests that are kept, the latest ones. The default is 10,000.
    #[must_use]
    pub fn keep(mut self, requests: usize) -> Self {
        self.kept = requests;
        self
    }

    /// Returns the latest requests, the oldest first.
    pub fn requests(&self) -> Vec<Request> {
        self.log().latest.iter().cloned().collect()
    }

    /// Returns the total number of requests.
    pub fn calls(&self) -> u64 {
        self.log().count
    }

    /// Returns the number of replies left in the script plus the number of rules that no request has used. A
    /// test that expects all of them to be needed asserts that this is 0.
    pub fn unused(&self) -> usize {
        let unmet = self.rules.iter().filter(|rule| rule.used.load(Ordering::Relaxed) == 0).count();
        unmet + self.script.lock_any().len()
    }

    fn log(&self) -> MutexGuard<'_, Log> {
        self.log.lock_any()
    }

    fn note(&self, request: &Request) -> u64 {
        let mut log = self.log();
        log.count += 1;
        log.latest.push_back(request.clone());
        while log.latest.len() > self.kept {
            log.latest.pop_front();
        }
        log.count
    }

    fn next(&self, request: &Request) -> BoxFuture<'static, Option<Reply>> {
        if let Some(rule) = self.rules.iter().find(|rule| (rule.test)(request)) {
            rule.used.fetch_add(1, Ordering::Relaxed);
            return Box::pin(ready(Some(rule.reply.clone())));
        }
        match &self.respond {
            Some(respond) => {
                let reply = respond(request);
                Box::pin(async move { Some(reply.await) })
            }
            None => Box::pin(ready(self.script.lock_any().pop_front())),
        }
    }
}

impl Lm {
    /// Creates a model for tests that returns these replies in order, then the error
    /// [`Exhausted`](crate::LmErrorKind::Exhausted).
    pub fn scripted<R: Into<Reply>>(replies: impl IntoIterator<Item = R>) -> Self {
        Self::custom(ScriptedLm::new(replies))
    }

    /// Creates a model from a function, for tests and for models behind an unsupported protocol. The function gets
    /// the request and returns a string, a [`Completion`](crate::Completion), a [`Response`], a [`Reply`], or a
    /// `Result` of one of these.
    ///
    /// The model declares no [capabilities](Capabilities), so requests ask for everything in the text. To declare some,
    /// such as those of a model that the function calls, use [`ScriptedLm::from_async_fn`] with
    /// [`with_capabilities`](ScriptedLm::with_capabilities) and [`Lm::custom`]. All such models are called `scripted`, so
    /// reports and the journal of an optimization do not tell two of them apart; give each a name with
    /// [`with_id`](ScriptedLm::with_id).
    ///
    /// ```
    /// use dspy_lm::{Lm, Request};
    /// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
    /// let lm = Lm::from_fn(|request: Request| async move {
    ///     format!("{} messages", request.messages.len())
    /// });
    /// assert_eq!(lm.ask("Hello?").await.unwrap(), "1 messages");
    /// # });
    /// ```
    pub fn from_fn<R, F>(respond: impl Fn(Request) -> F + Send + Sync + 'static) -> Self
    where
        R: Into<Reply>,
        F: Future<Output = R> + Send + 'static,
    {
        Self::custom(ScriptedLm::from_async_fn(respond))
    }
}

impl LanguageModel for ScriptedLm {
    fn id(&self) -> &str {
        &self.id
    }

    fn capabilities(&self) -> Capabilities {
        self.capabilities
    }

    fn complete<'a>(&'a self, request: &'a Request) -> LmFuture<'a> {
        let count = self.note(request);
        let reply = self.next(request);
        Box::pin(async move {
            if !self.latency.is_zero() {
                tokio::time::sleep(self.latency).await;
            }
            let completion = match reply.await {
                Some(Reply::Text(text)) => Completion::new(text),
                Some(Reply::Truncated(text)) => Completion::new(text).finished(FinishReason::Length),
                Some(Reply::Completion(completion)) => completion,
                Some(Reply::Response(response)) => return Ok(response),
                Some(Reply::Error(error)) => return Err(error),
                None => {
                    let message = format!("no reply left for request number {count}");
                    return Err(LmError::new(LmErrorKind::Exhausted, &self.id, message));
                }
            };
            let words = |text: &str| text.split_whitespace().count() as u64;
            let asked = request.messages.iter().map(|message| words(&message.text())).sum();
            let usage = Usage::tokens(asked, words(&completion.text));
            Ok(Response { completions: vec![completion], model: self.id.clone(), ..Response::default() }
                .with_usage(usage))
        })
    }

    fn stream<'a>(&'a self, request: &'a Request, sink: &'a DeltaSink) -> LmFuture<'a> {
        Box::pin(async move {
            let response = self.complete(request).await?;
            let mut rest = response.completions.first().map_or("", |completion| completion.text.as_str());
            while !rest.is_empty() {
                let end = rest.char_indices().nth(self.piece).map_or(rest.len(), |(at, _)| at);
                let (piece, later) = rest.split_at(end);
                sink.send(Delta::Text(piece.to_owned())).await;
                rest = later;
            }
            Ok(response)
        })
    }
}

impl std::fmt::Debug for ScriptedLm {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ScriptedLm").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::{Lm, Message};

    #[tokio::test]
    async fn rules_come_before_the_script() {
        let script = Arc::new(
            ScriptedLm::new(["first", "second"])
                .when(|request| request.messages[0].text().contains("weather"), "sunny")
                .when(|_| false, "never")
                .keep(2),
        );
        let lm = Lm::shared(script.clone());
        let mut replies = Vec::new();
        for question in ["Hi", "The weather?", "Hi", "Your weather?"] {
            replies.push(lm.ask(question).await.unwrap());
        }
        assert_eq!(replies, ["first", "sunny", "second", "sunny"]);
        assert_eq!((script.unused(), script.calls(), script.requests().len()), (1, 4, 2));
        assert_eq!(script.requests()[0].messages[0].text(), "Hi");
    }

    #[tokio::test(start_paused = true)]
    async fn functions_may_wait_and_fail() {
        let lm = Lm::from_fn(|request: Request| async move {
            tokio::time::sleep(Duration::from_secs(3)).await;
            match request.messages[0].text().parse::<u64>() {
                Ok(number) => Ok(Response::text("yes").with_usage(Usage::tokens(number, 1).at_cost(0.5))),
                Err(_) => Err(LmError::new(LmErrorKind::ContentFilter, "judge", "no number")),
            }
        });
        let start = tokio::time::Instant::now();
        let response = lm.complete(Request::new(vec![Message::user("7")])).await.unwrap();
        assert_eq!((response.usage.prompt_tokens, response.usage.cost_usd), (7, Some(0.5)));
        assert_eq!(lm.ask("seven").await.unwrap_err().kind, LmErrorKind::ContentFilter);
        assert_eq!(start.elapsed().as_secs(), 6);
    }

    #[tokio::test(start_paused = true)]
    async fn names_and_waits_are_as_set() {
        let model = ScriptedLm::new(["a"]).with_id("openai/gpt-x").with_latency(Duration::from_secs(5));
        let lm = Lm::custom(model);
        let start = tokio::time::Instant::now();
        assert_eq!((lm.id(), lm.ask("Hi").await.unwrap().as_str()), ("openai/gpt-x", "a"));
        assert_eq!(start.elapsed().as_secs(), 5);
        assert_eq!(lm.ask("Hi").await.unwrap_err().model, "openai/gpt-x");
    }
}
