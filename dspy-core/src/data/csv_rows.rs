//! CSV, read by the types of a signature.

use std::io::{BufReader, Read};
use std::path::{Path, PathBuf};

use csv::StringRecord;
use serde_json::Value;

use super::DataError;
use super::rows::typed;
use crate::files;
use crate::signature::{FieldSpec, Fields, Values};

/// Reads a CSV file whose header has the field names of a signature or, for rows without labels, of its input
/// struct. Other columns are ignored.
///
/// The cells of text fields are taken literally. Any other cell is JSON (`3`, `true`, `["a", "b"]`) or the
/// bare name of an enum variant. An empty cell of an optional field means that it is absent.
///
/// # Errors
/// If the file cannot be read, is not a regular file, contains no rows, or a row does not fit: the error
/// names line and field.
pub fn read_csv<T: Fields>(path: impl AsRef<Path>) -> Result<Vec<T>, DataError> {
    let path = path.as_ref();
    let rows: Vec<T> = stream_csv(path)?.collect::<Result<_, _>>()?;
    if rows.is_empty() { Err(DataError::Empty { path: path.into() }) } else { Ok(rows) }
}

/// Parses CSV text in memory, such as `include_str!`, in the form of [`read_csv`].
///
/// # Errors
/// If a row does not fit: the error names line and field.
pub fn parse_csv<T: Fields>(text: &str) -> Result<Vec<T>, DataError> {
    rows("text".into(), text.as_bytes())?.collect()
}

/// Reads a CSV file in the form of [`read_csv`], row by row in bounded memory.
///
/// # Errors
/// If the file cannot be opened, or its header cannot be read.
pub fn stream_csv<T: Fields>(
    path: impl AsRef<Path>,
) -> Result<impl Iterator<Item = Result<T, DataError>> + Send, DataError> {
    let path: PathBuf = path.as_ref().into();
    let file = files::open(&path).map_err(DataError::io(&path))?;
    rows(path, BufReader::new(file))
}

fn rows<T: Fields>(
    path: PathBuf,
    source: impl Read + Send,
) -> Result<impl Iterator<Item = Result<T, DataError>> + Send, DataError> {
    let mut reader = csv::ReaderBuilder::new().from_reader(source);
    let header = reader.headers().map_err(|error| problem(&path, error))?;
    let columns = columns(&path, T::signature().fields(), header)?;
    let mut record = StringRecord::new();
    Ok(std::iter::from_fn(move || match reader.read_record(&mut record) {
        Ok(false) => None,
        Ok(true) => Some(typed(&path, line(record.position()), values(&record, &columns))),
        Err(error) => Some(Err(problem(&path, error))),
    }))
}

fn line(position: Option<&csv::Position>) -> u64 {
    position.map_or(0, csv::Position::line)
}

fn problem(path: &Path, error: csv::Error) -> DataError {
    let line = line(error.position()).max(1);
    match error.into_kind() {
        csv::ErrorKind::Io(error) => DataError::io(path)(error),
        csv::ErrorKind::Utf8 { .. } => DataError::row(path, line, None, "not UTF-8"),
        csv::ErrorKind::UnequalLengths { expected_len, len, .. } => {
            DataError::row(path, line, None, format!("{len} cells under a header of {expected_len}"))
        }
        other => DataError::row(path, line, None, format!("{other:?}")),
    }
}

/// Returns the field of each column.
fn columns(
    path: &Path,
    fields: &'static [FieldSpec],
    header: &StringRecord,
) -> Result<Vec<Option<&'static FieldSpec>>, DataError> {
    let mut columns: Vec<Option<&FieldSpec>> = Vec::with_capacity(header.len());
    for name in header {
        let name = name.trim_start_matches('\u{feff}').trim();
        let field = fields.iter().find(|field| field.name() == name);
        if field.is_some() && columns.contains(&field) {
            return Err(DataError::row(path, 1, Some(name), "two columns have this name"));
        }
        columns.push(field);
    }
    Ok(columns)
}

fn values(record: &StringRecord, columns: &[Option<&FieldSpec>]) -> Values {
    let cells = record.iter().zip(columns);
    let named =
        cells.filter_map(|(cell, field)| Some(((*field)?.name().to_owned(), cell_value((*field)?, cell)?)));
    named.collect()
}

fn cell_value(field: &FieldSpec, cell: &str) -> Option<Value> {
    if field.is_optional() && cell.is_empty() {
        return None;
    }
    if field.is_text() || field.is_code() {
        return Some(cell.into());
    }
    let trimmed = cell.trim();
    let fits = |value: &Value| {
        field.plan().is_ok_and(|plan| plan.coerce(value.clone()).is_ok_and(|d| d.value == *value))
    };
    let text = Value::from(trimmed);
    let native =
        serde_json::from_str(trimmed).or_else(|_| serde_json::from_str(&trimmed.to_lowercase())).ok();
    // A cell such as `2024` may be text or a number, so the type decides.
    native.filter(|value| fits(value) || !fits(&text)).or(Some(text))
}
