//! A reply read by the names of the type and the marks of JSON, or else by indentation; and which of the two is meant.

use serde_json::Value;

use super::super::candidates::Unit;
use super::super::coerce::Coercion;
use super::super::error::{Problem, ProblemKind};
use super::super::plan::{NodeKind, same};
use super::super::report::{Decoded, RepairKind as R};
use super::super::text::snippet;
use super::super::tree::{Entry, Shape, Span};
use super::super::{MAX_BYTES, sound, thoughts, yaml};
use super::{DecodeOutcome, ReplyReader, bounds, problem};
use dspy_base::fold::fold;

/// What the names in a text are that is read by indentation.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Names {
    /// Several, and all of them names of the type.
    Members,
    /// One, which is no name of the type: it may introduce what stands behind it.
    Introduction,
    Unclear,
}

impl ReplyReader<'_> {
    /// The reading by the names of the type and the marks of JSON, or else by indentation.
    pub(super) fn read(&self) -> DecodeOutcome {
        let read = self.by_marks();
        let partly = |read: &Decoded<Value>| read.report.repairs.iter().any(|repair| repair.kind == R::Prose);
        // A reading that leaves nothing out needs no other.
        if read.as_ref().is_ok_and(|read| !partly(read)) {
            return read;
        }
        let Some((other, names)) = self.by_indentation() else { return read };
        match (read, other) {
            (Ok(read), Ok(other)) if same(&read.value, &other.value) => Ok(read),
            // What looked like words around a structure are members beside it.
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
            // Where the members are plainly there, what is wrong with them says more than that they are missing.
            (Err(error), Err(other)) => {
                let plain = |p: &Problem| matches!(p.kind, ProblemKind::Missing | ProblemKind::WrongType);
                Err(if error.problems.iter().all(plain) { other } else { error })
            }
        }
    }

    /// The reading of a reply, or of the only fence in it, whose members are told apart by indentation.
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

    /// The reply, or what is inside the fence that is all of it but for a line of words before it.
    fn content(&self, start: usize, end: usize) -> Option<Span> {
        let text = &self.text[start..end];
        let Some(open) = text.find("```") else { return Some(Span::new(start, end)) };
        let from = open + text[open..].find('\n')? + 1;
        let close = from + text[from..].find("```")?;
        let led = text[..open].is_empty() || text[..open].ends_with('\n');
        let alone = led && text[from..close].ends_with('\n') && text[close + 3..].trim().is_empty();
        let words = sound::is_prose(text, 0, open) && !text[..open].trim_end().contains('\n');
        let to = from + text[from..close].trim_end().len();
        (alone && words).then(|| Span::new(start + from, start + to))
    }
}
