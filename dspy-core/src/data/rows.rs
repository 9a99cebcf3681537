//! JSON Lines and JSON.

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::DataError;
use crate::Seed;
use crate::files;
use crate::signature::{Fields, Values};

/// Reads a file with one JSON object per line.
///
/// # Errors
/// If the file cannot be read, contains no rows, or a row does not fit: the error names line and field.
pub fn read_jsonl<T: Fields>(path: impl AsRef<Path>) -> Result<Vec<T>, DataError> {
    let path = path.as_ref();
    let rows: Vec<T> = stream_jsonl(path)?.collect::<Result<_, _>>()?;
    if rows.is_empty() { Err(DataError::Empty { path: path.into() }) } else { Ok(rows) }
}

/// Parses JSON Lines text in memory, such as `include_str!`.
///
/// # Errors
/// If a row does not fit: the error names line and field.
pub fn parse_jsonl<T: Fields>(text: &str) -> Result<Vec<T>, DataError> {
    let lines = (1..).zip(text.lines()).filter(|(_, line)| !line.trim().is_empty());
    lines.map(|(row, line)| parse_line(Path::new("text"), row, line.trim_start_matches('\u{feff}'))).collect()
}

/// Reads a file with one JSON object per line, row by row in bounded memory.
///
/// # Errors
/// If the file cannot be opened or is not a regular file.
pub fn stream_jsonl<T: Fields>(
    path: impl AsRef<Path>,
) -> Result<impl Iterator<Item = Result<T, DataError>> + Send, DataError> {
    let path: PathBuf = path.as_ref().into();
    let file = files::open(&path).map_err(DataError::io(&path))?;
    let lines = (1..).zip(BufReader::new(file).lines());
    Ok(lines.filter_map(move |(row, line)| match line {
        Ok(line) if line.trim().is_empty() => None,
        Ok(line) => Some(parse_line(&path, row, line.trim_start_matches('\u{feff}'))),
        Err(error) if error.kind() == std::io::ErrorKind::InvalidData => {
            Some(Err(DataError::row(&path, row, None, "not UTF-8")))
        }
        Err(error) => Some(Err(DataError::io(&path)(error))),
    }))
}

fn parse_line<T: Fields>(path: &Path, row: u64, line: &str) -> Result<T, DataError> {
    let value: Value = serde_json::from_str(line).map_err(|error| DataError::row(path, row, None, error))?;
    from_value(path, row, value)
}

fn from_value<T: Fields>(path: &Path, row: u64, value: Value) -> Result<T, DataError> {
    let Value::Object(values) = value else {
        return Err(DataError::row(path, row, None, "expected a JSON object"));
    };
    typed(path, row, values)
}

pub(super) fn typed<T: Fields>(path: &Path, row: u64, values: Values) -> Result<T, DataError> {
    T::from_values(values).map_err(|error| DataError::row(path, row, Some(error.field()), error.message()))
}

/// Reads a file with a JSON array of objects.
///
/// # Errors
/// If the file cannot be read, contains no rows, or a row does not fit: the error names row and field.
pub fn read_json<T: Fields>(path: impl AsRef<Path>) -> Result<Vec<T>, DataError> {
    let path = path.as_ref();
    let text = files::read_text(path).map_err(DataError::io(path))?;
    let value: Value = serde_json::from_str(text.trim_start_matches('\u{feff}'))
        .map_err(|error| DataError::row(path, error.line() as u64, None, error))?;
    let Value::Array(rows) = value else {
        return Err(DataError::row(path, 1, None, "expected a JSON array of objects"));
    };
    if rows.is_empty() {
        return Err(DataError::Empty { path: path.into() });
    }
    (1..).zip(rows).map(|(row, value)| from_value(path, row, value)).collect()
}

/// Splits rows at random into two parts, the first with `share` of them (0 to 1). The same seed returns the
/// same split.
///
/// ```
/// use dspy_core::{Seed, data};
/// let (train, test) = data::split((0..10).collect(), 0.7, Seed::new(0));
/// assert_eq!((train.len(), test.len()), (7, 3));
/// ```
pub fn split<T>(mut rows: Vec<T>, share: f64, seed: Seed) -> (Vec<T>, Vec<T>) {
    seed.rng().shuffle(&mut rows);
    let first = (rows.len() as f64 * share.clamp(0.0, 1.0)).round() as usize;
    let rest = rows.split_off(first.min(rows.len()));
    (rows, rest)
}
