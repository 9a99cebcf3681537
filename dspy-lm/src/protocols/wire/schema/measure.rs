//! The size of a schema, and detection of recursive types.

use std::collections::{HashMap, HashSet};

use serde_json::{Map, Value};

use crate::protocols::dialect::Limits;

/// Returns the name of the definition that a schema refers to.
pub(super) fn target(schema: &Map<String, Value>) -> Option<&str> {
    schema.get("$ref")?.as_str()?.strip_prefix("#/$defs/")
}

/// Returns whether a type contains itself.
pub(super) fn is_recursive(schema: &Value) -> bool {
    fn targets<'s>(schema: &'s Value, into: &mut HashSet<&'s str>) {
        match schema {
            Value::Object(members) => {
                into.extend(target(members));
                members.iter().filter(|(key, _)| *key != "$defs").for_each(|(_, value)| targets(value, into));
            }
            Value::Array(items) => items.iter().for_each(|item| targets(item, into)),
            _ => {}
        }
    }
    if mentions_root(schema) {
        return true;
    }
    let Some(definitions) = schema.get("$defs").and_then(Value::as_object) else { return false };
    let direct: HashMap<&str, HashSet<&str>> = definitions
        .iter()
        .map(|(name, schema)| {
            let mut found = HashSet::new();
            targets(schema, &mut found);
            (name.as_str(), found)
        })
        .collect();
    direct.keys().any(|start| {
        let mut seen = HashSet::new();
        let mut open: Vec<&str> = direct[start].iter().copied().collect();
        while let Some(name) = open.pop() {
            if name == *start {
                return true;
            }
            if seen.insert(name) {
                open.extend(direct.get(name).into_iter().flatten());
            }
        }
        false
    })
}

/// The size of a schema, in the units of [`Limits`].
#[derive(Default)]
pub(super) struct Size {
    depth: usize,
    properties: usize,
    choices: usize,
    bytes: usize,
}

impl Size {
    pub(super) fn of(schema: &Value) -> Self {
        let mut size = Size::default();
        size.count(schema);
        let definitions = schema.get("$defs").and_then(Value::as_object);
        size.depth = depth(schema, definitions, &mut HashMap::new());
        size
    }

    pub(super) fn is_within(&self, limits: Limits) -> bool {
        self.depth <= limits.depth
            && self.properties <= limits.properties
            && self.choices <= limits.choices
            && self.bytes <= limits.bytes
    }

    fn count(&mut self, schema: &Value) {
        let Some(members) = schema.as_object() else { return };
        for (keyword, value) in members {
            match (keyword.as_str(), value) {
                ("properties" | "$defs", Value::Object(named)) => {
                    if keyword == "properties" {
                        self.properties += named.len();
                    }
                    for (name, schema) in named {
                        self.bytes += name.len();
                        self.count(schema);
                    }
                }
                ("enum", Value::Array(choices)) => {
                    self.choices += choices.len();
                    self.bytes += choices.iter().map(|choice| choice.to_string().len()).sum::<usize>();
                }
                ("const", value) => self.bytes += value.to_string().len(),
                ("anyOf", Value::Array(choices)) => choices.iter().for_each(|choice| self.count(choice)),
                ("items" | "additionalProperties", value) => self.count(value),
                _ => {}
            }
        }
    }
}

/// Returns the nesting depth of objects and lists. A recursive type counts once.
fn depth<'s>(
    schema: &'s Value,
    definitions: Option<&'s Map<String, Value>>,
    known: &mut HashMap<&'s str, usize>,
) -> usize {
    let Some(members) = schema.as_object() else { return 0 };
    if let Some(name) = target(members) {
        if let Some(depth) = known.get(name) {
            return *depth;
        }
        known.insert(name, 0);
        let found =
            definitions.and_then(|all| all.get(name)).map_or(0, |schema| depth(schema, definitions, known));
        known.insert(name, found);
        return found;
    }
    let choices = members.get("anyOf").and_then(Value::as_array).into_iter().flatten();
    let across = choices.map(|choice| depth(choice, definitions, known)).max().unwrap_or(0);
    let named = members.get("properties").and_then(Value::as_object).into_iter().flat_map(Map::values);
    let inner = named.chain(members.get("items"));
    let below = inner.map(|schema| depth(schema, definitions, known) + 1).max().unwrap_or(0);
    across.max(below)
}

/// Returns whether a schema refers to its own root.
fn mentions_root(schema: &Value) -> bool {
    match schema {
        Value::Object(members) => {
            members.get("$ref").is_some_and(|target| target == "#") || members.values().any(mentions_root)
        }
        Value::Array(items) => items.iter().any(mentions_root),
        _ => false,
    }
}
