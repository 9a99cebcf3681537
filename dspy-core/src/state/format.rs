//! The library's own format: versioned, by field name, readable.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::{StateError, python};
use crate::predictor::Predictor;
use crate::signature::{Demo, FieldSpec, Native, Playbook, Role, SignatureSpec};
use crate::types::Trajectory;
use dspy_base::error::clipped;

/// The name of the format and its version, written to every file.
pub(crate) const FORMAT: &str = "dspy-rust/1";

/// The saved state of a program.
#[derive(Debug, Clone, PartialEq, Default)]
#[non_exhaustive]
pub struct ProgramState {
    /// The predictors by path.
    pub predictors: BTreeMap<String, PredictorState>,
    /// Notes on the origin of the state, such as optimizer and score. Never read back by the library.
    pub metadata: Map<String, Value>,
}

/// The saved state of a predictor.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct PredictorState {
    /// The name of the signature, for information only.
    #[serde(default)]
    pub signature: String,
    /// A digest of the names, roles and types of the fields; absent in states from Python.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fingerprint: Option<String>,
    /// The instruction.
    pub instruction: String,
    /// The lessons of earlier runs. A file for Python has them as a part of the instruction.
    #[serde(default, skip_serializing_if = "Playbook::is_empty")]
    pub playbook: Playbook,
    /// The fields, inputs before outputs.
    pub fields: Vec<FieldState>,
    /// The descriptions that replace those of tools, by the name of the tool.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub tools: BTreeMap<String, String>,
    /// The demonstrations.
    #[serde(default)]
    pub demos: Vec<Demo>,
    /// The number of demonstrations that each call shows, for information only; absent if it shows all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shown: Option<usize>,
    /// The id of the bound model, for information only; never a key. Loading does not bind the model, but keeps the
    /// [name](crate::predict::Predictor::saved_lm).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lm: Option<Value>,
}

/// The saved state of a field.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct FieldState {
    /// The name; empty in states from Python, which store fields by position, unless the file contains it.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// The title of the field in Python's prompts, which identifies the field; empty in other states.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub prefix: String,
    /// `input` or `output`; empty in states from Python.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub role: String,
    /// The type, for information and for the error message if it has changed.
    #[serde(default, rename = "type", skip_serializing_if = "String::is_empty")]
    pub kind: String,
    /// The digest of the type that `include_optimized!` compares; `unknown` if the type has none. Empty for fields that
    /// no signature in the code has declared.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub shape: String,
    /// The description; empty if there is none.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub description: String,
    /// The descriptions of choices of an enum that differ from the declared ones, by choice. Not in states from
    /// Python.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub choices: BTreeMap<String, String>,
}

#[derive(Serialize, Deserialize)]
struct File {
    format: String,
    predictors: BTreeMap<String, PredictorState>,
    #[serde(default)]
    metadata: Map<String, Value>,
}

/// Returns the reason why `text` is not a saved program in any version of this format or of Python's, as the
/// error.
pub(super) fn recognise(text: &str) -> Result<(), String> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let value: Value = serde_json::from_str(text).map_err(|error| clipped(error.to_string()))?;
    let family = FORMAT.split('/').next().unwrap_or_default();
    match value.get("format").and_then(Value::as_str) {
        Some(format) if format.split('/').next() == Some(family) => Ok(()),
        Some(format) => Err(clipped(format!("its format is `{format}`"))),
        None => super::python::read(value).map(drop).map_err(|error| clipped(error.to_string())),
    }
}

pub(super) fn read(value: Value) -> Result<ProgramState, StateError> {
    let format = value.get("format").and_then(Value::as_str).unwrap_or_default();
    if format != FORMAT {
        return Err(StateError::Format(format!("its format is `{format}`; this version reads `{FORMAT}`")));
    }
    let file: File = serde_json::from_value(value).map_err(|error| StateError::Format(error.to_string()))?;
    Ok(ProgramState { predictors: file.predictors, metadata: file.metadata })
}

pub(super) fn write(state: &ProgramState) -> String {
    let file = File {
        format: FORMAT.into(),
        predictors: state.predictors.clone(),
        metadata: state.metadata.clone(),
    };
    // Strings, numbers and lists under string keys always have a JSON form.
    serde_json::to_string_pretty(&file).map(|text| text + "\n").unwrap_or_default()
}

/// Returns the fields that a prompt shows, in its order.
fn shown(spec: &SignatureSpec) -> impl Iterator<Item = &FieldSpec> {
    spec.inputs().chain(spec.outputs())
}

impl FieldState {
    fn of(field: &FieldSpec) -> Self {
        FieldState {
            name: field.name().into(),
            prefix: String::new(),
            role: if field.role() == Role::Input { "input" } else { "output" }.into(),
            kind: field.type_text().notation.clone(),
            shape: match field.declared().map(|declared| declared.shape) {
                None => String::new(),
                Some(None) => "unknown".into(),
                Some(Some(digest)) => format!("{digest:016x}"),
            },
            description: field.description().into(),
            choices: BTreeMap::new(),
        }
    }

    /// Returns the field with the descriptions of choices that differ from those of its declaration.
    fn beside(mut self, field: &FieldSpec, declared: Option<&FieldSpec>) -> Self {
        if let Some(declared) = declared.filter(|declared| declared.schema() != field.schema()) {
            let before = declared.choices();
            self.choices = field.choices().into_iter().filter(|choice| !before.contains(choice)).collect();
        }
        self
    }

    /// Sets the descriptions of choices; those that are not saved become the declared ones.
    fn apply_choices(&self, name: &str, predictor: &mut Predictor) {
        let declared = predictor.declared().field(name).map(FieldSpec::choices).unwrap_or_default();
        let now = predictor.spec().field(name).map(FieldSpec::choices).unwrap_or_default();
        for ((choice, declared), (_, now)) in declared.into_iter().zip(now) {
            let saved = self.choices.get(&choice).unwrap_or(&declared);
            if *saved != now {
                predictor.set_choice_description(name, &choice, saved);
            }
        }
    }

    /// Returns the field as shown in error messages.
    fn shape(&self) -> String {
        format!("{} `{}` ({})", self.role, self.name, self.kind)
    }
}

impl PredictorState {
    pub(crate) fn of(predictor: &Predictor) -> Self {
        let spec = predictor.spec();
        PredictorState {
            signature: spec.name().into(),
            fingerprint: Some(spec.fingerprint()),
            instruction: predictor.instruction().into(),
            playbook: predictor.playbook().clone(),
            fields: shown(spec)
                .map(|field| FieldState::of(field).beside(field, predictor.declared().field(field.name())))
                .collect(),
            tools: predictor.tool_descriptions().clone(),
            demos: predictor.demos().to_vec(),
            shown: None,
            lm: predictor.lm().map(|lm| Value::from(lm.id())).or_else(|| predictor.saved_lm().cloned()),
        }
    }

    /// Returns the reasons why this state cannot be applied to the predictor.
    pub(crate) fn problems(&self, predictor: &Predictor) -> impl Iterator<Item = String> {
        let spec = predictor.declared();
        let mut problems = Vec::new();
        match &self.fingerprint {
            Some(fingerprint) if *fingerprint != spec.fingerprint() => {
                let now: Vec<_> = shown(spec).map(|field| FieldState::of(field).shape()).collect();
                let then: Vec<_> = self.fields.iter().map(FieldState::shape).collect();
                let gone = then.iter().filter(|shape| !now.contains(shape));
                let new = now.iter().filter(|shape| !then.contains(shape));
                problems.extend(
                    gone.map(|shape| format!("the saved signature has the {shape}, the program has not")),
                );
                problems.extend(
                    new.map(|shape| format!("the program has the {shape}, the saved signature has not")),
                );
                if problems.is_empty() {
                    problems.push("a type has changed in a part that its short form does not show".into());
                }
            }
            Some(_) => {}
            None => problems.extend(python::problems(&self.fields, shown(spec).map(FieldSpec::name))),
        }
        if problems.is_empty() {
            problems.extend(self.demo_problems(spec));
        }
        problems.into_iter()
    }

    fn demo_problems(&self, spec: &SignatureSpec) -> Vec<String> {
        let mut problems = Vec::new();
        for (index, demo) in self.demos.iter().enumerate() {
            if !demo.values.is_empty() && demo.values.keys().all(|name| spec.field(name).is_none()) {
                let names: Vec<_> = demo.values.keys().map(|name| format!("`{name}`")).collect();
                problems.push(format!("demonstration {index}: no field is named {}", names.join(" or ")));
            }
            for (name, value) in &demo.values {
                let Some(field) = spec.field(name).filter(|field| field.role() != Role::Hint) else {
                    continue;
                };
                if fitting(field, value).is_none() {
                    let kind = &field.type_text().notation;
                    problems.push(format!(
                        "demonstration {index}: `{name}` is not of type {kind}: {}",
                        clipped(value.to_string())
                    ));
                }
            }
        }
        problems
    }

    pub(crate) fn apply(&self, predictor: &mut Predictor) {
        predictor.set_instruction(self.instruction.as_str());
        if *predictor.playbook() != self.playbook {
            predictor.set_playbook(self.playbook.clone());
        }
        let names: Vec<String> = shown(predictor.spec()).map(|field| field.name().to_owned()).collect();
        for (position, field) in self.fields.iter().enumerate() {
            let name = if field.name.is_empty() { names.get(position) } else { Some(&field.name) };
            if let Some(name) = name
                && predictor.spec().field(name).is_some_and(|known| known.description() != field.description)
            {
                predictor.set_description(name, field.description.as_str());
            }
            if let Some(name) = name {
                field.apply_choices(name, predictor);
            }
        }
        if *predictor.tool_descriptions() != self.tools {
            predictor.set_tool_descriptions(self.tools.clone());
        }
        let mut demos = self.demos.clone();
        if self.fingerprint.is_none() {
            // Another library may have saved values in a different form than that of the field's type.
            for (name, value) in demos.iter_mut().flat_map(|demo| &mut demo.values) {
                let field = predictor.declared().field(name);
                if let Some(fits) = field.and_then(|field| fitting(field, value)) {
                    *value = fits;
                }
            }
        }
        predictor.set_demos(demos);
        predictor.set_saved_lm(self.lm.as_ref());
    }
}

/// Returns the value converted to the field's type, if possible.
fn fitting(field: &FieldSpec, value: &Value) -> Option<Value> {
    if value.is_null() || (field.is_text() && value.is_string()) {
        return Some(value.clone());
    }
    if field.native() == Some(Native::Trajectory) {
        // Prompts describe it as the text that they show; its value is an object.
        return Trajectory::is_form(value).then(|| value.clone());
    }
    let read = field.plan().ok()?.coerce(value.clone()).ok()?.value;
    (!is_flattened(value, &read)).then_some(read)
}

/// Returns whether a list or an object was read as text, so that a prompt would show its JSON.
fn is_flattened(value: &Value, read: &Value) -> bool {
    match (value, read) {
        (Value::Array(_) | Value::Object(_), Value::String(_)) => true,
        (Value::Array(value), Value::Array(read)) => {
            value.iter().zip(read).any(|(value, read)| is_flattened(value, read))
        }
        (Value::Object(value), Value::Object(read)) => {
            value.iter().any(|(name, value)| read.get(name).is_some_and(|read| is_flattened(value, read)))
        }
        _ => false,
    }
}
