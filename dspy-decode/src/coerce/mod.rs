//! From the loose tree to a value of the schema: each reader takes what a node asks for and what the text says.
//!
//! A reader either gives a value and records what it cost, or records why there is none. Readers never fill in what
//! the text does not say.

mod akin;
mod around;
mod attempt;
mod block;
mod boolean;
mod choice;
mod date;
mod digits;
mod keys;
mod lines;
mod list;
mod marked;
pub(super) mod number;
mod numeral;
mod object;
mod pieces;
mod record;
mod rivals;
mod spelt;
mod stranger;
mod string;

mod union;

pub(super) use attempt::Attempt;
pub(super) use block::{Block, is_mark as is_block_mark, read as read_block};
pub(super) use union::{is_null_word, without_stop};

/// Where the item starts in a line that begins with a bullet or a number.
pub(super) fn after_bullet(line: &str) -> Option<usize> {
    pieces::marker(line).map(|(_, offset)| offset)
}

use serde_json::Value;

use super::MAX_DEPTH;
use super::error::{Problem, ProblemKind};
use super::path::Path;
use super::plan::{NodeId, NodeKind, Schema};
use super::report::{Repair, RepairKind};
use super::text::snippet;
use super::tree::{Flaw, Shape, Span, Tree};

/// Embedded JSON inside embedded JSON: more levels are no accident any more.
const MAX_EMBEDDED: u8 = 4;

/// Levels that may be put around a lone value; a recursive type would take any number.
const MAX_IMPLIED: u8 = 1;

/// One decode under way.
#[derive(Debug)]
pub(super) struct Coercion<'p> {
    pub(super) schema: &'p Schema,
    /// The text that spans speak of; `None` when the input was a JSON value.
    pub(super) source: Option<&'p str>,
    /// Inside a string that holds JSON, spans are those of the string.
    anchor: Option<Span>,
    embedded: u8,
    /// Levels of the value, those in embedded texts included.
    depth: usize,
    /// Repairs that are recorded one by one.
    most_repairs: usize,
    /// Levels that were put around a lone value.
    implied: u8,
    pub(super) repairs: Vec<Repair>,
    pub(super) problems: Vec<Problem>,
    pub(super) alternatives: usize,
    /// Steps left; unions of unions over deep trees must not take for ever.
    fuel: usize,
}

/// Why a scalar reader has no value.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Fail {
    /// The text does not speak of such a value.
    No,
    /// It speaks of several, or leaves it open; why, in words.
    Ambiguous(String),
    /// It does, but outside a limit: what was asked for.
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

    /// Reads the tree as the node asks, or records problems.
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

    /// As [`read`](Self::read), for a tree whose notes are recorded already.
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

    /// A scalar for which a one-element list or a wrapper object was given.
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

    /// Whether a key says no more than "here is the answer".
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

    /// Reads JSON (or what passes for it) inside a string.
    fn embedded(&mut self, id: NodeId, text: &str, span: Span, path: &Path<'_>) -> Option<Value> {
        if self.embedded >= MAX_EMBEDDED {
            self.problem(ProblemKind::TooDeep, path, id, "JSON in strings in strings".into(), span);
            return None;
        }
        let start = text.len() - text.trim_start().len();
        let end = text.trim_end().len().max(start);
        let mut scanner = super::loose::Loose::new(text, &self.schema.keys, start, end);
        // A string has its own end; what is missing inside was never written.
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
