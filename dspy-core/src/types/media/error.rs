//! Errors of media types.

use std::path::PathBuf;

use thiserror::Error;

/// The maximum size of the content in bytes (20 MiB). Endpoints refuse larger content too, only later.
pub const MAX_MEDIA_BYTES: usize = 20 * 1024 * 1024;

/// The reason why something cannot be used as an image, audio or file.
#[derive(Error)]
#[non_exhaustive]
pub enum MediaError {
    /// The file cannot be read.
    #[error("cannot read {}: {source}", .path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The error of the operating system.
        source: std::io::Error,
    },
    /// The media type follows neither from the content nor from the file name.
    #[error("unknown media type of {}; set it with `from_bytes`", .path.display())]
    UnknownType {
        /// The file.
        path: PathBuf,
    },
    /// The media type does not belong to this kind.
    #[error(
        "`{found}` is no media type of an {expected}; use the type that fits it: `Image`, `Audio` or `File`"
    )]
    WrongType {
        /// The requested kind.
        expected: &'static str,
        /// The media type that was found.
        found: String,
    },
    /// The address is neither a URL nor a usable `data:` URI.
    #[error("{0}")]
    BadUrl(&'static str),
    /// The content is larger than [`MAX_MEDIA_BYTES`].
    #[error(
        "{size} bytes are more than the {MAX_MEDIA_BYTES} that may be sent; make it smaller, or give its URL"
    )]
    TooLarge {
        /// Its size in bytes.
        size: u64,
    },
}

dspy_base::error::readable_debug!(MediaError);
