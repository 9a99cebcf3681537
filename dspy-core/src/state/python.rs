//! The JSON format of Python DSPy: predictors by path, fields by position.

use std::collections::BTreeMap;
use std::fmt;

use serde_json::{Map, Value, json};

use super::{FieldState, PredictorState, ProgramState, StateError};
use crate::signature::Demo;

/// A part of a saved program that a file for Python DSPy cannot contain, with what to do about it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum PythonNotice {
    /// A predictor is bound to a model, such as a fine-tuned one. The file names none.
    Model {
        /// The path of the predictor.
        predictor: String,
        /// The id of the model.
        model: String,
    },
    /// Each call of a predictor shows only some of its demonstrations. Python DSPy shows all.
    Selection {
        /// The path of the predictor.
        predictor: String,
        /// The number of demonstrations that a call shows.
        shown: usize,
        /// The number of demonstrations in the file.
        of: usize,
    },
}

impl fmt::Display for PythonNotice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            PythonNotice::Model { predictor, model } => write!(
                f,
                "`{predictor}` is bound to the model `{model}`, which the file does not name; bind it in Python by \
                 `set_lm`"
            ),
            PythonNotice::Selection { predictor, shown, of } => write!(
                f,
                "each call of `{predictor}` shows {shown} of its {of} demonstrations, Python shows all; compile it \
                 there with `KNNFewShot`"
            ),
        }
    }
}

pub(super) fn notices(state: &ProgramState) -> Vec<PythonNotice> {
    let mut notices = Vec::new();
    for (path, PredictorState { lm, shown, demos, .. }) in &state.predictors {
        if let Some(model) = lm.as_ref().and_then(Value::as_str) {
            notices.push(PythonNotice::Model { predictor: path.clone(), model: model.to_owned() });
        }
        if let Some(shown) = shown.filter(|shown| *shown < demos.len()) {
            let (predictor, of) = (path.clone(), demos.len());
            notices.push(PythonNotice::Selection { predictor, shown, of });
        }
    }
    notices
}

/// The type of a field for tools, in the notation of prompts.
const TOOLS: &str = "tools";

/// The keys of a predictor in a Python file.
const PREDICTOR: [&str; 2] = ["signature", "demos"];

pub(super) fn read(value: Value) -> Result<ProgramState, StateError> {
    let Value::Object(members) = value else {
        return Err(StateError::Format("expected a JSON object".into()));
    };
    let is_predictor = |value: &Value| PREDICTOR.iter().all(|key| value.get(key).is_some());
    let mut state = ProgramState::default();
    let whole = Value::Object(members);
    if is_predictor(&whole) {
        // A program that is a single predictor has its members at the top level.
        state.predictors.insert("self".into(), read_predictor("self", &whole)?);
    }
    let Value::Object(members) = whole else { return Ok(state) };
    for (path, value) in members {
        if path == "metadata" {
            state.metadata.insert("python".into(), value);
        } else if is_predictor(&value) {
            state.predictors.insert(path.clone(), read_predictor(&path, &value)?);
        } else if !state.predictors.contains_key("self") {
            let message = format!("`{path}` is neither a predictor of Python DSPy nor a `format` of ours");
            return Err(StateError::Format(message));
        }
    }
    if state.predictors.is_empty() {
        return Err(StateError::Format("it holds no predictors".into()));
    }
    Ok(state)
}

fn read_predictor(path: &str, value: &Value) -> Result<PredictorState, StateError> {
    let wrong = |what: &str| StateError::Format(format!("`{path}`: {what}"));
    let signature = &value["signature"];
    let instruction =
        signature["instructions"].as_str().ok_or_else(|| wrong("no `signature.instructions`"))?;
    let fields = signature["fields"].as_array().ok_or_else(|| wrong("no `signature.fields`"))?;
    let fields = fields.iter().map(|field| {
        let description = field["description"].as_str().unwrap_or_default();
        // `${name}` is Python's form of a missing description.
        let name = description.strip_prefix("${").and_then(|rest| rest.strip_suffix('}'));
        FieldState {
            name: name.unwrap_or_default().into(),
            prefix: field["prefix"].as_str().unwrap_or_default().into(),
            role: String::new(),
            kind: String::new(),
            shape: String::new(),
            description: if name.is_some() { String::new() } else { description.into() },
            choices: BTreeMap::new(),
        }
    });
    let demos = value["demos"].as_array().ok_or_else(|| wrong("`demos` is not a list"))?;
    let demos: Result<Vec<Demo>, _> = demos
        .iter()
        .map(|demo| serde_json::from_value(demo.clone()).map_err(|error| wrong(&format!("a demo: {error}"))))
        .collect();
    let lm = value.get("lm").and_then(|lm| lm.get("model")).cloned();
    Ok(PredictorState {
        signature: String::new(),
        fingerprint: None,
        instruction: instruction.into(),
        fields: fields.collect(),
        tools: BTreeMap::new(),
        demos: demos?,
        shown: None,
        lm,
    })
}

/// Returns the differences between saved fields and a program with fields of these names, in this order. The
/// format has no names, but a field without a description contains its own, and every field has a title made
/// from it.
pub(super) fn problems<'n>(saved: &[FieldState], names: impl Iterator<Item = &'n str>) -> Vec<String> {
    let names: Vec<&str> = names.collect();
    let mut problems = Vec::new();
    if saved.len() != names.len() {
        let (then, now) = (saved.len(), names.len());
        problems.push(format!("{then} fields were saved by position, the program has {now}"));
    }
    for (index, field) in saved.iter().enumerate() {
        let then = match (field.name.as_str(), field.prefix.trim().trim_end_matches(':')) {
            ("", "") => "a field with neither a prefix nor `${name}` as its description".to_owned(),
            ("", prefix) => format!("`{prefix}`"),
            (name, _) => format!("`{name}`"),
        };
        let Some(name) = names.get(index) else {
            problems.push(format!("field {} was {then}, the program has none there", index + 1));
            continue;
        };
        let same = if field.name.is_empty() {
            field.prefix.trim().trim_end_matches(':') == title(name)
        } else {
            field.name == *name
        };
        if !same {
            problems.push(format!("field {} was {then}, the program has `{name}` there", index + 1));
        }
    }
    let new = names.iter().enumerate().skip(saved.len());
    problems.extend(new.map(|(index, name)| format!("the program has `{name}` as field {}", index + 1)));
    problems
}

pub(super) fn write(state: &ProgramState) -> String {
    let mut members = Map::new();
    for (path, predictor) in &state.predictors {
        let value = write_predictor(predictor);
        match value {
            Value::Object(own) if path == "self" && state.predictors.len() == 1 => members.extend(own),
            value => drop(members.insert(path.clone(), value)),
        }
    }
    let versions = json!({"dependency_versions": {"python": "3.11", "dspy": "3.4.1", "cloudpickle": "3.1"}});
    members.insert("metadata".into(), versions);
    serde_json::to_string_pretty(&Value::Object(members)).map(|text| text + "\n").unwrap_or_default()
}

fn write_predictor(predictor: &PredictorState) -> Value {
    let tools = listed("Tools", &predictor.tools);
    let field_of_tools = predictor.fields.iter().position(|field| field.kind == TOOLS);
    let fields = predictor.fields.iter().enumerate().map(|(at, field)| {
        let own = Some(field.description.clone()).filter(|text| !text.is_empty());
        let tools = tools.clone().filter(|_| field_of_tools == Some(at));
        let parts: Vec<String> =
            own.into_iter().chain(listed("Choices", &field.choices)).chain(tools).collect();
        let description = if parts.is_empty() { format!("${{{}}}", field.name) } else { parts.join(" ") };
        json!({"prefix": format!("{}:", title(&field.name)), "description": description})
    });
    // Without a field for them, such as in a file that was written by hand, they are part of the instruction.
    let tools = tools.as_ref().filter(|_| field_of_tools.is_none());
    let instruction: Vec<&str> =
        [predictor.instruction.as_str()].into_iter().chain(tools.map(String::as_str)).collect();
    json!({
        "traces": [],
        "train": [],
        "demos": predictor.demos,
        "signature": {"instructions": instruction.join("\n\n"), "fields": fields.collect::<Vec<_>>()},
        "lm": null,
    })
}

/// Returns descriptions by name as one line, such as "Choices: `good`: Joy; `bad`: Rain".
fn listed(title: &str, descriptions: &BTreeMap<String, String>) -> Option<String> {
    let line = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
    let items: Vec<String> = descriptions
        .iter()
        .filter(|(_, text)| !text.trim().is_empty())
        .map(|(name, text)| format!("`{name}`: {}", line(text).trim_end_matches(['.', ';'])))
        .collect();
    (!items.is_empty()).then(|| format!("{title}: {}.", items.join("; ")))
}

/// Converts `camelCaseText` and `snake_case_text` to `Camel Case Text` and `Snake Case Text`.
fn title(name: &str) -> String {
    let chars: Vec<char> = name.chars().collect();
    let mut out = String::new();
    let mut start = true;
    for (index, &c) in chars.iter().enumerate() {
        if c == '_' {
            start = true;
            continue;
        }
        let before = index.checked_sub(1).map(|at| chars[at]);
        let after = chars.get(index + 1).copied();
        let hump = before.is_some_and(|before| {
            (before.is_lowercase() && c.is_uppercase())
                || (before.is_uppercase() && c.is_uppercase() && after.is_some_and(char::is_lowercase))
                || (before.is_alphabetic() && c.is_ascii_digit())
                || (before.is_ascii_digit() && c.is_alphabetic())
        });
        if (start || hump) && !out.is_empty() {
            out.push(' ');
        }
        out.push(c);
        start = false;
    }
    // After a digit or a capital letter inside a name a new word starts.
    out.split(' ')
        .map(|word| {
            let mut letters = word.chars();
            letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
        })
        .collect::<Vec<String>>()
        .join(" ")
}

#[cfg(test)]
mod tests {
    use super::title;

    #[test]
    fn titles_are_those_of_python() {
        for (name, expected) in [
            ("question", "Question"),
            ("camelCaseText", "Camel Case Text"),
            ("snake_case", "Snake Case"),
            ("text2number", "Text 2 Number"),
            ("HTMLParser", "HTML Parser"),
        ] {
            assert_eq!(title(name), expected);
        }
    }
}
