//! Chat messages. Text is reference counted: the static part of a prompt is shared by all calls and not
//! copied.

use std::sync::Arc;

use serde_json::Value;

use crate::{Completion, Media, MediaKind, ToolCall};

/// The author of a [`Message`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Role {
    /// The instructions for the whole conversation.
    System,
    /// The caller.
    User,
    /// The model.
    Assistant,
    /// A tool that the model called.
    Tool,
}

impl Role {
    /// Returns the name of the role on the wire: `system`, `user`, `assistant` or `tool`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Role::System => "system",
            Role::User => "user",
            Role::Assistant => "assistant",
            Role::Tool => "tool",
        }
    }
}

/// One part of a message with several kinds of content.
///
/// ```
/// use dspy_lm::{Content, Message, Part, Role};
/// let parts = [Part::Text("What is this?".into()), Part::image("https://example.org/cat.png")];
/// let message = Message { role: Role::User, content: Content::Parts(parts.into()) };
/// assert_eq!(message.text(), "What is this?");
/// ```
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Part {
    /// Plain text.
    Text(Arc<str>),
    /// An image, a recording or a file.
    Media(Media),
}

impl Part {
    /// Creates an image part from a URL or `data:` URI.
    pub fn image(url: impl Into<Arc<str>>) -> Self {
        Part::Media(Media::new(MediaKind::Image, url))
    }

    /// Returns the part as text: media as a placeholder with its kind and size, or its URL, never its content.
    pub fn shown(&self) -> std::borrow::Cow<'_, str> {
        match self {
            Part::Text(text) => text.as_ref().into(),
            Part::Media(media) => super::media::placeholder(media).into(),
        }
    }
}

/// The content of a message.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Content {
    /// Text only, the most common content.
    Text(Arc<str>),
    /// Text mixed with other media, in reading order.
    Parts(Arc<[Part]>),
    /// The tool calls of a model, with the text that came with them.
    Calls {
        /// The text beside the calls; often empty.
        text: Arc<str>,
        /// The calls. Endpoints expect a message with the result of each to follow.
        calls: Arc<[ToolCall]>,
        /// Data that the endpoint needs back together with the calls; see [`Completion::opaque`].
        opaque: Option<Arc<Value>>,
    },
    /// The result of one call.
    ToolResult {
        /// The id of the call.
        id: Arc<str>,
        /// The result as the model reads it. Media in it are placeholders, such as `<image image/png, 450 bytes>`.
        text: Arc<str>,
        /// The result in parts if it has media, otherwise empty. A model that sees no images receives the text
        /// alone.
        parts: Arc<[Part]>,
    },
}

/// One turn of a chat.
///
/// ```
/// use dspy_lm::{Message, Role};
/// let message = Message::user("What is the capital of France?");
/// assert_eq!(message.role, Role::User);
/// assert_eq!(message.text(), "What is the capital of France?");
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct Message {
    /// The author.
    pub role: Role,
    /// The content.
    pub content: Content,
}

impl Message {
    /// Creates a message of `role` that holds only text.
    pub fn new(role: Role, text: impl Into<Arc<str>>) -> Self {
        Message { role, content: Content::Text(text.into()) }
    }

    /// Creates a system message.
    pub fn system(text: impl Into<Arc<str>>) -> Self {
        Self::new(Role::System, text)
    }

    /// Creates a user message.
    pub fn user(text: impl Into<Arc<str>>) -> Self {
        Self::new(Role::User, text)
    }

    /// Creates an assistant message.
    pub fn assistant(text: impl Into<Arc<str>>) -> Self {
        Self::new(Role::Assistant, text)
    }

    /// Creates an assistant message that calls tools.
    pub fn calls(text: impl Into<Arc<str>>, calls: impl Into<Arc<[ToolCall]>>) -> Self {
        let content = Content::Calls { text: text.into(), calls: calls.into(), opaque: None };
        Message { role: Role::Assistant, content }
    }

    /// Sets the data that the endpoint needs back together with the calls, as received in
    /// [`Completion::opaque`]. Has no effect on a message without calls.
    #[must_use]
    pub fn with_opaque(mut self, given: Option<Value>) -> Self {
        if let Content::Calls { opaque, .. } = &mut self.content {
            *opaque = given.map(Arc::new);
        }
        self
    }

    /// Creates the message with the result of the call with that id.
    pub fn tool_result(id: impl Into<Arc<str>>, text: impl Into<Arc<str>>) -> Self {
        let content = Content::ToolResult { id: id.into(), text: text.into(), parts: Arc::default() };
        Message { role: Role::Tool, content }
    }

    /// Creates the message with a result that consists of text and media. Anthropic and the Responses API take media
    /// in results; for other endpoints they are in a user message after the results.
    ///
    /// ```
    /// use dspy_lm::{Message, Part};
    /// let parts = [Part::Text("The entrance: ".into()), Part::image("https://example.org/door.png")];
    /// let message = Message::tool_result_parts("call_1", parts);
    /// assert_eq!(message.text(), "The entrance: <image at https://example.org/door.png>");
    /// ```
    pub fn tool_result_parts(id: impl Into<Arc<str>>, parts: impl Into<Arc<[Part]>>) -> Self {
        let parts: Arc<[Part]> = parts.into();
        let text: String = parts.iter().map(Part::shown).collect();
        let has_media = parts.iter().any(|part| matches!(part, Part::Media(_)));
        let parts = if has_media { parts } else { Arc::default() };
        Message { role: Role::Tool, content: Content::ToolResult { id: id.into(), text: text.into(), parts } }
    }

    /// Returns the text of the message without its other parts.
    pub fn text(&self) -> std::borrow::Cow<'_, str> {
        match &self.content {
            Content::Text(text) | Content::Calls { text, .. } | Content::ToolResult { text, .. } => {
                text.as_ref().into()
            }
            Content::Parts(parts) => parts
                .iter()
                .filter_map(|part| match part {
                    Part::Text(text) => Some(text.as_ref()),
                    Part::Media(_) => None,
                })
                .collect::<String>()
                .into(),
        }
    }
}

impl From<&Completion> for Message {
    /// Converts a reply and its tool calls to the next message of the conversation.
    fn from(completion: &Completion) -> Self {
        if completion.tool_calls.is_empty() {
            return Message::assistant(completion.text.as_str());
        }
        Message::calls(completion.text.as_str(), completion.tool_calls.as_slice())
            .with_opaque(completion.opaque.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_shows_no_payload() {
        let message = Message {
            role: Role::User,
            content: Content::Parts([Part::image("data:image/png;base64,SECRET==")].into()),
        };
        let shown = format!("{message:?}");
        assert!(shown.contains("image/png, 8 bytes") && !shown.contains("SECRET"), "{shown}");
    }
}
