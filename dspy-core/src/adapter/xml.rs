//! XML elements: the format that some models were trained to prefer.

use std::sync::Arc;

use dspy_base::prompt_format::ANSWER_WITH;
use serde_json::Value;

use super::children::{self, is_unclear};
use super::elements::{Element, Elements};
use super::error::{FieldProblem, ParseError, ParseErrorKind, refusals};
use super::markup::{Tag, tag, text_of};
use super::message_builder::MessageBuilder;
use super::other_formats::{self, Format};
use super::streaming::XmlReader;
use super::{
    Adapter, Parsed, Prompt, ReplyReader, calls, demos, history, outside, prompt_parts, value, whole_reply,
};
use crate::decode::ParseReport;
use crate::decode::internal::is_nothing;
use crate::lm::{Completion, Message, Role};
use crate::signature::{FieldSpec, SignatureSpec, Values};

/// Adapter that puts each field in its own element: `<answer>Paris</answer>`.
///
/// Lists and objects are rendered as JSON inside their element. Replies may use nested elements instead, with
/// a list as `<item>…</item>` or as repeated elements. `&`, `<` and `>` in values are escaped in prompts and
/// restored from replies; a reply with unescaped ones is read as well.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct XmlAdapter;

impl Adapter for XmlAdapter {
    fn name(&self) -> &'static str {
        "xml"
    }

    fn preamble(&self, prompt: Prompt<'_>) -> Vec<Message> {
        let spec = prompt.spec;
        let mut system = String::new();
        prompt_parts::push_fields(&mut system, spec);
        system.push_str("\nEvery field stands in an element of its own, in this layout:\n\n");
        for field in spec.shown_inputs().chain(spec.outputs()) {
            push_element(&mut system, field.name(), &format!("{{{}}}", field.name()));
        }
        system.push_str("\nLists and objects are written as JSON inside their element.\n\n");
        prompt_parts::push_task(&mut system, spec);
        let demos = demos::demo_turns(
            prompt,
            |out, values| push_elements(out, spec.shown_inputs(), values, None),
            |values, absent| elements(spec.outputs(), values, absent),
        );
        std::iter::once(Message::system(system)).chain(demos).collect()
    }

    fn history(&self, prompt: Prompt<'_>, inputs: &Values) -> Vec<Message> {
        let question = |out: &mut MessageBuilder, turn: &Values| {
            push_elements(out, prompt.spec.shown_inputs(), turn, None);
        };
        history::history_turns(prompt, inputs, question, |turn| elements(prompt.spec.outputs(), turn, None))
    }

    fn input(&self, prompt: Prompt<'_>, inputs: &Values) -> Message {
        let mut canvas = MessageBuilder::with_capacity(256);
        push_elements(&mut canvas, prompt.spec.shown_inputs(), inputs, None);
        let text = &mut canvas.text;
        text.push('\n');
        text.push_str(ANSWER_WITH);
        text.push_str("the elements ");
        for (index, field) in prompt.spec.outputs().enumerate() {
            let separator = if index == 0 { "" } else { ", then " };
            text.push_str(&format!("{separator}`<{}>`", field.name()));
            prompt_parts::push_reminder(text, field);
        }
        text.push('.');
        canvas.into_message(Role::User)
    }

    fn parse(&self, spec: &SignatureSpec, completion: &Completion) -> Result<Parsed, ParseError> {
        let reply = whole_reply(self.name(), completion)?;
        let elements = Elements::of(spec, reply);
        let mut misses = Vec::new();
        let acts = calls::field(spec).is_some();
        if elements.closed.is_empty() && elements.problems.is_empty() && !acts {
            match other_formats::read_other(Format::Elements, spec, completion) {
                Ok(parsed) => return Ok(parsed),
                Err(near) => misses = near,
            }
        }
        let name_of = |index: usize| spec.outputs().nth(index).map(FieldSpec::name).unwrap_or_default();
        let mut problems: Vec<FieldProblem> = elements
            .problems
            .iter()
            .map(|(index, message)| FieldProblem::new(index.map(name_of).unwrap_or_default(), message))
            .collect();
        problems.extend(calls::element_problem(spec, reply, &elements));
        let mut found: Vec<Option<&Element>> = vec![None; spec.outputs().count()];
        let mut twice = vec![false; found.len()];
        let text_of = |element: &Element| reply[element.content.clone()].trim();
        for element in &elements.closed {
            match found[element.index] {
                None => found[element.index] = Some(element),
                Some(first) => twice[element.index] |= text_of(first) != text_of(element),
            }
        }
        let mut parsed = Parsed::default();
        for (index, field) in spec.outputs().enumerate() {
            let known = problems.iter().any(|problem| problem.field == field.name());
            let told = |message: String| Err(vec![FieldProblem::new(field.name(), message)]);
            let read = match found[index] {
                _ if known => continue,
                // Without any element, even a reply whose outputs are all optional is something else, such as
                // an apology.
                None if field.is_optional() && !elements.closed.is_empty() => continue,
                None => told(format!("missing; write it as `<{0}>…</{0}>`", field.name())),
                Some(_) if twice[index] => told("duplicate, with different values; write it once".into()),
                Some(element) => {
                    parsed.report.called(field.name(), &reply[element.name.clone()], element.name.clone());
                    let text = text_of(element);
                    let offset = text.as_ptr() as usize - reply.as_ptr() as usize;
                    read_element(field, text, offset, &mut parsed.report)
                }
            };
            match read {
                Ok(value) => drop(parsed.values.insert(field.name().to_owned(), value)),
                Err(refused) => problems.extend(refused),
            }
        }
        problems.splice(0..0, misses);
        // A problem of an element may be the cause of problems in the text around it.
        if problems.is_empty() {
            problems = outside::problems(spec, reply, &elements, &parsed.values);
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
    let mut out = MessageBuilder::default();
    push_elements(&mut out, fields, values, absent);
    out.text
}

fn push_elements<'a>(
    out: &mut MessageBuilder,
    fields: impl Iterator<Item = &'a FieldSpec>,
    values: &Values,
    absent: Option<&str>,
) {
    for field in fields {
        let name = field.name();
        match (values.get(name), absent) {
            (Some(value), _) => {
                out.text.push_str(&format!("<{name}>\n"));
                let shown = field.has_media() && out.push_media(field, value, |text| escape(text).into())
                    || out.push_turns(field, value, |text| escape(text).into());
                if !shown {
                    let plain = value::plain(field, value);
                    let seems_absent = field.is_optional_text() && (plain.is_empty() || is_nothing(&plain));
                    if seems_absent && value.is_string() {
                        out.text.push_str(&format!("<![CDATA[{plain}]]>"));
                    } else {
                        out.text.push_str(&escape(&plain));
                    }
                }
                out.text.push_str(&format!("\n</{name}>\n"));
            }
            (None, Some(text)) => push_element(&mut out.text, name, text),
            (None, None) => {}
        }
    }
}

/// Escapes possible markup, and space at the edges, which is otherwise not significant.
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

pub(super) fn read_element(
    field: &FieldSpec,
    text: &str,
    offset: usize,
    report: &mut ParseReport,
) -> Result<Value, Vec<FieldProblem>> {
    let plain = text_of(text);
    if field.is_text() && !field.has_constraints() {
        return Ok(plain.into_owned().into());
    }
    if field.is_optional_text() {
        let says = !text.is_empty() && !is_nothing(text);
        return super::chat::optional_text(field, says.then(|| plain.into_owned()), offset, report);
    }
    let plan = field.plan().map_err(|error| super::chat::unusable(field, error))?;
    let structured = !field.is_text() && !field.is_code() && field.native().is_none();
    if structured && (is_unclear(text) || nested_unclear(text, 0)) {
        let message = "its tags do not balance, or stand among other text; write `<item>…</item>` for each item, and `&lt;` for a `<` in a value";
        return Err(vec![FieldProblem::new(field.name(), message)]);
    }
    if !field.is_text() && !field.is_code() && !calls::is_calls(field) && text.starts_with('<') {
        let nested = nested_values(text, 0).into_iter().find_map(|value| plan.coerce(value).ok());
        if let Some(decoded) = nested {
            report.absorb(decoded.report, field.name(), offset);
            return Ok(decoded.value);
        }
    }
    if calls::is_calls(field) {
        return calls::read(field, plain.trim(), offset, report);
    }
    let decoded = plan.decode(&plain).map_err(|error| refusals(field.name(), &error))?;
    report.absorb(decoded.report, field.name(), offset);
    Ok(decoded.value)
}

/// The largest depth of nesting that is read.
const DEPTH: usize = 32;

/// Returns whether an element inside `text` has tags of the same name among other text.
fn nested_unclear(text: &str, depth: usize) -> bool {
    let Some(children) = children::children(text).filter(|_| depth < DEPTH) else { return false };
    children.iter().any(|(name, content)| {
        let again = || {
            content.match_indices('<').any(|(at, _)| {
                let inner = content[at + 1..].trim_start_matches('/');
                matches!(tag(&content[at..], true), Tag::Open { .. } | Tag::Close { .. })
                    && inner.get(..name.len()).is_some_and(|inner| inner.eq_ignore_ascii_case(name))
                    && !inner[name.len()..].starts_with(|c: char| c.is_alphanumeric() || c == '_' || c == '-')
            })
        };
        match children::children(content) {
            Some(_) => nested_unclear(content, depth + 1),
            None => again(),
        }
    })
}

/// Returns the possible values of nested elements: the items of a list, or the members of an object.
fn nested_values(text: &str, depth: usize) -> Vec<Value> {
    let Some(children) = children::children(text).filter(|_| depth < DEPTH) else {
        return vec![Value::String(text_of(text).into_owned())];
    };
    let first = |text: &str| nested_values(text, depth + 1).into_iter().next().unwrap_or_default();
    let alike = children.iter().all(|(name, _)| *name == children[0].0);
    let distinct = || {
        let mut names: Vec<&str> = children.iter().map(|(name, _)| *name).collect();
        names.sort_unstable();
        names.windows(2).all(|pair| pair[0] != pair[1])
    };
    let list = || children.iter().map(|(_, text)| first(text)).collect::<Value>();
    let object = || children.iter().map(|(name, text)| ((*name).to_owned(), first(text))).collect::<Value>();
    match (alike, children.len()) {
        (true, 1) if children[0].0 == "item" => vec![list(), object()],
        (true, 1) => vec![object(), list()],
        (true, _) => vec![list()],
        // If two members have the same name, one would be lost.
        (false, _) if distinct() => vec![object()],
        (false, _) => vec![Value::String(text_of(text).into_owned())],
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
            ("<answer>4</answer><answer>5</answer>", "duplicate"),
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
