//! Images, audio and files as input fields.
//!
//! Their JSON form is an object that is recognised by the schema of its field and by nothing else, so that no
//! string in the data can be mistaken for one.

mod base64;
mod capture;
mod error;
mod kind;
pub(crate) mod parts;
mod source;

use std::borrow::Cow;
use std::fmt;
use std::path::Path;
use std::sync::Arc;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize, Serializer};

pub(crate) use capture::{Captured, media_form};
pub use error::{MAX_MEDIA_BYTES, MediaError};
pub(crate) use source::media_of;
use source::{Source, Written};

use crate::lm::{Detail, MediaKind};
use dspy_base::keyword;

fn schema(kind: MediaKind) -> Schema {
    let name = kind.as_str();
    json_schema!({
        "type": "object",
        (keyword::MEDIA): name,
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
assert!(", stringify!($name), "::from_url(\"/a/cat.png\").is_err());
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

            /// Returns the URL, or the `data:` URI that holds the content.
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
                match capture::captured(|| self.0.media(MediaKind::$kind)) {
                    Some(mark) => mark.serialize(serializer),
                    None => self.0.form(MediaKind::$kind).serialize(serializer),
                }
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
    /// An image, for input fields.
    ///
    /// It may occur inside `Option`, lists, maps and structs; the prompt shows it at its position. In data
    /// files it may be given as its URL alone. It cannot be an output.
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
    /// An audio recording, for input fields. Otherwise like [`Image`].
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
    /// A file such as a PDF, for input fields. Otherwise like [`Image`], but with any media type.
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
    /// Returns the image with the level of detail at which the model looks at it.
    #[must_use]
    pub fn with_detail(mut self, detail: Detail) -> Self {
        self.0.detail = Some(detail);
        self
    }
}

impl File {
    /// Returns the file with a name that the model sees. [`from_path`](Self::from_path) sets the name of the
    /// file.
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
        assert!(unknown.to_string().contains("unknown media type of"), "{unknown}");
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
