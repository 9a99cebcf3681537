//! Data that cannot be read.

use std::path::{Path, PathBuf};

use thiserror::Error;

use dspy_base::error::clipped;

/// A data file that cannot be read or written.
#[derive(Error)]
#[non_exhaustive]
pub enum DataError {
    /// The file cannot be read or written.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A row does not fit.
    #[error("{}{}{}: {message}", path.display(), at(*row), of(field.as_ref()))]
    Row {
        /// The file.
        path: PathBuf,
        /// The row, from 1; in JSON Lines and CSV the line on which it starts. 0 if the problem is not that of a row.
        row: u64,
        /// The field, where the problem is that of one.
        field: Option<String>,
        /// What is wrong.
        message: String,
    },
    /// The file holds no rows.
    #[error("{}: no rows", path.display())]
    Empty {
        /// The file.
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
