//! The string form of signatures, `"question, context: list[str] -> answer: float"`, at run time.

use std::fmt;
use std::str::FromStr;

use serde_json::{Value, json};

use super::field_type::root_schema;
use super::{FieldSpec, Role, SignatureSpec};
use crate::error::clipped;
use crate::types::{Audio, BigInt, Citations, Code, Document, File, History, Image};

/// A signature string that does not parse, with the byte offset of the problem.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GrammarError {
    /// Where in the string, in bytes.
    pub offset: usize,
    message: String,
    text: String,
}

impl fmt::Display for GrammarError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Of a long text, what stands around the place.
        const AROUND: usize = 160;
        let offset = self.text.floor_char_boundary(self.offset);
        let start = self.text.floor_char_boundary(offset.saturating_sub(AROUND));
        let end = self.text.ceil_char_boundary(offset.saturating_add(AROUND).min(self.text.len()));
        let (before, after) =
            (if start > 0 { "…" } else { "" }, if end < self.text.len() { "…" } else { "" });
        let column = self.text[start..offset].chars().count() + before.chars().count();
        let (message, shown) = (clipped(self.message.as_str()), &self.text[start..end]);
        write!(f, "{message}\n  {before}{shown}{after}\n  {:column$}^", "")
    }
}

impl std::error::Error for GrammarError {}

impl FromStr for SignatureSpec {
    type Err = GrammarError;

    fn from_str(text: &str) -> Result<Self, GrammarError> {
        let mut parser = Parser { text, at: 0 };
        let mut fields = parser.fields(Role::Input)?;
        if !parser.eat("->") {
            return Err(parser.error("expected `,` or `->`; a signature reads `inputs -> outputs`"));
        }
        let outputs_at = parser.at;
        let outputs = parser.fields(Role::Output)?;
        parser.skip_space();
        if parser.at < text.len() {
            return Err(parser.error("expected `,` or the end of the signature"));
        }
        if outputs.is_empty() {
            parser.at = outputs_at;
            return Err(parser.error("no output fields; name at least one after `->`"));
        }
        for (field, at) in outputs {
            if fields.iter().any(|(other, _)| other.name() == field.name()) {
                parser.at = at;
                return Err(parser.error(&format!("`{}` is both an input and an output", field.name())));
            }
            fields.push((field, at));
        }
        Ok(SignatureSpec::new("StringSignature", "", fields.into_iter().map(|(field, _)| field)))
    }
}

struct Parser<'a> {
    text: &'a str,
    at: usize,
}

impl Parser<'_> {
    fn error(&self, message: &str) -> GrammarError {
        GrammarError { offset: self.at, message: message.to_owned(), text: self.text.to_owned() }
    }

    fn rest(&self) -> &str {
        &self.text[self.at..]
    }

    fn skip_space(&mut self) {
        self.at += self.rest().len() - self.rest().trim_start().len();
    }

    fn eat(&mut self, token: &str) -> bool {
        self.skip_space();
        let found = self.rest().starts_with(token);
        if found {
            self.at += token.len();
        }
        found
    }

    fn expect(&mut self, token: &str) -> Result<(), GrammarError> {
        if self.eat(token) { Ok(()) } else { Err(self.error(&format!("expected `{token}`"))) }
    }

    fn word(&mut self) -> Option<(String, usize)> {
        self.skip_space();
        let rest = self.rest();
        let end = rest.find(|c: char| !(c.is_alphanumeric() || c == '_')).unwrap_or(rest.len());
        let word = rest[..end].to_owned();
        let at = self.at;
        let starts_well = word.chars().next().is_some_and(|c| c.is_alphabetic() || c == '_');
        starts_well.then(|| {
            self.at += end;
            (word, at)
        })
    }

    fn fields(&mut self, role: Role) -> Result<Vec<(FieldSpec, usize)>, GrammarError> {
        let mut fields: Vec<(FieldSpec, usize)> = Vec::new();
        while let Some((name, at)) = self.word() {
            if fields.iter().any(|(field, _)| field.name() == name) {
                self.at = at;
                return Err(self.error(&format!("the field `{name}` stands here twice")));
            }
            if let Some(purpose) = reserved(&name) {
                self.at = at;
                return Err(self.error(&format!("`{name}` is reserved for {purpose}; choose another name")));
            }
            let schema = if self.eat(":") { self.type_schema(0)? } else { json!({"type": "string"}) };
            fields.push((FieldSpec::new(role, name, "", schema), at));
            if !self.eat(",") {
                break;
            }
        }
        Ok(fields)
    }

    /// `T | U | None` over [`Self::single_type`].
    fn type_schema(&mut self, depth: usize) -> Result<Value, GrammarError> {
        if depth > 32 {
            return Err(self.error("types nest too deeply"));
        }
        let first = self.single_type(depth)?;
        let mut choices = vec![first];
        while self.eat("|") {
            choices.push(self.single_type(depth)?);
        }
        if let [_, none] = choices.as_slice()
            && *none == json!({"type": "null"})
        {
            return Ok(nullable(choices.swap_remove(0)));
        }
        Ok(match choices.pop() {
            Some(only) if choices.is_empty() => only,
            last => json!({"anyOf": choices.into_iter().chain(last).collect::<Vec<_>>()}),
        })
    }

    fn arguments(&mut self, depth: usize) -> Result<Vec<Value>, GrammarError> {
        let close = if self.eat("[") {
            "]"
        } else if self.eat("<") {
            ">"
        } else {
            return Ok(Vec::new());
        };
        let mut arguments = vec![self.type_schema(depth + 1)?];
        while self.eat(",") {
            arguments.push(self.type_schema(depth + 1)?);
        }
        self.expect(close)?;
        Ok(arguments)
    }

    fn single_type(&mut self, depth: usize) -> Result<Value, GrammarError> {
        let Some((name, at)) = self.word() else {
            return Err(self.error("expected a type such as `str`, `int`, `float`, `bool`, `list[str]`"));
        };
        if name == "Literal" {
            return self.literals();
        }
        let mut arguments = self.arguments(depth)?;
        let found = arguments.len();
        let mut take = || if arguments.is_empty() { json!({}) } else { arguments.remove(0) };
        let (schema, allowed) = match name.as_str() {
            "str" | "String" => (json!({"type": "string"}), 0..=0),
            "int" | "i64" => (json!({"type": "integer", "format": "int64"}), 0..=0),
            "i8" => (sized("int8", Some(-128), Some(127)), 0..=0),
            "i16" => (sized("int16", Some(-32768), Some(32767)), 0..=0),
            "i32" => (sized("int32", None, None), 0..=0),
            "u8" => (sized("uint8", Some(0), Some(255)), 0..=0),
            "u16" => (sized("uint16", Some(0), Some(65535)), 0..=0),
            "u32" => (sized("uint32", Some(0), None), 0..=0),
            "u64" => (sized("uint64", Some(0), None), 0..=0),
            "usize" => (sized("uint", Some(0), None), 0..=0),
            "float" | "f64" => (json!({"type": "number", "format": "double"}), 0..=0),
            "f32" => (json!({"type": "number", "format": "float"}), 0..=0),
            "bool" => (json!({"type": "boolean"}), 0..=0),
            "None" => (json!({"type": "null"}), 0..=0),
            "Any" | "Value" => (json!({}), 0..=0),
            "list" | "List" | "Vec" => (json!({"type": "array", "items": take()}), 0..=1),
            "set" | "Set" => (json!({"type": "array", "items": take(), "uniqueItems": true}), 0..=1),
            "dict" | "Dict" | "HashMap" | "BTreeMap" => {
                take();
                (json!({"type": "object", "additionalProperties": take()}), 0..=2)
            }
            "tuple" | "Tuple" => {
                let items = std::mem::take(&mut arguments);
                (json!({"type": "array", "prefixItems": items, "minItems": found, "maxItems": found}), 1..=16)
            }
            "Optional" | "Option" => (nullable(take()), 1..=1),
            "Union" => (json!({"anyOf": std::mem::take(&mut arguments)}), 2..=16),
            name if let Some(schema) = own_type(name) => (schema, 0..=0),
            _ => {
                self.at = at;
                return Err(self.error(&format!(
                    "unknown type `{name}`; known are str, int, float, bool, list[…], dict[str, …], tuple[…], \
                     Optional[…], Union[…], Literal[…], Any, Image, Audio, File, Document, Citations, History, \
                     Code, BigInt and the Rust spellings of the same"
                )));
            }
        };
        if !allowed.contains(&found) {
            self.at = at;
            let (low, high) = (allowed.start(), allowed.end());
            let wanted = if low == high { low.to_string() } else { format!("{low} to {high}") };
            return Err(self.error(&format!("`{name}` takes {wanted} type arguments, found {found}")));
        }
        Ok(schema)
    }

    /// Models do not keep to the case of a choice.
    fn clashing(&mut self, at: usize, choices: &[Value]) -> Result<(), GrammarError> {
        let [before @ .., Value::String(last)] = choices else { return Ok(()) };
        let same = |other: &&str| other.to_lowercase() == last.to_lowercase() && other != last;
        let Some(other) = before.iter().filter_map(Value::as_str).find(same) else { return Ok(()) };
        self.at = at;
        Err(self.error(&format!(
            "`{other}` and `{last}` differ only in case, so a reply could mean either; keep one"
        )))
    }

    fn literals(&mut self) -> Result<Value, GrammarError> {
        self.expect("[")?;
        let mut choices = Vec::new();
        loop {
            self.skip_space();
            let at = self.at;
            let rest = self.rest();
            let quote = rest.chars().next().filter(|c| matches!(c, '"' | '\''));
            if let Some(quote) = quote {
                let Some(end) = rest[1..].find(quote) else {
                    return Err(self.error("the quote is never closed"));
                };
                choices.push(Value::String(rest[1..=end].to_owned()));
                self.at += end + 2;
            } else {
                let end = rest.find([',', ']']).unwrap_or(rest.len());
                let number = rest[..end].trim();
                let value = match number {
                    "True" | "true" => json!(true),
                    "False" | "false" => json!(false),
                    _ => number
                        .parse::<i64>()
                        .map(Value::from)
                        .map_err(|_| self.error("expected a quoted text, an integer, True or False"))?,
                };
                choices.push(value);
                self.at += end;
            }
            self.clashing(at, &choices)?;
            if !self.eat(",") {
                break;
            }
        }
        self.expect("]")?;
        Ok(json!({"enum": choices}))
    }
}

/// The types of this library.
fn own_type(name: &str) -> Option<Value> {
    Some(match name {
        "Image" => root_schema::<Image>(),
        "Audio" => root_schema::<Audio>(),
        "File" => root_schema::<File>(),
        "Document" => root_schema::<Document>(),
        "Citations" => root_schema::<Citations>(),
        "History" => root_schema::<History<Value>>(),
        "Code" => root_schema::<Code>(),
        "BigInt" => root_schema::<BigInt>(),
        _ => return None,
    })
}

/// What a name stands for already in prompts and saved files.
fn reserved(name: &str) -> Option<&'static str> {
    match name {
        "completed" => Some("the end of a reply"),
        "augmented" => Some("the mark of generated demonstrations"),
        _ => None,
    }
}

/// An integer type with its limits, as schemars describes it.
fn sized(format: &str, minimum: Option<i64>, maximum: Option<i64>) -> Value {
    let mut schema = json!({"type": "integer", "format": format});
    for (key, limit) in [("minimum", minimum), ("maximum", maximum)] {
        if let Some(limit) = limit {
            schema[key] = limit.into();
        }
    }
    schema
}

/// The type or null, as schemars describes `Option`.
fn nullable(mut schema: Value) -> Value {
    match schema.get("type").cloned() {
        Some(Value::String(name)) => {
            schema["type"] = json!([name, "null"]);
            schema
        }
        _ => json!({"anyOf": [schema, {"type": "null"}]}),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn output(text: &str) -> Value {
        let spec: SignatureSpec = text.parse().expect(text);
        spec.outputs().next().expect("an output").schema().clone()
    }

    #[test]
    fn types() {
        for (text, schema) in [
            ("q -> a", json!({"type": "string"})),
            ("q -> a: bool", json!({"type": "boolean"})),
            ("q -> a: list[bool]", json!({"type": "array", "items": {"type": "boolean"}})),
            ("q -> a: Vec<bool>", json!({"type": "array", "items": {"type": "boolean"}})),
            ("q->a:Literal[\"x y\", 'z', 3]", json!({"enum": ["x y", "z", 3]})),
            ("q -> a: Optional[str]", json!({"type": ["string", "null"]})),
            ("q -> a: str | None", json!({"type": ["string", "null"]})),
            (
                "q -> a: dict[str, u8]",
                json!({"type": "object", "additionalProperties":
                {"type": "integer", "format": "uint8", "minimum": 0, "maximum": 255}}),
            ),
        ] {
            assert_eq!(output(text), schema, "{text}");
        }
    }

    #[test]
    fn own_types_are_known() {
        let spec: SignatureSpec =
            "photos: list[Image], history: History -> program: Code, n: Optional[BigInt]".parse().unwrap();
        let notations: Vec<_> =
            spec.fields().iter().map(|field| field.type_text().notation.as_str()).collect();
        assert_eq!(notations, ["image[]", "history", "code", "integer | null"]);
    }

    #[test]
    fn errors_point_at_the_problem() {
        for (text, offset, part) in [
            ("question", 8, "`->`"),
            ("question -> ", 11, "no output fields"),
            ("q -> a: strr", 8, "unknown type `strr`"),
            ("q -> a: list[str", 16, "expected `]`"),
            ("q -> a: list[str, int]", 8, "takes 0 to 1"),
            ("q -> q", 5, "both an input and an output"),
            ("q, q -> a", 3, "twice"),
            ("q -> a: Literal['x", 16, "never closed"),
            ("q -> a: Literal['x', 'X']", 21, "differ only in case"),
            ("q -> a b", 7, "the end"),
            ("q -> completed", 5, "reserved"),
            ("é -> a: strr", 9, "unknown type"),
        ] {
            let error = text.parse::<SignatureSpec>().expect_err(text);
            assert_eq!(error.offset, offset, "{error}");
            assert!(error.to_string().contains(part), "{error}");
        }
    }
}
