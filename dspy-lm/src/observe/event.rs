//! What observers are told of a call of a model.

use std::sync::Arc;
use std::time::Duration;

use super::content::placeholder;
use crate::{Content, Extensions, Lm, LmError, Message, Part, Request, Response};

/// A request that is sent to a model, as observers are told of it.
///
/// The model and its endpoint are named without anything secret. Requests hold no keys.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct LmCall {
    /// The model that is asked, e.g. `openai/gpt-4o-mini`.
    pub model: Arc<str>,
    /// Where it is served; empty for models in this process.
    pub endpoint: Arc<str>,
    /// The path of the predictor that asks, e.g. `generate_query.predict`; nothing if none does.
    pub predictor: Option<Arc<str>>,
    /// What is asked, with the parameters of the handle.
    pub request: Arc<Request>,
    /// Whether the reply is shown while it arrives.
    pub streamed: bool,
}

impl LmCall {
    pub(super) fn new(lm: &Lm, request: &Request, predictor: Option<Arc<str>>, streamed: bool) -> Self {
        let mut request = request.clone();
        // Of no use to observers, and it would live as long as what they keep.
        request.extensions = Extensions::default();
        let request = Arc::new(request);
        LmCall { model: lm.id().into(), endpoint: lm.endpoint().into(), predictor, request, streamed }
    }

    /// The call with text in the place of media, which are large and which nobody can read.
    #[doc(hidden)]
    #[must_use]
    pub fn without_media(self: &Arc<Self>) -> Arc<Self> {
        let media = |message: &Message| match &message.content {
            Content::Parts(parts) => parts.iter().any(|part| matches!(part, Part::Media(_))),
            _ => false,
        };
        if !self.request.messages.iter().any(media) {
            return self.clone();
        }
        let mut request = (*self.request).clone();
        for message in &mut request.messages {
            if let Content::Parts(parts) = &message.content {
                let text = |part: &Part| match part {
                    Part::Media(media) => Part::Text(placeholder(media).into()),
                    Part::Text(_) => part.clone(),
                };
                message.content = Content::Parts(parts.iter().map(text).collect());
            }
        }
        Arc::new(LmCall { request: Arc::new(request), ..(**self).clone() })
    }
}

/// Something that happened to a call of a model.
#[derive(Debug, Clone)]
pub struct CallEvent {
    /// The name of the model.
    pub source: Arc<str>,
    /// Tells the calls of this process apart.
    pub call: u64,
    /// The call in which this one was made.
    pub parent: Option<u64>,
    /// How long ago the call began.
    pub elapsed: Duration,
    /// What is asked of whom.
    pub what: Arc<LmCall>,
    /// What happened.
    pub kind: CallEventKind,
}

/// What happened to a call of a model.
#[derive(Debug, Clone)]
pub enum CallEventKind {
    /// It begins.
    Started,
    /// An attempt has failed, and another one will follow.
    Retried {
        /// Why it failed.
        error: Box<LmError>,
        /// How long the next attempt waits.
        wait: Duration,
    },
    /// The model has answered.
    Finished {
        /// The answer.
        response: Arc<Response>,
        /// How long the first piece of a streamed reply took.
        first_token: Option<Duration>,
        /// How often the request was sent again.
        retries: u32,
    },
    /// The model gave no answer.
    Failed {
        /// Why.
        error: Box<LmError>,
        /// How often the request was sent again.
        retries: u32,
    },
    /// The call was dropped before its end.
    Cancelled,
}
