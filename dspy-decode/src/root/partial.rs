//! Decoding of the beginning of a reply.

use serde_json::{Map, Value};

use super::super::candidates;
use super::super::coerce::Coercion;
use super::super::path::Path;
use super::super::plan::{Extra, NodeId, NodeKind, ObjectPlan, Schema, TextPlan, UnionPlan};
use super::super::thoughts::{Head, Thoughts};
use super::super::tree::{Shape, Tree};
use dspy_base::fold::fold;

/// The part of an unfinished reply that is certain.
///
/// ```
/// let plan = dspy_decode::Plan::new(&serde_json::json!({"items": {"type": "string"}}))?;
/// let partial = plan.decode_partial(r#"["a", "beg"#);
/// assert_eq!(partial.value, Some(serde_json::json!(["a", "beg"])));
/// assert!(!partial.complete && plan.decode_partial(r#"["a", "b"]"#).complete);
/// # Ok::<(), dspy_decode::SchemaError>(())
/// ```
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Partial {
    /// The value so far: finished members and items, and the last string up to the end of the text. Numbers,
    /// booleans and choices appear only when they are finished. `None` if nothing is certain yet.
    pub value: Option<Value>,
    /// Whether the value is finished. A bare string is never finished, because more text may follow.
    pub complete: bool,
    /// For an object, the member whose key was read and whose value is unfinished. Every other member of
    /// [`value`](Self::value) is finished.
    pub open: Option<String>,
}

impl Partial {
    /// Returns whether the text ends inside this member of an object.
    ///
    /// ```
    /// let schema = serde_json::json!({"properties": {"a": {"type": "integer"}, "b": {"type": "string"}}});
    /// let plan = dspy_decode::Plan::new(&schema)?;
    /// let partial = plan.decode_partial(r#"{"a": 1, "b": "two "#);
    /// assert!(partial.is_open("b") && !partial.is_open("a"));
    /// assert_eq!(partial.value, Some(serde_json::json!({"a": 1, "b": "two "})));
    /// // A comma or a bracket shows that `a` is finished; until then it may have more digits.
    /// assert!(plan.decode_partial(r#"{"a": 1"#).is_open("a"));
    /// # Ok::<(), dspy_decode::SchemaError>(())
    /// ```
    pub fn is_open(&self, member: &str) -> bool {
        self.open.as_deref() == Some(member)
    }

    fn of(value: Value, complete: bool) -> Self {
        Self { value: Some(value), complete, open: None }
    }
}

pub(crate) fn decode(schema: &Schema, text: &str) -> Partial {
    if let Some((plan, nullable)) = super::text_reply::free_text(schema) {
        // "nul" may become null, which is not text.
        let open = nullable && super::text_reply::may_be_nothing(text);
        if plan.code {
            let started = answer(text);
            let value = started.and_then(|at| super::super::code::beginning(&text[at..])).map(Value::String);
            return Partial { value, ..Partial::default() };
        }
        let shown = if plan.is_free() { Some(text) } else { certain_start(plan, text) };
        return Partial {
            value: shown.filter(|_| !open).map(|text| Value::String(text.to_owned())),
            ..Partial::default()
        };
    }
    let text = text.get(..super::super::MAX_BYTES).unwrap_or(text);
    let Some(start) = answer(text).filter(|_| text.len() <= super::super::MAX_BYTES) else {
        return Partial::default();
    };
    let Some((mut tree, mut doubt)) = candidates::first(text, schema, start) else {
        return Partial::default();
    };
    if !tree.cut && doubt >= tree.span.end {
        let mut coercion = Coercion::new(schema, Some(text), text.len());
        if let Some(value) = coercion.read(schema.root, &tree, &Path::root()) {
            return Partial::of(value, true);
        }
    }
    // Text after the place where the reading may change is not shown, not even as text.
    let mut text = text;
    for _ in 0..4 {
        if doubt >= text.len() || !text.is_char_boundary(doubt) {
            break;
        }
        text = &text[..doubt];
        let Some((shorter, further)) = candidates::first(text, schema, start.min(doubt)) else {
            return Partial::default();
        };
        (tree, doubt) = (shorter, further);
    }
    // An empty bracket may turn out to be part of a sentence.
    let started = match &tree.shape {
        Shape::Object(entries) => !entries.is_empty(),
        Shape::List(items) => items.first().is_some_and(|item| item.span.start < doubt),
        _ => false,
    };
    if !started {
        return Partial::default();
    }
    let reader = Reader { schema, text, doubt };
    let value = reader.unfinished(schema.root, &tree);
    let open = value.as_ref().and_then(|_| reader.open(schema.root, &tree));
    Partial { value: value.filter(|v| !is_hollow(v)), complete: false, open }
}

/// Returns the place where the answer starts, if the text is past its reasoning.
fn answer(text: &str) -> Option<usize> {
    match Thoughts::default().read(text, false, |_| false) {
        Head::Answer(at) => Some(at),
        Head::Thinking | Head::Undecided => None,
    }
}

/// Returns whether brackets are still empty; they may turn out to be part of a sentence.
fn is_hollow(value: &Value) -> bool {
    match value {
        Value::Array(items) => {
            items.iter().all(|item| is_hollow(item) || item.as_object().is_some_and(Map::is_empty))
        }
        _ => false,
    }
}

/// Returns the part of a constrained string that is certain: without the characters that may be removed from
/// its ends.
fn certain_start<'t>(plan: &TextPlan, text: &'t str) -> Option<&'t str> {
    let only_length = plan.patterns.is_empty() && plan.format.is_none();
    let certain = text.trim_end_matches(|c: char| !c.is_alphanumeric());
    (only_length && certain.starts_with(char::is_alphanumeric)).then_some(certain)
}

struct Reader<'a> {
    schema: &'a Schema,
    text: &'a str,
    /// The place after which the reading may still change.
    doubt: usize,
}

impl Reader<'_> {
    fn read(&self, id: NodeId, tree: &Tree<'_>) -> Option<Value> {
        if self.is_certain(tree)
            && let Some(value) = self.finished(id, tree)
        {
            return Some(value);
        }
        self.unfinished(id, tree)
    }

    fn is_certain(&self, tree: &Tree<'_>) -> bool {
        !tree.cut && tree.span.end <= self.doubt
    }

    /// Returns the visible part of a value that may continue, or that violates a limit when finished.
    fn unfinished(&self, id: NodeId, tree: &Tree<'_>) -> Option<Value> {
        if tree.span.start >= self.doubt {
            return None;
        }
        match (&self.schema.node(id).kind, &tree.shape) {
            (NodeKind::Union(union), _) => self.read(self.branch(union, tree)?, tree),
            (NodeKind::Any, Shape::Text { text, quoted: true }) => Some(Value::String(text.to_string())),
            (NodeKind::Text(plan), Shape::Text { text, quoted: true }) => {
                // Code in a string is shown when it is finished, because a fence around it is removed.
                if plan.code {
                    return None;
                }
                let shown = if plan.is_free() { Some(text.as_ref()) } else { certain_start(plan, text) };
                shown.map(|text| Value::String(text.to_owned()))
            }
            (NodeKind::List(plan), Shape::List(items)) => {
                // The item after a withheld one would take its place.
                let shown = items.iter().enumerate().map_while(|(i, item)| self.read(plan.item(i)?, item));
                Some(Value::Array(shown.collect()))
            }
            (NodeKind::Object(plan), Shape::Object(entries)) => {
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
            (NodeKind::Any, Shape::List(items)) => {
                Some(Value::Array(items.iter().map_while(|item| self.read(id, item)).collect()))
            }
            (NodeKind::Any, Shape::Object(entries)) => {
                let mut out = Map::new();
                for entry in entries {
                    if !out.contains_key(&*entry.key)
                        && let Some(value) = self.read(id, &entry.value)
                    {
                        out.insert(entry.key.to_string(), value);
                    }
                }
                Some(Value::Object(out))
            }
            _ => None,
        }
    }

    /// Returns the member of the object that is started and not finished.
    fn open(&self, id: NodeId, tree: &Tree<'_>) -> Option<String> {
        let Shape::Object(entries) = &tree.shape else { return None };
        let last = entries.iter().find(|e| e.span.start < self.doubt && !self.is_certain(&e.value))?;
        match &self.schema.node(id).kind {
            NodeKind::Union(union) => self.open(self.branch(union, tree)?, tree),
            NodeKind::Object(plan) => member(plan, &last.key).map(|(name, _)| name.to_owned()),
            NodeKind::Any => Some(last.key.to_string()),
            _ => None,
        }
    }

    /// Returns the only branch that an unfinished part can still become. It is determined as early as the
    /// text allows and then does not change.
    fn branch(&self, union: &UnionPlan, tree: &Tree<'_>) -> Option<NodeId> {
        let mut options: Vec<NodeId> =
            union.options.iter().copied().filter(|&o| self.may_become(o, tree)).collect();
        if let Shape::Object(entries) = &tree.shape {
            for entry in entries.iter().filter(|e| self.is_certain(&e.value)) {
                if options.len() < 2 {
                    break;
                }
                options.retain(|&o| self.allows(o, &entry.key, &entry.value));
            }
        }
        match options.as_slice() {
            [only] => Some(*only),
            _ => None,
        }
    }

    /// Returns whether a finished member can belong to this branch.
    fn allows(&self, id: NodeId, key: &str, value: &Tree<'_>) -> bool {
        match &self.schema.node(id).kind {
            NodeKind::Object(plan) => match plan.exact.get(key) {
                Some(&i) => self.finished(plan.props[i].node, value).is_some(),
                None => true,
            },
            NodeKind::Union(union) => union.options.iter().any(|&o| self.allows(o, key, value)),
            _ => true,
        }
    }

    /// Reads a finished part like a complete reply.
    fn finished(&self, id: NodeId, tree: &Tree<'_>) -> Option<Value> {
        Coercion::new(self.schema, Some(self.text), self.text.len()).read(id, tree, &Path::root())
    }

    /// Returns whether an unfinished part can still become a value of the node, judged by its shape alone.
    fn may_become(&self, id: NodeId, tree: &Tree<'_>) -> bool {
        match (&self.schema.node(id).kind, &tree.shape) {
            (NodeKind::Any, _)
            | (NodeKind::Text(_) | NodeKind::Choice(_), Shape::Text { .. })
            | (
                NodeKind::Number(_) | NodeKind::Bool,
                Shape::Number(_) | Shape::Bool(_) | Shape::Text { .. },
            )
            | (NodeKind::List(_), Shape::List(_))
            | (NodeKind::Object(_), Shape::Object(_)) => true,
            // Brackets that fit no other branch are read as text.
            (NodeKind::Text(plan), Shape::List(_) | Shape::Object(_)) => plan.is_free(),
            (NodeKind::Union(union), _) => union.options.iter().any(|&o| self.may_become(o, tree)),
            _ => false,
        }
    }
}

/// Returns the member that a key names, and the node of its value.
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

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use crate::Plan;

    fn shown(schema: &Value, text: &str) -> Option<Value> {
        Plan::new(schema).unwrap().decode_partial(text).value
    }

    #[test]
    fn of_a_narrow_text_only_what_stays_is_shown() {
        let short = json!({"type": "string", "maxLength": 20});
        assert_eq!(shown(&short, "Hello, "), Some(json!("Hello")));
        assert_eq!(shown(&short, "Hello, wor"), Some(json!("Hello, wor")));
        // The quotation marks may have to be removed.
        assert_eq!(shown(&short, "\"Hello"), None);
        // A match may depend on the rest of the text.
        assert_eq!(shown(&json!({"type": "string", "pattern": "a"}), "Hello"), None);
    }

    #[test]
    fn the_first_of_two_members_stays() {
        let schema = json!({"properties": {"a": {"type": "string"}}});
        for text in ["{\"a\": \"x\", \"a\": \"y", "{\"a\": \"x\", \"a\": \"y\", "] {
            assert_eq!(shown(&schema, text), Some(json!({"a": "x"})), "{text}");
        }
    }

    #[test]
    fn a_list_that_may_become_a_text_is_not_shown() {
        let list = json!({"type": "array", "items": {"type": "string"}});
        assert_eq!(shown(&list, "[\"a\", \"b"), Some(json!(["a", "b"])));
        assert_eq!(shown(&json!({"anyOf": [{"type": "string"}, list]}), "[\"a\", \"b"), None);
    }
}
