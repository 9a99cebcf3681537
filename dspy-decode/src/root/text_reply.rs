//! Replies that are a single string or code.

use serde_json::Value;

use super::super::MAX_BYTES;
use super::super::candidates;
use super::super::code::{self, Code};
use super::super::coerce::{self, Coercion};
use super::super::error::{DecodeError, Problem, ProblemKind};
use super::super::path::Path;
use super::super::plan::{NodeKind, Schema, TextPlan};
use super::super::report::{Decoded, ParseReport, RepairKind as R};
use super::super::text::snippet;
use super::super::thoughts;
use super::super::tree::{Shape, Span, Tree};
use super::{DecodeOutcome, bounds, problem};

/// Returns the plan of a type that accepts any string, and whether it may be null.
pub(crate) fn free_text(schema: &Schema) -> Option<(&TextPlan, bool)> {
    let node = schema.node(schema.root);
    match &node.kind {
        NodeKind::Text(plan) if node.checks.is_empty() => Some((plan, false)),
        NodeKind::Union(union) => match union.options.as_slice() {
            [one] => match &schema.node(*one).kind {
                NodeKind::Text(plan) if schema.node(*one).checks.is_empty() => Some((plan, union.null)),
                _ => None,
            },
            _ => None,
        },
        _ => None,
    }
}

/// Returns whether the text of an optional string means null: `null` or `None`, with or without a full stop.
pub fn is_nothing(text: &str) -> bool {
    matches!(coerce::without_stop(text.trim()), "null" | "None")
}

/// Returns whether the text may become one that [is nothing](is_nothing).
pub fn may_be_nothing(text: &str) -> bool {
    ["null.", "None."].iter().any(|word| word.starts_with(text.trim()))
}

/// Reads the whole text as a string. Surrounding notation is removed only if the schema constrains the string
/// and the result then satisfies it.
pub(crate) fn read(schema: &Schema, plan: &TextPlan, nullable: bool, text: &str) -> DecodeOutcome {
    if nullable && is_nothing(text) {
        let mut coercion = Coercion::new(schema, Some(text), 0);
        if text.trim().ends_with('.') {
            coercion.repair(R::NullWord, &Path::root(), Span::new(0, text.len()));
        }
        let report = ParseReport { repairs: coercion.repairs, alternatives: 0 };
        return Ok(Decoded { value: Value::Null, report });
    }
    if plan.code {
        return code_reply(schema, plan, text);
    }
    if plan.accepts(text) {
        return Ok(Decoded::exact(Value::String(text.to_owned())));
    }
    let mut coercion = Coercion::new(schema, Some(text), text.len());
    if nullable && plan.has_form() && coerce::is_null_word(text) {
        coercion.repair(R::NullWord, &Path::root(), Span::new(0, text.len()));
        let report = ParseReport { repairs: coercion.repairs, alternatives: 0 };
        return Ok(Decoded { value: Value::Null, report });
    }
    if text.trim().is_empty() {
        return Err(problem(schema, ProblemKind::Empty, "an empty text".into()).into());
    }
    if text.len() > MAX_BYTES {
        return Err(problem(schema, ProblemKind::TooLarge, "too long a text".into()).into());
    }
    let (start, end) = bounds(text, 0);
    let inner = candidates::whole_string(text, schema, start, end);
    let fenced = candidates::scan(text, schema, 0, text.len()).blocks;
    let unwrapped = match (&inner, fenced.as_slice()) {
        (Some(Tree { shape: Shape::Text { text, .. }, .. }), _) => Some(text.as_ref()),
        (_, [block]) => text.get(block.content.range()).map(str::trim),
        _ => None,
    };
    if let Some(inner) = unwrapped.filter(|inner| plan.accepts(inner)) {
        coercion.repair(R::Trimmed, &Path::root(), Span::new(start, end));
        let report = ParseReport { repairs: coercion.repairs, alternatives: 0 };
        return Ok(Decoded { value: Value::String(inner.to_owned()), report });
    }
    match coercion.text(plan, text, Span::new(0, text.len()), &Path::root()) {
        Some(value) => {
            Ok(Decoded { value, report: ParseReport { repairs: coercion.repairs, alternatives: 0 } })
        }
        None => Err(DecodeError::new(coercion.problems)),
    }
}

/// Reads a whole reply as code: the content of its only fence, or all of it.
fn code_reply(schema: &Schema, plan: &TextPlan, text: &str) -> DecodeOutcome {
    let Some(start) = thoughts::answer(text) else {
        let found = "a thought that does not end".to_owned();
        return Err(problem(schema, ProblemKind::Truncated, found).into());
    };
    // `None` for exactly the notation that prompts request: one fence.
    let (code, kind) = match code::read(&text[start..]) {
        Code::Whole("") => return Err(problem(schema, ProblemKind::Empty, "an empty text".into()).into()),
        Code::Whole(code) => (code.into(), Some(R::Trimmed)),
        Code::Fenced { code, alone } => (code, (!alone || start > 0).then_some(R::Fence)),
        Code::Several => {
            let found = "several code fences with different contents; give exactly one".to_owned();
            return Err(problem(schema, ProblemKind::Ambiguous, found).into());
        }
        Code::Cut => {
            let found = "a code fence that does not close".to_owned();
            return Err(problem(schema, ProblemKind::Truncated, found).into());
        }
    };
    if let Some(limit) = plan.violation(&code) {
        let found = format!("\"{}\"", snippet(&code));
        return Err(Problem { expected: limit, ..problem(schema, ProblemKind::Constraint, found) }.into());
    }
    let mut coercion = Coercion::new(schema, Some(text), 0);
    if let Some(kind) = kind.filter(|_| code.len() < text.len()) {
        coercion.repair(kind, &Path::root(), Span::new(0, text.len()));
    }
    let report = ParseReport { repairs: coercion.repairs, alternatives: 0 };
    Ok(Decoded { value: Value::String(code.into_owned()), report })
}
