//! A model whose replies are written down beforehand, for tests.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};

use super::{
    BoxFuture, Capabilities, Completion, Delta, DeltaSink, FinishReason, LanguageModel, LmError, LmErrorKind,
    Request, Response, Usage,
};

/// One scripted outcome of a request.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Reply {
    /// A complete reply.
    Text(String),
    /// A reply that the token limit cut off.
    Truncated(String),
    /// A reply with more than text: native tool calls, reasoning.
    Completion(Completion),
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

type Respond = Box<dyn Fn(&Request) -> Reply + Send + Sync>;

/// A model that replies from a script or a function and remembers what it was asked.
///
/// Shared by an [`Arc`](std::sync::Arc) it can be inspected after the program has run:
///
/// ```
/// use std::sync::Arc;
/// use dspy_core::lm::{Lm, ScriptedLm};
///
/// let script = Arc::new(ScriptedLm::new(["one", "two"]));
/// let lm = Lm::shared(script.clone());
/// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
/// assert_eq!(lm.ask("first?").await.unwrap(), "one");
/// assert_eq!(lm.ask("second?").await.unwrap(), "two");
/// assert!(lm.ask("third?").await.is_err());
/// # });
/// assert_eq!(script.requests()[1].messages[0].text(), "second?");
/// ```
pub struct ScriptedLm {
    script: Mutex<VecDeque<Reply>>,
    respond: Option<Respond>,
    requests: Mutex<Vec<Request>>,
    capabilities: Capabilities,
    piece: usize,
}

/// How many characters of a streamed reply come at a time, unless the test says otherwise.
const PIECE: usize = 8;

impl ScriptedLm {
    /// A model that gives these replies in order, then fails.
    pub fn new<R: Into<Reply>>(replies: impl IntoIterator<Item = R>) -> Self {
        ScriptedLm {
            script: Mutex::new(replies.into_iter().map(Into::into).collect()),
            respond: None,
            requests: Mutex::default(),
            capabilities: Capabilities::default(),
            piece: PIECE,
        }
    }

    /// A model that computes each reply from the request.
    pub fn from_fn<R: Into<Reply>>(respond: impl Fn(&Request) -> R + Send + Sync + 'static) -> Self {
        let mut scripted = Self::new(Vec::<Reply>::new());
        scripted.respond = Some(Box::new(move |request| respond(request).into()));
        scripted
    }

    /// The same model with other capabilities.
    #[must_use]
    pub fn with_capabilities(mut self, capabilities: Capabilities) -> Self {
        self.capabilities = capabilities;
        self
    }

    /// The same model with streamed replies in pieces of so many characters; 8 at first.
    #[must_use]
    pub fn with_pieces_of(mut self, characters: usize) -> Self {
        self.piece = characters.max(1);
        self
    }

    /// The requests so far, oldest first.
    pub fn requests(&self) -> Vec<Request> {
        self.requests.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn next(&self, request: &Request) -> Option<Reply> {
        match &self.respond {
            Some(respond) => Some(respond(request)),
            None => self.script.lock().unwrap_or_else(PoisonError::into_inner).pop_front(),
        }
    }
}

impl LanguageModel for ScriptedLm {
    fn id(&self) -> &'static str {
        "scripted"
    }

    fn capabilities(&self) -> Capabilities {
        self.capabilities
    }

    fn complete<'a>(&'a self, request: &'a Request) -> BoxFuture<'a, Result<Response, LmError>> {
        let count = {
            let mut requests = self.requests.lock().unwrap_or_else(PoisonError::into_inner);
            requests.push(request.clone());
            requests.len()
        };
        let reply = self.next(request);
        Box::pin(async move {
            let completion = match reply {
                Some(Reply::Text(text)) => Completion::new(text),
                Some(Reply::Truncated(text)) => Completion::new(text).finished(FinishReason::Length),
                Some(Reply::Completion(completion)) => completion,
                Some(Reply::Error(error)) => return Err(error),
                None => {
                    let message = format!("no reply left for request number {count}");
                    return Err(LmError::new(LmErrorKind::Exhausted, "scripted", message));
                }
            };
            let words = |text: &str| text.split_whitespace().count() as u64;
            let asked = request.messages.iter().map(|message| words(&message.text())).sum();
            let usage = Usage::tokens(asked, words(&completion.text));
            Ok(Response { completions: vec![completion], model: "scripted".into(), ..Response::default() }
                .with_usage(usage))
        })
    }

    fn stream<'a>(
        &'a self,
        request: &'a Request,
        sink: &'a DeltaSink,
    ) -> BoxFuture<'a, Result<Response, LmError>> {
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
