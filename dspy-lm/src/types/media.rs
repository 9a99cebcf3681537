//! Message parts other than text.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// The kind of a [`Media`] part.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum MediaKind {
    /// A picture.
    Image,
    /// A sound recording.
    Audio,
    /// A document, such as a PDF.
    File,
}

impl MediaKind {
    /// Returns the name of the kind: `image`, `audio` or `file`.
    pub const fn as_str(self) -> &'static str {
        match self {
            MediaKind::Image => "image",
            MediaKind::Audio => "audio",
            MediaKind::File => "file",
        }
    }
}

/// The resolution at which a model processes an image, for endpoints with such an option.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Detail {
    /// Low resolution, for few tokens.
    Low,
    /// Full resolution.
    High,
    /// The endpoint's choice.
    Auto,
}

impl Detail {
    /// Returns the name on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Detail::Low => "low",
            Detail::High => "high",
            Detail::Auto => "auto",
        }
    }
}

/// An image, a recording or a file in a message.
///
/// `Debug` shows its type and length, never its content.
///
/// ```
/// use dspy_lm::{Media, MediaKind};
/// let media = Media::new(MediaKind::Audio, "data:audio/wav;base64,UklGRg==");
/// assert_eq!(media.data(), Some(("audio/wav", "UklGRg==")));
/// ```
#[derive(Clone, PartialEq)]
#[non_exhaustive]
pub struct Media {
    /// The kind of the content.
    pub kind: MediaKind,
    /// The URL of the content, or a `data:` URI that contains it.
    pub url: Arc<str>,
    /// The name of the file.
    pub name: Option<Arc<str>>,
    /// The resolution at which to process an image.
    pub detail: Option<Detail>,
}

impl Media {
    /// Creates a part from a URL or a `data:` URI.
    pub fn new(kind: MediaKind, url: impl Into<Arc<str>>) -> Self {
        Media { kind, url: url.into(), name: None, detail: None }
    }

    /// Sets the name of the file.
    #[must_use]
    pub fn with_name(mut self, name: impl Into<Arc<str>>) -> Self {
        self.name = Some(name.into());
        self
    }

    /// Sets the resolution.
    #[must_use]
    pub fn with_detail(mut self, detail: Detail) -> Self {
        self.detail = Some(detail);
        self
    }

    /// Returns the media type and the content in base64, if the URL is a `data:` URI with base64.
    pub fn data(&self) -> Option<(&str, &str)> {
        let (head, data) = self.url.get(5..)?.split_once(',')?;
        let head = self.url.get(..5).filter(|scheme| scheme.eq_ignore_ascii_case("data:")).and(Some(head))?;
        let media_type = head.strip_suffix(";base64")?;
        Some((media_type.split(';').next().unwrap_or(media_type), data))
    }
}

impl fmt::Debug for Media {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = self.kind.as_str();
        match self.data() {
            Some((media_type, data)) => write!(f, "<{kind} {media_type}, {} bytes in base64>", data.len()),
            None => write!(f, "<{kind} at a URL of {} bytes>", self.url.len()),
        }
    }
}

/// Returns a placeholder for media: its kind and size, or its URL, never its content.
pub fn placeholder(media: &Media) -> String {
    let name = media.name.as_deref().map(|name| format!(" {name:?}")).unwrap_or_default();
    let kind = media.kind.as_str();
    match media.data() {
        Some((media_type, data)) => format!("<{kind}{name} {media_type}, {} bytes>", data.len() / 4 * 3),
        None => format!("<{kind}{name} at {}>", public_url(&media.url)),
    }
}

/// Returns a URL without the parts that may be secret: user, password, query.
fn public_url(url: &str) -> &str {
    let url = url.split(['?', '#']).next().unwrap_or_default();
    if url.len() > 200 || url.contains('@') { "a URL" } else { url }
}
