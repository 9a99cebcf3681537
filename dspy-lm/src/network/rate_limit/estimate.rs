//! How many tokens a request will use.

use crate::{Content, Part, Request};

/// What an image, a recording or a file is counted as.
const MEDIA: u64 = 1_000;
/// How many bytes of text are counted as one token.
const BYTES: u64 = 4;

/// The tokens that a request is expected to use.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Estimate {
    pub(super) prompt: u64,
    /// Nothing where the request does not limit it.
    pub(super) completion: Option<u64>,
}

impl Estimate {
    /// The estimate for a request that takes `bytes` on the wire, its media included.
    #[cfg(feature = "http")]
    pub(crate) fn of_body(request: &Request, bytes: usize) -> Self {
        let (media, in_media) = media(request);
        Self::new(request, (bytes as u64).saturating_sub(in_media), media)
    }

    /// The estimate for a text of so many bytes, to which nothing is generated.
    #[cfg(feature = "http")]
    pub(crate) fn of_text(bytes: usize) -> Self {
        Estimate { prompt: bytes as u64 / BYTES, completion: Some(0) }
    }

    /// The estimate for a request that is not sent anywhere.
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

/// How many media there are in the prompt, and how many bytes they take.
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
