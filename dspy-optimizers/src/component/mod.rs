//! Components: the parts of a program that an optimizer can change.

mod candidate;
mod error;

use std::fmt;
use std::str::FromStr;

use dspy_core::signature::{Demo, Playbook};
use serde::{Deserialize, Serialize};

pub use self::candidate::Candidate;
pub use self::error::ComponentError;

/// A part of a program that an optimizer can change, such as the instruction of a predictor.
///
/// Its name consists of the path of the predictor and the kind of the part. Its `Display`, `FromStr` and
/// serialised forms are this name, which is stable across versions.
///
/// ```
/// use dspy_optimizers::Component;
///
/// let part = Component::description("search.predict", "query");
/// assert_eq!(part.to_string(), "search.predict:description.query");
/// assert_eq!("self:instruction".parse(), Ok(Component::instruction("self")));
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Component {
    predictor: String,
    kind: ComponentKind,
}

/// The kind of a [`Component`].
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum ComponentKind {
    /// The instruction of a predictor, which is text.
    Instruction,
    /// The description of a field, which is text.
    Description {
        /// The name of the field.
        field: String,
    },
    /// The description of a choice of a field that is an enum, which is text.
    Variant {
        /// The name of the field.
        field: String,
        /// The name of the choice.
        choice: String,
    },
    /// The description of a tool that is passed to a predictor, which is text. The tool is known only when the
    /// predictor is called.
    Tool {
        /// The name of the tool.
        name: String,
    },
    /// The demonstrations of a predictor.
    Demos,
    /// The lessons of earlier runs, which prompts show below the instruction of a predictor.
    Playbook,
}

/// The value of a [`Component`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
#[non_exhaustive]
pub enum ComponentValue {
    /// The text of an instruction or of a description.
    Text(String),
    /// The demonstrations of a predictor, in the order of the prompt.
    Demos(Vec<Demo>),
    /// The playbook of a predictor.
    Playbook(Playbook),
}

impl Component {
    /// Creates the component for the instruction of the predictor at `path`.
    pub fn instruction(path: impl Into<String>) -> Self {
        Component { predictor: path.into(), kind: ComponentKind::Instruction }
    }

    /// Creates the component for the description of a field of the predictor at `path`.
    pub fn description(path: impl Into<String>, field: impl Into<String>) -> Self {
        Component { predictor: path.into(), kind: ComponentKind::Description { field: field.into() } }
    }

    /// Creates the component for the description of a choice of a field, which is an enum.
    pub fn variant(path: impl Into<String>, field: impl Into<String>, choice: impl Into<String>) -> Self {
        let kind = ComponentKind::Variant { field: field.into(), choice: choice.into() };
        Component { predictor: path.into(), kind }
    }

    /// Creates the component for the description of a tool that is passed to the predictor at `path`.
    pub fn tool(path: impl Into<String>, name: impl Into<String>) -> Self {
        Component { predictor: path.into(), kind: ComponentKind::Tool { name: name.into() } }
    }

    /// Creates the component for the demonstrations of the predictor at `path`.
    pub fn demos(path: impl Into<String>) -> Self {
        Component { predictor: path.into(), kind: ComponentKind::Demos }
    }

    /// Creates the component for the playbook of the predictor at `path`.
    pub fn playbook(path: impl Into<String>) -> Self {
        Component { predictor: path.into(), kind: ComponentKind::Playbook }
    }

    /// Returns the path of the predictor.
    pub fn predictor(&self) -> &str {
        &self.predictor
    }

    /// Returns the kind of the part.
    pub fn kind(&self) -> &ComponentKind {
        &self.kind
    }

    /// Returns whether its value is text.
    pub fn is_text(&self) -> bool {
        !matches!(self.kind, ComponentKind::Demos | ComponentKind::Playbook)
    }
}

impl fmt::Display for Component {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:", self.predictor)?;
        match &self.kind {
            ComponentKind::Instruction => f.write_str("instruction"),
            ComponentKind::Description { field } => write!(f, "description.{field}"),
            ComponentKind::Variant { field, choice } => write!(f, "variant.{field}.{}", escaped(choice)),
            ComponentKind::Tool { name } => write!(f, "tool.{}", escaped(name)),
            ComponentKind::Demos => f.write_str("demos"),
            ComponentKind::Playbook => f.write_str("playbook"),
        }
    }
}

/// Returns a name without colons, which separate the path from the kind.
fn escaped(name: &str) -> String {
    name.replace('%', "%25").replace(':', "%3A")
}

fn unescaped(name: &str) -> String {
    name.replace("%3A", ":").replace("%25", "%")
}

impl FromStr for Component {
    type Err = ComponentError;

    fn from_str(name: &str) -> Result<Self, ComponentError> {
        let unknown = || ComponentError::Name(name.to_owned());
        // A path may contain colons, in the keys of maps; names of fields do not.
        let (path, kind) = name.rsplit_once(':').ok_or_else(unknown)?;
        match kind.split_once('.') {
            Some(("description", field)) if !field.is_empty() => Ok(Component::description(path, field)),
            Some(("variant", rest)) => match rest.split_once('.') {
                Some((field, choice)) if !field.is_empty() && !choice.is_empty() => {
                    Ok(Component::variant(path, field, unescaped(choice)))
                }
                _ => Err(unknown()),
            },
            Some(("tool", name)) if !name.is_empty() => Ok(Component::tool(path, unescaped(name))),
            None if kind == "instruction" => Ok(Component::instruction(path)),
            None if kind == "demos" => Ok(Component::demos(path)),
            None if kind == "playbook" => Ok(Component::playbook(path)),
            _ => Err(unknown()),
        }
    }
}

impl TryFrom<String> for Component {
    type Error = ComponentError;

    fn try_from(name: String) -> Result<Self, ComponentError> {
        name.parse()
    }
}

impl From<Component> for String {
    fn from(component: Component) -> Self {
        component.to_string()
    }
}

impl ComponentValue {
    /// Returns the text, or `None` for values of another kind.
    pub fn as_text(&self) -> Option<&str> {
        match self {
            ComponentValue::Text(text) => Some(text),
            _ => None,
        }
    }

    /// Returns the demonstrations, or `None` for values of another kind.
    pub fn as_demos(&self) -> Option<&[Demo]> {
        match self {
            ComponentValue::Demos(demos) => Some(demos),
            _ => None,
        }
    }

    /// Returns the playbook, or `None` for values of another kind.
    pub fn as_playbook(&self) -> Option<&Playbook> {
        match self {
            ComponentValue::Playbook(playbook) => Some(playbook),
            _ => None,
        }
    }
}

impl From<&str> for ComponentValue {
    fn from(text: &str) -> Self {
        ComponentValue::Text(text.to_owned())
    }
}

impl From<String> for ComponentValue {
    fn from(text: String) -> Self {
        ComponentValue::Text(text)
    }
}

impl From<Vec<Demo>> for ComponentValue {
    fn from(demos: Vec<Demo>) -> Self {
        ComponentValue::Demos(demos)
    }
}

impl From<Playbook> for ComponentValue {
    fn from(playbook: Playbook) -> Self {
        ComponentValue::Playbook(playbook)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_back() {
        for component in [
            Component::instruction("self"),
            Component::description("steps[0].predict", "query"),
            Component::demos("by_kind['a:demos b.c']"),
            Component::playbook("self"),
            Component::variant("self", "mood", "50%3A: so.so"),
            Component::tool("self", "find"),
        ] {
            assert_eq!(component.to_string().parse::<Component>(), Ok(component.clone()));
            let json = serde_json::to_string(&component).unwrap();
            assert_eq!(serde_json::from_str::<Component>(&json).unwrap(), component);
        }
        for name in [
            "",
            "self",
            "self:",
            "self:description",
            "self:description.",
            "self:tools",
            "self:variant.mood",
            "self:tool.",
            ":x",
        ] {
            let error = name.parse::<Component>().unwrap_err();
            assert!(error.to_string().contains("is not the name of a component"), "{error}");
        }
    }
}
