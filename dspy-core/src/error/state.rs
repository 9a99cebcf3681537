//! Failures of saved programs.

use std::path::PathBuf;

use thiserror::Error;

/// A saved program that cannot be read, written or applied.
#[derive(Error)]
#[non_exhaustive]
pub enum StateError {
    /// The file cannot be read or written.
    #[error("saved program `{}`: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// What is to be written over is not a saved program. It was left alone.
    #[error("`{}` is not a saved program, so it was not replaced: {reason}; choose another path, or delete it", path.display())]
    Foreign {
        /// The file.
        path: PathBuf,
        /// Why it is none.
        reason: String,
    },
    /// The text is not a saved program.
    #[error("not a saved program: {0}")]
    Format(String),
    /// The saved program has another shape than this one. Nothing was changed.
    #[error("the saved state does not fit this program: {}", .0.join("; "))]
    Mismatch(Vec<String>),
}

dspy_base::error::readable_debug!(StateError);
