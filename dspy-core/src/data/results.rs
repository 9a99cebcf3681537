//! Results of a program in a growing JSON Lines file, which a later run continues.

use std::collections::HashMap;
use std::fs::{File, TryLockError};
use std::io::{BufRead, BufReader, Read as _, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};

use dspy_base::digest::Digest;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::DataError;
use crate::error::{Error, Result};
use crate::files;

/// The beginning of every line.
const BEGINNING: &[u8] = b"{\"index\":";
/// The largest length of a line in bytes; longer lines are not results.
const LONGEST: u64 = 256 << 20;

/// A line of the file.
#[derive(Debug, Serialize, Deserialize)]
struct Line {
    /// The index of the input, from 0.
    index: usize,
    /// A digest of the program.
    program: String,
    /// A digest of the input.
    input: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    output: Option<Value>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    error: Option<String>,
    /// Whether the error was external, so that it says nothing about the program.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    outage: bool,
}

/// A result written by [`Batch::write_jsonl`](crate::program::Batch::write_jsonl).
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct ResultRow<O> {
    /// The index of the input among all inputs, from 0.
    pub index: usize,
    /// The output, or the error message.
    pub result: Result<O, String>,
}

/// Reads the results written by [`Batch::write_jsonl`](crate::program::Batch::write_jsonl), in the order of
/// the inputs.
///
/// # Errors
/// If the file cannot be read, or a line of it is not a result or has another type. A truncated last line is
/// ignored.
pub fn read_results<O: DeserializeOwned>(path: impl AsRef<Path>) -> Result<Vec<ResultRow<O>>, DataError> {
    let path = path.as_ref();
    let mut rows: HashMap<usize, ResultRow<O>> = HashMap::new();
    let file = files::open(path).map_err(DataError::io(path))?;
    each_line(path, &file, |row, Line { index, output, error, .. }| {
        let result = match (output, error) {
            (Some(output), None) => {
                Ok(O::deserialize(output).map_err(|e| DataError::row(path, row, None, e))?)
            }
            (_, error) => Err(error.unwrap_or_default()),
        };
        rows.insert(index, ResultRow { index, result });
        Ok(())
    })?;
    let mut rows: Vec<_> = rows.into_values().collect();
    rows.sort_by_key(|row| row.index);
    Ok(rows)
}

/// The results in the file when it was opened.
pub(crate) struct Known {
    path: PathBuf,
    /// The digest of each input that has a result, by index.
    inputs: HashMap<usize, String>,
}

impl Known {
    /// Returns the digest of an input without a result; `None` for an input that has one.
    pub(crate) fn look(&self, index: usize, input: &impl Serialize) -> Result<Option<String>, DataError> {
        let what = || format!("input {index}");
        let value =
            serde_json::to_value(input).map_err(|e| DataError::row(&self.path, 0, Some(&what()), e))?;
        let digest = Digest::new().add_value(&value).long();
        match self.inputs.get(&index) {
            None => Ok(Some(digest)),
            Some(known) if *known == digest => Ok(None),
            Some(_) => {
                let message = "the file holds the result of another input at this place; give it the same inputs in \
                               the same order, or another file";
                Err(DataError::row(&self.path, 0, Some(&what()), message))
            }
        }
    }
}

/// A file to which results are appended.
pub(crate) struct ResultFile {
    path: PathBuf,
    program: String,
    file: File,
}

impl ResultFile {
    /// Opens or creates the file, and reads its results. `program` is text that contains everything that the
    /// results depend on besides the inputs.
    pub(crate) fn open(path: &Path, program: &str) -> Result<(Known, Self), DataError> {
        let program = blake3::hash(program.as_bytes()).to_hex()[..16].to_owned();
        let file = files::open_or_create(path).map_err(DataError::io(path))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(DataError::row(path, 0, None, "another run is writing this file"));
            }
            Err(TryLockError::Error(error)) => return Err(DataError::io(path)(error)),
        }
        let mut results = ResultFile { path: path.into(), program, file };
        let mut inputs = HashMap::new();
        let end = each_line(path, &results.file, |row, line| {
            if line.program != results.program {
                let message = "a result of another program, or of this one with other instructions or \
                               demonstrations; give another file";
                return Err(DataError::row(path, row, None, message));
            }
            // Inputs that failed because of an outage are retried.
            if line.outage {
                inputs.remove(&line.index);
            } else {
                inputs.insert(line.index, line.input);
            }
            Ok(())
        })?;
        if let End::Torn { at } = end {
            results.file.set_len(at).map_err(DataError::io(path))?;
        }
        // No other process writes to the file: it is locked.
        results.file.seek(SeekFrom::End(0)).map_err(DataError::io(path))?;
        if let End::NoNewline = end {
            results.write(b"\n")?;
        }
        Ok((Known { path: path.into(), inputs }, results))
    }

    /// Appends a result.
    pub(crate) fn append(
        &mut self,
        index: usize,
        input: &str,
        result: Result<&impl Serialize, &Error>,
    ) -> Result<(), DataError> {
        let (output, error, outage) = match result {
            Ok(output) => match serde_json::to_value(output) {
                Ok(value) => (Some(value), None, false),
                Err(error) => (None, Some(format!("the output has no JSON form: {error}")), false),
            },
            Err(error) => (None, Some(error.to_string()), error.is_outage()),
        };
        let line = Line { index, program: self.program.clone(), input: input.into(), output, error, outage };
        let mut line = json!(line).to_string();
        line.push('\n');
        self.write(line.as_bytes())
    }

    fn write(&mut self, bytes: &[u8]) -> Result<(), DataError> {
        self.file.write_all(bytes).map_err(DataError::io(&self.path))
    }

    /// Syncs the written results to disk.
    pub(crate) fn sync(&self) -> Result<(), DataError> {
        self.file.sync_data().map_err(DataError::io(&self.path))
    }
}

impl Drop for ResultFile {
    /// Releases the lock, which closing the file does not do while a process that starts has a copy of it.
    fn drop(&mut self) {
        let _ = self.file.unlock();
    }
}

/// The end of a file.
enum End {
    /// A complete line.
    Whole,
    /// A complete line without its newline.
    NoNewline,
    /// A part of a line, which starts at `at`.
    Torn { at: u64 },
}

fn each_line(
    path: &Path,
    file: &File,
    mut each: impl FnMut(u64, Line) -> Result<(), DataError>,
) -> Result<End, DataError> {
    let mut reader = BufReader::new(file);
    let (mut at, mut bytes) = (0, Vec::new());
    for row in 1.. {
        bytes.clear();
        let read = (&mut reader).take(LONGEST).read_until(b'\n', &mut bytes).map_err(DataError::io(path))?;
        if read == 0 {
            return Ok(End::Whole);
        }
        let whole = bytes.ends_with(b"\n");
        match serde_json::from_slice(&bytes) {
            Ok(line) if bytes.starts_with(BEGINNING) => each(row, line)?,
            _ if !whole && (bytes.starts_with(BEGINNING) || BEGINNING.starts_with(&bytes)) => {
                return Ok(End::Torn { at });
            }
            _ => {
                let message = "not a result that a batch has written; the file was left as it is";
                return Err(DataError::row(path, row, None, message));
            }
        }
        if !whole {
            return Ok(End::NoNewline);
        }
        at += read as u64;
    }
    Ok(End::Whole)
}
