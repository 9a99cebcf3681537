//! Values in inexact notations that the decoder is guaranteed to read.

use serde_json::{Number, Value};

use super::super::plan::{Extra, Node, NodeId, NodeKind, Schema};
use dspy_base::fold::fold;
use dspy_base::seed::Rng;

/// The name of a member that no type declares.
const NOTE: &str = "made_up";
/// A word that is not part of any number, boolean or choice.
const GARBLE: &str = "zzqx";

/// Returns the node of a type, or of its only branch besides null, unless it has further assertions.
fn plain(schema: &Schema, id: NodeId) -> Option<&Node> {
    let node = schema.node(id);
    match &node.kind {
        NodeKind::Union(union) => {
            let [only] = union.options.as_slice() else { return None };
            plain(schema, *only)
        }
        _ => node.checks.is_empty().then_some(node),
    }
}

/// Returns the text of a field.
pub(super) fn field(schema: &Schema, value: &Value, rng: &mut Rng) -> Option<String> {
    let node = plain(schema, schema.root);
    match (node.map(|node| &node.kind), value) {
        (_, Value::Array(_) | Value::Object(_)) => Some(structure(schema, value, rng)),
        (Some(NodeKind::Any) | None, _) => None,
        (Some(_), Value::Null) => Some("None".into()),
        (Some(NodeKind::Bool), Value::Bool(yes)) => Some(bold(truth(*yes, rng), rng)),
        (Some(NodeKind::Number(_)), Value::Number(number)) => Some(bold(&figure(number, rng), rng)),
        (Some(NodeKind::Choice(plan)), Value::String(choice)) if !plan.mixed && is_word(choice) => {
            Some(bold(&recased(choice, rng), rng))
        }
        _ => None,
    }
}

/// Writes a list or an object: as bullets, or as JSON with or without a fence.
fn structure(schema: &Schema, value: &Value, rng: &mut Rng) -> String {
    if let Some(bullets) = bullets(schema, value, rng) {
        return bullets;
    }
    if let Some(lone) = lone(schema, schema.root, value).filter(|_| rng.below(2) == 0) {
        return lone.to_owned();
    }
    let json = json(schema, value, rng);
    match rng.below(4) {
        0 => format!("```json\n{json}\n```"),
        1 => format!("```\n{json}\n```"),
        2 => format!("Here it is:\n\n```json\n{json}\n```"),
        _ => json,
    }
}

/// Returns the only item of a list of words.
fn lone<'v>(schema: &Schema, id: NodeId, value: &'v Value) -> Option<&'v str> {
    let (NodeKind::List(plan), [item]) = (&plain(schema, id)?.kind, value.as_array()?.as_slice()) else {
        return None;
    };
    let free = match &schema.node(plan.items?).kind {
        NodeKind::Text(text) => text.is_free(),
        _ => false,
    };
    item.as_str().filter(|text| free && plan.prefix.is_empty() && is_words(text))
}

fn bullets(schema: &Schema, value: &Value, rng: &mut Rng) -> Option<String> {
    let (Value::Array(items), NodeKind::List(plan)) = (value, &schema.node(schema.root).kind) else {
        return None;
    };
    let free = plan.items.is_some_and(|id| match &schema.node(id).kind {
        NodeKind::Text(plan) => plan.is_free(),
        _ => false,
    });
    let lines: Vec<&str> = items.iter().filter_map(Value::as_str).filter(|item| is_words(item)).collect();
    if !free || !plan.prefix.is_empty() || lines.len() != items.len() || lines.len() < 2 || rng.below(2) == 0
    {
        return None;
    }
    let style = rng.below(3);
    let line = |(index, line): (usize, &&str)| match style {
        0 => format!("- {line}"),
        1 => format!("* {line}"),
        _ => format!("{}. {line}", index + 1),
    };
    Some(lines.iter().enumerate().map(line).collect::<Vec<_>>().join("\n"))
}

/// Returns text that is not a value of the root in any reading.
pub(super) fn impossible(schema: &Schema, rng: &mut Rng) -> Option<String> {
    match &plain(schema, schema.root)?.kind {
        NodeKind::Number(_) if rng.below(2) == 0 => Some("somewhere between 3 and 5".into()),
        NodeKind::Choice(plan) if !plan.mixed && rng.below(2) == 0 => {
            let names: Vec<&str> = plan
                .items
                .iter()
                .filter_map(|item| item.value.as_str())
                .filter(|name| is_word(name))
                .collect();
            Some(match names.as_slice() {
                [one, .., other] => format!("{one} or {other}"),
                _ => GARBLE.into(),
            })
        }
        NodeKind::Number(_) | NodeKind::Bool | NodeKind::Choice(_) => Some(GARBLE.into()),
        _ => None,
    }
}

fn bold(text: &str, rng: &mut Rng) -> String {
    match rng.below(4) {
        0 => format!("**{text}**"),
        1 => format!("`{text}`"),
        2 => format!("\"{text}\""),
        _ => text.to_owned(),
    }
}

fn truth(yes: bool, rng: &mut Rng) -> &'static str {
    let words = if yes { ["Yes", "yes.", "True", "TRUE"] } else { ["No", "no.", "False", "FALSE"] };
    words[rng.below(words.len())]
}

/// Returns a number in a common notation.
fn figure(number: &Number, rng: &mut Rng) -> String {
    let text = number.to_string();
    let digits = text.trim_start_matches('-');
    let whole = digits.bytes().all(|byte| byte.is_ascii_digit());
    match rng.below(3) {
        // Three digits after a comma are read as thousands only if there is no other reading.
        0 if whole && digits.len() > 6 => {
            let sign = &text[..text.len() - digits.len()];
            let mut grouped = String::new();
            for (index, digit) in digits.chars().enumerate() {
                if index > 0 && (digits.len() - index).is_multiple_of(3) {
                    grouped.push(',');
                }
                grouped.push(digit);
            }
            format!("{sign}{grouped}")
        }
        1 if whole && digits.len() < 15 => format!("{text}.0"),
        _ => text,
    }
}

fn recased(choice: &str, rng: &mut Rng) -> String {
    match rng.below(3) {
        0 => choice.to_uppercase(),
        1 => choice.to_lowercase(),
        _ => choice.replace(['_', '-'], " "),
    }
}

/// Returns whether the text consists of letters, digits and joining characters.
fn is_word(text: &str) -> bool {
    text.chars().any(char::is_alphabetic)
        && text.chars().all(|c| c.is_ascii_alphanumeric() || "_- ".contains(c))
}

/// Returns whether the text is plain words on one line.
fn is_words(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_alphabetic())
        && text.chars().all(|c| c.is_ascii_alphabetic() || c == ' ')
}

/// Returns the value as JSON in a random style.
pub(super) fn json(schema: &Schema, value: &Value, rng: &mut Rng) -> String {
    let mut once = || rng.below(2) == 0;
    let manner = Manner {
        trailing_commas: once(),
        single_quotes: once(),
        bare_keys: once(),
        python: once(),
        lines: once(),
        comments: once(),
        respelt: once(),
        commas_forgotten: once(),
        shuffled: once(),
        talkative: once(),
    };
    let mut writer = Writer { schema, manner, out: String::new(), rng };
    writer.write(Some(schema.root), value, 0);
    writer.out
}

/// The style of one reply.
#[expect(clippy::struct_excessive_bools, reason = "independent habits")]
struct Manner {
    trailing_commas: bool,
    single_quotes: bool,
    bare_keys: bool,
    /// Whether literals are `True`, `False` and `None`.
    python: bool,
    lines: bool,
    comments: bool,
    /// Whether keys, choices and scalars have other spellings, and one-element lists have no brackets.
    respelt: bool,
    /// Whether commas at the end of a line are omitted.
    commas_forgotten: bool,
    /// Whether members are in another order.
    shuffled: bool,
    /// Whether members that were not requested are added.
    talkative: bool,
}

struct Writer<'s, 'r> {
    schema: &'s Schema,
    manner: Manner,
    out: String,
    rng: &'r mut Rng,
}

impl Writer<'_, '_> {
    /// Writes the value; without a node only the notation varies.
    fn write(&mut self, id: Option<NodeId>, value: &Value, depth: usize) {
        let node = id.and_then(|id| plain(self.schema, id));
        match value {
            Value::Array(_) if depth > 0 && self.manner.respelt && self.respells_lone(id, value) => {}
            Value::Array(items) => {
                let plan = match node.map(|node| &node.kind) {
                    Some(NodeKind::List(plan)) => Some(plan),
                    _ => None,
                };
                self.out.push('[');
                for (index, item) in items.iter().enumerate() {
                    self.begin(index, depth);
                    self.write(plan.and_then(|plan| plan.item(index)), item, depth + 1);
                }
                self.end(items.len(), depth, ']');
            }
            Value::Object(members) => {
                let plan = match node.map(|node| &node.kind) {
                    Some(NodeKind::Object(plan)) => Some(plan),
                    _ => None,
                };
                self.out.push('{');
                let mut members: Vec<_> = members.iter().collect();
                if self.manner.shuffled {
                    self.rng.shuffle(&mut members);
                }
                let note = Value::from("a remark");
                let closed = plan.is_some_and(|plan| {
                    matches!(plan.extra, Extra::Drop)
                        && plan.patterns.is_empty()
                        && !plan.folded.contains_key(&fold(NOTE))
                });
                let noted = NOTE.to_owned();
                if closed && self.manner.talkative && self.rng.below(4) == 0 {
                    members.push((&noted, &note));
                }
                for (index, (name, member)) in members.iter().copied().enumerate() {
                    self.begin(index, depth);
                    let prop = plan.and_then(|plan| Some((*plan.exact.get(name)?, plan)));
                    let spelt = prop.and_then(|(index, plan)| {
                        let camel = camel(name);
                        let free = plan.folded.get(&fold(&camel)) == Some(&Some(index));
                        (self.manner.respelt && free && !plan.exact.contains_key(&camel)).then_some(camel)
                    });
                    self.key(spelt.as_deref().unwrap_or(name));
                    self.out.push_str(": ");
                    self.write(prop.map(|(index, plan)| plan.props[index].node), member, depth + 1);
                }
                self.end(members.len(), depth, '}');
            }
            Value::String(text) => match node.map(|node| &node.kind) {
                Some(NodeKind::Choice(plan)) if self.manner.respelt && !plan.mixed && is_word(text) => {
                    let choice = recased(text, self.rng);
                    self.quote(&choice);
                }
                _ => self.quote(text),
            },
            Value::Number(number) => match node.map(|node| &node.kind) {
                Some(NodeKind::Number(_)) if self.manner.respelt && self.rng.below(3) == 0 => {
                    self.quote(&number.to_string());
                }
                _ => self.out.push_str(&number.to_string()),
            },
            Value::Bool(yes) => match node.map(|node| &node.kind) {
                Some(NodeKind::Bool) if self.manner.respelt && self.rng.below(3) == 0 => {
                    self.quote(if *yes { "yes" } else { "no" });
                }
                _ if self.manner.python => self.out.push_str(if *yes { "True" } else { "False" }),
                _ => self.out.push_str(if *yes { "true" } else { "false" }),
            },
            Value::Null => self.out.push_str(if self.manner.python { "None" } else { "null" }),
        }
    }

    /// Writes the only item of a list without brackets, if there is one and the style selects it.
    fn respells_lone(&mut self, id: Option<NodeId>, value: &Value) -> bool {
        let lone = id.and_then(|id| lone(self.schema, id, value)).filter(|_| self.rng.below(2) == 0);
        if let Some(text) = lone {
            self.quote(text);
        }
        lone.is_some()
    }

    /// Writes the text before an item.
    fn begin(&mut self, index: usize, depth: usize) {
        // Omitted on all lines or on none: if only one comma is missing, an item may be missing with it.
        let forgotten = self.manner.commas_forgotten && self.manner.lines;
        if index > 0 && !forgotten {
            self.out.push(',');
        }
        if self.manner.lines {
            if self.manner.comments && index > 0 && self.rng.below(4) == 0 {
                self.out.push_str(" // as asked");
            }
            self.line(depth + 1);
        } else if index > 0 {
            self.out.push(' ');
        }
    }

    fn end(&mut self, count: usize, depth: usize, bracket: char) {
        if count > 0 {
            if self.manner.trailing_commas {
                self.out.push(',');
            }
            if self.manner.lines {
                self.line(depth);
            }
        }
        self.out.push(bracket);
    }

    fn line(&mut self, depth: usize) {
        self.out.push('\n');
        self.out.push_str(&"  ".repeat(depth));
    }

    fn key(&mut self, name: &str) {
        let bare = name.starts_with(|c: char| c.is_ascii_alphabetic())
            && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
        if self.manner.bare_keys && bare {
            self.out.push_str(name);
        } else {
            self.quote(name);
        }
    }

    fn quote(&mut self, text: &str) {
        let simple = text.chars().all(|c| !c.is_control() && !"'\"\\".contains(c));
        if self.manner.single_quotes && simple {
            self.out.push('\'');
            self.out.push_str(text);
            self.out.push('\'');
        } else {
            self.out.push_str(&Value::from(text).to_string());
        }
    }
}

/// Converts `user_name` to `userName`, and `name` to `Name`.
fn camel(name: &str) -> String {
    let mut out = String::with_capacity(name.len());
    let mut up = !name.contains('_');
    for c in name.chars() {
        if c == '_' {
            up = true;
        } else if std::mem::take(&mut up) {
            out.extend(c.to_uppercase());
        } else {
            out.push(c);
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use crate::Plan;
    use dspy_base::seed::Seed;

    #[test]
    fn what_is_written_carelessly_reads_as_the_same_value() {
        for schema in [
            json!({"type": "boolean"}),
            json!({"type": "integer"}),
            json!({"type": "integer", "minimum": 1_000_000}),
            json!({"type": "number"}),
            json!({"type": ["integer", "null"]}),
            json!({"enum": ["very_high", "low", "medium"]}),
            json!({"type": "array", "items": {"type": "string"}}),
            json!({"type": "array", "items": {"type": "integer"}}),
            json!({"type": "array", "items": {"enum": ["red", "dark-blue"]}}),
            json!({"type": "object", "additionalProperties": {"type": "number"}}),
            json!({"type": "object", "properties": {"user_name": {"type": "string"}, "age": {"type": "integer"},
                "ok": {"type": "boolean"}, "kind": {"enum": ["big", "small"]}, "tags": {"type": "array", "items": {"type": "string"}},
                "maybe": {"type": ["string", "null"]}}, "required": ["user_name", "age", "ok", "kind", "tags"]}),
        ] {
            let plan = Plan::new(&schema).unwrap();
            for seed in 0..300 {
                let rng = &mut Seed::new(seed).rng();
                let value = plan.sample(rng).unwrap();
                let json = plan.careless_json(&value, rng);
                if value.is_object() || value.is_array() {
                    let read = plan.decode(&json).unwrap_or_else(|error| panic!("{error}\n{json}\n{value}"));
                    assert_eq!(read.value, value, "{json}");
                }
                if let Some(text) = plan.careless_text(&value, rng) {
                    let read = plan.decode(&text).unwrap_or_else(|error| panic!("{error}\n{text}\n{value}"));
                    assert!(super::super::plan::same(&read.value, &value), "{text}\n{value}\n{}", read.value);
                }
                if let Some(text) = plan.impossible_text(rng) {
                    assert!(plan.decode(&text).is_err(), "{text}");
                }
            }
        }
    }
}
