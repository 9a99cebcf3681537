//! A parser for the chat messages of adapters: fields, instruction, demonstrations and the current question.

use dspy_base::prompt_format::{ANSWER_WITH, COMPLETED, NOT_GIVEN, TASK};
use serde_json::{Map, Value};

use super::choice_hints::Prose;
use super::sections::{self, unescape};
use super::value_type::ValueType;
use crate::{Message, Request, ResponseFormat, Role};

/// Headings of the instruction in a system message: of the adapters, and of Python DSPy.
const TASK_HEADINGS: [&str; 2] = [TASK, "your objective is:"];

/// The layout of the reply.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Layout {
    /// Sections with markers.
    Sections,
    /// One JSON object.
    Json,
    /// No prescribed layout.
    Free,
}

/// A field as the prompt describes it.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Field {
    pub(super) name: String,
    pub(super) description: String,
    pub(super) kind: ValueType,
    /// Constraints on the value, such as `from 0 to 10`.
    pub(super) limits: String,
    /// Descriptions of individual values.
    pub(super) choices: Vec<(Value, String)>,
}

/// One demonstration: the text of each input and the value of each output, in the order of the fields.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Demo {
    pub(super) inputs: Vec<Option<String>>,
    pub(super) outputs: Vec<Option<Value>>,
}

/// The contents of a conversation before the current question.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Brief {
    pub(super) instruction: String,
    pub(super) inputs: Vec<Field>,
    pub(super) outputs: Vec<Field>,
    pub(super) demos: Vec<Demo>,
    pub(super) layout: Layout,
}

/// The current question.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Question {
    /// The text of each input, in the order of the fields.
    pub(super) inputs: Vec<Option<String>>,
    /// Rejected values, by output.
    pub(super) rejected: Vec<Option<Value>>,
    /// The whole text of the message with the question.
    pub(super) text: String,
}

/// Returns the index of the message with the current question. Only re-prompts for invalid replies can follow
/// it.
pub(super) fn asking(messages: &[Message]) -> usize {
    let asks = |message: &Message| {
        let text = message.text();
        message.role == Role::User
            && (sections::read(&text).next().is_some() || without_request(&text).len() < text.len())
    };
    let last_user = messages.iter().rposition(|message| message.role == Role::User);
    messages.iter().rposition(asks).or(last_user).unwrap_or(messages.len())
}

impl Brief {
    /// Parses the messages before the one at `asking`. Fields and layout that the system message does not
    /// state are taken from the response format and the message at `asking`.
    pub(super) fn read(request: &Request, asking: usize) -> Brief {
        let messages = &request.messages;
        let system: Vec<_> = messages.iter().filter(|message| message.role == Role::System).collect();
        let system = system.iter().map(|message| message.text()).collect::<Vec<_>>().join("\n\n");
        let question = messages.get(asking).map(Message::text).unwrap_or_default();
        let mut brief = Brief::of_system(&system);
        if brief.inputs.is_empty() {
            let named = sections::read(&question).map(|(name, _)| Field::text(name));
            brief.inputs = named.collect();
        }
        if let ResponseFormat::JsonSchema { schema, .. } = &request.format
            && brief.outputs.is_empty()
            && let ValueType::Object(members) = ValueType::of_schema(schema)
        {
            let field = |member: super::value_type::Member| Field {
                name: member.name,
                description: member.note,
                kind: member.kind,
                ..Field::default()
            };
            brief.outputs = members.into_iter().map(field).collect();
        }
        if brief.outputs.is_empty() {
            brief.outputs = asked_outputs(&question).into_iter().map(Field::text).collect();
        }
        let json = request.format != ResponseFormat::Text
            || [&system, &*question].iter().any(|text| text.contains("one JSON object"));
        brief.layout = match (brief.outputs.is_empty(), json) {
            (_, true) => Layout::Json,
            (false, false) => Layout::Sections,
            (true, false) => Layout::Free,
        };
        let earlier: Vec<_> = messages.iter().take(asking).filter(|m| m.role != Role::System).collect();
        brief.demos = earlier
            .windows(2)
            .filter(|pair| pair[0].role == Role::User && pair[1].role == Role::Assistant)
            .map(|pair| brief.demo(&pair[0].text(), &pair[1].text()))
            .filter(|demo| demo.outputs.iter().any(Option::is_some))
            .collect();
        brief
    }

    /// Returns the parts in which rules about choices are found.
    pub(super) fn prose(&self) -> Prose<'_> {
        Prose { instruction: &self.instruction, inputs: &self.inputs }
    }

    fn of_system(text: &str) -> Brief {
        let heading = TASK_HEADINGS.iter().find_map(|heading| Some((text.rfind(heading)?, heading.len())));
        let (fields, instruction) = match heading {
            Some((at, length)) => (&text[..at], &text[at + length..]),
            None if text.contains("\n1. `") => (text, ""),
            None => ("", text),
        };
        let lines: Vec<_> = instruction.lines().map(str::trim).collect();
        let definitions = definitions(fields);
        Brief {
            instruction: lines.join("\n").trim().to_owned(),
            inputs: field_list(fields, "nput fields", &definitions),
            outputs: field_list(fields, "utput fields", &definitions),
            demos: Vec::new(),
            layout: Layout::Free,
        }
    }

    /// Returns the text of each input in a user message.
    pub(super) fn inputs_in(&self, text: &str) -> Vec<Option<String>> {
        let mut inputs = vec![None; self.inputs.len()];
        for (name, section) in sections::read(without_request(text)) {
            if let Some(at) = self.inputs.iter().position(|field| field.name == name) {
                inputs[at] = Some(unescape(section));
            }
        }
        inputs
    }

    /// Returns the value of each output in an assistant message.
    pub(super) fn outputs_in(&self, text: &str) -> Vec<Option<Value>> {
        let mut outputs = vec![None; self.outputs.len()];
        if let Ok(Value::Object(mut members)) = serde_json::from_str::<Value>(text.trim()) {
            for (output, field) in outputs.iter_mut().zip(&self.outputs) {
                *output = members.shift_remove(&field.name);
            }
        } else {
            for (name, section) in sections::read(text) {
                if let Some(at) = self.outputs.iter().position(|field| field.name == name) {
                    outputs[at] = Some(self.outputs[at].kind.read(&unescape(section)));
                }
            }
        }
        for output in &mut outputs {
            if output.as_ref().and_then(Value::as_str).is_some_and(|text| text.starts_with(NOT_GIVEN)) {
                *output = None;
            }
        }
        outputs
    }

    fn demo(&self, question: &str, answer: &str) -> Demo {
        Demo { inputs: self.inputs_in(question), outputs: self.outputs_in(answer) }
    }

    /// Parses the message at `asking` and the re-prompts after it.
    pub(super) fn question(&self, messages: &[Message], asking: usize) -> Question {
        let text = messages.get(asking).map(|message| message.text().into_owned()).unwrap_or_default();
        let mut rejected = vec![None; self.outputs.len()];
        let after = messages.get(asking + 1..).unwrap_or_default();
        for pair in after.windows(2).filter(|pair| pair[1].role == Role::User) {
            let complaint = pair[1].text();
            let answers = self.outputs_in(&pair[0].text());
            for ((slot, answer), field) in rejected.iter_mut().zip(answers).zip(&self.outputs) {
                if complaint.contains(&format!("`{}", field.name)) {
                    *slot = answer;
                }
            }
        }
        Question { inputs: self.inputs_in(&text), rejected, text }
    }
}

impl Field {
    fn text(name: impl Into<String>) -> Field {
        Field { name: name.into(), ..Field::default() }
    }
}

/// Returns a user message without the closing request for the format of the answer.
fn without_request(text: &str) -> &str {
    let starts = [ANSWER_WITH, "Respond with "];
    let tail = starts.iter().filter_map(|start| text.rfind(start));
    let tail = tail.filter(|at| *at == 0 || text[..*at].ends_with('\n')).max();
    tail.map_or(text, |at| &text[..at])
}

/// Returns the names of the outputs in the closing request.
fn asked_outputs(text: &str) -> Vec<String> {
    let tail = &text[without_request(text).len()..];
    let mut names: Vec<String> = Vec::new();
    for part in tail.split('`').skip(1).step_by(2) {
        let name = part.trim_matches(|c: char| matches!(c, '[' | ']' | '#' | ' '));
        if !name.is_empty() && name != COMPLETED && !names.iter().any(|known| known == name) {
            names.push(name.to_owned());
        }
    }
    names
}

/// Parses the list of fields below a heading: `` 1. `name` (type): description ``, with indented lines about
/// the field.
fn field_list(text: &str, heading: &str, definitions: &[Definition]) -> Vec<Field> {
    let mut fields: Vec<Field> = Vec::new();
    let Some(at) = text.find(heading) else { return fields };
    let mut rest = after_line(&text[at..]);
    while !rest.is_empty() {
        if let Some((field, after)) = first_field(rest, definitions) {
            fields.push(field);
            rest = after;
            continue;
        }
        let line = rest.lines().next().unwrap_or_default();
        rest = after_line(rest);
        if let (Some(line), Some(field)) = (line.strip_prefix("   "), fields.last_mut()) {
            field.add_line(line);
        } else if !fields.is_empty() || !line.trim().is_empty() {
            break;
        }
    }
    fields
}

/// Parses the field that the text begins with, and returns it with the text after its line. The type of a field may
/// take several lines, and ends before the next field.
fn first_field<'t>(text: &'t str, definitions: &[Definition]) -> Option<(Field, &'t str)> {
    let (name, rest) = field_name(text)?;
    let rest = rest.trim_start_matches(' ').strip_prefix('(')?;
    let mut lines = rest.split_inclusive('\n');
    let first = lines.next().unwrap_or_default().len();
    let more: usize = lines.take_while(|line| field_name(line).is_none()).map(str::len).sum();
    let close = closing(&rest[..first + more])?;
    let after = &rest[close + 1..];
    let description = after.lines().next().unwrap_or_default();
    let own = |definition: &&Definition| definition.field.as_deref().is_some_and(|field| field == name);
    let common = |definition: &&Definition| definition.field.is_none();
    let known = definitions.iter().filter(own).chain(definitions.iter().filter(common));
    let known: Vec<(String, String)> = known.map(|d| (d.name.clone(), d.text.clone())).collect();
    let field = Field {
        name: name.to_owned(),
        description: description.trim_start_matches(':').trim().to_owned(),
        kind: ValueType::parse(&rest[..close], &known),
        ..Field::default()
    };
    Some((field, after_line(after)))
}

/// Parses the number and the name of a field, and returns the name with the text after it.
fn field_name(text: &str) -> Option<(&str, &str)> {
    let (number, rest) = text.split_at(text.find(|c: char| !c.is_ascii_digit())?);
    let (name, rest) = rest.strip_prefix(". `")?.split_once('`')?;
    (!number.is_empty() && !name.contains('\n')).then_some((name, rest))
}

fn after_line(text: &str) -> &str {
    text.split_once('\n').map_or("", |(_, after)| after)
}

/// Returns the position of the parenthesis that closes one opened right before `text`. Strings and comments are skipped.
fn closing(text: &str) -> Option<usize> {
    let (mut depth, mut quoted, mut at) = (0_usize, false, 0);
    while let Some(c) = text[at..].chars().next() {
        let rest = &text[at..];
        match c {
            '\\' if quoted => at += rest[1..].chars().next().map_or(0, char::len_utf8),
            '"' => quoted = !quoted,
            '/' if !quoted => at += comment(rest, &text[..at]),
            '(' if !quoted => depth += 1,
            ')' if !quoted && depth == 0 => return Some(at),
            ')' if !quoted => depth -= 1,
            _ => {}
        }
        at += c.len_utf8();
    }
    None
}

/// Returns the number of bytes before the last one of the comment that the text begins with, or 0 if it begins with none.
fn comment(text: &str, before: &str) -> usize {
    if text.starts_with("/*") {
        return text.find("*/").map_or(0, |end| end + 1);
    }
    // A path in a string without quotation marks has no space before.
    let starts = text.starts_with("//") && before.ends_with(char::is_whitespace);
    if starts { text.find('\n').unwrap_or_default() } else { 0 }
}

impl Field {
    /// Adds an indented line below the field: constraints, the description of one value, or more of the
    /// description.
    fn add_line(&mut self, line: &str) {
        if let Some(limits) = line.strip_prefix("Must be: ") {
            limits.clone_into(&mut self.limits);
            return;
        }
        if let Some(choice) = line.strip_prefix("- ") {
            let mut values = serde_json::Deserializer::from_str(choice).into_iter::<Value>();
            if let Some(Ok(value)) = values.next()
                && let Some(description) = choice[values.byte_offset()..].strip_prefix(':')
            {
                self.choices.push((value, description.trim().to_owned()));
                return;
            }
        }
        self.description.push('\n');
        self.description.push_str(line);
    }
}

/// A named type.
struct Definition {
    /// The only field that has the type by this name; `None` for all.
    field: Option<String>,
    name: String,
    text: String,
}

/// Parses the named types, `Name = …`, each with the lines that follow it.
fn definitions(text: &str) -> Vec<Definition> {
    let mut found: Vec<Definition> = Vec::new();
    let own = |line: &str| Some(line.strip_prefix("Types of `")?.strip_suffix("`:")?.to_owned());
    let (mut inside, mut field) = (false, None);
    for line in text.lines() {
        if line == "Types:" || own(line).is_some() {
            (inside, field) = (true, own(line));
            continue;
        }
        if !inside {
            continue;
        }
        let is_name = |name: &str| !name.is_empty() && name.chars().all(|c| c.is_alphanumeric() || c == '_');
        match line.split_once(" = ").filter(|(name, _)| is_name(name)) {
            Some((name, rest)) => {
                found.push(Definition { field: field.clone(), name: name.into(), text: rest.into() });
            }
            None if line.is_empty() => inside = false,
            None => {
                if let Some(Definition { text, .. }) = found.last_mut() {
                    text.push('\n');
                    text.push_str(line);
                }
            }
        }
    }
    found
}

/// Creates a JSON object from names and values, in this order.
pub(super) fn object(members: impl IntoIterator<Item = (String, Value)>) -> Value {
    Value::Object(members.into_iter().collect::<Map<_, _>>())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outputs(system: &str) -> Vec<Field> {
        Brief::of_system(system).outputs
    }

    #[test]
    fn the_type_of_a_field_may_take_several_lines() {
        let system = "Output fields:\n\
            1. `changes` ({\n  type: \"ADD\" | \"DROP\", // One of (these.\n  id?: string /* matches /^(x$/ */, // Its \"id.\n\
            }[]): The changes.\n   Of a list.\n\
            2. `why` (string)\n   Must be: at most 5 words\n\n\
            Your task:\n        Keep a list.";
        let fields = outputs(system);
        let names: Vec<_> = fields.iter().map(|field| field.name.as_str()).collect();
        assert_eq!(names, ["changes", "why"]);
        assert_eq!(fields[0].description, "The changes.\nOf a list.");
        let ValueType::List(item) = &fields[0].kind else { panic!("{:?}", fields[0].kind) };
        let ValueType::Object(members) = &**item else { panic!("{item:?}") };
        let members: Vec<_> =
            members.iter().map(|m| (m.name.as_str(), m.optional, m.note.as_str())).collect();
        assert_eq!(members, [("type", false, "One of (these."), ("id", true, "Its \"id.")]);
        assert_eq!((&fields[1].kind, &*fields[1].limits), (&ValueType::Text, "at most 5 words"));
    }

    #[test]
    fn a_type_that_never_ends_hides_no_other_field() {
        let fields = outputs("Output fields:\n1. `a` (string): A.\n2. `b` ({\n3. `c` (integer)");
        assert_eq!(fields.iter().map(|field| &*field.name).collect::<Vec<_>>(), ["a"]);
        let many = format!("Output fields:\n{}", "1. `a` (\n".repeat(20_000));
        assert!(outputs(&many).is_empty());
    }

    #[test]
    fn the_types_of_one_field_are_its_own() {
        let fields = outputs(
            "Output fields:\n1. `a` (Tone)\n2. `b` (Tone)\n3. `c` (Size)\nTypes:\nSize = 1 | 2\nTypes of `a`:\n\
             Tone = \"low\"\n  | \"high\"\nTypes of `b`:\nTone = integer\n\nYour task:",
        );
        let kinds: Vec<_> = fields.into_iter().map(|field| field.kind).collect();
        let choice = |values: [Value; 2]| ValueType::Choice(values.into());
        assert_eq!(
            kinds,
            [choice(["low".into(), "high".into()]), ValueType::Integer, choice([1.into(), 2.into()])]
        );
    }
}
