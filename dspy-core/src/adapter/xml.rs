//! Elements: the format that some models were trained to prefer.

use std::borrow::Cow;
use std::sync::Arc;

use serde_json::Value;

use super::canvas::Canvas;
use super::error::{FieldProblem, ParseError, ParseErrorKind};
use super::incoming::XmlReader;
use super::{Adapter, Parsed, Prompt, ReplyReader, layout, value, whole_reply};
use crate::decode::ParseReport;
use crate::lm::{Completion, Message, Role};
use crate::signature::{FieldSpec, SignatureSpec, Values};

/// Each field in an element of its own: `<answer>Paris</answer>`.
///
/// Lists and objects stand as JSON inside their element; replies may nest elements instead, a list as
/// `<item>…</item>` or repeated elements. `&`, `<` and `>` in values are escaped when rendered and restored when
/// read; a reply that leaves them bare is read all the same.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct XmlAdapter;

impl Adapter for XmlAdapter {
    fn name(&self) -> &'static str {
        "xml"
    }

    fn preamble(&self, prompt: Prompt<'_>) -> Vec<Message> {
        let spec = prompt.spec;
        let mut system = String::new();
        layout::push_fields(&mut system, spec);
        system.push_str("\nEvery field stands in an element of its own, in this layout:\n\n");
        for field in spec.shown_inputs().chain(spec.outputs()) {
            push_element(&mut system, field.name(), &format!("{{{}}}", field.name()));
        }
        system.push_str("\nLists and objects are written as JSON inside their element.\n\n");
        layout::push_task(&mut system, spec);
        let demos = layout::demo_turns(
            prompt,
            |out, values| push_elements(out, spec.shown_inputs(), values, None),
            |values, absent| elements(spec.outputs(), values, absent),
        );
        std::iter::once(Message::system(system)).chain(demos).collect()
    }

    fn history(&self, prompt: Prompt<'_>, inputs: &Values) -> Vec<Message> {
        let question = |out: &mut Canvas, turn: &Values| {
            push_elements(out, prompt.spec.shown_inputs(), turn, None);
        };
        layout::history_turns(prompt, inputs, question, |turn| elements(prompt.spec.outputs(), turn, None))
    }

    fn input(&self, prompt: Prompt<'_>, inputs: &Values) -> Message {
        let mut canvas = Canvas::with_capacity(256);
        push_elements(&mut canvas, prompt.spec.shown_inputs(), inputs, None);
        let text = &mut canvas.text;
        text.push_str("\nAnswer with the elements ");
        for (index, field) in prompt.spec.outputs().enumerate() {
            let separator = if index == 0 { "" } else { ", then " };
            text.push_str(&format!("{separator}`<{}>`", field.name()));
            if !field.is_text() {
                let end = if field.is_code() { layout::IN_A_FENCE } else { ")" };
                text.push_str(&format!(" ({}{end}", field.type_text().notation));
            }
        }
        text.push('.');
        canvas.into_message(Role::User)
    }

    fn parse(&self, spec: &SignatureSpec, completion: &Completion) -> Result<Parsed, ParseError> {
        let reply = whole_reply(self.name(), completion)?;
        let mut parsed = Parsed::default();
        let mut problems = Vec::new();
        let found = Elements::read(spec, reply);
        // Without any element even a reply that may leave out all of them is something else, such as an apology.
        let empty = found.0.iter().all(|found| *found == Found::Missing);
        for (index, field) in spec.outputs().enumerate() {
            let read = match &found.0[index] {
                Found::Missing if field.is_optional() && !empty => continue,
                Found::Missing => Err(format!("missing; write it as `<{0}>…</{0}>`", field.name())),
                Found::Unclosed => Err(format!("never closed; end it with `</{}>`", field.name())),
                Found::Twice => Err("stands there twice with different values; write it once".into()),
                Found::Once { text, name, offset } => {
                    let at = name.as_ptr() as usize - reply.as_ptr() as usize;
                    parsed.report.called(field.name(), name, at..at + name.len());
                    read_element(field, text, *offset, &mut parsed.report)
                }
            };
            match read {
                Ok(value) => drop(parsed.values.insert(field.name().to_owned(), value)),
                Err(message) => problems.push(FieldProblem::new(field.name(), message)),
            }
        }
        if problems.is_empty() {
            return Ok(parsed);
        }
        Err(ParseError::new(ParseErrorKind::Malformed, self.name(), reply, problems))
    }

    fn reader(&self, spec: &Arc<SignatureSpec>) -> Option<Box<dyn ReplyReader>> {
        Some(Box::new(XmlReader::new(spec)))
    }

    fn reply(&self, spec: &SignatureSpec, outputs: &Values) -> String {
        elements(spec.outputs(), outputs, None)
    }
}

fn push_element(out: &mut String, name: &str, content: &str) {
    out.push_str(&format!("<{name}>\n{content}\n</{name}>\n"));
}

fn elements<'a>(
    fields: impl Iterator<Item = &'a FieldSpec>,
    values: &Values,
    absent: Option<&str>,
) -> String {
    let mut out = Canvas::default();
    push_elements(&mut out, fields, values, absent);
    out.text
}

fn push_elements<'a>(
    out: &mut Canvas,
    fields: impl Iterator<Item = &'a FieldSpec>,
    values: &Values,
    absent: Option<&str>,
) {
    for field in fields {
        let name = field.name();
        match (values.get(name), absent) {
            (Some(value), _) => {
                out.text.push_str(&format!("<{name}>\n"));
                if !(field.has_media() && out.push_media(field, value, |text| escape(text).into())) {
                    out.text.push_str(&escape(&value::plain(field, value)));
                }
                out.text.push_str(&format!("\n</{name}>\n"));
            }
            (None, Some(text)) => push_element(&mut out.text, name, text),
            (None, None) => {}
        }
    }
}

/// Escapes what could be markup, and space at the edges, which would otherwise not count.
fn escape(text: &str) -> String {
    let inner = text.trim();
    let start = text.len() - text.trim_start().len();
    let mut out = String::with_capacity(text.len() + 8);
    let edge = |out: &mut String, space: &str| {
        space.chars().for_each(|c| out.push_str(&format!("&#{};", u32::from(c))));
    };
    edge(&mut out, &text[..start.min(text.len())]);
    for c in inner.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            c => out.push(c),
        }
    }
    edge(&mut out, &text[(start + inner.len()).min(text.len())..]);
    out
}

/// The inverse of [`escape`]. A bare `&` stays what it is.
pub(super) fn unescape(text: &str) -> Cow<'_, str> {
    if !text.contains('&') {
        return text.into();
    }
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('&') {
        out.push_str(&rest[..at]);
        rest = &rest[at..];
        let entity =
            rest.find(';').filter(|end| *end <= 10).and_then(|end| Some((entity(&rest[1..end])?, end)));
        if let Some((c, end)) = entity {
            out.push(c);
            rest = &rest[end + 1..];
        } else {
            out.push('&');
            rest = &rest[1..];
        }
    }
    out.push_str(rest);
    out.into()
}

fn entity(name: &str) -> Option<char> {
    Some(match name {
        "amp" => '&',
        "lt" => '<',
        "gt" => '>',
        "quot" => '"',
        "apos" => '\'',
        _ => {
            let number = name.strip_prefix('#')?;
            let code = match number.strip_prefix(['x', 'X']) {
                Some(hex) => u32::from_str_radix(hex, 16).ok()?,
                None => number.parse().ok()?,
            };
            char::from_u32(code)?
        }
    })
}

/// What a reply holds of a field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Found<'a> {
    Missing,
    Unclosed,
    Twice,
    /// With what the tag calls the field.
    Once {
        text: &'a str,
        name: &'a str,
        offset: usize,
    },
}

/// The elements at the top of a reply, by output field. What stands inside an element is never taken for a field.
struct Elements<'a>(Vec<Found<'a>>);

impl<'a> Elements<'a> {
    fn read(spec: &SignatureSpec, reply: &'a str) -> Self {
        let mut found = vec![Found::Missing; spec.outputs().count()];
        let mut unclosed: Vec<&str> = Vec::new();
        let mut at = 0;
        while let Some(open) = reply[at..].find('<').map(|offset| at + offset) {
            let tag = opening_tag(&reply[open..]);
            let index = tag.and_then(|(name, _)| field_of_tag(spec, name));
            let (Some(index), Some((name, length))) = (index, tag) else {
                at = open + 1;
                continue;
            };
            let start = open + length;
            // A tag that was not closed from here on will not be closed from any later place either.
            let close =
                if unclosed.contains(&name) { None } else { reply[start..].find(&format!("</{name}>")) };
            let Some(length) = close else {
                if !unclosed.contains(&name) {
                    unclosed.push(name);
                }
                if found[index] == Found::Missing {
                    found[index] = Found::Unclosed;
                }
                at = start;
                continue;
            };
            let text = reply[start..start + length].trim();
            let lead = reply[start..].len() - reply[start..].trim_start().len();
            found[index] = match found[index] {
                Found::Once { text: first, .. } if first == text => found[index],
                Found::Once { .. } | Found::Twice => Found::Twice,
                Found::Missing | Found::Unclosed => {
                    Found::Once { text, name, offset: start + lead.min(length) }
                }
            };
            at = start + length + name.len() + 3;
        }
        Elements(found)
    }
}

/// The output field that a tag means.
pub(super) fn field_of_tag(spec: &SignatureSpec, name: &str) -> Option<usize> {
    let position = |meant: fn(&FieldSpec, &str) -> bool| spec.outputs().position(|field| meant(field, name));
    position(|field, name| field.name() == name)
        .or_else(|| position(|field, name| field.name().eq_ignore_ascii_case(name)))
        .or_else(|| position(|field, name| field.has_alias(|alias| alias.eq_ignore_ascii_case(name))))
}

/// The name in an opening tag without attributes, and the length of the tag.
pub(super) fn opening_tag(text: &str) -> Option<(&str, usize)> {
    let inner = text.strip_prefix('<')?;
    let name = &inner[..inner.find(|c: char| !(c.is_alphanumeric() || matches!(c, '_' | '-' | '.')))?];
    let blank = inner[name.len()..].len() - inner[name.len()..].trim_start_matches([' ', '\t']).len();
    let end = name.len() + blank;
    (!name.is_empty() && inner[end..].starts_with('>')).then_some((name, end + 2))
}

pub(super) fn read_element(
    field: &FieldSpec,
    text: &str,
    offset: usize,
    report: &mut ParseReport,
) -> Result<Value, String> {
    let plain = unescape(text);
    if field.is_text() && !field.has_constraints() {
        return Ok(plain.into_owned().into());
    }
    let plan = field.plan().map_err(ToString::to_string)?;
    if !field.is_text() && !field.is_code() && opening_tag(text).is_some() {
        let nested = nested_values(text, 0).into_iter().find_map(|value| plan.coerce(value).ok());
        if let Some(decoded) = nested {
            report.absorb(decoded.report, field.name(), offset);
            return Ok(decoded.value);
        }
    }
    let decoded = plan.decode(&plain).map_err(|error| error.to_string())?;
    report.absorb(decoded.report, field.name(), offset);
    Ok(decoded.value)
}

/// Deeper nesting is not read.
const DEPTH: usize = 32;

/// What nested elements may mean: the items of a list, or the members of an object.
fn nested_values(text: &str, depth: usize) -> Vec<Value> {
    let Some(children) = children(text).filter(|_| depth < DEPTH) else {
        return vec![Value::String(unescape(text.trim()).into_owned())];
    };
    let first = |text: &str| nested_values(text, depth + 1).into_iter().next().unwrap_or_default();
    let alike = children.iter().all(|(name, _)| *name == children[0].0);
    let list = || children.iter().map(|(_, text)| first(text)).collect::<Value>();
    let object = || children.iter().map(|(name, text)| ((*name).to_owned(), first(text))).collect::<Value>();
    match (alike, children.len()) {
        (true, 1) if children[0].0 == "item" => vec![list(), object()],
        (true, 1) => vec![object(), list()],
        (true, _) => vec![list()],
        (false, _) => vec![object()],
    }
}

/// The elements that a text consists of; nothing if there is anything else in it.
fn children(text: &str) -> Option<Vec<(&str, &str)>> {
    let mut found = Vec::new();
    let mut rest = text.trim();
    while !rest.is_empty() {
        let (name, length) = opening_tag(rest)?;
        let inner = &rest[length..];
        let end = matching_close(inner, name)?;
        found.push((name, &inner[..end]));
        rest = inner[end + name.len() + 3..].trim_start();
    }
    (!found.is_empty()).then_some(found)
}

/// Where the element of that name ends, elements of the same name inside it left aside.
fn matching_close(text: &str, name: &str) -> Option<usize> {
    let (open, close) = (format!("<{name}>"), format!("</{name}>"));
    let (mut at, mut depth) = (0, 0usize);
    loop {
        let end = at + text[at..].find(&close)?;
        depth += text[at..end].matches(&open).count();
        if depth == 0 {
            return Some(end);
        }
        depth -= 1;
        at = end + close.len();
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(signature: &str, reply: &str) -> Result<Value, ParseError> {
        let spec: SignatureSpec = signature.parse().unwrap();
        XmlAdapter.parse(&spec, &Completion::new(reply)).map(|parsed| Value::Object(parsed.values))
    }

    #[test]
    fn replies_in_the_wild() {
        for (signature, reply, value) in [
            ("q -> answer", "Sure!\n<answer>\nAT&T < 3\n</answer>\nBye.", json!({"answer": "AT&T < 3"})),
            ("q -> answer", "<answer>a &lt;b&gt; &amp;amp;</answer>", json!({"answer": "a <b> &amp;"})),
            (
                "q -> tags: list[str]",
                "<tags><item>a</item><item>b &amp; c</item></tags>",
                json!({"tags": ["a", "b & c"]}),
            ),
            ("q -> tags: list[str]", "<tags>[\"a\", \"b\"]</tags>", json!({"tags": ["a", "b"]})),
            ("q -> n: dict[str, int]", "<n><x>1</x><y>2</y></n>", json!({"n": {"x": 1, "y": 2}})),
            (
                "q -> n: list[list[int]]",
                "<n><row><i>1</i><i>2</i></row><row><i>3</i><i>4</i></row></n>",
                json!({"n": [[1, 2], [3, 4]]}),
            ),
            (
                "q -> why, answer: int",
                "<why>It goes into <answer> tags, as <answer>5</answer> would.</why><Answer>4</Answer>",
                json!({"why": "It goes into <answer> tags, as <answer>5</answer> would.", "answer": 4}),
            ),
        ] {
            assert_eq!(read(signature, reply).unwrap(), value, "{reply}");
        }
    }

    #[test]
    fn what_is_wrong_is_said() {
        for (reply, part) in [
            ("no element", "missing; write it as `<answer>…</answer>`"),
            ("<answer>4", "never closed"),
            ("<answer>4</answer><answer>5</answer>", "twice"),
            ("<answer>four or five</answer>", "expected an integer"),
        ] {
            let error = read("q -> answer: int", reply).unwrap_err();
            assert!(error.to_string().contains(part), "{error}");
        }
        assert_eq!(
            read("q -> answer: int", "<answer>4</answer><answer>4</answer>").unwrap(),
            json!({"answer": 4})
        );
    }
}
