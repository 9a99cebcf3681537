//! The beginning of a reply: what is certain so far.

use serde_json::{Map, Value};

use super::candidates;
use super::coerce::Coercion;
use super::path::Path;
use super::plan::{Extra, Kind, NodeId, ObjectPlan, Schema, UnionPlan};
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
    /// For an object: the member whose key was read and whose value is not finished. Every other member of
    /// [`value`](Self::value) is finished.
    pub open: Option<String>,
}

impl Partial {
    /// Whether the text is in the middle of this member of an object.
    ///
    /// ```
    /// let schema = serde_json::json!({"properties": {"a": {"type": "integer"}, "b": {"type": "string"}}});
    /// let plan = dspy_core::decode::Plan::new(&schema)?;
    /// let partial = plan.decode_partial(r#"{"a": 1, "b": "tw"#);
    /// assert!(partial.is_open("b") && !partial.is_open("a"));
    /// assert_eq!(partial.value, Some(serde_json::json!({"a": 1, "b": "tw"})));
    /// // A comma or a bracket shows that `a` is over; until then it may go on.
    /// assert!(plan.decode_partial(r#"{"a": 1"#).is_open("a"));
    /// # Ok::<(), dspy_core::decode::SchemaError>(())
    /// ```
    pub fn is_open(&self, member: &str) -> bool {
        self.open.as_deref() == Some(member)
    }

    fn of(value: Value, complete: bool) -> Self {
        Self { value: Some(value), complete, open: None }
    }
}

pub(super) fn decode(schema: &Schema, text: &str) -> Partial {
    if let Some((_, nullable)) = super::root::free_text(schema) {
        // "nul" may become null, which is no text at all.
        let open = nullable && ["null", "None"].iter().any(|w| w.starts_with(text.trim()));
        return Partial { value: (!open).then(|| Value::String(text.to_owned())), ..Partial::default() };
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
            return Partial::of(value, true);
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
    let reader = Reader { schema, text };
    let value = reader.read(schema.root, &unit.tree);
    let open = value.as_ref().and_then(|_| reader.open(schema.root, &unit.tree));
    Partial { value, complete: false, open }
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
            (Kind::Union(union), _) => self.read(self.branch(union, tree)?, tree),
            (Kind::Text(_) | Kind::Any, Shape::Text { text, quoted: true }) => {
                Some(Value::String(without_half_escape(text).to_owned()))
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
                    let Some((name, node)) = member(plan, &entry.key) else { continue };
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

    /// The member of the object that is begun and not finished.
    fn open(&self, id: NodeId, tree: &Tree<'_>) -> Option<String> {
        let Shape::Object(entries) = &tree.shape else { return None };
        let last = entries.last().filter(|entry| entry.value.cut)?;
        match &self.schema.node(id).kind {
            Kind::Union(union) => self.open(self.branch(union, tree)?, tree),
            Kind::Object(plan) => member(plan, &last.key).map(|(name, _)| name.to_owned()),
            Kind::Any => Some(last.key.to_string()),
            _ => None,
        }
    }

    /// The only branch that an unfinished part can still become.
    fn branch(&self, union: &UnionPlan, tree: &Tree<'_>) -> Option<NodeId> {
        let mut fits = union.options.iter().filter(|&&o| self.may_become(o, tree));
        match (fits.next(), fits.next()) {
            (Some(&only), None) => Some(only),
            _ => None,
        }
    }

    fn untyped(tree: &Tree<'_>) -> Option<Value> {
        match &tree.shape {
            _ if !tree.cut => tree.to_value(),
            Shape::Text { text, quoted: true } => Some(Value::String(without_half_escape(text).to_owned())),
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

/// The member that a key names, and what it holds.
fn member<'a>(plan: &'a ObjectPlan, key: &'a str) -> Option<(&'a str, NodeId)> {
    let known = plan.exact.get(key).copied().or_else(|| {
        let folded = fold(key);
        plan.folded.get(&folded).or_else(|| plan.aliases.get(&folded)).copied().flatten()
    });
    match (known, plan.extra) {
        (Some(i), _) => Some((plan.props[i].name.as_str(), plan.props[i].node)),
        (None, Extra::Node(node)) if plan.patterns.is_empty() => Some((key, node)),
        _ => None,
    }
}

/// The beginning of a string without what may be the first half of an escape, such as `\u00`.
fn without_half_escape(text: &str) -> &str {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_hexdigit());
    let escape =
        digits.strip_suffix('u').filter(|rest| rest.ends_with('\\') && text.len() - digits.len() < 4);
    escape.unwrap_or(text).trim_end_matches('\\')
}
