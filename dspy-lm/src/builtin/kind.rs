//! The kinds of values that a prompt asks for, read from the type notation in it.

use serde_json::{Map, Value};

/// How deep types may nest; what is deeper reads as a text.
const DEPTH: usize = 16;

/// What a value looks like.
#[derive(Debug, Clone, PartialEq, Default)]
pub(super) enum Kind {
    /// Free text.
    #[default]
    Text,
    /// A whole number.
    Integer,
    /// Any number.
    Number,
    /// One of these values; true and false for booleans.
    Choice(Vec<Value>),
    /// A list of items of one kind.
    List(Box<Kind>),
    /// A list of fixed length.
    Tuple(Vec<Kind>),
    /// An object with these members.
    Object(Vec<Member>),
    /// An object with any members.
    Map,
    /// A value or null.
    Nullable(Box<Kind>),
    /// Anything.
    Any,
}

/// A member of an object.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Member {
    pub(super) name: String,
    pub(super) optional: bool,
    pub(super) note: String,
    pub(super) kind: Kind,
}

impl Kind {
    /// Reads a notation such as `("a" | "b")[]`; what it cannot read is a text. `definitions` are the named types.
    pub(super) fn parse(notation: &str, definitions: &[(String, String)]) -> Kind {
        Reader { rest: notation, definitions, depth: 0 }.union()
    }

    /// The kind that a JSON Schema describes, as far as this model cares.
    pub(super) fn of_schema(schema: &Value) -> Kind {
        if let Some(values) = schema.get("enum").and_then(Value::as_array) {
            return Kind::Choice(values.clone());
        }
        match schema.get("type").and_then(Value::as_str) {
            Some("string") => Kind::Text,
            Some("integer") => Kind::Integer,
            Some("number") => Kind::Number,
            Some("boolean") => Kind::boolean(),
            Some("array") => {
                let items = schema.get("items").filter(|items| items.is_object());
                Kind::List(Box::new(items.map_or(Kind::Any, Kind::of_schema)))
            }
            Some("object") => Kind::Object(members_of_schema(schema)),
            _ => Kind::Any,
        }
    }

    pub(super) fn boolean() -> Kind {
        Kind::Choice(vec![true.into(), false.into()])
    }

    /// Whether the values are free text.
    pub(super) fn is_text(&self) -> bool {
        matches!(self, Kind::Text | Kind::Any)
    }

    /// The value that stands for `text`, written the way adapters write values of this kind.
    pub(super) fn read(&self, text: &str) -> Value {
        let text = text.trim();
        match self {
            Kind::Text => text.into(),
            Kind::Choice(choices) => {
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
        kind: Kind::of_schema(schema),
    };
    properties.iter().map(of).collect()
}

/// A value without quotes.
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

    /// Alternatives: constants together are a choice, null makes the rest nullable, else the first one counts.
    fn union(&mut self) -> Kind {
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
                Some(Item::Kind(kind)) => kinds.push(kind),
                None => break,
            }
            if !self.eat("|") {
                break;
            }
        }
        self.depth -= 1;
        let kind = if constants.is_empty() {
            let simple = kinds.iter().position(|kind| !matches!(kind, Kind::Object(_) | Kind::Map));
            if kinds.is_empty() { Kind::Text } else { kinds.swap_remove(simple.unwrap_or_default()) }
        } else {
            Kind::Choice(constants)
        };
        if nullable { Kind::Nullable(Box::new(kind)) } else { kind }
    }

    fn item(&mut self) -> Option<Item> {
        if self.depth > DEPTH {
            return None;
        }
        self.rest = self.rest.trim_start();
        let mut item = if self.eat("(") {
            let inner = self.union();
            self.eat(")");
            Item::Kind(inner)
        } else if self.eat("[") {
            Item::Kind(Kind::Tuple(self.separated("]")))
        } else if self.eat("{") {
            Item::Kind(self.object())
        } else if self.rest.starts_with('"') {
            Item::Constant(self.string()?)
        } else {
            self.word()?
        };
        while self.eat("[]") {
            let kind = match item {
                Item::Kind(kind) => kind,
                Item::Constant(value) => Kind::Choice(vec![value]),
            };
            item = Item::Kind(Kind::List(Box::new(kind)));
        }
        Some(item)
    }

    /// Limits, and what is said of alternatives. Neither changes what a value looks like.
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

    fn separated(&mut self, end: &str) -> Vec<Kind> {
        let mut kinds = Vec::new();
        while !self.eat(end) && !self.rest.trim_start().is_empty() {
            let before = self.rest.len();
            if self.eat("...") {
                // As many as there are: none.
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

    /// A JSON string constant.
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
        Some(Item::Kind(match word {
            "string" | "str" => Kind::Text,
            "integer" | "int" => Kind::Integer,
            "number" | "float" => Kind::Number,
            "boolean" | "bool" => Kind::boolean(),
            "any" => Kind::Any,
            "object" => Kind::Map,
            "code" => {
                // The name of a language may follow.
                if self.rest.starts_with(" in ") {
                    let end = self.rest.find(['|', ',', ')', ']', '\n']).unwrap_or(self.rest.len());
                    self.rest = &self.rest[end..];
                }
                Kind::Text
            }
            "null" | "true" | "false" => {
                return Some(Item::Constant(serde_json::from_str(word).unwrap_or_default()));
            }
            name => {
                if let Ok(value @ Value::Number(_)) = serde_json::from_str(name) {
                    return Some(Item::Constant(value));
                }
                let definition = self.definitions.iter().find(|(defined, _)| defined == name);
                let Some((_, text)) = definition else { return Some(Item::Kind(Kind::Text)) };
                Reader { rest: text, definitions: self.definitions, depth: self.depth + 4 }.union()
            }
        }))
    }

    fn object(&mut self) -> Kind {
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
        if members.is_empty() { Kind::Map } else { Kind::Object(members) }
    }

    /// The name of a member, bare or in quotes.
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

    /// The comment at the end of a member's line.
    fn note(&mut self) -> String {
        let Some(rest) = self.rest.trim_start_matches(' ').strip_prefix("//") else { return String::new() };
        let (note, rest) = rest.split_once('\n').unwrap_or((rest, ""));
        self.rest = rest;
        note.trim().to_owned()
    }
}

enum Item {
    Constant(Value),
    Kind(Kind),
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn parse(notation: &str) -> Kind {
        Kind::parse(notation, &[])
    }

    #[test]
    fn notations_are_read() {
        let choice = Kind::Choice(vec![json!("a"), json!("b | c")]);
        for (notation, kind) in [
            ("string", Kind::Text),
            ("integer | null", Kind::Nullable(Box::new(Kind::Integer))),
            ("boolean[]", Kind::List(Box::new(Kind::boolean()))),
            (r#""a" | "b | c""#, choice.clone()),
            (r#"("a" | "b | c")[]"#, Kind::List(Box::new(choice))),
            ("1 | 2", Kind::Choice(vec![json!(1), json!(2)])),
            ("[string, number]", Kind::Tuple(vec![Kind::Text, Kind::Number])),
            ("{ [key: string]: number }", Kind::Map),
            (r#"{ Search: { query: string } } | "Wait""#, Kind::Choice(vec![json!("Wait")])),
            ("(integer /* from 1 to 5 */)[] /* at least 1 item */", Kind::List(Box::new(Kind::Integer))),
            (r"{ [key: string /* matches /^\d+$/ */]: string }", Kind::Map),
            ("code in C++ | null", Kind::Nullable(Box::new(Kind::Text))),
            ("[string, ...integer[]]", Kind::Tuple(vec![Kind::Text])),
            (
                "(\n  | \"a\" // One, or | so.\n  | \"b\" // Two.\n)[]",
                Kind::List(Box::new(Kind::Choice(vec![json!("a"), json!("b")]))),
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
        let Kind::Object(members) = Kind::parse("Person", &definitions) else { panic!() };
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
        assert_eq!(parse("???"), Kind::Text);
    }
}
