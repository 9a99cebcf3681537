//! The files of a report.

use std::io::{self, BufReader, BufWriter, Write};
use std::path::Path;

use dspy_base::files::{self, Draft};

use super::Report;

impl Report {
    /// Writes the report to a file as JSON, completely or not at all. [`read_json`](Self::read_json) reads it.
    ///
    /// Equal reports have equal files.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub fn write_json(&self, path: impl AsRef<Path>) -> io::Result<()> {
        write_file(path.as_ref(), |file| {
            serde_json::to_writer_pretty(&mut *file, self)?;
            file.write_all(b"\n")
        })
    }

    /// Reads a report from a file that [`write_json`](Self::write_json) has written.
    ///
    /// # Errors
    /// If the file cannot be read, or is not a report.
    pub fn read_json(path: impl AsRef<Path>) -> io::Result<Self> {
        let path = path.as_ref();
        let file = files::open(path).map_err(|error| about(path, "read", &error))?;
        serde_json::from_reader(BufReader::new(file)).map_err(|error| about(path, "read", &error.into()))
    }
}

/// Writes a file with a name in its errors, completely or not at all.
pub(crate) fn write_file(
    path: &Path,
    content: impl FnOnce(&mut BufWriter<Draft>) -> io::Result<()>,
) -> io::Result<()> {
    let write = || {
        let mut file = BufWriter::new(Draft::new(path)?);
        content(&mut file)?;
        file.into_inner().map_err(io::IntoInnerError::into_error)?.commit()
    };
    write().map_err(|error| about(path, "written", &error))
}

fn about(path: &Path, done: &str, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("the report `{}` cannot be {done}: {error}", path.display()))
}
