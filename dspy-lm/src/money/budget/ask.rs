//! Upper bounds of the usage of a call, from its request.

use std::borrow::Cow;

use crate::{Content, Lm, Media, MediaKind, Message, Part, Price, Request, ResponseFormat};

/// Tokens of a message beside its text: roles, separators.
const PER_MESSAGE: u64 = 16;
/// Tokens of a request beside its messages.
const PER_REQUEST: u64 = 64;
/// Tokens of the instructions that endpoints add for tools.
const FOR_TOOLS: u64 = 1_024;
/// The most tokens of an image: the largest known count is 48,169, for eight tiles of `gpt-4o-mini`.
const IMAGE: u64 = 50_000;
/// The most tokens of a recording or document at a URL, which may fill a context window.
const ELSEWHERE: u64 = 1_000_000;

/// A call to be paid for.
#[derive(Debug, Clone)]
pub(super) struct Ask<'a> {
    pub(super) model: Cow<'a, str>,
    /// The most tokens of the prompt.
    pub(super) prompt: u64,
    /// The number of sampled completions.
    pub(super) completions: u64,
    /// The most tokens of each completion, if the request limits them.
    pub(super) max_tokens: Option<u64>,
    pub(super) price: Option<Price>,
    /// The number of tokens at which a reply to this request was truncated already.
    pub(super) cut: Option<u32>,
}

impl<'a> Ask<'a> {
    /// Creates a call of which only the number counts.
    pub(super) fn uncounted(lm: &'a Lm) -> Self {
        Ask { model: lm.id().into(), prompt: 0, completions: 1, max_tokens: None, price: None, cut: None }
    }

    pub(super) fn new(lm: &'a Lm, request: &Request) -> Self {
        let params = &request.params;
        // Members of `extra` replace the parameters in the request.
        let extra = |names: &[&str]| names.iter().find_map(|name| params.extra.get(*name)?.as_u64());
        let max_tokens = extra(&["max_tokens", "max_completion_tokens", "max_output_tokens"]);
        let completions = extra(&["n"]).or(params.n.map(u64::from));
        Ask {
            model: lm.id().into(),
            prompt: prompt(request),
            completions: completions.unwrap_or(1).max(1),
            max_tokens: max_tokens.or(params.max_tokens.map(u64::from)),
            price: lm.price_of(request),
            cut: None,
        }
    }

    pub(super) fn into_owned(self) -> Ask<'static> {
        Ask { model: self.model.into_owned().into(), ..self }
    }
}

/// Returns the most tokens of the prompt. Tokenizers make no token of less than a byte of text.
fn prompt(request: &Request) -> u64 {
    let messages: u64 = request.messages.iter().map(|message| PER_MESSAGE + of_message(message)).sum();
    let tools = request.tools.iter().map(|tool| {
        let schema = tool.parameters.to_string().len();
        PER_MESSAGE + (tool.name.len() + tool.description.len() + schema) as u64
    });
    let tools = if request.tools.is_empty() { 0 } else { FOR_TOOLS + tools.sum::<u64>() };
    let format = match &request.format {
        ResponseFormat::JsonSchema { schema, .. } => schema.to_string().len() as u64,
        _ => 0,
    };
    PER_REQUEST + messages + tools + format
}

fn of_message(message: &Message) -> u64 {
    match &message.content {
        Content::Text(text) => text.len() as u64,
        Content::ToolResult { id, text, parts } => (id.len() + text.len()) as u64 + of_parts(parts),
        Content::Calls { text, calls, opaque } => {
            let calls = calls.iter().map(|call| {
                let id = call.id.as_deref().map_or(0, str::len);
                PER_MESSAGE + (id + call.name.len() + call.arguments.to_string().len()) as u64
            });
            // Reasoning is returned to the endpoint as received, which is not shorter than its text.
            let given = opaque.as_ref().map_or(0, |given| given.to_string().len());
            (text.len() + given) as u64 + calls.sum::<u64>()
        }
        Content::Parts(parts) => of_parts(parts),
    }
}

fn of_parts(parts: &[Part]) -> u64 {
    let of_part = |part: &Part| match part {
        Part::Text(text) => text.len() as u64,
        Part::Media(media) => of_media(media),
    };
    parts.iter().map(of_part).sum()
}

fn of_media(media: &Media) -> u64 {
    match (media.kind, media.data()) {
        (MediaKind::Image, _) => IMAGE,
        // A second of sound and a page of a document have more bytes than tokens.
        (MediaKind::Audio | MediaKind::File, Some((_, data))) => (data.len() as u64).max(IMAGE),
        (MediaKind::Audio | MediaKind::File, None) => ELSEWHERE,
    }
}
