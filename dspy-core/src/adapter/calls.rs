//! The place of tool calls in a reply.
//!
//! Calls act. A reply may quote text that looks like calls, from a web page or another tool, while it refuses them. So
//! calls count only in the place that the adapter asked for, once, with nothing beside them; the tolerance for other
//! outputs (other formats, values among words) does not apply. Repairs of the notation do.

use serde_json::Value;

use super::elements::{Element, Elements};
use super::error::{FieldProblem, refusals};
use super::markers;
use super::sections::Sections;
use crate::decode::{ParseReport, Repair, RepairKind};
use crate::signature::{FieldSpec, Native, SignatureSpec};
use crate::tools::text_calls;
use crate::types::ToolCalls;

/// Tokens that end the turn of a model, and that some servers leave in the text.
const TURN_ENDS: [&str; 14] = [
    "<|im_end|>",
    "<|eot_id|>",
    "<|eom_id|>",
    "<|eot|>",
    "<|end|>",
    "<|end_of_turn|>",
    "<|END_OF_TURN_TOKEN|>",
    "<|end_of_text|>",
    "<|endoftext|>",
    "<end_of_turn>",
    "<｜end▁of▁sentence｜>",
    "<|return|>",
    "<|call|>",
    "</s>",
];

/// The mark of the byte order, which some servers leave before the text.
pub(super) const BOM: char = '\u{feff}';

/// Returns the text without the tokens at its end that end the turn of a model.
pub(super) fn without_turn_end(text: &str) -> &str {
    let mut text = text;
    loop {
        let trimmed = text.trim_end();
        match TURN_ENDS.iter().find_map(|token| trimmed.strip_suffix(token)) {
            Some(before) => text = before,
            None => return text,
        }
    }
}

/// Returns the output that holds tool calls, and its index among the outputs.
pub(super) fn field(spec: &SignatureSpec) -> Option<(usize, &FieldSpec)> {
    spec.outputs().enumerate().find(|(_, field)| is_calls(field))
}

/// Returns whether an output holds tool calls.
pub(super) fn is_calls(field: &FieldSpec) -> bool {
    field.native() == Some(Native::ToolCalls)
}

/// Reads calls from the text of their place.
pub(super) fn read(
    field: &FieldSpec,
    text: &str,
    offset: usize,
    report: &mut ParseReport,
) -> Result<Value, Vec<FieldProblem>> {
    let plan = field.plan().map_err(|error| super::chat::unusable(field, error))?;
    let whole = text;
    let text = without_name(field.name(), text.trim_start_matches(|c: char| c.is_whitespace() || c == BOM));
    let offset = offset + (whole.len() - text.len());
    // A comment may stand inside the list, not around it.
    let list = text_calls::without_fence(text.trim());
    let bracketed = list.starts_with(['[', '{']) && list.ends_with([']', '}']);
    let decoded = plan.decode(text).map(|decoded| {
        let fits = |kind| is_notation(kind) && (bracketed || kind != RepairKind::Comment);
        let doubt = decoded.report.repairs.iter().any(|repair| !fits(repair.kind));
        (decoded, doubt)
    });
    let (decoded, doubt) = match (decoded, text_calls::read(text)) {
        (Ok((decoded, false)), _) => (decoded, false),
        (_, Some(calls)) => {
            let value = serde_json::to_value(ToolCalls(calls)).unwrap_or_default();
            (plan.coerce(value).map_err(|error| refusals(field.name(), &error))?, false)
        }
        (Ok(decoded), None) => decoded,
        (Err(error), None) => return Err(refusals(field.name(), &error)),
    };
    if doubt {
        let message = "the calls stand among other text; write nothing but the list of calls, `[]` for none";
        return Err(vec![FieldProblem::new(field.name(), message)]);
    }
    report.absorb(decoded.report, field.name(), offset);
    Ok(decoded.value)
}

/// Returns the text of the place of calls without the name of the field, if that stands before its value again, as in JSON.
fn without_name<'t>(name: &str, text: &'t str) -> &'t str {
    let inside = || {
        let (label, value) = text.split_once(':')?;
        let label = label.trim();
        let quoted = ['"', '\'', '`'].into_iter().find_map(|q| label.strip_prefix(q)?.strip_suffix(q));
        let label = quoted.unwrap_or(label);
        (label.eq_ignore_ascii_case(name) || label.eq_ignore_ascii_case("tool_calls"))
            .then(|| value.trim_start())
    };
    inside().unwrap_or(text)
}

/// Returns whether a repair concerns the notation of calls, so that it does not choose among what the text says.
fn is_notation(kind: RepairKind) -> bool {
    use RepairKind as R;
    matches!(
        kind,
        R::Fence
            | R::TrailingComma
            | R::MissingComma
            | R::Comment
            | R::QuoteStyle
            | R::UnquotedKey
            | R::UnquotedText
            | R::InnerQuote
            | R::RawControl
            | R::BadEscape
            | R::ForeignSyntax
            | R::MissingClose
            | R::StrayMark
            | R::WrongMark
            | R::KeySpelling
            | R::KeyAlias
            | R::LoneToList
            | R::JoinedObjects
            | R::EmbeddedJson
            | R::ExtraKey
            | R::NullDropped
            | R::TextFromValue
    )
}

/// Returns the problem of the sections of a reply with calls: they have one, below a marker on its own line.
pub(super) fn section_problem(
    spec: &SignatureSpec,
    reply: &str,
    sections: &Sections,
) -> Option<FieldProblem> {
    let (index, field) = field(spec)?;
    let mut own = sections.closed.iter().filter(|section| section.index == index);
    let first = own.next()?;
    let message = if own.next().is_some() {
        "duplicate; write the calls once".to_owned()
    } else if !markers::is_alone(reply, &first.name, sections.base()) {
        format!(
            "its marker stands in mid-line or is damaged; write `[[ ## {} ## ]]` on a line of its own",
            field.name()
        )
    } else if is_quoted(&reply[sections.base()..], first.name.start - sections.base()) {
        format!("its marker stands in a code fence; write `[[ ## {} ## ]]` outside of one", field.name())
    } else {
        return None;
    };
    Some(FieldProblem::new(field.name(), message))
}

/// Returns whether an offset is inside a code fence that opens after other text and is closed later. A fence around the
/// whole reply quotes nothing, and one that is not closed belongs to what stands before the marker.
fn is_quoted(reply: &str, at: usize) -> bool {
    let mut open: Option<(char, usize)> = None;
    let mut is_first = true;
    let before = &reply[..reply[..at].rfind('\n').map_or(0, |newline| newline + 1)];
    for line in before.lines().filter(|line| !line.trim().is_empty()) {
        match (markers::fence_mark(line), open) {
            (Some((mark, width, _)), None) if !is_first => open = Some((mark, width)),
            (Some((mark, width, true)), Some((opening, least))) if mark == opening && width >= least => {
                open = None;
            }
            _ => {}
        }
        is_first = false;
    }
    let Some((opening, least)) = open else { return false };
    // The next fence of the same kind closes it, unless it opens one of the section itself.
    let next = reply[at..].lines().filter_map(markers::fence_mark).find(|(mark, ..)| *mark == opening);
    next.is_some_and(|(_, width, bare)| bare && width >= least)
}

/// Returns the problem of the elements of a reply with calls: they have one, and nothing stands outside of elements.
pub(super) fn element_problem(
    spec: &SignatureSpec,
    reply: &str,
    elements: &Elements,
) -> Option<FieldProblem> {
    let (index, field) = field(spec)?;
    let own = elements.closed.iter().filter(|element| element.index == index).count();
    if own == 0 {
        return None;
    }
    if own > 1 {
        return Some(FieldProblem::new(field.name(), "duplicate; write the calls once"));
    }
    let mut outside = String::new();
    let mut from = elements.base();
    for element in elements.closed.iter().map(Element::whole) {
        outside.push_str(reply.get(from..element.start).unwrap_or_default());
        from = element.end;
    }
    outside.push_str(without_turn_end(reply.get(from..).unwrap_or_default()));
    let outside = outside.trim_start().trim_start_matches(BOM);
    let said = outside.lines().any(|line| !line.trim().is_empty() && markers::fence_mark(line).is_none());
    said.then(|| {
        let message = "text stands outside of the elements, so that it is unclear whether the calls are meant; write \
                       nothing but the elements";
        FieldProblem::new(field.name(), message)
    })
}

/// Returns the object that a reply with calls consists of, in a fence or not.
pub(super) fn whole_object(answer: &str) -> Option<&str> {
    let text = answer.trim();
    let fenced = text.strip_prefix("```").and_then(|text| text.strip_suffix("```")?.split_once('\n'));
    let text = match fenced {
        Some((info, inside)) if !info.contains(['`', '{']) => inside.trim(),
        _ => text,
    };
    (text.starts_with('{') && text.ends_with('}')).then_some(text)
}

/// Returns the problem of an object with calls that was not read as it is written.
pub(super) fn object_problem(spec: &SignatureSpec, report: &ParseReport) -> Option<FieldProblem> {
    let (_, field) = field(spec)?;
    let dotted = format!("$.{}", field.name());
    let doubtful = |repair: &Repair| {
        let whole = repair.path == "$";
        let inside = || {
            let path = repair.path.to_string();
            path.strip_prefix(&dotted).is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
        };
        let joins = [RepairKind::LoneToList, RepairKind::JoinedObjects, RepairKind::EmbeddedJson];
        // A member beside the outputs: an unescaped quotation mark in a quotation makes one.
        let beside =
            || repair.path.to_string().strip_prefix("$.").is_some_and(|key| !key.contains(['.', '[']));
        whole && (!is_notation(repair.kind) || joins.contains(&repair.kind))
            || repair.kind == RepairKind::ExtraKey && beside()
            || !is_notation(repair.kind) && inside()
    };
    report.repairs.iter().any(doubtful).then(|| {
        let message = "the calls stand among other text; write one JSON object and nothing else";
        FieldProblem::new(field.name(), message)
    })
}
