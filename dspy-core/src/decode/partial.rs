//! The beginning of a reply: what is certain so far.

use serde_json::{Map, Value};

use super::candidates;
use super::coerce::Coercion;
use super::path::Path;
use super::plan::{Extra, Kind, NodeId, Schema};
use super::text::fold;
use super::tree::{Shape, Tree};

/// What an unfinished text says for certain.
///
/// ```
/// let plan = dspy_core::decode::Plan::new(&serde_json::json!({"items": {"type": "string"}}))?;
/// let partial = plan.decode_partial(r#"["a", "b"#);
/// assert_eq!(partial.value, Some(serde_json::json!(["a", "b"])));
/// assert!(!partial.complete && plan.decode_partial(r#"["a", "b"]"#).complete);
/// # Ok::<(), dspy_core::decode::SchemaError>(())
/// ```
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Partial {
    /// The value so far: finished members and items, and the last string as far as it goes. Numbers, truth values and
    /// choices appear only when they are finished. `None` while nothing is certain.
    pub value: Option<Value>,
    /// Whether the value is finished. A bare string is never finished by its own text.
    pub complete: bool,
}

pub(super) fn decode(schema: &Schema, text: &str) -> Partial {
    if let Some((_, nullable)) = super::root::free_text(schema) {
        // "nul" may become null, which is no text at all.
        let open = nullable && ["null", "None"].iter().any(|w| w.starts_with(text.trim()));
        return Partial { value: (!open).then(|| Value::String(text.to_owned())), complete: false };
    }
    if text.len() > super::MAX_BYTES {
        return Partial::default();
    }
    let start = candidates::after_thinking(text);
    let scan = candidates::scan(text, &schema.keys, start, text.len());
    let Some(unit) = scan.units.first() else { return Partial::default() };
    if !unit.tree.cut {
        let mut coercion = Coercion::new(schema, Some(text), text.len());
        if let Some(value) = coercion.read(schema.root, &unit.tree, &Path::ROOT) {
            return Partial { value: Some(value), complete: true };
        }
    }
    // An empty bracket may still turn out to be part of a sentence.
    let started = match &unit.tree.shape {
        Shape::Object(entries) => !entries.is_empty(),
        Shape::List(items) => !items.is_empty(),
        _ => false,
    };
    if !started {
        return Partial::default();
    }
    Partial { value: Reader { schema, text }.read(schema.root, &unit.tree), complete: false }
}

struct Reader<'a> {
    schema: &'a Schema,
    text: &'a str,
}

impl Reader<'_> {
    fn read(&self, id: NodeId, tree: &Tree<'_>) -> Option<Value> {
        if !tree.cut {
            return self.finished(id, tree);
        }
        if tree.flaw.is_some() {
            return None;
        }
        match (&self.schema.node(id).kind, &tree.shape) {
            (Kind::Union(union), _) => {
                let mut fits = union.options.iter().filter(|&&o| self.may_become(o, tree));
                match (fits.next(), fits.next()) {
                    (Some(&only), None) => self.read(only, tree),
                    _ => None,
                }
            }
            (Kind::Text(_) | Kind::Any, Shape::Text { text, quoted: true }) => {
                // Half an escape or half a closing mark must not show.
                Some(Value::String(text.trim_end_matches('\\').to_owned()))
            }
            (Kind::List(plan), Shape::List(items)) => {
                let mut out = Vec::new();
                for (i, item) in items.iter().enumerate() {
                    match plan.item(i).and_then(|n| self.read(n, item)) {
                        Some(value) => out.push(value),
                        // What follows a withheld item would take its place.
                        None => break,
                    }
                }
                Some(Value::Array(out))
            }
            (Kind::Object(plan), Shape::Object(entries)) => {
                let mut out = Map::new();
                for entry in entries {
                    let folded = fold(&entry.key);
                    let known = plan
                        .exact
                        .get(&*entry.key)
                        .copied()
                        .or_else(|| plan.folded.get(&folded).copied().flatten());
                    let (name, node) = match (known, plan.extra) {
                        (Some(i), _) => (plan.props[i].name.as_str(), plan.props[i].node),
                        (None, Extra::Node(node)) if plan.patterns.is_empty() => (&*entry.key, node),
                        _ => continue,
                    };
                    if out.contains_key(name) {
                        continue;
                    }
                    if let Some(value) = self.read(node, &entry.value) {
                        out.insert(name.to_owned(), value);
                    }
                }
                Some(Value::Object(out))
            }
            (Kind::Any, Shape::List(_) | Shape::Object(_)) => Self::untyped(tree),
            _ => None,
        }
    }

    fn untyped(tree: &Tree<'_>) -> Option<Value> {
        match &tree.shape {
            _ if !tree.cut => tree.to_value(),
            Shape::Text { text, quoted: true } => Some(Value::String(text.to_string())),
            Shape::List(items) => Some(Value::Array(items.iter().map_while(Self::untyped).collect())),
            Shape::Object(entries) => Some(Value::Object(
                entries.iter().filter_map(|e| Some((e.key.to_string(), Self::untyped(&e.value)?))).collect(),
            )),
            _ => None,
        }
    }

    /// A finished part is read like any finished text.
    fn finished(&self, id: NodeId, tree: &Tree<'_>) -> Option<Value> {
        Coercion::new(self.schema, Some(self.text), self.text.len()).read(id, tree, &Path::ROOT)
    }

    /// Whether an unfinished part can still become a value of the node.
    fn may_become(&self, id: NodeId, tree: &Tree<'_>) -> bool {
        match (&self.schema.node(id).kind, &tree.shape) {
            (Kind::Any, _)
            | (Kind::Text(_) | Kind::Choice(_), Shape::Text { .. })
            | (Kind::Number(_) | Kind::Bool, Shape::Number(_) | Shape::Bool(_) | Shape::Text { .. })
            | (Kind::List(_), Shape::List(_)) => true,
            (Kind::Object(plan), Shape::Object(entries)) => {
                // A finished member that this branch refuses rules it out.
                entries.iter().all(|entry| match plan.exact.get(&*entry.key) {
                    Some(&i) => entry.value.cut || self.finished(plan.props[i].node, &entry.value).is_some(),
                    None => true,
                })
            }
            (Kind::Union(union), _) => union.options.iter().any(|&o| self.may_become(o, tree)),
            _ => false,
        }
    }
}
