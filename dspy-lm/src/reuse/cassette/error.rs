//! What can be wrong with a cassette itself.

use std::io;
use std::path::PathBuf;

use thiserror::Error;

/// A cassette that cannot be used, or was not used up.
///
/// A request that a cassette has no answer for is an [`LmError`](super::LmError) of the kind
/// [`Unrecorded`](super::LmErrorKind::Unrecorded) instead.
#[derive(Error)]
#[non_exhaustive]
pub enum CassetteError {
    /// The file cannot be read or written.
    #[error("the cassette {} cannot be accessed: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the file system reports.
        source: io::Error,
    },
    /// The file is no cassette, or of another version.
    #[error("{} is no cassette that can be read: {message}", path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        message: String,
    },
    /// Something was recorded that was not asked for.
    #[error("{} of the interactions in {} were not used, the first of them: {first}", count, path.display())]
    Unused {
        /// The file.
        path: PathBuf,
        /// How many were not used.
        count: usize,
        /// The first of them, in a line.
        first: String,
    },
    /// A pattern of what to leave out is no regular expression.
    #[error("`{pattern}` is no regular expression: {message}")]
    Pattern {
        /// The pattern.
        pattern: String,
        /// What is wrong with it.
        message: String,
    },
}

dspy_base::error::readable_debug!(CassetteError);
