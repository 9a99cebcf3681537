//! The choice between the reading by member names and JSON punctuation and the reading by indentation.

use serde_json::Value;

use super::super::candidates::Unit;
use super::super::coerce::Coercion;
use super::super::error::{Problem, ProblemKind};
use super::super::plan::{NodeKind, same};
use super::super::report::{Decoded, RepairKind as R};
use super::super::text::snippet;
use super::super::tree::{Entry, Shape, Span};
use super::super::{MAX_BYTES, soundness, thoughts, yaml};
use super::{DecodeOutcome, ReplyReader, bounds, problem};
use dspy_base::fold::fold;

/// The kind of names in text that is read by indentation.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Names {
    /// Several names, all of them members of the type.
    Members,
    /// One name, not of the type: it may introduce the text after it.
    Introduction,
    Unclear,
}

impl ReplyReader<'_> {
    /// Reads the reply by member names and JSON punctuation, or else by indentation.
    pub(super) fn read(&self) -> DecodeOutcome {
        let read = self.by_marks();
        let partly = |read: &Decoded<Value>| read.report.repairs.iter().any(|repair| repair.kind == R::Prose);
        // A reading that omits nothing needs no alternative.
        if read.as_ref().is_ok_and(|read| !partly(read)) {
            return read;
        }
        let Some((other, names)) = self.by_indentation() else { return read };
        match (read, other) {
            (Ok(read), Ok(other)) if same(&read.value, &other.value) => Ok(read),
            // The apparent words around a structure are members beside it.
            (Ok(_), Ok(other)) if names == Names::Members => Ok(other),
            (Ok(read), Ok(_)) if names == Names::Introduction => Ok(read),
            (Ok(read), Ok(other)) => {
                let (a, b) = (snippet(&read.value.to_string()), snippet(&other.value.to_string()));
                let found = format!("several answers: `{a}` and `{b}`");
                Err(problem(self.schema, ProblemKind::Ambiguous, found).into())
            }
            (Ok(read), Err(_)) => Ok(read),
            (Err(error), Ok(other)) => {
                if error.is(ProblemKind::TooDeep) || error.is(ProblemKind::TooLarge) {
                    Err(error)
                } else {
                    Ok(other)
                }
            }
            // If the members are present, their problems say more than an error about missing members.
            (Err(error), Err(other)) => {
                let plain = |p: &Problem| matches!(p.kind, ProblemKind::Missing | ProblemKind::WrongType);
                Err(if error.problems.iter().all(plain) { other } else { error })
            }
        }
    }

    /// Reads a reply, or the only fence in it, by indentation.
    fn by_indentation(&self) -> Option<(DecodeOutcome, Names)> {
        let schema = self.schema;
        let root = &schema.node(schema.root).kind;
        let answer = thoughts::answer(self.text)?;
        let (start, end) = bounds(self.text, answer);
        if !matches!(root, NodeKind::Object(_) | NodeKind::List(_)) || self.text.len() > MAX_BYTES {
            return None;
        }
        let content = self.content(start, end)?;
        let fenced = content.start > start;
        let tree = yaml::read(self.text, &schema.keys, content)?;
        let names = match (root, &tree.shape) {
            (NodeKind::Object(_), Shape::Object(entries)) => {
                let named = |entry: &Entry<'_>| schema.keys.contains(&fold(&entry.key));
                match &entries[..] {
                    [only] if !named(only) => Names::Introduction,
                    [_, _, ..] if entries.iter().all(named) => Names::Members,
                    _ => Names::Unclear,
                }
            }
            (NodeKind::List(_), Shape::List(_)) => Names::Unclear,
            (NodeKind::List(_), Shape::Object(entries)) if matches!(&entries[..], [only] if matches!(only.value.shape, Shape::List(_))) => {
                Names::Introduction
            }
            _ => return None,
        };
        let outer = if fenced { Span::new(start, end) } else { tree.span };
        let unit = Unit { fenced, outer, ..Unit::of(tree) };
        let mut coercion = Coercion::new(schema, Some(self.text), self.text.len());
        Some((self.settle(vec![unit], Vec::new(), start, end, &mut coercion), names))
    }

    /// Returns the span of the reply, or of the content of the fence that is all of it but for one line of
    /// words before it.
    fn content(&self, start: usize, end: usize) -> Option<Span> {
        let text = &self.text[start..end];
        let Some(open) = text.find("```") else { return Some(Span::new(start, end)) };
        let from = open + text[open..].find('\n')? + 1;
        let close = from + text[from..].find("```")?;
        let led = text[..open].is_empty() || text[..open].ends_with('\n');
        let alone = led && text[from..close].ends_with('\n') && text[close + 3..].trim().is_empty();
        let words = soundness::is_prose(text, 0, open) && !text[..open].trim_end().contains('\n');
        let to = from + text[from..close].trim_end().len();
        (alone && words).then(|| Span::new(start + from, start + to))
    }
}
