//! Coercion of the loose tree to a value of the schema. Each reader combines the type of a node with the
//! content of the text.
//!
//! A reader either returns a value and records its cost, or records why there is none. Readers never fill in
//! values that the text does not contain.

mod attempt;
mod boolean;
mod checkboxes;
mod choice;
mod date;
mod digits;
mod lines;
mod list;
mod list_items;
pub(super) mod number;
mod number_context;
mod number_words;
mod numeral;
mod object;
mod record;
mod similar_keys;
mod string;
mod union_leftovers;
mod unknown_keys;
mod unknown_lines;

mod union;

pub(super) use attempt::Attempt;
pub(super) use union::{is_null_word, without_stop};

/// Returns the place where the item starts in a line that begins with a bullet or a number.
pub(super) fn after_bullet(line: &str) -> Option<usize> {
    list_items::marker(line).map(|(_, offset)| offset)
}

use serde_json::Value;

use super::MAX_DEPTH;
use super::error::{Problem, ProblemKind};
use super::path::Path;
use super::plan::{NodeId, NodeKind, Schema};
use super::report::{Repair, RepairKind};
use super::text::snippet;
use super::tree::{Flaw, Shape, Span, Tree};

/// The maximum nesting of embedded JSON inside embedded JSON; more levels are not accidental.
const MAX_EMBEDDED: u8 = 4;

/// The maximum number of levels that may be added around a single value; a recursive type would accept any
/// number.
const MAX_IMPLIED: u8 = 1;

/// The state of one decode.
#[derive(Debug)]
pub(super) struct Coercion<'p> {
    pub(super) schema: &'p Schema,
    /// The text that spans refer to; `None` if the input was a JSON value.
    pub(super) source: Option<&'p str>,
    /// The span of the string, while JSON inside a string is read.
    anchor: Option<Span>,
    embedded: u8,
    /// Current nesting depth of the value, including levels in embedded text.
    depth: usize,
    /// Maximum number of repairs that are recorded individually.
    most_repairs: usize,
    /// Number of levels that were added around a single value.
    implied: u8,
    pub(super) repairs: Vec<Repair>,
    pub(super) problems: Vec<Problem>,
    pub(super) alternatives: usize,
    /// Remaining steps; they bound the time for unions of unions over deep trees.
    fuel: usize,
}

/// The reason why a scalar reader has no value.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Fail {
    /// The text does not contain such a value.
    No,
    /// The text contains several values or leaves the value open; with the reason, in words.
    Ambiguous(String),
    /// The text contains a value outside a limit; with the expected value, in words.
    Limit(String),
}

impl<'p> Coercion<'p> {
    pub(super) fn new(schema: &'p Schema, source: Option<&'p str>, size: usize) -> Self {
        Self {
            schema,
            source,
            anchor: None,
            embedded: 0,
            depth: 0,
            most_repairs: 1_000 + size / 16,
            implied: 0,
            repairs: Vec::new(),
            problems: Vec::new(),
            alternatives: 0,
            fuel: size.saturating_mul(16) + 20_000,
        }
    }

    /// Reads the tree as the node's type, or records problems.
    pub(super) fn read(&mut self, id: NodeId, tree: &Tree<'_>, path: &Path<'_>) -> Option<Value> {
        if self.depth > MAX_DEPTH {
            self.problem(ProblemKind::TooDeep, path, id, "brackets nested too deeply".into(), tree.span);
            return None;
        }
        self.depth += 1;
        self.notes(&tree.notes, path);
        let value = self.shape(id, tree, path);
        self.depth -= 1;
        value
    }

    /// Reads the tree like [`read`](Self::read), for a tree whose notes are already recorded.
    fn shape(&mut self, id: NodeId, tree: &Tree<'_>, path: &Path<'_>) -> Option<Value> {
        if self.fuel == 0 {
            if !self.problems.iter().any(|p| p.kind == ProblemKind::TooLarge) {
                self.problem(
                    ProblemKind::TooLarge,
                    path,
                    id,
                    "more alternatives than can be weighed".into(),
                    tree.span,
                );
            }
            return None;
        }
        self.fuel -= 1;
        if let Some(flaw) = tree.flaw {
            let (kind, found) = match flaw {
                Flaw::NotAStructure => (ProblemKind::WrongType, format!("`{}`", self.excerpt(tree))),
                Flaw::Elided => (ProblemKind::Truncated, "a list with parts left out".to_owned()),
                Flaw::LoneSurrogate => {
                    (ProblemKind::WrongType, "half of a surrogate pair in a `\\u` escape".to_owned())
                }
                Flaw::UnclearEnd => (
                    ProblemKind::Ambiguous,
                    format!("text whose end cannot be told: `{}`", self.excerpt(tree)),
                ),
            };
            self.problem(kind, path, id, found, tree.span);
            return None;
        }
        let schema = self.schema;
        let node = schema.node(id);
        let structure = matches!(tree.shape, Shape::List(_) | Shape::Object(_));
        if tree.cut && (!structure || matches!(node.kind, NodeKind::Any)) {
            self.truncated(id, tree, path);
            return None;
        }
        if let Shape::Absent = tree.shape {
            self.problem(ProblemKind::Missing, path, id, "a key without a value".into(), tree.span);
            return None;
        }
        let value = match &node.kind {
            NodeKind::Any => self.any(id, tree, path),
            NodeKind::Never => self.wrong(id, tree, path),
            NodeKind::Null => self.null(id, tree, path),
            NodeKind::Bool => self.boolean(id, tree, path),
            NodeKind::Number(plan) => self.number(id, plan, tree, path),
            NodeKind::Text(plan) => self.string(id, plan, tree, path),
            NodeKind::Choice(plan) => self.choice(id, plan, tree, path),
            NodeKind::List(plan) => self.list(id, plan, tree, path),
            NodeKind::Object(plan) => self.object(id, plan, tree, path),
            NodeKind::Union(plan) => self.union(id, plan, tree, path),
        }?;
        if !node.checks.is_empty()
            && let Some(broken) = schema.failed_check(id, &value)
        {
            let found = format!("`{}`", snippet(&value.to_string()));
            self.report(ProblemKind::Constraint, path, broken, found, tree.span);
            return None;
        }
        Some(value)
    }

    fn any(&mut self, id: NodeId, tree: &Tree<'_>, path: &Path<'_>) -> Option<Value> {
        if let Shape::Text { quoted: false, .. } = tree.shape {
            self.repair(RepairKind::TextBranch, path, tree.span);
        }
        self.notes_below(tree, path);
        let value = tree.to_value();
        if value.is_none() {
            self.problem(ProblemKind::Ambiguous, path, id, format!("`{}`", self.excerpt(tree)), tree.span);
        }
        value
    }

    fn null(&mut self, id: NodeId, tree: &Tree<'_>, path: &Path<'_>) -> Option<Value> {
        match &tree.shape {
            Shape::Null => Some(Value::Null),
            Shape::Text { text, .. } if union::is_null_word(text) => {
                self.repair(RepairKind::NullWord, path, tree.span);
                Some(Value::Null)
            }
            _ => self.wrong(id, tree, path),
        }
    }

    /// Reads a scalar from a one-element list or a wrapper object.
    fn lone(&mut self, id: NodeId, tree: &Tree<'_>, path: &Path<'_>) -> Option<Value> {
        match &tree.shape {
            _ if tree.cut => self.truncated(id, tree, path),
            Shape::List(items) if items.len() == 1 => {
                self.repair(RepairKind::ListToLone, path, tree.span);
                self.read(id, &items[0], path)
            }
            Shape::Object(entries) if entries.len() == 1 && self.is_wrapper_key(id, &entries[0].key) => {
                self.repair(RepairKind::Unwrapped, path, tree.span);
                self.read(id, &entries[0].value, path)
            }
            _ => self.wrong(id, tree, path),
        }
    }

    /// Returns whether a key only labels the answer, such as `answer` or `result`.
    fn is_wrapper_key(&self, id: NodeId, key: &str) -> bool {
        const KEYS: [&str; 34] = [
            "answer",
            "value",
            "result",
            "output",
            "response",
            "finalanswer",
            "prediction",
            "label",
            "category",
            "class",
            "choice",
            "score",
            "rating",
            "number",
            "count",
            "total",
            "text",
            "content",
            "data",
            "list",
            "items",
            "values",
            "results",
            "answers",
            "integer",
            "int",
            "float",
            "bool",
            "boolean",
            "string",
            "array",
            "object",
            "json",
            "return",
        ];
        let key = dspy_base::fold::fold(key);
        KEYS.contains(&key.as_str())
            || self.schema.node(id).name.as_ref().is_some_and(|name| dspy_base::fold::fold(name) == key)
    }

    /// Reads JSON, exact or not, inside a string.
    fn embedded(&mut self, id: NodeId, text: &str, span: Span, path: &Path<'_>) -> Option<Value> {
        if self.embedded >= MAX_EMBEDDED {
            self.problem(ProblemKind::TooDeep, path, id, "JSON in strings in strings".into(), span);
            return None;
        }
        let start = text.len() - text.trim_start().len();
        let end = text.trim_end().len().max(start);
        let mut scanner = super::loose::Loose::new(text, &self.schema.keys, start, end);
        // The string has an explicit end, so content that is missing inside was never written.
        scanner.closed_end = false;
        scanner.depth = self.depth;
        let mut tree = scanner.structure();
        if scanner.too_deep {
            self.problem(ProblemKind::TooDeep, path, id, "brackets nested too deeply".into(), span);
            return None;
        }
        if scanner.pos < end && tree.flaw.is_none() {
            tree.flaw = Some(Flaw::NotAStructure);
        }
        let outer = self.anchor;
        self.anchor = Some(outer.unwrap_or(span));
        self.embedded += 1;
        let value = self.read(id, &tree, path);
        self.embedded -= 1;
        self.anchor = outer;
        value
    }
}
