//! The common part of images, audio and files: their address and their JSON form.

use std::borrow::Cow;
use std::path::Path;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::error::{MAX_MEDIA_BYTES, MediaError};
use super::{base64, kind};
use crate::files;
use crate::lm::{Detail, Media, MediaKind};
use dspy_base::error::clipped;

/// The content of the three media types.
#[derive(Clone, PartialEq, Eq, Hash)]
pub(super) struct Source {
    pub(super) url: Arc<str>,
    pub(super) name: Option<Arc<str>>,
    pub(super) detail: Option<Detail>,
}

/// The JSON form. Each type writes its address under its own name.
#[derive(Default, Serialize, Deserialize)]
pub(super) struct Form<'a> {
    #[serde(skip_serializing_if = "Option::is_none", borrow, default)]
    image: Option<Cow<'a, str>>,
    #[serde(skip_serializing_if = "Option::is_none", borrow, default)]
    audio: Option<Cow<'a, str>>,
    #[serde(skip_serializing_if = "Option::is_none", borrow, default)]
    file: Option<Cow<'a, str>>,
    #[serde(skip_serializing_if = "Option::is_none", borrow, default)]
    name: Option<Cow<'a, str>>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    detail: Option<Detail>,
    /// The name of the address in Python DSPy and in hand-written data.
    #[serde(skip_serializing, borrow, default)]
    url: Option<Cow<'a, str>>,
}

#[derive(Deserialize)]
#[serde(untagged)]
pub(super) enum Written<'a> {
    Url(#[serde(borrow)] Cow<'a, str>),
    Form(#[serde(borrow)] Form<'a>),
}

impl Source {
    pub(super) fn from_url(kind: MediaKind, url: Cow<'_, str>) -> Result<Self, MediaError> {
        let scheme = url.split(':').next().unwrap_or_default();
        if ["http", "https"].iter().any(|known| scheme.eq_ignore_ascii_case(known)) {
            return Ok(Source { url: url.into(), name: None, detail: None });
        }
        if !scheme.eq_ignore_ascii_case("data") {
            return Err(MediaError::BadUrl(
                "an address starts with `https://`, `http://` or `data:`; for a file on this machine use `from_path`",
            ));
        }
        let media = Media::new(kind, url.as_ref());
        let not_base64 = MediaError::BadUrl("a `data:` URI must read `data:TYPE;base64,DATA`");
        let Some((media_type, data)) = media.data() else { return Err(not_base64) };
        check_type(kind, media_type)?;
        let size = base64::decoded_len(data).ok_or(not_base64)?;
        check_size(size as u64)?;
        Ok(Source { url: media.url, name: None, detail: None })
    }

    pub(super) fn from_bytes(kind: MediaKind, bytes: &[u8], media_type: &str) -> Result<Self, MediaError> {
        check_type(kind, media_type)?;
        check_size(bytes.len() as u64)?;
        let mut url = format!("data:{media_type};base64,");
        base64::encode(&mut url, bytes);
        Ok(Source { url: url.into(), name: None, detail: None })
    }

    pub(super) fn from_path(kind: MediaKind, path: &Path) -> Result<Self, MediaError> {
        let failed = |source| MediaError::Read { path: path.to_owned(), source };
        // A file that is too large is refused without reading it. The size in the metadata may be wrong, so
        // the content is checked again.
        check_size(files::open(path).and_then(|file| file.metadata()).map_err(failed)?.len())?;
        let bytes = files::read(path, MAX_MEDIA_BYTES as u64).map_err(failed)?;
        let extension = path.extension().and_then(|extension| extension.to_str()).unwrap_or_default();
        let media_type = kind::of_file(&bytes, extension)
            .ok_or_else(|| MediaError::UnknownType { path: path.to_owned() })?;
        let name = path.file_name().and_then(|name| name.to_str()).map(Arc::from);
        Ok(Source { name, ..Self::from_bytes(kind, &bytes, media_type)? })
    }

    pub(super) fn read(kind: MediaKind, written: Written<'_>) -> Result<Self, MediaError> {
        let form = match written {
            Written::Url(url) => return Self::from_url(kind, url),
            Written::Form(form) => form,
        };
        let own = match kind {
            MediaKind::Image => form.image,
            MediaKind::Audio => form.audio,
            _ => form.file,
        };
        let missing =
            MediaError::BadUrl("the address is missing: expected a URL or an object that holds one");
        let source = Self::from_url(kind, own.or(form.url).ok_or(missing)?)?;
        Ok(Source { name: form.name.map(Into::into), detail: form.detail, ..source })
    }

    pub(super) fn form(&self, kind: MediaKind) -> Form<'_> {
        let url = Some(Cow::Borrowed(self.url.as_ref()));
        let form = match kind {
            MediaKind::Image => Form { image: url, ..Form::default() },
            MediaKind::Audio => Form { audio: url, ..Form::default() },
            _ => Form { file: url, ..Form::default() },
        };
        Form { name: self.name.as_deref().map(Cow::Borrowed), detail: self.detail, ..form }
    }

    pub(super) fn media(&self, kind: MediaKind) -> Media {
        let mut media = Media::new(kind, self.url.clone());
        media.name.clone_from(&self.name);
        media.detail = self.detail;
        media
    }
}

fn check_type(kind: MediaKind, media_type: &str) -> Result<(), MediaError> {
    let valid = media_type.split_once('/').is_some_and(|(class, name)| {
        let token = |text: &str| {
            let known = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$&-^_.+".contains(&byte);
            !text.is_empty() && text.bytes().all(known)
        };
        let fits = match kind {
            MediaKind::Image | MediaKind::Audio => class.eq_ignore_ascii_case(kind.as_str()),
            _ => true,
        };
        fits && token(class) && token(name)
    });
    if valid {
        return Ok(());
    }
    Err(MediaError::WrongType { expected: kind.as_str(), found: clipped(media_type) })
}

fn check_size(size: u64) -> Result<(), MediaError> {
    if size > MAX_MEDIA_BYTES as u64 { Err(MediaError::TooLarge { size }) } else { Ok(()) }
}

/// Parses a value at a position of that kind.
pub(crate) fn media_of(kind: &str, value: &serde_json::Value) -> Result<Media, String> {
    let kind = match kind {
        "image" => MediaKind::Image,
        "audio" => MediaKind::Audio,
        _ => MediaKind::File,
    };
    let written = Written::deserialize(value)
        .map_err(|_| format!("expected an {}: its URL or an object that holds one", kind.as_str()))?;
    Source::read(kind, written).map(|source| source.media(kind)).map_err(|error| error.to_string())
}
