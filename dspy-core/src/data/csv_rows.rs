//! CSV, read by the types of a signature.

use std::path::Path;

use serde_json::Value;

use super::DataError;
use super::rows::typed;
use crate::files;
use crate::signature::{FieldSpec, Signature, Values};

/// Reads a CSV file whose header names the fields of the signature; other columns are ignored.
///
/// A cell of a text field is taken as it stands. Any other cell is JSON (`3`, `true`, `["a", "b"]`) or the bare name
/// of an enum's variant. An empty cell of an optional field is absent.
///
/// # Errors
/// If the file cannot be read, is not a regular file, holds no rows, or a row does not fit: the error names line and
/// field.
pub fn read_csv<S: Signature>(path: impl AsRef<Path>) -> Result<Vec<S>, DataError> {
    let path = path.as_ref();
    let file = files::open(path).map_err(DataError::io(path))?;
    let mut reader = csv::ReaderBuilder::new().from_reader(std::io::BufReader::new(file));
    let headers = reader.headers().map_err(|error| DataError::row(path, 1, None, error))?.clone();
    let columns: Vec<Option<&FieldSpec>> =
        headers.iter().map(|name| S::spec().field(name.trim_start_matches('\u{feff}').trim())).collect();
    let mut rows = Vec::new();
    for record in reader.records() {
        let record = record.map_err(|error| {
            let line = error.position().map_or(0, csv::Position::line);
            DataError::row(path, line, None, error)
        })?;
        let mut values = Values::new();
        for (cell, field) in record.iter().zip(&columns) {
            if let Some(field) = field
                && let Some(value) = cell_value(field, cell)
            {
                values.insert(field.name().to_owned(), value);
            }
        }
        rows.push(typed(path, record.position().map_or(0, csv::Position::line), values)?);
    }
    if rows.is_empty() { Err(DataError::Empty { path: path.into() }) } else { Ok(rows) }
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
    // A text such as `2024` may be either, so the type decides.
    native.filter(|value| fits(value) || !fits(&text)).or(Some(text))
}
