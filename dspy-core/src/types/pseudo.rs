//! From JSON Schema to a TypeScript-like notation.
//!
//! `Vec<bool>` reads `boolean[]`, an enum `"low" | "high"`, a struct `{ name: string, age?: integer }`. Types that
//! stand in several places or contain themselves are named and defined once. JSON Schema for the same says the same
//! in several times as many tokens.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::constraint::phrases;

/// Objects longer than this are broken over lines.
const LINE: usize = 72;
/// Where nesting that is not by name ends; deeper parts read `any`.
const DEPTH: usize = 24;

/// A type in words.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct TypeText {
    /// The type itself.
    pub notation: String,
    /// Constraints on the value, such as `from 0 to 1`.
    pub constraints: Vec<String>,
    /// The values of an enum that carry a description, with it.
    pub choices: Vec<(String, String)>,
    /// `Name = …` for every type that the notation mentions by name.
    pub definitions: BTreeMap<String, String>,
}

impl TypeText {
    /// The same type where its documents are shown as such, not as objects.
    pub(crate) fn of_documents(self, schema: &Value) -> TypeText {
        let notation = if schema.get("items").is_some() { "document[]" } else { "document" };
        let optional = if is_nullable(schema) { " | null" } else { "" };
        TypeText { notation: format!("{notation}{optional}"), definitions: BTreeMap::new(), ..self }
    }
}

fn is_nullable(schema: &Value) -> bool {
    schema.get("type").and_then(Value::as_array).is_some_and(|types| types.iter().any(|name| name == "null"))
}

/// Describes the values that `schema` admits.
///
/// ```
/// use dspy_core::types::describe;
/// let schema = serde_json::json!({"type": "array", "items": {"type": "boolean"}, "minItems": 1});
/// let text = describe(&schema);
/// assert_eq!(text.notation, "boolean[]");
/// assert_eq!(text.constraints, ["at least 1 items"]);
/// ```
pub fn describe(schema: &Value) -> TypeText {
    let empty = Map::new();
    let definitions = schema.get("$defs").and_then(Value::as_object).unwrap_or(&empty);
    let mut uses = BTreeMap::new();
    count_references(schema, &mut uses);
    let mut printer = Printer { definitions, uses, open: Vec::new(), named: BTreeMap::new() };
    let mut text = TypeText {
        constraints: phrases(schema),
        choices: described_choices(schema),
        notation: printer.root(schema),
        ..TypeText::default()
    };
    text.definitions = printer.named;
    text
}

fn count_references(schema: &Value, uses: &mut BTreeMap<String, usize>) {
    match schema {
        Value::Object(members) => {
            if let Some(name) = reference(schema) {
                *uses.entry(name.to_owned()).or_default() += 1;
            }
            members.values().for_each(|member| count_references(member, uses));
        }
        Value::Array(items) => items.iter().for_each(|item| count_references(item, uses)),
        _ => {}
    }
}

fn reference(schema: &Value) -> Option<&str> {
    let target = schema.get("$ref")?.as_str()?;
    Some(target.strip_prefix("#/$defs/").unwrap_or(target))
}

fn alternatives(schema: &Value) -> Option<&Vec<Value>> {
    ["oneOf", "anyOf"].iter().find_map(|key| schema.get(key)?.as_array())
}

fn described_choices(schema: &Value) -> Vec<(String, String)> {
    let Some(options) = alternatives(schema) else { return Vec::new() };
    let of = |option: &Value| {
        let description = one_line(option.get("description")?.as_str()?);
        Some((choice_name(option)?, description))
    };
    options.iter().filter_map(of).collect()
}

/// How a list of choices calls one of them: by its value, or by the tag of a variant with data.
fn choice_name(option: &Value) -> Option<String> {
    let only =
        |values: &Vec<Value>| if let [value] = values.as_slice() { Some(value.to_string()) } else { None };
    let tag = || {
        let mut properties = option.get("properties")?.as_object()?.keys();
        properties.next().filter(|_| properties.next().is_none()).cloned()
    };
    let value = option.get("const").map(ToString::to_string);
    value.or_else(|| option.get("enum")?.as_array().and_then(only)).or_else(tag)
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// What the library's own types are called, however they travel as JSON.
fn own_name(schema: &Value) -> Option<String> {
    let text = |keyword: &str| schema.get(keyword).and_then(Value::as_str);
    let says = |keyword: &str| schema.get(keyword).is_some();
    let mut name = match text("x-media") {
        Some(kind) => kind.to_owned(),
        None if says("x-history") => "history".to_owned(),
        None if says("x-big-int") => "integer".to_owned(),
        None if says("x-code") => match text("x-language") {
            Some(language) => format!("code in {language}"),
            None => "code".to_owned(),
        },
        None => return None,
    };
    if is_nullable(schema) {
        name.push_str(" | null");
    }
    Some(name)
}

struct Printer<'a> {
    definitions: &'a Map<String, Value>,
    uses: BTreeMap<String, usize>,
    /// The definitions that are being printed.
    open: Vec<String>,
    named: BTreeMap<String, String>,
}

impl Printer<'_> {
    fn root(&mut self, schema: &Value) -> String {
        let recursive = self.uses.contains_key("#");
        let notation = self.notation(schema, 0);
        let title = schema.get("title").and_then(Value::as_str);
        match title {
            // A struct of its own deserves a name; anything else is shorter than its name.
            Some(title) if recursive || notation.contains('\n') => {
                let notation = notation.replace("#self", title);
                self.named.insert(title.to_owned(), notation);
                title.to_owned()
            }
            _ => notation,
        }
    }

    fn notation(&mut self, schema: &Value, depth: usize) -> String {
        if depth > DEPTH {
            return "any".into();
        }
        if let Some(name) = reference(schema) {
            return self.by_name(name, depth);
        }
        if let Some(name) = own_name(schema) {
            return name;
        }
        if let Some(value) = schema.get("const") {
            return value.to_string();
        }
        if let Some(values) = schema.get("enum").and_then(Value::as_array) {
            return values.iter().map(Value::to_string).collect::<Vec<_>>().join(" | ");
        }
        if let Some(options) = alternatives(schema) {
            let mut texts: Vec<String> = Vec::new();
            for option in options {
                let text = self.notation(option, depth + 1);
                if !texts.contains(&text) {
                    texts.push(text);
                }
            }
            return texts.join(" | ");
        }
        match schema.get("type") {
            Some(Value::String(name)) => self.of_type(name, schema, depth),
            Some(Value::Array(names)) => {
                let names = names.iter().filter_map(Value::as_str);
                names.map(|name| self.of_type(name, schema, depth)).collect::<Vec<_>>().join(" | ")
            }
            _ if schema.get("properties").is_some() => self.object(schema, depth),
            _ => match schema.get("allOf").and_then(Value::as_array).map(Vec::as_slice) {
                Some([only]) => self.notation(only, depth + 1),
                _ => "any".into(),
            },
        }
    }

    fn by_name(&mut self, name: &str, depth: usize) -> String {
        if name == "#" {
            return "#self".into();
        }
        let Some(schema) = self.definitions.get(name) else { return "any".into() };
        let again = self.open.iter().any(|open| open == name);
        if again || self.named.contains_key(name) {
            // Marks the definition as wanted; its text follows when the outer occurrence is done.
            self.named.entry(name.to_owned()).or_default();
            return name.to_owned();
        }
        self.open.push(name.to_owned());
        let text = self.notation(schema, depth + 1);
        self.open.pop();
        let recursive = self.named.contains_key(name);
        let shared = self.uses.get(name).copied().unwrap_or_default() > 1;
        if recursive || (shared && text.len() > LINE / 3) || text.contains('\n') {
            self.named.insert(name.to_owned(), text);
            return name.to_owned();
        }
        text
    }

    fn of_type(&mut self, name: &str, schema: &Value, depth: usize) -> String {
        match name {
            "array" => self.array(schema, depth),
            "object" => self.object(schema, depth),
            other => other.to_owned(),
        }
    }

    fn array(&mut self, schema: &Value, depth: usize) -> String {
        if let Some(items) = schema.get("prefixItems").and_then(Value::as_array) {
            let items: Vec<_> = items.iter().map(|item| self.notation(item, depth + 1)).collect();
            return format!("[{}]", items.join(", "));
        }
        let item = schema.get("items").map_or_else(|| "any".into(), |items| self.notation(items, depth + 1));
        if item.contains(" | ") && !item.starts_with('{') {
            format!("({item})[]")
        } else {
            format!("{item}[]")
        }
    }

    fn object(&mut self, schema: &Value, depth: usize) -> String {
        let required: Vec<&str> = schema
            .get("required")
            .and_then(Value::as_array)
            .map(|names| names.iter().filter_map(Value::as_str).collect())
            .unwrap_or_default();
        let mut members: Vec<(String, String)> = Vec::new();
        for (name, property) in schema.get("properties").and_then(Value::as_object).into_iter().flatten() {
            let mark = if required.contains(&name.as_str()) { "" } else { "?" };
            let mut note = Vec::new();
            note.extend(property.get("description").and_then(Value::as_str).map(one_line));
            note.extend(phrases(property));
            let notation = self.notation(property, depth + 1);
            members.push((format!("{name}{mark}: {notation}"), note.join("; ")));
        }
        if let Some(values @ Value::Object(_)) = schema.get("additionalProperties") {
            members.push((format!("[key: string]: {}", self.notation(values, depth + 1)), String::new()));
        }
        if members.is_empty() {
            return "object".into();
        }
        let plain = members.iter().all(|(member, note)| note.is_empty() && !member.contains('\n'));
        let length: usize = members.iter().map(|(member, _)| member.len() + 2).sum();
        if plain && length <= LINE {
            let members: Vec<_> = members.into_iter().map(|(member, _)| member).collect();
            return format!("{{ {} }}", members.join(", "));
        }
        let lines = members.into_iter().map(|(member, note)| {
            let member = member.replace('\n', "\n  ");
            if note.is_empty() { format!("  {member},\n") } else { format!("  {member}, // {note}\n") }
        });
        format!("{{\n{}}}", lines.collect::<String>())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use schemars::JsonSchema;

    use super::*;
    use crate::signature::FieldType as _;

    fn notation<T: JsonSchema + serde::Serialize + serde::de::DeserializeOwned + Send + Sync + 'static>()
    -> String {
        describe(&T::schema()).notation
    }

    #[derive(serde::Serialize, serde::Deserialize, JsonSchema)]
    #[serde(rename_all = "lowercase")]
    enum Team {
        /// Invoices and refunds.
        Billing,
        Support,
    }

    #[derive(serde::Serialize, serde::Deserialize, JsonSchema)]
    enum Action {
        /// Look something up.
        Search {
            query: String,
        },
        Finish(String),
        Wait,
    }

    #[derive(serde::Serialize, serde::Deserialize, JsonSchema)]
    struct Person {
        /// Full name.
        name: String,
        #[schemars(range(min = 0, max = 150))]
        age: Option<i64>,
        friends: Vec<Person>,
    }

    #[test]
    fn simple_types_are_short() {
        assert_eq!(notation::<String>(), "string");
        assert_eq!(notation::<Vec<bool>>(), "boolean[]");
        assert_eq!(notation::<Option<i64>>(), "integer | null");
        assert_eq!(notation::<Vec<Option<f64>>>(), "(number | null)[]");
        assert_eq!(notation::<(String, u8)>(), "[string, integer]");
        assert_eq!(notation::<HashMap<String, f32>>(), "{ [key: string]: number }");
        assert_eq!(notation::<Value>(), "any");
        assert_eq!(notation::<Action>(), "\"Wait\" | { Search: { query: string } } | { Finish: string }");
    }

    #[test]
    fn documented_variants_are_listed() {
        let text = describe(&Team::schema());
        assert_eq!(text.choices, [("\"billing\"".to_owned(), "Invoices and refunds.".to_owned())]);
        assert!(text.notation.contains("\"support\""), "{}", text.notation);
        let text = describe(&Action::schema());
        assert_eq!(text.choices, [("Search".to_owned(), "Look something up.".to_owned())]);
    }

    #[test]
    fn recursive_types_go_by_name() {
        let text = describe(&Person::schema());
        assert_eq!(text.notation, "Person");
        let expected = "{\n  name: string, // Full name.\n  age?: integer | null, // from 0 to 150\n  friends: Person[],\n}";
        assert_eq!(text.definitions["Person"], expected);
        let list = describe(&Vec::<Person>::schema());
        assert_eq!(list.notation, "Person[]");
        assert_eq!(list.definitions["Person"], expected);
    }
}
