//! Writing rows of values.

use std::fs::File;
use std::io::{BufWriter, Write as _};
use std::path::Path;

use serde_json::Value;

use super::DataError;
use crate::signature::Values;

pub(crate) fn write_jsonl(path: &Path, rows: impl Iterator<Item = Values>) -> Result<(), DataError> {
    let write = || {
        let mut file = BufWriter::new(File::create(path)?);
        for row in rows {
            serde_json::to_writer(&mut file, &row)?;
            file.write_all(b"\n")?;
        }
        file.flush()
    };
    write().map_err(DataError::io(path))
}

pub(crate) fn write_csv(path: &Path, rows: impl Iterator<Item = Values>) -> Result<(), DataError> {
    // A column for every name that occurs, which takes all rows first.
    let rows: Vec<Values> = rows.collect();
    let mut names: Vec<&str> = Vec::new();
    for name in rows.iter().flat_map(Values::keys) {
        if !names.contains(&name.as_str()) {
            names.push(name);
        }
    }
    let cell = |value: Option<&Value>| match value {
        None => String::new(),
        Some(Value::String(text)) => text.clone(),
        Some(other) => other.to_string(),
    };
    let write = || -> Result<(), csv::Error> {
        let mut writer = csv::Writer::from_path(path)?;
        writer.write_record(&names)?;
        for row in &rows {
            writer.write_record(names.iter().map(|name| cell(row.get(*name))))?;
        }
        Ok(writer.flush()?)
    };
    write().map_err(|error| DataError::Io { path: path.into(), source: error.into() })
}
