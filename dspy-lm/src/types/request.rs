//! Requests to models.

use std::sync::Arc;

use serde_json::Value;

use crate::{Content, Extensions, MediaKind, Message, Params, Part, ToolChoice, ToolSpec};

/// The requested form of a reply, for endpoints that can enforce it.
#[derive(Debug, Clone, Default, PartialEq)]
#[non_exhaustive]
pub enum ResponseFormat {
    /// Free text.
    #[default]
    Text,
    /// Any JSON object.
    JsonObject,
    /// A JSON object that conforms to a schema.
    JsonSchema {
        /// The name of the schema, which some endpoints require.
        name: Arc<str>,
        /// The JSON Schema.
        schema: Arc<Value>,
    },
}

/// One request to a model.
///
/// ```
/// use dspy_lm::{Message, Request};
/// let request = Request::new(vec![Message::user("Say hello.")]);
/// let again = Request::new(vec![Message::user("Say hello.")]);
/// assert_eq!(request.digest(), again.digest());
/// assert_ne!(request.digest(), again.with_rollout(1).digest());
/// ```
#[derive(Debug, Clone, Default, PartialEq)]
#[non_exhaustive]
pub struct Request {
    /// The conversation, oldest first.
    pub messages: Vec<Message>,
    /// Sampling parameters.
    pub params: Params,
    /// The requested form of the reply.
    pub format: ResponseFormat,
    /// Tools that the model may call natively; only for models with that
    /// [capability](crate::Capabilities::tools).
    pub tools: Vec<ToolSpec>,
    /// Whether the model may, must or must not call them.
    pub tool_choice: ToolChoice,
    /// A number that distinguishes samples of the same request: part of every cache and journal key, never
    /// sent.
    pub rollout: Option<u64>,
    /// Values attached to the request within this process; not part of what is sent.
    pub extensions: Extensions,
}

/// The name of the signature of a request, one of its [extensions](Request::extensions).
#[doc(hidden)]
#[derive(Debug)]
pub struct SignatureName(pub Arc<str>);

impl Request {
    /// Creates a request for free text with the endpoint's default parameters.
    pub fn new(messages: Vec<Message>) -> Self {
        Request { messages, ..Request::default() }
    }

    /// Sets the [`rollout`](field@Self::rollout), to request another sample.
    #[must_use]
    pub fn with_rollout(mut self, rollout: u64) -> Self {
        self.rollout = Some(rollout);
        self
    }

    /// Returns whether a message contains audio.
    pub(crate) fn has_audio(&self) -> bool {
        self.messages.iter().any(|message| match &message.content {
            Content::Parts(parts) => {
                parts.iter().any(|part| matches!(part, Part::Media(media) if media.kind == MediaKind::Audio))
            }
            _ => false,
        })
    }

    /// Returns the name of the signature of the predictor that made this request, for layers and test models
    /// that distinguish the steps of a program; `None` for a request made by hand.
    pub fn signature(&self) -> Option<&str> {
        self.extensions.get().map(|SignatureName(name)| &**name)
    }
}
