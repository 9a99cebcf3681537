//! Parts of a message that are not text.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// What kind of thing a [`Media`] part is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum MediaKind {
    /// A picture.
    Image,
    /// A recording.
    Audio,
    /// A document, such as a PDF.
    File,
}

impl MediaKind {
    /// The kind in a word: `image`, `audio` or `file`.
    pub const fn as_str(self) -> &'static str {
        match self {
            MediaKind::Image => "image",
            MediaKind::Audio => "audio",
            MediaKind::File => "file",
        }
    }
}

/// How closely a model looks at an image, for endpoints that let one choose.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Detail {
    /// At low resolution, for few tokens.
    Low,
    /// At full resolution.
    High,
    /// As the endpoint sees fit.
    Auto,
}

impl Detail {
    /// The name on the wire.
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
/// `Debug` shows its type and length, never what is in it.
///
/// ```
/// use dspy_lm::{Media, MediaKind};
/// let media = Media::new(MediaKind::Audio, "data:audio/wav;base64,UklGRg==");
/// assert_eq!(media.data(), Some(("audio/wav", "UklGRg==")));
/// ```
#[derive(Clone, PartialEq)]
#[non_exhaustive]
pub struct Media {
    /// What kind of thing it is.
    pub kind: MediaKind,
    /// Where it is, or a `data:` URI that holds it.
    pub url: Arc<str>,
    /// The name of the file.
    pub name: Option<Arc<str>>,
    /// How closely to look at it.
    pub detail: Option<Detail>,
}

impl Media {
    /// Media at a URL, or in a `data:` URI.
    pub fn new(kind: MediaKind, url: impl Into<Arc<str>>) -> Self {
        Media { kind, url: url.into(), name: None, detail: None }
    }

    /// The same with the name of its file.
    #[must_use]
    pub fn with_name(mut self, name: impl Into<Arc<str>>) -> Self {
        self.name = Some(name.into());
        self
    }

    /// The same with how closely to look at it.
    #[must_use]
    pub fn with_detail(mut self, detail: Detail) -> Self {
        self.detail = Some(detail);
        self
    }

    /// The media type and the content in base64, unless the content is elsewhere.
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
