//! Recording of repairs and problems, and descriptions of the text for messages.

use serde_json::Value;

use super::super::error::{Problem, ProblemKind};
use super::super::path::Path;
use super::super::plan::NodeId;
use super::super::report::{Repair, RepairKind};
use super::super::text::{snippet, snippet_of_end};
use super::super::tree::{Notes, Shape, Span, Tree};
use super::{Coercion, Fail};

/// The maximum number of problems that one reading reports.
const MAX_PROBLEMS: usize = 100;

impl Coercion<'_> {
    pub(super) fn notes(&mut self, notes: &Notes, path: &Path<'_>) {
        notes.as_slice().iter().for_each(|note| self.repair(note.kind, path, note.span));
    }

    /// Records the notation repairs of a whole tree whose members are taken unchanged.
    pub(super) fn notes_below(&mut self, tree: &Tree<'_>, path: &Path<'_>) {
        match &tree.shape {
            Shape::List(items) => {
                for (i, item) in items.iter().enumerate() {
                    let path = path.index(i);
                    self.notes(&item.notes, &path);
                    self.notes_below(item, &path);
                }
            }
            Shape::Object(entries) => {
                for entry in entries {
                    let path = path.key(&entry.key);
                    self.notes(&entry.value.notes, &path);
                    self.notes_below(&entry.value, &path);
                }
            }
            _ => {}
        }
    }

    pub(in super::super) fn repair(&mut self, kind: RepairKind, path: &Path<'_>, span: Span) {
        let span = self.place(span).range();
        // More than this number of repairs add nothing to a report, so only their cost is kept.
        if self.repairs.len() >= self.most_repairs
            && let Some(last) = self.repairs.last_mut()
        {
            last.cost = last.cost.saturating_add(kind.cost());
            last.span.end = last.span.end.max(span.end);
            return;
        }
        self.repairs.push(Repair { kind, path: path.shared(), span, cost: kind.cost() });
    }

    pub(super) fn place(&self, span: Span) -> Span {
        match (self.source, self.anchor) {
            (None, _) => Span::default(),
            (_, Some(anchor)) => anchor,
            _ => span,
        }
    }

    pub(super) fn problem(
        &mut self,
        kind: ProblemKind,
        path: &Path<'_>,
        id: NodeId,
        found: String,
        span: Span,
    ) {
        let expected = self.schema.describe(id);
        self.report(kind, path, expected, found, span);
    }

    pub(super) fn report(
        &mut self,
        kind: ProblemKind,
        path: &Path<'_>,
        expected: String,
        found: String,
        span: Span,
    ) {
        // More than this number of problems need not be listed.
        if self.problems.len() >= MAX_PROBLEMS {
            return;
        }
        let span = self.source.map(|_| self.place(span).range());
        self.problems.push(Problem { path: path.render(), expected, found, span, kind });
    }

    pub(super) fn wrong(&mut self, id: NodeId, tree: &Tree<'_>, path: &Path<'_>) -> Option<Value> {
        self.problem(ProblemKind::WrongType, path, id, Self::found(tree), tree.span);
        None
    }

    pub(super) fn truncated(&mut self, id: NodeId, tree: &Tree<'_>, path: &Path<'_>) -> Option<Value> {
        let found = format!("a truncated text: `{}`", snippet_of_end(&self.written(tree)));
        self.problem(ProblemKind::Truncated, path, id, found, tree.span);
        None
    }

    /// Records why a scalar reader found no value.
    pub(super) fn failed(
        &mut self,
        fail: Fail,
        id: NodeId,
        tree: &Tree<'_>,
        path: &Path<'_>,
    ) -> Option<Value> {
        match fail {
            Fail::No => self.wrong(id, tree, path),
            Fail::Ambiguous(why) => {
                let found = format!("{}, which {why}", Self::found(tree));
                self.problem(ProblemKind::Ambiguous, path, id, found, tree.span);
                None
            }
            Fail::Limit(limit) => {
                self.report(
                    ProblemKind::Constraint,
                    path,
                    limit,
                    format!("`{}`", self.excerpt(tree)),
                    tree.span,
                );
                None
            }
        }
    }

    pub(super) fn found(tree: &Tree<'_>) -> String {
        match &tree.shape {
            Shape::Absent => "nothing".into(),
            Shape::Null => "null".into(),
            Shape::Bool(b) => b.to_string(),
            Shape::Number(n) => format!("the number {}", snippet(n)),
            Shape::Text { text, .. } if text.is_empty() => "an empty text".into(),
            Shape::Text { text, .. } => format!("the text \"{}\"", snippet(text)),
            Shape::List(items) => format!("a list of {} items", items.len()),
            Shape::Object(entries) if entries.is_empty() => "an empty object".into(),
            Shape::Object(entries) => {
                let keys: Vec<_> = entries.iter().take(8).map(|e| format!("`{}`", snippet(&e.key))).collect();
                format!("an object with {}", keys.join(", "))
            }
        }
    }

    /// Returns the text that the tree was read from, shortened.
    pub(super) fn excerpt(&self, tree: &Tree<'_>) -> String {
        snippet(&self.written(tree))
    }

    /// Returns the text of a tree as written, or as JSON if there is no such text.
    pub(super) fn written(&self, tree: &Tree<'_>) -> String {
        match (self.source, self.anchor, &tree.shape) {
            (Some(source), None, _) => source.get(tree.span.range()).unwrap_or("").to_owned(),
            (_, _, Shape::Text { text, .. } | Shape::Number(text)) => text.to_string(),
            // Inside a string, the spans of the tree do not refer to the text; the span of the string does.
            (source, anchor, _) => tree.to_value().map_or_else(
                || {
                    let whole = source.zip(anchor).and_then(|(text, at)| text.get(at.range()));
                    whole.unwrap_or_default().to_owned()
                },
                |value| value.to_string(),
            ),
        }
    }
}
