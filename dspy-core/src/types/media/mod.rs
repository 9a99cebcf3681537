//! Images, audio and files as input fields.
//!
//! Their JSON form is an object that is recognised by the schema of its field and by nothing else, so that no text
//! can pretend to be one.

mod base64;
mod kind;

use std::borrow::Cow;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize, Serializer};
use thiserror::Error;

use crate::lm::{Detail, Media, MediaKind};

/// More bytes than this are refused, because endpoints refuse them too, only later.
pub const MAX_MEDIA_BYTES: usize = 20 * 1024 * 1024;

/// Why something cannot be used as an image, audio or file.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum MediaError {
    /// The file cannot be read.
    #[error("cannot read {}: {source}", .path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
    /// Neither the content nor the name tells the media type.
    #[error("cannot tell what {} is; give its media type with `from_bytes`", .path.display())]
    UnknownType {
        /// The file.
        path: PathBuf,
    },
    /// The media type is not one of this kind.
    #[error(
        "`{found}` is no media type of an {expected}; use the type that fits it: `Image`, `Audio` or `File`"
    )]
    WrongType {
        /// The kind that was asked for.
        expected: &'static str,
        /// The media type that was found.
        found: String,
    },
    /// The address is neither a URL nor a `data:` URI that can be used.
    #[error("{0}")]
    BadUrl(&'static str),
    /// There is too much of it.
    #[error(
        "{size} bytes are more than the {MAX_MEDIA_BYTES} that may be sent; make it smaller, or give its URL"
    )]
    TooLarge {
        /// Its size in bytes.
        size: u64,
    },
}

/// What the three types hold.
#[derive(Clone, PartialEq, Eq, Hash)]
struct Source {
    url: Arc<str>,
    name: Option<Arc<str>>,
    detail: Option<Detail>,
}

/// The JSON form. Each type writes its address under its own name.
#[derive(Default, Serialize, Deserialize)]
struct Form<'a> {
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
    /// What Python DSPy and hand-written data call the address.
    #[serde(skip_serializing, borrow, default)]
    url: Option<Cow<'a, str>>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Written<'a> {
    Url(#[serde(borrow)] Cow<'a, str>),
    Form(#[serde(borrow)] Form<'a>),
}

impl Source {
    fn from_url(kind: MediaKind, url: Cow<'_, str>) -> Result<Self, MediaError> {
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

    fn from_bytes(kind: MediaKind, bytes: &[u8], media_type: &str) -> Result<Self, MediaError> {
        check_type(kind, media_type)?;
        check_size(bytes.len() as u64)?;
        let mut url = format!("data:{media_type};base64,");
        base64::encode(&mut url, bytes);
        Ok(Source { url: url.into(), name: None, detail: None })
    }

    fn from_path(kind: MediaKind, path: &Path) -> Result<Self, MediaError> {
        let failed = |source| MediaError::Read { path: path.to_owned(), source };
        // A file that is too large need not be read to be refused.
        check_size(std::fs::metadata(path).map_err(failed)?.len())?;
        let bytes = std::fs::read(path).map_err(failed)?;
        let extension = path.extension().and_then(|extension| extension.to_str()).unwrap_or_default();
        let media_type = kind::of_file(&bytes, extension)
            .ok_or_else(|| MediaError::UnknownType { path: path.to_owned() })?;
        let name = path.file_name().and_then(|name| name.to_str()).map(Arc::from);
        Ok(Source { name, ..Self::from_bytes(kind, &bytes, media_type)? })
    }

    fn read(kind: MediaKind, written: Written<'_>) -> Result<Self, MediaError> {
        let form = match written {
            Written::Url(url) => return Self::from_url(kind, url),
            Written::Form(form) => form,
        };
        let own = match kind {
            MediaKind::Image => form.image,
            MediaKind::Audio => form.audio,
            MediaKind::File => form.file,
        };
        let missing =
            MediaError::BadUrl("the address is missing: expected a URL or an object that holds one");
        let source = Self::from_url(kind, own.or(form.url).ok_or(missing)?)?;
        Ok(Source { name: form.name.map(Into::into), detail: form.detail, ..source })
    }

    fn form(&self, kind: MediaKind) -> Form<'_> {
        let url = Some(Cow::Borrowed(self.url.as_ref()));
        let form = match kind {
            MediaKind::Image => Form { image: url, ..Form::default() },
            MediaKind::Audio => Form { audio: url, ..Form::default() },
            MediaKind::File => Form { file: url, ..Form::default() },
        };
        Form { name: self.name.as_deref().map(Cow::Borrowed), detail: self.detail, ..form }
    }

    fn media(&self, kind: MediaKind) -> Media {
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
            MediaKind::File => true,
            MediaKind::Image | MediaKind::Audio => class.eq_ignore_ascii_case(kind.as_str()),
        };
        fits && token(class) && token(name)
    });
    if valid {
        return Ok(());
    }
    Err(MediaError::WrongType { expected: kind.as_str(), found: media_type.to_owned() })
}

fn check_size(size: u64) -> Result<(), MediaError> {
    if size > MAX_MEDIA_BYTES as u64 { Err(MediaError::TooLarge { size }) } else { Ok(()) }
}

/// What a value at a place of that kind holds.
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

fn schema(kind: MediaKind) -> Schema {
    let name = kind.as_str();
    json_schema!({
        "type": "object",
        "x-media": name,
        "properties": {
            name: { "type": "string" },
            "name": { "type": "string" },
            "detail": { "enum": ["low", "high", "auto"] },
        },
        "required": [name],
        "additionalProperties": false,
    })
}

macro_rules! media_type {
    ($(#[$docs:meta])* $name:ident, $kind:ident, $media_type:literal, $file:literal) => {
        $(#[$docs])*
        #[derive(Clone, PartialEq, Eq, Hash)]
        pub struct $name(Source);

        impl $name {
            #[doc = concat!("By its URL (`https:`, `http:`), or by a `data:` URI that holds it in base64.

```
use dspy_core::types::", stringify!($name), ";
let ", $file, " = ", stringify!($name), "::from_url(\"https://example.org/", $file, "\")?;
assert!(", stringify!($name), "::from_url(\"data:", $media_type, ";base64,AAAA\").is_ok());
assert!(", stringify!($name), "::from_url(\"/home/me\").is_err());
# Ok::<(), dspy_core::types::MediaError>(())
```

# Errors
If the address is neither, or the data is of another kind or too large.")]
            pub fn from_url(url: impl AsRef<str>) -> Result<Self, MediaError> {
                Source::from_url(MediaKind::$kind, url.as_ref().into()).map($name)
            }

            #[doc = concat!("By its content and media type.

```
use dspy_core::types::", stringify!($name), ";
let ", $file, " = ", stringify!($name), "::from_bytes([1, 2, 3], \"", $media_type, "\")?;
assert_eq!(", $file, ".url(), \"data:", $media_type, ";base64,AQID\");
# Ok::<(), dspy_core::types::MediaError>(())
```

# Errors
If the media type is of another kind, or there is more of it than [`MAX_MEDIA_BYTES`].")]
            pub fn from_bytes(bytes: impl AsRef<[u8]>, media_type: &str) -> Result<Self, MediaError> {
                Source::from_bytes(MediaKind::$kind, bytes.as_ref(), media_type).map($name)
            }

            #[doc = concat!("Reads a file of this machine. Its beginning or its extension tells the media type.

```no_run
# use dspy_core::types::", stringify!($name), ";
let ", $file, " = ", stringify!($name), "::from_path(\"", $file, "s/1\")?;
# Ok::<(), dspy_core::types::MediaError>(())
```

# Errors
If the file cannot be read, is of an unknown or of another kind, or is larger than [`MAX_MEDIA_BYTES`].")]
            pub fn from_path(path: impl AsRef<Path>) -> Result<Self, MediaError> {
                Source::from_path(MediaKind::$kind, path.as_ref()).map($name)
            }

            /// The URL, or the `data:` URI that holds the content.
            pub fn url(&self) -> &str {
                &self.0.url
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Debug::fmt(&self.0.media(MediaKind::$kind), f)
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                self.0.form(MediaKind::$kind).serialize(serializer)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let written = Written::deserialize(deserializer)?;
                Source::read(MediaKind::$kind, written).map($name).map_err(serde::de::Error::custom)
            }
        }

        impl JsonSchema for $name {
            fn inline_schema() -> bool {
                true
            }

            fn schema_name() -> Cow<'static, str> {
                stringify!($name).into()
            }

            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                schema(MediaKind::$kind)
            }
        }
    };
}

media_type! {
    /// A picture, for input fields.
    ///
    /// It may stand inside `Option`, lists, maps and structs; the prompt shows it where it stands. In data files it
    /// may be its URL alone. A model cannot answer with one.
    ///
    /// ```
    /// use dspy_core::lm::Detail;
    /// use dspy_core::types::Image;
    /// let photo = Image::from_bytes(b"\x89PNG\r\n\x1a\n", "image/png")?.with_detail(Detail::Low);
    /// assert_eq!(format!("{photo:?}"), "<image image/png, 12 bytes in base64>");
    /// # Ok::<(), dspy_core::types::MediaError>(())
    /// ```
    Image, Image, "image/png", "photo"
}

media_type! {
    /// A recording, for input fields; as [`Image`], but heard.
    ///
    /// ```
    /// use dspy_core::types::Audio;
    /// let call = Audio::from_bytes(b"RIFF....WAVE", "audio/wav")?;
    /// assert!(call.url().starts_with("data:audio/wav;base64,"));
    /// # Ok::<(), dspy_core::types::MediaError>(())
    /// ```
    Audio, Audio, "audio/wav", "recording"
}

media_type! {
    /// A file such as a PDF, for input fields; as [`Image`], but of any media type.
    ///
    /// ```
    /// use dspy_core::types::File;
    /// let invoice = File::from_bytes(b"%PDF-1.7", "application/pdf")?.with_name("invoice.pdf");
    /// assert!(invoice.url().starts_with("data:application/pdf;base64,"));
    /// # Ok::<(), dspy_core::types::MediaError>(())
    /// ```
    File, File, "application/pdf", "report"
}

impl Image {
    /// The same image, to be looked at more or less closely.
    #[must_use]
    pub fn with_detail(mut self, detail: Detail) -> Self {
        self.0.detail = Some(detail);
        self
    }
}

impl File {
    /// The same file with a name that the model sees. [`from_path`](Self::from_path) takes that of the file.
    #[must_use]
    pub fn with_name(mut self, name: impl Into<Arc<str>>) -> Self {
        self.0.name = Some(name.into());
        self
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::types::describe;

    #[test]
    fn json_forms_come_back() {
        let image = Image::from_url("https://example.org/a.png").unwrap().with_detail(Detail::High);
        let form = json!({"image": "https://example.org/a.png", "detail": "high"});
        assert_eq!(serde_json::to_value(&image).unwrap(), form);
        assert_eq!(serde_json::from_value::<Image>(form).unwrap(), image);
        let file = File::from_bytes(b"%PDF-", "application/pdf").unwrap().with_name("a.pdf");
        let text = serde_json::to_string(&file).unwrap();
        assert_eq!(serde_json::from_str::<File>(&text).unwrap(), file);
        for written in [json!("https://example.org/a.wav"), json!({"url": "https://example.org/a.wav"})] {
            assert_eq!(serde_json::from_value::<Audio>(written).unwrap().url(), "https://example.org/a.wav");
        }
        for bad in [json!("a.wav"), json!({"image": "https://example.org/a.png"}), json!(1), json!(null)] {
            assert!(serde_json::from_value::<Audio>(bad.clone()).is_err(), "{bad}");
        }
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        let text = |error: Result<Image, MediaError>| error.unwrap_err().to_string();
        assert!(
            text(Image::from_bytes([1], "audio/wav")).contains("`audio/wav` is no media type of an image")
        );
        assert!(text(Image::from_url("data:image/png;base64,###")).contains("data:TYPE;base64,DATA"));
        assert!(text(Image::from_url("data:image/png,abc")).contains("data:TYPE;base64,DATA"));
        assert!(text(Image::from_url("data:text/html;base64,AAAA")).contains("text/html"));
        assert!(text(Image::from_url("ftp://x")).contains("from_path"));
        assert!(text(Image::from_path("/nowhere/a.png")).contains("cannot read /nowhere/a.png"));
        assert!(
            text(Image::from_bytes(vec![0; MAX_MEDIA_BYTES + 1], "image/png")).contains("20971521 bytes")
        );
        assert!(File::from_bytes([1], "a\"b/c").is_err());
    }

    #[test]
    fn files_are_read_by_content_and_name() {
        let folder = std::env::temp_dir().join(format!("dspy-media-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let path = |name: &str, content: &[u8]| {
            let path = folder.join(name);
            std::fs::write(&path, content).unwrap();
            path
        };
        let photo = Image::from_path(path("photo.jpg", b"\x89PNG\r\n\x1a\n")).unwrap();
        assert!(photo.url().starts_with("data:image/png;base64,"));
        let note = File::from_path(path("note.txt", b"hello")).unwrap();
        assert_eq!(note.url(), "data:text/plain;base64,aGVsbG8=");
        assert_eq!(serde_json::to_value(&note).unwrap()["name"], "note.txt");
        let unknown = File::from_path(path("thing.xyz", b"?")).unwrap_err();
        assert!(unknown.to_string().contains("cannot tell what"), "{unknown}");
        assert!(matches!(Audio::from_path(path("b.txt", b"hello")), Err(MediaError::WrongType { .. })));
        std::fs::remove_dir_all(&folder).unwrap();
    }

    #[test]
    fn models_read_them_by_their_names() {
        let notation = |schema: Schema| describe(schema.as_value()).notation;
        assert_eq!(notation(schemars::schema_for!(Image)), "image");
        assert_eq!(notation(schemars::schema_for!(Option<Audio>)), "audio | null");
        assert_eq!(notation(schemars::schema_for!(Vec<File>)), "file[]");
    }
}
