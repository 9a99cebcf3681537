//! Headings and labels in place of markers: `### answer`, `**answer**: Paris`, `Answer: Paris`.
//!
//! Every output must have one, all of one kind; an optional output may lack it if nothing else in the reply
//! could be its heading. A heading between them that names no output is an error that quotes it, since the
//! text below it belongs to no output.

use serde_json::Value;

use super::outside::shorten;
use super::sections::{field_index, label};
use super::{Parsed, chat, markers, trailing_text};
use crate::decode::thoughts;
use crate::signature::{FieldSpec, SignatureSpec};

/// The kind of a bold heading.
const BOLD: usize = 7;
/// The kind of a plain label at the start of a line. Headings with number signs are of the kinds one to six.
const PLAIN: usize = 8;
/// The largest number of words in a label; the next constant limits its length in bytes.
const MOST_WORDS: usize = 4;
const LONGEST_LABEL: usize = 40;

/// A heading in a reply.
#[derive(Debug)]
struct Heading<'t> {
    name: &'t str,
    kind: usize,
    /// The offset of its line; the next field is the offset of the text after it.
    at: usize,
    from: usize,
    /// The output that it names.
    index: Option<usize>,
}

/// Reads headings in place of markers, or else labels if `labels` is set. The error contains the problem of a
/// reply that is nearly in this form.
pub(super) fn read(spec: &SignatureSpec, reply: &str, labels: bool) -> Result<Parsed, Option<String>> {
    let start = thoughts::answer(reply).ok_or(None)?;
    let found = find(spec, reply, start, heading);
    if found.iter().any(|heading| heading.index.is_some()) {
        return sections(spec, reply, start, &found);
    }
    if !labels {
        return Err(None);
    }
    let found = find(spec, reply, start, |line| heading(line).or_else(|| plain(line)));
    let first = found.iter().find(|heading| heading.index.is_some()).ok_or(None)?;
    let before = &reply[start..first.at];
    let fenced = before.to_lowercase();
    if before.contains(['{', '<'])
        || before.contains("[[")
        || fenced.contains("```y")
        || fenced.contains("```t")
    {
        return Err(None);
    }
    sections(spec, reply, start, &found)
}

/// Finds the headings of a reply, except for those in fences inside its values.
fn find<'t>(
    spec: &SignatureSpec,
    reply: &'t str,
    start: usize,
    heading: impl Fn(&'t str) -> Option<(&'t str, usize, usize)>,
) -> Vec<Heading<'t>> {
    let mut found: Vec<Heading<'t>> = Vec::new();
    let mut fence: Option<(char, usize)> = None;
    let mut begun = false;
    let mut at = start;
    for line in reply[start..].split_inclusive('\n') {
        let line_at = at;
        at += line.len();
        if begun && let Some((mark, width, bare)) = markers::fence_mark(line) {
            fence = match fence {
                None => Some((mark, width)),
                Some((open, least)) if open == mark && bare && width >= least => None,
                open => open,
            };
            continue;
        }
        if fence.is_some() {
            continue;
        }
        if let Some((name, kind, behind)) = heading(line) {
            let index = field_index(spec, name);
            begun |= index.is_some();
            found.push(Heading { name, kind, at: line_at, from: line_at + behind, index });
        }
    }
    found
}

fn sections(
    spec: &SignatureSpec,
    reply: &str,
    start: usize,
    found: &[Heading<'_>],
) -> Result<Parsed, Option<String>> {
    let ours: Vec<(usize, &Heading<'_>)> =
        found.iter().filter_map(|heading| Some((heading.index?, heading))).collect();
    let fields: Vec<&FieldSpec> = spec.outputs().collect();
    let required = fields.iter().filter(|field| !field.is_optional()).count();
    let count = |index: usize| ours.iter().filter(|(other, _)| *other == index).count();
    let absent: Vec<usize> = (0..fields.len()).filter(|index| count(*index) == 0).collect();
    // One or two headings among many outputs are not this form.
    let near = (0..fields.len()).filter(|index| count(*index) > 0).count() * 2 >= required.max(1);
    let miss = |message: String| Err(Some(message).filter(|_| near));
    let Some((_, first)) = ours.first() else { return Err(None) };
    let (kind, first) = (first.kind, first.at);
    if let Some(index) = (0..fields.len()).find(|index| count(*index) > 1) {
        return miss(format!("duplicate `{}`", fields[index].name()));
    }
    if ours.iter().any(|(_, heading)| heading.kind != kind) {
        return miss("the headings of the outputs are of several kinds".into());
    }
    let foreign = found.iter().filter(|heading| heading.index.is_none()).find(|heading| {
        let same = heading.kind == kind || kind == PLAIN && heading.kind == BOLD;
        // "Step 1" counts parts within the text.
        let counts = heading.name.contains(char::is_numeric);
        let says = kind != PLAIN || heading.at > first || !reply[heading.from..].starts_with(['\r', '\n']);
        same && !counts && heading.at > first || !absent.is_empty() && says
    });
    if let Some(foreign) = foreign {
        return miss(format!("`{}` is no output field; leave it out", shorten(foreign.name)));
    }
    if let Some(index) = absent.iter().find(|index| !fields[**index].is_optional()) {
        return miss(format!("`{}` is missing", fields[*index].name()));
    }
    let lost =
        |line| label(line).and_then(|name| field_index(spec, name)).filter(|index| absent.contains(index));
    if let Some(index) = reply[start..].lines().find_map(lost) {
        return miss(format!("`{}` has no heading of the same kind as the others", fields[index].name()));
    }
    if kind == PLAIN
        && let Some(said) = trailing_text::assignment(spec, &reply[start..], |index| absent.contains(&index))
    {
        return miss(format!("`{}` may be a value of an output without a label", shorten(said)));
    }
    let mut parsed = Parsed::default();
    let mut values: Vec<Option<Value>> = vec![None; fields.len()];
    for (number, (index, heading)) in ours.iter().enumerate() {
        let to = ours.get(number + 1).map_or(reply.len(), |(_, next)| next.at);
        let whole = &reply[heading.from..to];
        let text = markers::without_loose_fence(whole.trim());
        let offset = heading.from + (whole.len() - whole.trim_start().len());
        let field = fields[*index];
        let block = text
            .lines()
            .next()
            .is_some_and(|line| matches!(line.trim(), "|" | ">" | "|-" | ">-" | "|+" | ">+"));
        if kind == PLAIN && block {
            return miss(format!("`{}` is a block of YAML", field.name()));
        }
        match chat::read_field(field, text, offset, &mut parsed.report) {
            Ok(value) => values[*index] = Some(value),
            Err(refused) => {
                let told = refused.first().map(|problem| format!("`{}`: {}", problem.field, problem.message));
                return miss(told.unwrap_or_default());
            }
        }
    }
    for (field, value) in fields.iter().zip(values) {
        if let Some(value) = value {
            parsed.values.insert(field.name().to_owned(), value);
        }
    }
    Ok(parsed)
}

/// Returns the name in a heading, the kind of the heading, and the offset of the text after it.
fn heading(line: &str) -> Option<(&str, usize, usize)> {
    let content = line.trim();
    let signs = content.bytes().take_while(|b| *b == b'#').count();
    if (1..=6).contains(&signs) && content[signs..].starts_with(' ') {
        let name = content[signs..].trim_matches(['#', ' ', ':', '*', '_', '`']);
        return Some((name, signs, line.len()));
    }
    let inside = content.strip_prefix("**")?;
    let (name, rest) = inside.split_once("**")?;
    let text = rest.strip_prefix(':').or_else(|| name.ends_with(':').then_some(rest))?;
    let behind = text.as_ptr() as usize - line.as_ptr() as usize;
    Some((name.trim_matches([' ', ':', '`']), BOLD, behind))
}

/// Reads a plain label at the very start of a line; returns the same as [`heading`].
fn plain(line: &str) -> Option<(&str, usize, usize)> {
    let (name, text) = line.split_once(':')?;
    let is_name = |c: char| c.is_alphanumeric() || matches!(c, ' ' | '_' | '-');
    let label = name.starts_with(char::is_alphabetic)
        && name.len() <= LONGEST_LABEL
        && name.chars().all(is_name)
        && name.split_whitespace().count() <= MOST_WORDS;
    // Text after the colon of an address or a path is not a value.
    let value = !text.starts_with(['/', ':', '\\']);
    (label && value).then(|| (name.trim(), PLAIN, name.len() + 1))
}
