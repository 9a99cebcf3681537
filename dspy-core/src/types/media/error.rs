//! Why something cannot be used.

use std::path::PathBuf;

use thiserror::Error;

/// More bytes than this are refused, because endpoints refuse them too, only later.
pub const MAX_MEDIA_BYTES: usize = 20 * 1024 * 1024;

/// Why something cannot be used as an image, audio or file.
#[derive(Error)]
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

dspy_base::error::readable_debug!(MediaError);
