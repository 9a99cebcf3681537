//! The supported HTTP protocols.

/// The protocol of an endpoint.
///
/// A provider that is known by name has a default: Anthropic and Gemini use their native protocols; all others,
/// including OpenAI, use [`Chat`](Self::Chat). [`Endpoint::protocol`](crate::Endpoint::protocol) selects another.
///
/// OpenAI's default is chat completions rather than the newer responses, because only the former supports stop
/// sequences, seeds, audio and several completions per request, and because the same name is used for the many
/// servers that `OPENAI_BASE_URL` may point to. Select responses to get summaries of the reasoning, and for reasoning
/// models that call tools: their reasoning is sent back to them from turn to turn.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum Protocol {
    /// OpenAI's chat completions (`/chat/completions`), supported by nearly every server.
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
    /// Returns the protocol of an address that names a method, in the form used by documentation and consoles of
    /// providers:
    /// `https://host/v1/messages`.
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
    /// Returns the default path of a base URL without one.
    pub(crate) const fn root(self) -> &'static str {
        match self {
            Protocol::Gemini => "/v1beta",
            _ => "/v1",
        }
    }

    /// Returns the header that holds the key; `None` for a bearer token.
    pub(crate) const fn key_header(self) -> Option<&'static str> {
        match self {
            Protocol::Chat | Protocol::Responses => None,
            Protocol::Anthropic => Some("x-api-key"),
            Protocol::Gemini => Some("x-goog-api-key"),
        }
    }

    /// Returns the headers required on every request.
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
