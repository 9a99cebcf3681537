//! Strings, taken as written. Surrounding notation is removed only if the schema constrains the string.

use serde_json::Value;

use super::super::code::{self, Code};
use super::super::error::ProblemKind;
use super::super::path::Path;
use super::super::plan::{Format, NodeId, TextPlan, text_phrase};
use super::super::report::RepairKind as R;
use super::super::text::{bare_answer, snippet};
use super::super::tree::{Shape, Span, Tree};
use super::Coercion;
use super::date::{self, Reading};

impl Coercion<'_> {
    pub(super) fn string(
        &mut self,
        id: NodeId,
        plan: &TextPlan,
        tree: &Tree<'_>,
        path: &Path<'_>,
    ) -> Option<Value> {
        match &tree.shape {
            Shape::Text { text, .. } => self.text(plan, text, tree.span, path),
            Shape::Number(_) | Shape::Bool(_) => {
                self.repair(R::TextFromValue, path, tree.span);
                let text = match &tree.shape {
                    Shape::Number(n) => n.to_string(),
                    _ => self.written(tree),
                };
                self.text(plan, &text, tree.span, path)
            }
            Shape::List(items) if items.len() == 1 && matches!(items[0].shape, Shape::Text { .. }) => {
                self.lone(id, tree, path)
            }
            Shape::Object(entries)
                if entries.len() == 1
                    && matches!(entries[0].value.shape, Shape::Text { .. })
                    && self.is_wrapper_key(id, &entries[0].key) =>
            {
                self.lone(id, tree, path)
            }
            // A structure in place of a string: its source text is lossless.
            Shape::List(_) | Shape::Object(_) if plan.is_free() && !tree.cut => {
                self.repair(R::TextFromValue, path, tree.span);
                Some(Value::String(self.written(tree)))
            }
            Shape::List(_) | Shape::Object(_) if tree.cut => self.truncated(id, tree, path),
            _ => self.wrong(id, tree, path),
        }
    }

    /// Reads a string, first as it is and then without the notation around it.
    pub(in super::super) fn text(
        &mut self,
        plan: &TextPlan,
        text: &str,
        span: Span,
        path: &Path<'_>,
    ) -> Option<Value> {
        if plan.accepts(text) {
            return Some(Value::String(text.to_owned()));
        }
        if plan.code {
            let inner = match code::read(text) {
                Code::Fenced { code, alone: true } => code,
                _ => text.into(),
            };
            let Some(limit) = plan.violation(&inner) else {
                self.repair(R::Fence, path, span);
                return Some(Value::String(inner.into_owned()));
            };
            self.report(ProblemKind::Constraint, path, limit, format!("\"{}\"", snippet(text)), span);
            return None;
        }
        if let Some(format) = plan.format.filter(|format| format.is_temporal()) {
            match date::read(format, bare_answer(text)) {
                Reading::Is(value) if plan.accepts(&value) => {
                    self.repair(R::DateNotation, path, span);
                    return Some(Value::String(value));
                }
                Reading::Unclear(why) => {
                    let found = format!("\"{}\", {why}", snippet(text));
                    self.report(ProblemKind::Ambiguous, path, text_phrase(plan), found, span);
                    return None;
                }
                Reading::Is(_) | Reading::No => {}
            }
        }
        for inner in [text.trim(), bare_answer(text)] {
            if inner.len() < text.len() && plan.accepts(inner) {
                self.repair(R::Trimmed, path, span);
                return Some(Value::String(inner.to_owned()));
            }
        }
        if plan.format.is_some() && text.len() < 2_000 {
            // A date, a UUID, an address: if a single token of the text has the format, it is the value.
            let mut tokens: Vec<&str> = text
                .split(|c: char| c.is_whitespace() || "()<>[]\"'`,;*".contains(c))
                .map(|t| t.trim_end_matches(['.', ':', '!', '?']))
                .filter(|t| !t.is_empty() && plan.accepts(t))
                .collect();
            tokens.dedup();
            match tokens.as_slice() {
                [_] if plan.format.is_some_and(Format::is_temporal) && relates(text) => {
                    let found = format!("\"{}\", a time before, after or around one", snippet(text));
                    self.report(ProblemKind::Ambiguous, path, text_phrase(plan), found, span);
                    return None;
                }
                [one] if !super::super::text::has_negation(text) && !super::super::text::is_hedged(text) => {
                    self.repair(R::Mention, path, span);
                    return Some(Value::String((*one).to_owned()));
                }
                [_, _, ..] => {
                    let found = format!("several: {}", tokens.join(", "));
                    self.report(ProblemKind::Ambiguous, path, text_phrase(plan), found, span);
                    return None;
                }
                _ => {}
            }
        }
        let limit = plan.violation(text.trim()).or_else(|| plan.violation(text)).unwrap_or_default();
        self.report(ProblemKind::Constraint, path, limit, format!("\"{}\"", snippet(text)), span);
        None
    }
}

/// Returns whether the text describes a time relative to the one that it names: "before 2024-05-03", "the
/// week of …".
fn relates(text: &str) -> bool {
    const RELATIONS: [&str; 24] = [
        "before",
        "after",
        "since",
        "until",
        "till",
        "by",
        "around",
        "circa",
        "about",
        "approximately",
        "roughly",
        "near",
        "later",
        "earlier",
        "prior",
        "following",
        "from",
        "past",
        "week",
        "month",
        "day",
        "days",
        "starting",
        "ending",
    ];
    super::super::text::words(text).any(|w| RELATIONS.iter().any(|r| w.text.eq_ignore_ascii_case(r)))
}
