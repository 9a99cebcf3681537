use proptest::prelude::*;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::measure::target;
use super::*;
use crate::protocols::dialect::{
    ANTHROPIC_SCHEMA, BARE_SCHEMA, GEMINI_SCHEMA, OPENAI_SCHEMA, PLAIN, XAI_SCHEMA, XGRAMMAR_SCHEMA,
};
use dspy_base::{Rng, Seed};
use dspy_decode::{Plan, ProblemKind};

const ALL: [SchemaRules; 7] =
    [OPENAI_SCHEMA, ANTHROPIC_SCHEMA, GEMINI_SCHEMA, BARE_SCHEMA, XAI_SCHEMA, XGRAMMAR_SCHEMA, PLAIN.schema];

/// One of two things.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
enum Mood {
    /// All is well.
    Fine,
    /// Nothing is.
    Poor,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "snake_case")]
enum Event {
    Started { at: u32 },
    Failed { why: String, code: Option<i32> },
    Done,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
struct Tree {
    label: String,
    #[serde(default)]
    children: Vec<Tree>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[schemars(inline)]
struct Report {
    title: String,
    score: f32,
    stars: u8,
    mood: Mood,
    maybe_mood: Option<Mood>,
    events: Vec<Event>,
    tree: Tree,
    pair: (i32, bool),
    #[serde(default)]
    retries: u16,
    #[serde(default)]
    nested: Option<Box<Tree>>,
    three: [f64; 3],
}

/// The schema of a reply: a value among others.
#[derive(JsonSchema)]
#[expect(dead_code, reason = "only its schema is of interest")]
struct Reply<T> {
    report: T,
    /// How many.
    count: i64,
    note: Option<String>,
    #[serde(default)]
    limit: i64,
}

fn schema<T: JsonSchema>() -> Value {
    schemars::SchemaGenerator::default().into_root_schema_for::<T>().to_value()
}

/// A type that every dialect can express exactly.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[schemars(inline)]
struct Exact {
    title: String,
    score: f32,
    mood: Mood,
    maybe_mood: Option<Mood>,
    events: Vec<Event>,
    tree: Tree,
    #[serde(default)]
    count: i64,
    #[serde(default)]
    nested: Option<Box<Tree>>,
    #[serde(default)]
    flags: Vec<bool>,
}

/// A generator of values that satisfy a cleaned schema.
struct Draw<'s> {
    root: &'s Value,
    rng: Rng,
}

impl Draw<'_> {
    fn below(&mut self, bound: usize) -> usize {
        self.rng.below(bound)
    }

    fn value(&mut self, schema: &Value, depth: usize) -> Value {
        if let Some(name) = schema.as_object().and_then(target) {
            let root = self.root;
            return self.value(&root["$defs"][name], depth + 1);
        }
        if let Some(value) = schema.get("const") {
            return value.clone();
        }
        if let Some(choices) = schema.get("enum").and_then(Value::as_array) {
            return choices[self.below(choices.len())].clone();
        }
        if let Some(choices) = schema.get("anyOf").and_then(Value::as_array) {
            let last_is_null = choices.last().is_some_and(|choice| choice["type"] == "null");
            let at = if depth > 6 && last_is_null { choices.len() - 1 } else { self.below(choices.len()) };
            return self.value(&choices[at], depth + 1);
        }
        let kind = match &schema["type"] {
            Value::Array(kinds) => kinds[self.below(kinds.len())].as_str().unwrap(),
            kind => kind.as_str().unwrap_or_else(|| panic!("no type: {schema}")),
        };
        match kind {
            "null" => Value::Null,
            "boolean" => (self.below(2) == 0).into(),
            "integer" => {
                let low = schema.get("minimum").and_then(Value::as_i64).unwrap_or(0);
                let high = schema.get("maximum").and_then(Value::as_i64).unwrap_or(low + 99).min(low + 99);
                (low + i64::from(self.below((high - low + 1) as usize) as u32)).into()
            }
            "number" => (self.below(1000) as f64 / 8.0).into(),
            "string" => ["", "plain", "null", "5", "[1, 2]", "a \"b\"\n"][self.below(6)].into(),
            "array" => {
                if let Some(parts) = schema.get("prefixItems").and_then(Value::as_array) {
                    return parts.iter().map(|part| self.value(part, depth + 1)).collect();
                }
                let least = schema.get("minItems").and_then(Value::as_u64).unwrap_or(0) as usize;
                let most =
                    schema.get("maxItems").and_then(Value::as_u64).map_or(least + 2, |most| most as usize);
                let count = if depth > 6 { least } else { least + self.below(most - least + 1) };
                (0..count).map(|_| self.value(&schema["items"], depth + 1)).collect()
            }
            _ => {
                let required = schema["required"].as_array().cloned().unwrap_or_default();
                let mut object = Map::new();
                for (name, member) in schema["properties"].as_object().into_iter().flatten() {
                    if required.contains(&json!(name)) || depth < 6 && self.below(2) == 0 {
                        object.insert(name.clone(), self.value(member, depth + 1));
                    }
                }
                object.into()
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(300) })]

    #[test]
    fn what_a_cleaned_schema_lets_pass_the_original_plan_reads(seed in any::<u64>()) {
        let schema = schema::<Reply<Exact>>();
        let plan = Plan::new(&schema).unwrap();
        let strict = strict(&schema, OPENAI_SCHEMA).unwrap();
        let lax = ALL.iter().filter_map(|rules| lax(&schema, *rules));
        for cleaned in std::iter::once(strict).chain(lax) {
            let value = Draw { root: &cleaned, rng: Seed::new(seed).rng() }.value(&cleaned, 0);
            let read = plan.decode(&value.to_string());
            prop_assert!(read.is_ok(), "{value}\n{:?}\n{cleaned}", read.err());
        }
    }
}

#[test]
fn strict_schemas_keep_the_rules() {
    fn check(schema: &Value) {
        match schema {
            Value::Object(members) => {
                if members.get("type").is_some_and(|kind| kind == "object") {
                    assert_eq!(members["additionalProperties"], false, "{schema}");
                    let names: Vec<_> = members["properties"].as_object().unwrap().keys().collect();
                    assert_eq!(members["required"], json!(names), "{schema}");
                }
                if members.contains_key("$ref") {
                    assert_eq!(members.len(), 1, "{schema}");
                }
                for (key, value) in members {
                    assert!(
                        !["oneOf", "allOf", "default", "title", "prefixItems"].contains(&key.as_str()),
                        "{key}"
                    );
                    assert!(!key.starts_with("x-"), "{key}");
                    assert!(
                        key != "format" || OPENAI_SCHEMA.formats.contains(&value.as_str().unwrap()),
                        "{value}"
                    );
                    match key.as_str() {
                        "properties" | "$defs" => value.as_object().unwrap().values().for_each(check),
                        _ => check(value),
                    }
                }
            }
            Value::Array(items) => items.iter().for_each(check),
            _ => {}
        }
    }
    let cleaned = strict(&schema::<Reply<Report>>(), OPENAI_SCHEMA).unwrap();
    check(&cleaned);
    assert_eq!(cleaned["properties"]["limit"]["type"], json!(["integer", "null"]));
    assert_eq!(cleaned["properties"]["count"]["description"], "How many.");
    assert_eq!(
        cleaned["properties"]["report"]["properties"]["stars"],
        json!({"type": "integer", "minimum": 0, "maximum": 255})
    );
    assert_eq!(
        cleaned["properties"]["report"]["properties"]["pair"],
        json!({"type": "array", "items": {"anyOf": [{"type": "integer"}, {"type": "boolean"}]}, "minItems": 2, "maxItems": 2})
    );
}

#[test]
fn null_for_a_member_that_may_be_absent_is_absence() {
    let plan = Plan::new(&schema::<Tree>()).unwrap();
    let cleaned = strict(&schema::<Tree>(), OPENAI_SCHEMA);
    assert!(cleaned.is_some());
    let read = plan.decode(r#"{"label": "leaf", "children": null}"#).unwrap();
    assert_eq!(
        serde_json::from_value::<Tree>(read.value).unwrap(),
        Tree { label: "leaf".into(), children: vec![] }
    );
    assert_eq!(
        or_null(json!({"type": "string", "enum": ["a"]})),
        json!({"type": ["string", "null"], "enum": ["a", null]})
    );
    assert_eq!(
        or_null(json!({"$ref": "#/$defs/T"})),
        json!({"anyOf": [{"$ref": "#/$defs/T"}, {"type": "null"}]})
    );
    let already = json!({"anyOf": [{"type": "object"}, {"type": "null"}]});
    assert_eq!(or_null(already.clone()), already);
}

#[test]
fn what_strict_mode_cannot_say_is_not_marked_strict() {
    for member in [
        json!({"type": "object", "additionalProperties": {"type": "integer"}}),
        json!({"type": "object", "properties": {"a": {"type": "string"}}, "additionalProperties": true}),
        json!(true),
        json!({}),
        json!({"type": "array"}),
        json!({"type": "object", "patternProperties": {"^a": {}}, "additionalProperties": false}),
        json!({"type": "object", "properties": {"a": {"type": "string"}}, "oneOf": [{"type": "object"}]}),
    ] {
        let schema = json!({"type": "object", "properties": {"m": member}, "required": ["m"]});
        assert_eq!(strict(&schema, OPENAI_SCHEMA), None, "{schema}");
        assert!(lax(&schema, OPENAI_SCHEMA).is_some(), "{schema}");
    }
    let list = json!({"type": "array", "items": {"type": "string"}});
    assert_eq!((strict(&list, OPENAI_SCHEMA), lax(&list, OPENAI_SCHEMA)), (None, None));
}

#[test]
fn members_that_depend_on_alternatives_are_not_closed() {
    let schema = json!({"type": "object", "properties": {"a": {"type": "string"}}, "required": ["a"],
        "oneOf": [{"type": "object", "properties": {"b": {"type": "integer"}}, "required": ["b"]}]});
    let cleaned = lax(&schema, PLAIN.schema).unwrap();
    assert_eq!(cleaned.get("additionalProperties"), None);
    assert_eq!(cleaned.get("anyOf"), None);
}

#[test]
fn too_large_and_circular_schemas_are_refused_where_the_endpoint_would() {
    let mut deep = json!({"type": "string"});
    for _ in 0..11 {
        deep = json!({"type": "object", "properties": {"a": deep}, "required": ["a"]});
    }
    assert_eq!(strict(&deep, OPENAI_SCHEMA), None);
    assert!(strict(&deep["properties"]["a"], OPENAI_SCHEMA).is_some());
    let choices: Vec<String> = (0..1001).map(|number| format!("c{number}")).collect();
    let wide = json!({"type": "object", "properties": {"c": {"enum": choices}}, "required": ["c"]});
    assert_eq!(strict(&wide, OPENAI_SCHEMA), None);
    assert!(strict(&schema::<Tree>(), OPENAI_SCHEMA).is_some() || mentions_itself());
    assert_eq!(lax(&schema::<Reply<Report>>(), XAI_SCHEMA), None);
    assert!(lax(&schema::<Reply<Report>>(), GEMINI_SCHEMA).is_some());
}

/// A root that refers to itself by `#`, as schemars generates for a recursive root type.
fn mentions_itself() -> bool {
    schema::<Tree>().to_string().contains("\"$ref\":\"#\"")
}

#[test]
fn dialects_get_what_they_take() {
    let schema = json!({"type": "object", "properties": {
        "kind": {"const": "a"},
        "code": {"type": "string", "pattern": "^a$", "minLength": 1, "x-aliases": ["c"]},
        "when": {"type": "string", "format": "date-time"},
        "size": {"type": "integer", "format": "uint8", "minimum": 0, "multipleOf": 2},
    }, "required": ["kind"]});
    let members = |rules| lax(&schema, rules).unwrap()["properties"].clone();
    assert_eq!(
        members(GEMINI_SCHEMA),
        json!({"kind": {"enum": ["a"], "type": "string"}, "code": {"type": "string"},
            "when": {"type": "string", "format": "date-time"}, "size": {"type": "integer", "minimum": 0}})
    );
    assert_eq!(
        members(XGRAMMAR_SCHEMA),
        json!({"kind": {"const": "a", "type": "string"}, "code": {"type": "string", "pattern": "^a$", "minLength": 1},
            "when": {"type": "string"}, "size": {"type": "integer", "minimum": 0}})
    );
    assert_eq!(
        members(BARE_SCHEMA),
        json!({"kind": {"const": "a", "type": "string"}, "code": {"type": "string"}, "when": {"type": "string"},
            "size": {"type": "integer"}})
    );
}

#[test]
fn what_cleaning_drops_the_decoder_enforces() {
    let schema = json!({"type": "object", "properties": {"n": {"type": "integer", "multipleOf": 5},
        "code": {"type": "string", "minLength": 3}}, "required": ["n", "code"]});
    let cleaned = lax(&schema, BARE_SCHEMA).unwrap();
    assert_eq!(cleaned["properties"], json!({"n": {"type": "integer"}, "code": {"type": "string"}}));
    let error = Plan::new(&schema).unwrap().decode(r#"{"n": 7, "code": "x"}"#).unwrap_err();
    assert!(error.is(ProblemKind::Constraint), "{error}");
}

#[test]
fn where_objects_must_be_closed_only_closed_ones_are_said() {
    let object = |member: Value| json!({"type": "object", "properties": {"a": member}, "required": []});
    let said = lax(&object(json!({"type": "integer", "minimum": 3, "default": 4})), ANTHROPIC_SCHEMA);
    let expected = json!({"type": "object", "properties": {"a": {"type": "integer"}}, "required": [],
        "additionalProperties": false});
    assert_eq!(said, Some(expected));
    for open in
        [json!({}), json!({"type": "object", "additionalProperties": {"type": "string"}}), json!(true)]
    {
        assert_eq!(lax(&object(open.clone()), ANTHROPIC_SCHEMA), None, "{open}");
        assert!(lax(&object(open), ANTHROPIC_SCHEMA.of_tools()).is_some());
    }
    assert_eq!(lax(&schema::<Tree>(), ANTHROPIC_SCHEMA), None);
}
