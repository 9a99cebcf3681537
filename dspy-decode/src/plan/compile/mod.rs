//! Compilation of a JSON Schema into plan nodes.

mod checks;
mod choice;
mod structure;
mod union;

use std::collections::{HashMap, HashSet};

use serde_json::{Map, Value, json};

use super::super::error::SchemaError;
use super::flatten::{ANNOTATIONS, Flat, Resolver, percent_decode, reference};
use super::keywords::{bad, contradiction, implied_type, number, text};
use super::{Check, Node, NodeId, NodeKind, Notes, Own, Schema, UnionPlan};
use crate::docs::brief;
use dspy_base::keyword;

/// The maximum nesting depth of a schema.
const MAX_SCHEMA_DEPTH: usize = 200;

pub(super) struct Compiler<'s> {
    resolver: Resolver<'s>,
    nodes: Vec<Node>,
    /// Nodes of schemas that are compiled or being compiled, by their content. Recursion ends here.
    known: HashMap<String, NodeId>,
    keys: HashSet<String>,
    depth: usize,
}

type Compiled<T> = Result<T, SchemaError>;

impl<'s> Compiler<'s> {
    pub(super) fn new(root: &'s Value) -> Self {
        Self {
            resolver: Resolver { root },
            nodes: Vec::new(),
            known: HashMap::new(),
            keys: HashSet::new(),
            depth: 0,
        }
    }

    pub(super) fn finish(mut self) -> Compiled<Schema> {
        let root = self.resolver.root;
        let root = self.node(root, "#")?;
        self.reject_cycles()?;
        for id in 0..self.nodes.len() {
            self.find_tag(id);
        }
        let schema = Schema { nodes: self.nodes, root, keys: self.keys };
        if schema.has_values() {
            Ok(schema)
        } else {
            Err(contradiction("#", "a type that must hold itself, or `false`"))
        }
    }

    fn node(&mut self, schema: &Value, at: &str) -> Compiled<NodeId> {
        // Recursion is possible only through references, so only references are recorded by name.
        let key = if reference(schema).is_some() || std::ptr::eq(schema, self.resolver.root) {
            let only_ref = schema.as_object().is_some_and(|m| {
                m.keys().all(|k| k == "$ref" || k == "$dynamicRef" || ANNOTATIONS.contains(&k.as_str()))
            });
            let key = match reference(schema) {
                Some(r) if only_ref && !std::ptr::eq(schema, self.resolver.root) => r.to_owned(),
                Some(_) => schema.to_string(),
                None => "#".to_owned(),
            };
            if let Some(&id) = self.known.get(&key) {
                return Ok(id);
            }
            Some(key)
        } else {
            None
        };
        let id = self.nodes.len();
        self.nodes.push(Node::default());
        if let Some(key) = &key {
            self.known.insert(key.clone(), id);
        }
        self.depth += 1;
        if self.depth > MAX_SCHEMA_DEPTH {
            return Err(SchemaError::TooDeep { at: at.to_owned() });
        }
        // A node that several places share must not contain the annotations of one of them.
        let shared = key.as_deref().filter(|key| reference(schema) == Some(*key));
        let flat = match shared {
            Some(reference) => self.resolver.flatten(&json!({"$ref": reference}), at)?,
            None => self.resolver.flatten(schema, at)?,
        };
        let definition = match shared {
            Some(reference) => definition_name(reference),
            None if std::ptr::eq(schema, self.resolver.root) => {
                schema.get("title").and_then(Value::as_str).map(str::to_owned)
            }
            None => None,
        };
        let mut node = self.flat(flat, at)?;
        if definition.is_some() {
            node.notes.get_or_insert_default().definition = definition;
        }
        self.nodes[id] = node;
        self.depth -= 1;
        Ok(id)
    }

    fn flat(&mut self, flat: Flat, at: &str) -> Compiled<Node> {
        let name = flat.keywords.get("title").and_then(Value::as_str).map(str::to_owned);
        let notes = notes(&flat.keywords).map(Box::new);
        if flat.never {
            return Ok(Node { kind: NodeKind::Never, name, checks: Vec::new(), notes });
        }
        let mut checks = self.checks(&flat.keywords, at)?;
        for schema in &flat.also {
            checks.push(Check::Also(self.node(schema, at)?));
        }
        let kind =
            if flat.unions.is_empty() { self.plain(&flat.keywords, at)? } else { self.union(&flat, at)? };
        Ok(Node { kind, name, checks, notes })
    }

    /// Compiles a schema without alternatives, or with several types (which are alternatives too).
    fn plain(&mut self, map: &Map<String, Value>, at: &str) -> Compiled<NodeKind> {
        if map.contains_key("const") || map.contains_key("enum") {
            return Self::choice(map, at);
        }
        let types: Vec<&str> = match map.get("type") {
            Some(Value::String(t)) => vec![t],
            Some(Value::Array(types)) => types.iter().filter_map(Value::as_str).collect(),
            Some(other) => return Err(bad("type", other, at)),
            None => implied_type(map).into_iter().collect(),
        };
        match types.as_slice() {
            [] => Ok(NodeKind::Any),
            [one] => self.typed(one, map, at),
            several => {
                let mut union = UnionPlan::default();
                for kind in several {
                    if *kind == "null" {
                        union.null = true;
                        continue;
                    }
                    let kind = self.typed(kind, map, at)?;
                    union.options.push(self.push(kind));
                    union.docs.push(None);
                }
                Ok(NodeKind::Union(union))
            }
        }
    }

    fn typed(&mut self, kind: &str, map: &Map<String, Value>, at: &str) -> Compiled<NodeKind> {
        Ok(match kind {
            "null" => NodeKind::Null,
            "boolean" => NodeKind::Bool,
            "integer" => NodeKind::Number(Box::new(number(map, true, at)?)),
            "number" => NodeKind::Number(Box::new(number(map, false, at)?)),
            "string" => NodeKind::Text(Box::new(text(map, at)?)),
            "array" => NodeKind::List(Box::new(self.list(map, at)?)),
            "object" => NodeKind::Object(Box::new(self.object(map, at)?)),
            other => return Err(bad("type", &json!(other), at)),
        })
    }

    fn push(&mut self, kind: NodeKind) -> NodeId {
        self.nodes.push(Node { kind, ..Node::default() });
        self.nodes.len() - 1
    }
}

/// Returns the annotations of a schema, which only describe it.
fn notes(map: &Map<String, Value>) -> Option<Notes> {
    let text = |keyword: &str| map.get(keyword).and_then(Value::as_str);
    let doc = doc(map.get("description"));
    let own = match text(keyword::MEDIA) {
        Some(kind) => Some(Own::Called(kind.to_owned())),
        None if map.contains_key(keyword::HISTORY) => Some(Own::Called("history".to_owned())),
        None if map.contains_key(keyword::BIG_INT) => Some(Own::BigInt),
        None if map.contains_key(keyword::CODE) => Some(Own::Called(match text(keyword::LANGUAGE) {
            Some(language) => format!("code in {language}"),
            None => "code".to_owned(),
        })),
        None => None,
    };
    (doc.is_some() || own.is_some()).then_some(Notes { definition: None, doc, own })
}

/// Returns a description on one line, without the parts that are intended for readers of rustdoc.
pub(super) fn doc(description: Option<&Value>) -> Option<String> {
    let words: Vec<&str> = brief(description?.as_str()?).split_whitespace().collect();
    (!words.is_empty()).then(|| words.join(" "))
}

/// Returns the name of the definition that a reference points to.
fn definition_name(reference: &str) -> Option<String> {
    let name = percent_decode(reference.rsplit('/').next()?).replace("~1", "/").replace("~0", "~");
    (!name.is_empty() && name != "#").then_some(name)
}
