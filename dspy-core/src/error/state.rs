//! Errors of saved programs.

use std::path::PathBuf;

use thiserror::Error;

/// An error for a saved program that cannot be read, written or applied.
#[derive(Error)]
#[non_exhaustive]
pub enum StateError {
    /// The file cannot be read or written.
    #[error("saved program `{}`: {source}", path.display())]
    Io {
        /// The path of the file.
        path: PathBuf,
        /// The system's error.
        source: std::io::Error,
    },
    /// The file to replace is not a saved program. It was not changed.
    #[error("`{}` is not a saved program, so it was not replaced: {reason}; choose another path, or delete it", path.display())]
    Foreign {
        /// The path of the file.
        path: PathBuf,
        /// The reason why it is not a saved program.
        reason: String,
    },
    /// The text is not a saved program.
    #[error("not a saved program: {0}")]
    Format(String),
    /// The saved program has another shape than this one. Nothing was changed. Contains one message per
    /// difference.
    #[error("the saved state does not fit this program: {}", .0.join("; "))]
    Mismatch(Vec<String>),
}

dspy_base::error::readable_debug!(StateError);
