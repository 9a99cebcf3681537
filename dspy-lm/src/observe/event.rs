//! Events of model calls for observers.

use std::sync::Arc;
use std::time::Duration;

use super::content::placeholder;
use crate::{Content, Extensions, LanguageModel, LmError, Message, Part, Request, Response};

/// A request to a model, as observers receive it.
///
/// The names of the model and its endpoint contain no secrets. Requests contain no keys.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct LmCall {
    /// The name of the model, e.g. `openai/gpt-4o-mini`.
    pub model: Arc<str>,
    /// The address at which the model is served; empty for models in this process.
    pub endpoint: Arc<str>,
    /// The path of the predictor that made the request, e.g. `generate_query.predict`; `None` for other
    /// requests.
    pub predictor: Option<Arc<str>>,
    /// The request, with the parameters of the handle.
    pub request: Arc<Request>,
    /// Whether the reply is streamed.
    pub streamed: bool,
}

impl LmCall {
    pub(super) fn new(
        model: &dyn LanguageModel,
        request: &Request,
        predictor: Option<Arc<str>>,
        streamed: bool,
    ) -> Self {
        let mut request = request.clone();
        // Of no use to observers, and they would keep the values alive.
        request.extensions = Extensions::default();
        let request = Arc::new(request);
        LmCall { model: model.id().into(), endpoint: model.endpoint().into(), predictor, request, streamed }
    }

    /// Returns the call with short placeholders for media, which are large and unreadable.
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

/// An event of a model call.
#[derive(Debug, Clone)]
pub struct CallEvent {
    /// The name of the model.
    pub source: Arc<str>,
    /// A number that identifies the call within this process.
    pub call: u64,
    /// The call that made this one.
    pub parent: Option<u64>,
    /// The time since the call began.
    pub elapsed: Duration,
    /// The request and the model.
    pub what: Arc<LmCall>,
    /// The kind of the event.
    pub kind: CallEventKind,
}

/// The kind of an event of a model call.
#[derive(Debug, Clone)]
pub enum CallEventKind {
    /// The call begins.
    Started,
    /// An attempt has failed and another one will follow.
    Retried {
        /// The error of the failed attempt.
        error: Box<LmError>,
        /// The time until the next attempt.
        wait: Duration,
    },
    /// The model has answered.
    Finished {
        /// The answer.
        response: Arc<Response>,
        /// The time to the first piece of a streamed reply.
        first_token: Option<Duration>,
        /// The number of times the request was sent again.
        retries: u32,
    },
    /// The call has failed.
    Failed {
        /// The error.
        error: Box<LmError>,
        /// The number of times the request was sent again.
        retries: u32,
    },
    /// The call was dropped before its end.
    Cancelled,
}
