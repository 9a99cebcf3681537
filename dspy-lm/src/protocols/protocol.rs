//! The ways to talk to a model over HTTP.

/// What an endpoint speaks.
///
/// A provider that is known by name has one by default: Anthropic and Gemini their own, all others, OpenAI included,
/// [`Chat`](Self::Chat). [`Endpoint::protocol`](crate::Endpoint::protocol) chooses another.
///
/// OpenAI's default is chat completions and not the newer responses, because only there are there stop sequences,
/// seeds, audio and several completions for one request, and because the same name is used for the many servers that
/// stand behind `OPENAI_BASE_URL`. Choose responses to get summaries of the reasoning, and for reasoning models that
/// call tools: their reasoning is handed back to them from turn to turn.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum Protocol {
    /// OpenAI's chat completions (`/chat/completions`), which nearly every server speaks.
    #[default]
    Chat,
    /// OpenAI's responses (`/responses`). Nothing is stored at the endpoint.
    Responses,
    /// Anthropic's messages (`/v1/messages`).
    Anthropic,
    /// Gemini's `generateContent`.
    Gemini,
}

impl Protocol {
    /// The protocol that an address is of which names a method of one, as the documentation and consoles of providers
    /// show it: `https://host/v1/messages`.
    pub(crate) fn of_address(url: &str) -> Option<Self> {
        let path = url.split(['?', '#']).next().unwrap_or_default().trim().trim_end_matches('/');
        let (_, path) = path.split_once("://")?.1.split_once('/')?;
        let last = path.rsplit('/').next().unwrap_or(path);
        match last {
            "completions" => Some(Protocol::Chat),
            "responses" => Some(Protocol::Responses),
            "messages" => Some(Protocol::Anthropic),
            _ if last.ends_with(":generateContent") || last.ends_with(":streamGenerateContent") => {
                Some(Protocol::Gemini)
            }
            _ => None,
        }
    }
}

#[cfg(feature = "http")]
impl Protocol {
    /// The path of a base URL that has none.
    pub(crate) const fn root(self) -> &'static str {
        match self {
            Protocol::Gemini => "/v1beta",
            _ => "/v1",
        }
    }

    /// The header that holds the key; `None` is a bearer token.
    pub(crate) const fn key_header(self) -> Option<&'static str> {
        match self {
            Protocol::Chat | Protocol::Responses => None,
            Protocol::Anthropic => Some("x-api-key"),
            Protocol::Gemini => Some("x-goog-api-key"),
        }
    }

    /// Headers that every request must have.
    pub(crate) const fn headers(self) -> &'static [(&'static str, &'static str)] {
        match self {
            Protocol::Anthropic => &[("anthropic-version", "2023-06-01")],
            _ => &[],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_addresses_tell_the_protocol() {
        for (url, protocol) in [
            ("https://h/v1/chat/completions", Some(Protocol::Chat)),
            (" https://h/v1/responses/ ", Some(Protocol::Responses)),
            ("https://h/openai/responses?api-version=preview", Some(Protocol::Responses)),
            ("https://h/v1/messages#x", Some(Protocol::Anthropic)),
            ("https://h/v1beta/models/m:generateContent?key=k", Some(Protocol::Gemini)),
            ("https://h/v1beta/models/m:streamGenerateContent?alt=sse", Some(Protocol::Gemini)),
            ("https://h/v1", None),
            ("https://messages", None),
            ("https://h/messages/v1", None),
            ("messages", None),
            ("", None),
        ] {
            assert_eq!(Protocol::of_address(url), protocol, "{url}");
        }
    }
}
