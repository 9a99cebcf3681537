//! Conversion of a JSON Schema to the notation of prompts.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use crate::Plan;

/// A type in the notation of prompts.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct TypeText {
    /// The type without its constraints.
    pub notation: String,
    /// Constraints on the value, such as `from 0 to 1`.
    pub constraints: Vec<String>,
    /// The described values or variants of an enum, each with its description.
    pub choices: Vec<(String, String)>,
    /// `Name = …` for every type that the notation mentions by name.
    pub definitions: BTreeMap<String, String>,
}

impl TypeText {
    /// Returns the text of a type that is a single word.
    #[doc(hidden)]
    pub fn word(notation: &str) -> TypeText {
        TypeText { notation: notation.to_owned(), ..TypeText::default() }
    }

    /// Returns the same type with its documents shown as `document` instead of as objects.
    pub fn of_documents(self, schema: &Value) -> TypeText {
        let notation = if schema.get("items").is_some() { "document[]" } else { "document" };
        let nullable = schema
            .get("type")
            .and_then(Value::as_array)
            .is_some_and(|types| types.iter().any(|name| name == "null"));
        let optional = if nullable { " | null" } else { "" };
        TypeText { notation: format!("{notation}{optional}"), definitions: BTreeMap::new(), ..self }
    }

    /// Returns the text of a type that no reply can be read as: only its name.
    pub fn of_unusable(schema: &Value) -> TypeText {
        let names = match schema.get("type") {
            Some(Value::String(name)) => name.clone(),
            Some(Value::Array(names)) => {
                names.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(" | ")
            }
            _ => "any".to_owned(),
        };
        TypeText { notation: names.replace("array", "any[]"), ..TypeText::default() }
    }
}

/// The definitions that several types mention, grouped by owner.
#[derive(Debug, Default)]
pub struct Definitions<'a> {
    /// Definitions that are the same wherever they are mentioned.
    pub common: BTreeMap<&'a str, &'a str>,
    /// All definitions of an owner that uses a name for something else than another owner does.
    pub own: Vec<(&'a str, &'a BTreeMap<String, String>)>,
}

impl<'a> Definitions<'a> {
    /// Collects the definitions of several types, each with the name of its owner.
    pub fn of(types: impl Iterator<Item = (&'a str, &'a TypeText)> + Clone) -> Self {
        let mut known: BTreeMap<&str, &str> = BTreeMap::new();
        let mut unclear: BTreeSet<&str> = BTreeSet::new();
        for (name, text) in types.clone().flat_map(|(_, text)| &text.definitions) {
            if *known.entry(name).or_insert(text) != text {
                unclear.insert(name);
            }
        }
        let mut all = Definitions::default();
        for (owner, text) in types {
            if text.definitions.keys().any(|name| unclear.contains(name.as_str())) {
                all.own.push((owner, &text.definitions));
            } else {
                let texts = text.definitions.iter();
                all.common.extend(texts.map(|(name, text)| (name.as_str(), text.as_str())));
            }
        }
        all
    }
}

/// Describes the values that `schema` accepts, in the [notation](TypeText) that prompts use.
///
/// The description and the decoder are both derived from the same [`Plan`]. For a schema that cannot be
/// compiled, only its `type` is shown.
///
/// ```
/// use dspy_decode::describe;
/// let schema = serde_json::json!({"type": "array", "items": {"type": "boolean"}, "minItems": 1});
/// let text = describe(&schema);
/// assert_eq!(text.notation, "boolean[]");
/// assert_eq!(text.constraints, ["at least 1 item"]);
///
/// let nested = serde_json::json!({"type": "array", "items": {"type": "integer", "minimum": 1, "maximum": 5}});
/// assert_eq!(describe(&nested).notation, "(integer /* from 1 to 5 */)[]");
/// ```
pub fn describe(schema: &Value) -> TypeText {
    Plan::new(schema).map_or_else(|_| TypeText::of_unusable(schema), |plan| plan.type_text())
}
