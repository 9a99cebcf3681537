//! A journal that cannot be used.

use std::fmt;
use std::path::PathBuf;

use thiserror::Error;

/// A journal that cannot be used.
#[derive(Error)]
#[non_exhaustive]
pub enum JournalError {
    /// The file cannot be read or written.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// Another process, or another run of this one, writes the journal at this moment.
    #[error("`{}` is in use by another run; wait for it to end or choose another run_dir", path.display())]
    InUse {
        /// The file.
        path: PathBuf,
    },
    /// The journal is that of another run: other options, data, program or model.
    #[error(
        "`{}` is the journal of another run: {}; choose another run_dir, or delete the file to start anew",
        path.display(), differences.join("; ")
    )]
    OtherRun {
        /// The file.
        path: PathBuf,
        /// Every difference: what, then and now.
        differences: Vec<String>,
    },
    /// The journal was written by another version of this library, which names effects otherwise.
    #[error(
        "`{}` was written by another version of this library: its format is {found}, this one writes {expected}; choose \
         another run_dir, or delete the file to start anew", path.display()
    )]
    OtherVersion {
        /// The file.
        path: PathBuf,
        /// The format of the file.
        found: String,
        /// The format of this version.
        expected: String,
    },
    /// What is in the folder is not a journal, or a link. It was left alone.
    #[error("`{}` is not a journal of this library and was left alone: {reason}; choose another run_dir", path.display())]
    Foreign {
        /// The file.
        path: PathBuf,
        /// Why it is none.
        reason: String,
    },
    /// A line cannot be read. (A half-written last line, as a killed process leaves it, is dropped.)
    #[error(
        "`{}` is damaged at line {line}: {problem}; delete this line and those below to go on from there, or the \
         file to start anew", path.display()
    )]
    Corrupt {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
        /// What is wrong with it.
        problem: String,
    },
    /// A result has no JSON form.
    #[error("a result cannot be written down: {0}")]
    Encode(serde_json::Error),
}

impl fmt::Debug for JournalError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        dspy_core::error::write_chain(self, f)
    }
}
