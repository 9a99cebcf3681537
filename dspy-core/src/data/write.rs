//! Writing rows of values to files.

use std::borrow::Cow;
use std::io::{BufWriter, Write as _};
use std::path::Path;

use serde_json::Value;

use super::DataError;
use crate::files::Draft;
use crate::signature::Values;

pub(crate) fn write_jsonl(path: &Path, rows: impl Iterator<Item = Values>) -> Result<(), DataError> {
    let write = || {
        let mut file = BufWriter::new(Draft::new(path)?);
        for row in rows {
            serde_json::to_writer(&mut file, &row)?;
            file.write_all(b"\n")?;
        }
        file.into_inner().map_err(std::io::IntoInnerError::into_error)?.commit()
    };
    write().map_err(DataError::io(path))
}

pub(crate) fn write_csv(path: &Path, rows: impl Iterator<Item = Values>) -> Result<(), DataError> {
    // Every name that occurs becomes a column, so all rows are read first.
    let rows: Vec<Values> = rows.collect();
    let mut names: Vec<&str> = Vec::new();
    for name in rows.iter().flat_map(Values::keys) {
        if !names.contains(&name.as_str()) {
            names.push(name);
        }
    }
    let cell = |value: Option<&Value>| match value {
        None => String::new(),
        Some(Value::String(text)) => inert(text).into_owned(),
        Some(other) => other.to_string(),
    };
    let write = || -> std::io::Result<()> {
        let mut writer = csv::Writer::from_writer(Draft::new(path)?);
        writer.write_record(names.iter().map(|name| inert(name).into_owned()))?;
        for row in &rows {
            writer.write_record(names.iter().map(|name| cell(row.get(*name))))?;
        }
        writer.into_inner().map_err(|error| std::io::Error::other(error.to_string()))?.commit()
    };
    write().map_err(DataError::io(path))
}

/// Returns a cell that no spreadsheet reads as a formula: an apostrophe, which spreadsheets do not show, is
/// put before text that would start a formula. Numbers stay numbers.
fn inert(text: &str) -> Cow<'_, str> {
    let begins_formula = text.starts_with(['=', '+', '-', '@', '\t', '\r', '\n', '＝', '＋', '－', '＠']);
    let is_number = || {
        let plain = |byte: u8| byte.is_ascii_digit() || b"+-.eE".contains(&byte);
        text.bytes().all(plain) && text.parse::<f64>().is_ok()
    };
    if begins_formula && !is_number() { format!("'{text}").into() } else { text.into() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formulas_are_texts_and_numbers_stay() {
        for (text, cell) in [
            ("=1+1", "'=1+1"),
            ("+cmd|' /C calc'!A0", "'+cmd|' /C calc'!A0"),
            ("-2+3", "'-2+3"),
            ("@SUM(A1)", "'@SUM(A1)"),
            ("\t=1", "'\t=1"),
            ("\r=1", "'\r=1"),
            ("＝1", "'＝1"),
            ("-2.5e3", "-2.5e3"),
            ("+7", "+7"),
            ("- a list", "'- a list"),
            ("-inf", "'-inf"),
            ("a=b", "a=b"),
            ("", ""),
        ] {
            assert_eq!(inert(text), cell);
        }
    }
}
