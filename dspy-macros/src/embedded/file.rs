//! The names and types in a saved program.

use std::path::{Path, PathBuf};

use syn::LitStr;

use super::json::Json;

/// The name of the format, without its version, which the library compares.
const FAMILY: &str = "dspy-rust/";

/// A saved program, as far as it is compared with the code.
#[derive(Debug)]
pub(super) struct File {
    /// The absolute path.
    pub(super) path: String,
    pub(super) format: String,
    pub(super) predictors: Vec<Predictor>,
}

#[derive(Debug)]
pub(super) struct Predictor {
    pub(super) path: String,
    pub(super) fields: Vec<Field>,
}

#[derive(Debug)]
pub(super) struct Field {
    pub(super) name: String,
    pub(super) role: String,
    pub(super) kind: String,
    pub(super) declared: bool,
    pub(super) shape: Option<u64>,
}

impl File {
    /// Reads the file, whose path is relative to the source file.
    ///
    /// # Errors
    /// The message for the user.
    pub(super) fn read(literal: &LitStr) -> Result<Self, String> {
        let written = literal.value();
        let path = folder(literal).join(&written);
        let text = std::fs::read_to_string(&path).map_err(|error| {
            format!(
                "cannot read `{written}`: {error}; the path is relative to this source file, and `save` writes the \
                 file"
            )
        })?;
        let path = std::path::absolute(&path).unwrap_or(path);
        let path = path.to_str().ok_or_else(|| format!("the path of `{written}` is not UTF-8"))?.to_owned();
        File::parse(path, &text).map_err(|problem| format!("`{written}` is not a saved program: {problem}"))
    }

    fn parse(path: String, text: &str) -> Result<Self, String> {
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        let saved = Json::parse(text)?;
        let Some(format) = saved.get("format").and_then(Json::text) else {
            return Err(if is_python(&saved) {
                "Python DSPy has written it, without the names and types of fields; `load` it once and `save` it".into()
            } else {
                "it has no `format`; write it by `save`".into()
            });
        };
        if !format.starts_with(FAMILY) {
            return Err(format!("its format is `{format}`; write it by `save`"));
        }
        let format = format.to_owned();
        let Some(predictors @ Json::Object(_)) = saved.get("predictors") else {
            return Err("it has no `predictors`; write it by `save`".into());
        };
        let predictors = predictors.members().iter().map(|(path, predictor)| Predictor {
            path: path.clone(),
            fields: predictor.get("fields").map_or(&[][..], Json::items).iter().map(Field::of).collect(),
        });
        Ok(File { path, format, predictors: predictors.collect() })
    }
}

impl Field {
    fn of(field: &Json) -> Self {
        let text = |key: &str| field.get(key).and_then(Json::text).unwrap_or_default().to_owned();
        let shape = text("shape");
        Field {
            name: text("name"),
            role: text("role"),
            kind: text("type"),
            declared: !shape.is_empty(),
            shape: u64::from_str_radix(&shape, 16).ok(),
        }
    }
}

fn is_python(saved: &Json) -> bool {
    let is_predictor = |value: &Json| {
        let fields = value.get("signature").and_then(|signature| signature.get("fields"));
        matches!((fields, value.get("demos")), (Some(Json::Array(_)), Some(Json::Array(_))))
    };
    is_predictor(saved) || saved.members().iter().any(|(_, value)| is_predictor(value))
}

/// Returns the folder of the source file. Tools that do not know it get that of the crate.
fn folder(literal: &LitStr) -> PathBuf {
    let source = proc_macro::is_available().then(|| literal.span().unwrap().local_file()).flatten();
    let folder = source.as_deref().and_then(Path::parent).map(Path::to_owned);
    folder.unwrap_or_else(|| std::env::var_os("CARGO_MANIFEST_DIR").map(PathBuf::from).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<File, String> {
        File::parse("qa.json".into(), text)
    }

    #[test]
    fn names_and_types_are_read() {
        let file = parse(
            r#"{"format": "dspy-rust/1", "predictors": {"predict": {"instruction": "x", "fields": [
                {"name": "question", "role": "input", "type": "str", "shape": "00000000000000ff"},
                {"name": "reasoning", "role": "output", "type": "str"},
                {"name": "date", "role": "output", "type": "str", "shape": "unknown"}]}}}"#,
        )
        .unwrap();
        assert_eq!((file.format.as_str(), file.predictors[0].path.as_str()), ("dspy-rust/1", "predict"));
        let fields: Vec<_> =
            file.predictors[0].fields.iter().map(|field| (field.declared, field.shape)).collect();
        assert_eq!(fields, [(true, Some(255)), (false, None), (true, None)]);
    }

    #[test]
    fn other_files_are_refused() {
        for (text, problem) in [
            ("{", "expected `\"`, found the end in line 1"),
            ("[]", "it has no `format`"),
            (r#"{"format": "cassette/1"}"#, "its format is `cassette/1`"),
            (r#"{"format": "dspy-rust/1"}"#, "it has no `predictors`"),
            (r#"{"predict": {"signature": {"fields": []}, "demos": []}}"#, "Python DSPy has written it"),
        ] {
            let error = parse(text).unwrap_err();
            assert!(error.contains(problem), "{text}: {error}");
        }
    }
}
