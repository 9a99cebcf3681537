//! Errors of a cassette itself.

use std::io;
use std::path::PathBuf;

use thiserror::Error;

/// The error of a cassette that cannot be used, or has unused interactions.
///
/// A request without a recorded answer fails with an [`LmError`](super::LmError) of the kind
/// [`Unrecorded`](super::LmErrorKind::Unrecorded) instead.
#[derive(Error)]
#[non_exhaustive]
pub enum CassetteError {
    /// The file cannot be read or written.
    #[error("the cassette {} cannot be accessed: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// The error of the file system.
        source: io::Error,
    },
    /// The file is not a cassette, or is of another version.
    #[error("{} is no cassette that can be read: {message}", path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// The description of the problem.
        message: String,
    },
    /// Recorded interactions were not used.
    #[error("{} of the interactions in {} were not used, the first of them: {first}", count, path.display())]
    Unused {
        /// The file.
        path: PathBuf,
        /// The number of unused interactions.
        count: usize,
        /// A one-line description of the first of them.
        first: String,
    },
    /// A pattern of [`Cassette::scrub`](super::Cassette::scrub) is not a valid regular expression.
    #[error("`{pattern}` is no regular expression: {message}")]
    Pattern {
        /// The pattern.
        pattern: String,
        /// The description of the problem.
        message: String,
    },
}

dspy_base::error::readable_debug!(CassetteError);
