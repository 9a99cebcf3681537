//! The error of a journal that cannot be used.

use std::fmt;
use std::io::ErrorKind;
use std::path::PathBuf;

use thiserror::Error;

/// The reason why a journal cannot be used.
#[derive(Error)]
#[non_exhaustive]
pub enum JournalError {
    /// The file cannot be read or written.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// The error of the operating system.
        source: std::io::Error,
    },
    /// The file cannot grow: the disk is full, or a quota or the largest size of a file is reached. What was written
    /// before is kept.
    #[error(
        "`{}` cannot be written: {source}; nothing that was paid before is lost: free space and start the same run again",
        path.display()
    )]
    Full {
        /// The file.
        path: PathBuf,
        /// The error of the operating system.
        source: std::io::Error,
    },
    /// The `run_dir` is a file, or inside one.
    #[error("the run_dir `{}` cannot be a folder, as `{}` is a file; choose another run_dir", run_dir.display(), file.display())]
    NoFolder {
        /// The `run_dir`.
        run_dir: PathBuf,
        /// The file.
        file: PathBuf,
    },
    /// The `run_dir` cannot be created, or no file can be written in it.
    #[error("the run_dir `{}` cannot be created or written: {source}; choose a folder that you may write to", run_dir.display())]
    NotWritable {
        /// The `run_dir`.
        run_dir: PathBuf,
        /// The error of the operating system.
        source: std::io::Error,
    },
    /// The journal is locked by another process, or by another run in this process.
    #[error("`{}` is in use by another run; wait for it to end or choose another run_dir", path.display())]
    InUse {
        /// The file.
        path: PathBuf,
    },
    /// The journal belongs to another run: the options, data, program or model differ.
    #[error(
        "`{}` is the journal of another run: {}; choose another run_dir, or delete the file to start over",
        path.display(), differences.join("; ")
    )]
    OtherRun {
        /// The file.
        path: PathBuf,
        /// The differences, each with its name and the recorded and the present value, or what has changed in words.
        differences: Vec<String>,
    },
    /// The journal was written by a version of this library with another journal format.
    #[error(
        "`{}` was written by another version of this library: its format is {found}, this one writes {expected}; choose \
         another run_dir, or delete the file to start over", path.display()
    )]
    OtherVersion {
        /// The file.
        path: PathBuf,
        /// The format of the file.
        found: String,
        /// The format of this version.
        expected: String,
    },
    /// The file `journal.jsonl` in the folder is not a journal, or is a link. It was not modified.
    #[error("`{}` is not a journal of this library and was not modified: {reason}; choose another run_dir", path.display())]
    Foreign {
        /// The file.
        path: PathBuf,
        /// The reason why it is not a journal.
        reason: String,
    },
    /// A line has changed, is missing, or is not in its place. (An incomplete last line, as left by a killed process, is
    /// dropped without an error.)
    #[error(
        "`{}` is damaged at line {line}: {problem}; delete this line and all lines after it to resume from there, or \
         delete the file to start over", path.display()
    )]
    Corrupt {
        /// The file.
        path: PathBuf,
        /// The line of the file, from 1.
        line: usize,
        /// The problem with it.
        problem: String,
    },
    /// A result cannot be serialised as JSON.
    #[error("a result cannot be serialised as JSON: {0}")]
    Encode(serde_json::Error),
}

impl JournalError {
    /// Creates the error of a file that cannot be read or written.
    pub(super) fn of_io(path: PathBuf, source: std::io::Error) -> Self {
        match source.kind() {
            ErrorKind::StorageFull | ErrorKind::QuotaExceeded | ErrorKind::FileTooLarge => {
                JournalError::Full { path, source }
            }
            _ => JournalError::Io { path, source },
        }
    }
}

impl fmt::Debug for JournalError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        dspy_core::error::write_chain(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_disk_says_that_nothing_is_lost() {
        for kind in [ErrorKind::StorageFull, ErrorKind::QuotaExceeded, ErrorKind::FileTooLarge] {
            let error = JournalError::of_io("runs/a/journal.jsonl".into(), kind.into());
            assert!(matches!(error, JournalError::Full { .. }), "{error}");
            let said = error.to_string();
            assert!(said.contains("nothing that was paid before is lost: free space"), "{said}");
        }
        let other = JournalError::of_io("a".into(), ErrorKind::BrokenPipe.into());
        assert!(matches!(other, JournalError::Io { .. }), "{other}");
    }
}
