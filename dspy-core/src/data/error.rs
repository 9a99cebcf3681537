//! Errors of data files.

use std::path::{Path, PathBuf};

use thiserror::Error;

use dspy_base::error::clipped;

/// An error for a data file that cannot be read or written.
#[derive(Error)]
#[non_exhaustive]
pub enum DataError {
    /// The file cannot be read or written.
    #[error("{}: {source}", path.display())]
    Io {
        /// The path of the file.
        path: PathBuf,
        /// The system's error.
        source: std::io::Error,
    },
    /// A row does not fit.
    #[error("{}{}{}: {message}", path.display(), at(*row), of(field.as_ref()))]
    Row {
        /// The path of the file.
        path: PathBuf,
        /// The row, from 1; in JSON Lines and CSV the line on which it starts. 0 if the problem does not
        /// belong to a row.
        row: u64,
        /// The field, if the problem belongs to one.
        field: Option<String>,
        /// The problem.
        message: String,
    },
    /// The file contains no rows.
    #[error("{}: no rows", path.display())]
    Empty {
        /// The path of the file.
        path: PathBuf,
    },
}

dspy_base::error::readable_debug!(DataError);

fn at(row: u64) -> String {
    if row == 0 { String::new() } else { format!(", row {row}") }
}

fn of(field: Option<&String>) -> String {
    field.map(|field| format!(", field `{field}`")).unwrap_or_default()
}

impl DataError {
    pub(super) fn io(path: &Path) -> impl FnOnce(std::io::Error) -> DataError + '_ {
        move |source| DataError::Io { path: path.into(), source }
    }

    pub(super) fn row(path: &Path, row: u64, field: Option<&str>, message: impl ToString) -> DataError {
        DataError::Row {
            path: path.into(),
            row,
            field: field.map(clipped),
            message: clipped(message.to_string()),
        }
    }
}

impl From<DataError> for crate::Error {
    fn from(error: DataError) -> Self {
        crate::Error::other(error)
    }
}
