//! Types of values, parsed from the type notation in prompts.

use serde_json::{Map, Value};

/// The maximum nesting depth of types; deeper ones are parsed as text.
const DEPTH: usize = 16;

/// The type of a value.
#[derive(Debug, Clone, PartialEq, Default)]
pub(super) enum ValueType {
    /// Free text.
    #[default]
    Text,
    /// A whole number.
    Integer,
    /// Any number.
    Number,
    /// One of these values; booleans are a choice of `true` and `false`.
    Choice(Vec<Value>),
    /// A list of items of one type.
    List(Box<ValueType>),
    /// A list of fixed length.
    Tuple(Vec<ValueType>),
    /// An object with these members.
    Object(Vec<Member>),
    /// An object with any members.
    Map,
    /// A value or null.
    Nullable(Box<ValueType>),
    /// Any value.
    Any,
}

/// A member of an object.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Member {
    pub(super) name: String,
    pub(super) optional: bool,
    pub(super) note: String,
    pub(super) kind: ValueType,
}

impl ValueType {
    /// Parses a notation such as `("a" | "b")[]`. Unknown notations are parsed as text. `definitions` are the
    /// named types.
    pub(super) fn parse(notation: &str, definitions: &[(String, String)]) -> ValueType {
        Reader { rest: notation, definitions, depth: 0 }.union()
    }

    /// Returns the type that a JSON Schema describes, by its `enum`, `type`, `items` and `properties`.
    pub(super) fn of_schema(schema: &Value) -> ValueType {
        if let Some(values) = schema.get("enum").and_then(Value::as_array) {
            return ValueType::Choice(values.clone());
        }
        match schema.get("type").and_then(Value::as_str) {
            Some("string") => ValueType::Text,
            Some("integer") => ValueType::Integer,
            Some("number") => ValueType::Number,
            Some("boolean") => ValueType::boolean(),
            Some("array") => {
                let items = schema.get("items").filter(|items| items.is_object());
                ValueType::List(Box::new(items.map_or(ValueType::Any, ValueType::of_schema)))
            }
            Some("object") => ValueType::Object(members_of_schema(schema)),
            _ => ValueType::Any,
        }
    }

    pub(super) fn boolean() -> ValueType {
        ValueType::Choice(vec![true.into(), false.into()])
    }

    /// Returns whether the values are free text.
    pub(super) fn is_text(&self) -> bool {
        matches!(self, ValueType::Text | ValueType::Any)
    }

    /// Parses a value of this type from the notation of adapters; `text` itself if it cannot be parsed.
    pub(super) fn read(&self, text: &str) -> Value {
        let text = text.trim();
        match self {
            ValueType::Text => text.into(),
            ValueType::Choice(choices) => {
                let same = |choice: &&Value| plain(choice).eq_ignore_ascii_case(text.trim_matches('"'));
                choices.iter().find(same).cloned().unwrap_or_else(|| text.into())
            }
            _ => serde_json::from_str(text).unwrap_or_else(|_| text.into()),
        }
    }
}

fn members_of_schema(schema: &Value) -> Vec<Member> {
    let empty = Map::new();
    let properties = schema.get("properties").and_then(Value::as_object).unwrap_or(&empty);
    let of = |(name, schema): (&String, &Value)| Member {
        name: name.clone(),
        optional: false,
        note: schema.get("description").and_then(Value::as_str).unwrap_or_default().to_owned(),
        kind: ValueType::of_schema(schema),
    };
    properties.iter().map(of).collect()
}

/// Converts a value to a string: strings without quotes, other values as JSON.
pub(super) fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

struct Reader<'a> {
    rest: &'a str,
    definitions: &'a [(String, String)],
    depth: usize,
}

impl Reader<'_> {
    fn eat(&mut self, token: &str) -> bool {
        let found = self.rest.trim_start().strip_prefix(token);
        self.rest = found.unwrap_or(self.rest);
        found.is_some()
    }

    /// Parses alternatives: constants form a choice, null makes the rest nullable, and of other types the
    /// first one that is not an object counts.
    fn union(&mut self) -> ValueType {
        self.depth += 1;
        let mut constants = Vec::new();
        let mut kinds = Vec::new();
        let mut nullable = false;
        // The rows of a list of alternatives begin with a bar.
        self.eat("|");
        loop {
            let item = self.item();
            self.comments();
            match item {
                Some(Item::Constant(Value::Null)) => nullable = true,
                Some(Item::Constant(value)) => constants.push(value),
                Some(Item::ValueType(kind)) => kinds.push(kind),
                None => break,
            }
            if !self.eat("|") {
                break;
            }
        }
        self.depth -= 1;
        let kind = if constants.is_empty() {
            let simple = kinds.iter().position(|kind| !matches!(kind, ValueType::Object(_) | ValueType::Map));
            if kinds.is_empty() { ValueType::Text } else { kinds.swap_remove(simple.unwrap_or_default()) }
        } else {
            ValueType::Choice(constants)
        };
        if nullable { ValueType::Nullable(Box::new(kind)) } else { kind }
    }

    fn item(&mut self) -> Option<Item> {
        if self.depth > DEPTH {
            return None;
        }
        self.rest = self.rest.trim_start();
        let mut item = if self.eat("(") {
            let inner = self.union();
            self.eat(")");
            Item::ValueType(inner)
        } else if self.eat("[") {
            Item::ValueType(ValueType::Tuple(self.separated("]")))
        } else if self.eat("{") {
            Item::ValueType(self.object())
        } else if self.rest.starts_with('"') {
            Item::Constant(self.string()?)
        } else {
            self.word()?
        };
        while self.eat("[]") {
            let kind = match item {
                Item::ValueType(kind) => kind,
                Item::Constant(value) => ValueType::Choice(vec![value]),
            };
            item = Item::ValueType(ValueType::List(Box::new(kind)));
        }
        Some(item)
    }

    /// Skips comments, which hold constraints and descriptions of alternatives; neither changes the type.
    fn comments(&mut self) {
        loop {
            let rest = self.rest.trim_start();
            if let Some((_, after)) = rest.strip_prefix("/*").and_then(|rest| rest.split_once("*/")) {
                self.rest = after;
            } else if let Some((_, after)) = rest.strip_prefix("//").and_then(|rest| rest.split_once('\n'))
                && after.trim_start().starts_with(['|', ')'])
            {
                self.rest = after;
            } else {
                return;
            }
        }
    }

    fn separated(&mut self, end: &str) -> Vec<ValueType> {
        let mut kinds = Vec::new();
        while !self.eat(end) && !self.rest.trim_start().is_empty() {
            let before = self.rest.len();
            if self.eat("...") {
                // Rest items are optional, so none are added.
                self.union();
            } else {
                kinds.push(self.union());
            }
            self.eat("?");
            self.eat(",");
            if self.rest.len() == before {
                break;
            }
        }
        kinds
    }

    /// Parses a JSON string constant.
    fn string(&mut self) -> Option<Value> {
        let mut values = serde_json::Deserializer::from_str(self.rest).into_iter::<Value>();
        let value = values.next()?.ok()?;
        self.rest = &self.rest[values.byte_offset()..];
        Some(value)
    }

    fn word(&mut self) -> Option<Item> {
        let ends = |c: char| !(c.is_alphanumeric() || matches!(c, '_' | '.' | '-' | '+'));
        let (word, rest) = self.rest.split_at(self.rest.find(ends).unwrap_or(self.rest.len()));
        if word.is_empty() {
            return None;
        }
        self.rest = rest;
        Some(Item::ValueType(match word {
            "string" | "str" => ValueType::Text,
            "integer" | "int" => ValueType::Integer,
            "number" | "float" => ValueType::Number,
            "boolean" | "bool" => ValueType::boolean(),
            "any" => ValueType::Any,
            "object" => ValueType::Map,
            "code" => {
                // The name of a language may follow.
                if self.rest.starts_with(" in ") {
                    let end = self.rest.find(['|', ',', ')', ']', '\n']).unwrap_or(self.rest.len());
                    self.rest = &self.rest[end..];
                }
                ValueType::Text
            }
            "null" | "true" | "false" => {
                return Some(Item::Constant(serde_json::from_str(word).unwrap_or_default()));
            }
            name => {
                if let Ok(value @ Value::Number(_)) = serde_json::from_str(name) {
                    return Some(Item::Constant(value));
                }
                let definition = self.definitions.iter().find(|(defined, _)| defined == name);
                let Some((_, text)) = definition else { return Some(Item::ValueType(ValueType::Text)) };
                Reader { rest: text, definitions: self.definitions, depth: self.depth + 4 }.union()
            }
        }))
    }

    fn object(&mut self) -> ValueType {
        let mut members = Vec::new();
        while !self.eat("}") && !self.rest.trim_start().is_empty() {
            if self.eat("[key:") {
                self.union();
                self.eat("]");
                self.eat(":");
                self.union();
                self.eat(",");
                self.note();
                continue;
            }
            let Some(name) = self.name() else { break };
            let optional = self.eat("?");
            if !self.eat(":") {
                break;
            }
            let kind = self.union();
            self.eat(",");
            let note = self.note();
            members.push(Member { name, optional, note, kind });
        }
        if members.is_empty() { ValueType::Map } else { ValueType::Object(members) }
    }

    /// Parses the name of a member, with or without quotes.
    fn name(&mut self) -> Option<String> {
        self.rest = self.rest.trim_start();
        if self.rest.starts_with('"') {
            return self.string()?.as_str().map(str::to_owned);
        }
        let end = self.rest.find(['?', ':', '\n'])?;
        let (name, rest) = self.rest.split_at(end);
        self.rest = rest;
        Some(name.trim().to_owned())
    }

    /// Parses the comment at the end of a member's line.
    fn note(&mut self) -> String {
        let Some(rest) = self.rest.trim_start_matches(' ').strip_prefix("//") else { return String::new() };
        let (note, rest) = rest.split_once('\n').unwrap_or((rest, ""));
        self.rest = rest;
        note.trim().to_owned()
    }
}

enum Item {
    Constant(Value),
    ValueType(ValueType),
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn parse(notation: &str) -> ValueType {
        ValueType::parse(notation, &[])
    }

    #[test]
    fn notations_are_read() {
        let choice = ValueType::Choice(vec![json!("a"), json!("b | c")]);
        for (notation, kind) in [
            ("string", ValueType::Text),
            ("integer | null", ValueType::Nullable(Box::new(ValueType::Integer))),
            ("boolean[]", ValueType::List(Box::new(ValueType::boolean()))),
            (r#""a" | "b | c""#, choice.clone()),
            (r#"("a" | "b | c")[]"#, ValueType::List(Box::new(choice))),
            ("1 | 2", ValueType::Choice(vec![json!(1), json!(2)])),
            ("[string, number]", ValueType::Tuple(vec![ValueType::Text, ValueType::Number])),
            ("{ [key: string]: number }", ValueType::Map),
            (r#"{ Search: { query: string } } | "Wait""#, ValueType::Choice(vec![json!("Wait")])),
            (
                "(integer /* from 1 to 5 */)[] /* at least 1 item */",
                ValueType::List(Box::new(ValueType::Integer)),
            ),
            (r"{ [key: string /* matches /^\d+$/ */]: string }", ValueType::Map),
            ("code in C++ | null", ValueType::Nullable(Box::new(ValueType::Text))),
            ("[string, ...integer[]]", ValueType::Tuple(vec![ValueType::Text])),
            (
                "(\n  | \"a\" // One, or | so.\n  | \"b\" // Two.\n)[]",
                ValueType::List(Box::new(ValueType::Choice(vec![json!("a"), json!("b")]))),
            ),
        ] {
            assert_eq!(parse(notation), kind, "{notation}");
        }
    }

    #[test]
    fn objects_have_members_with_notes() {
        let definitions = vec![(
            "Person".to_owned(),
            "{\n  name: string, // Full name.\n  age?: integer /* at least 0 */ | null,\n  \"best: friend\": (\n    | \
             Person // One.\n    | null\n  ), // Or none.\n}"
                .to_owned(),
        )];
        let ValueType::Object(members) = ValueType::parse("Person", &definitions) else { panic!() };
        let seen: Vec<_> = members.iter().map(|m| (m.name.as_str(), m.optional, m.note.as_str())).collect();
        assert_eq!(
            seen,
            [("name", false, "Full name."), ("age", true, ""), ("best: friend", false, "Or none.")]
        );
    }

    #[test]
    fn nonsense_is_text() {
        for notation in ["", "((((", "{{{{", "\"open", "| | |", "[[[[[[[[[[[[[[[[[[[[[[", "{ a: { b: {"] {
            parse(notation);
        }
        assert_eq!(parse("???"), ValueType::Text);
    }
}
