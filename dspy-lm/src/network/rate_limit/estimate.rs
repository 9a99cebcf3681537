//! Estimates of the tokens that a request will use.

use crate::{Content, Part, Request};

/// The tokens estimated for an image, a recording or a file.
const MEDIA: u64 = 1_000;
/// The bytes of text per estimated token.
const BYTES: u64 = 4;

/// The tokens that a request is expected to use.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Estimate {
    pub(super) prompt: u64,
    /// The limit on completion tokens; `None` if the request sets none.
    pub(super) completion: Option<u64>,
}

impl Estimate {
    /// Estimates a request whose body has `bytes` bytes, including its media.
    #[cfg(feature = "http")]
    pub(crate) fn of_body(request: &Request, bytes: usize) -> Self {
        let (media, in_media) = media(request);
        Self::new(request, (bytes as u64).saturating_sub(in_media), media)
    }

    /// Estimates text of this many bytes, for which no tokens are generated.
    #[cfg(feature = "http")]
    pub(crate) fn of_text(bytes: usize) -> Self {
        Estimate { prompt: bytes as u64 / BYTES, completion: Some(0) }
    }

    /// Estimates a request that has no body.
    pub(crate) fn of(request: &Request) -> Self {
        let text = request.messages.iter().map(|message| message.text().len() as u64).sum();
        Self::new(request, text, media(request).0)
    }

    fn new(request: &Request, text: u64, media: u64) -> Self {
        let params = &request.params;
        let completion =
            params.max_tokens.map(|most| u64::from(most) * u64::from(params.n.unwrap_or(1).max(1)));
        Estimate { prompt: text / BYTES + media * MEDIA, completion }
    }
}

/// Returns the number of media in the prompt and their bytes.
fn media(request: &Request) -> (u64, u64) {
    let parts = request.messages.iter().flat_map(|message| match &message.content {
        Content::Parts(parts) => &parts[..],
        _ => &[],
    });
    parts.fold((0, 0), |(count, bytes), part| match part {
        Part::Media(media) => (count + 1, bytes + media.url.len() as u64),
        Part::Text(_) => (count, bytes),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Message, Role};

    #[test]
    fn images_do_not_count_by_their_bytes() {
        let image = Part::image(format!("data:image/png;base64,{}", "x".repeat(1 << 20)));
        let content = Content::Parts([Part::Text("Look at this, ok?".into()), image].into());
        let mut request = Request::new(vec![Message { role: Role::User, content }]);
        assert_eq!(Estimate::of(&request), Estimate { prompt: 1_004, completion: None });
        request.params.max_tokens = Some(100);
        request.params.n = Some(3);
        assert_eq!(Estimate::of(&request).completion, Some(300));
    }
}
