//! The tools that a server lists.

use std::collections::HashSet;
use std::sync::Arc;

use dspy_core::decode::Plan;
use dspy_core::tools::ToolSpec;
use serde_json::{Map, Value, json};

use crate::McpError;
use crate::challenge::shorten;
use crate::session::Limits;

/// The longest name that all endpoints of models accept.
const LONGEST_NAME: usize = 64;

/// A tool of a server.
#[derive(Debug)]
pub(crate) struct Listed {
    /// The name at the server.
    pub(crate) name: String,
    /// The description and the schema of the parameters, or the reason why the tool cannot be used.
    checked: Result<(String, Value), String>,
    /// The reading of its structured results, if it has a schema of them that can be used.
    pub(crate) output: Option<Arc<Plan>>,
}

impl Listed {
    /// Reads an item of a list of tools.
    pub(crate) fn read(item: &Value, limits: &Limits) -> Self {
        let name = item.get("name").and_then(Value::as_str).unwrap_or_default();
        let output =
            item.get("outputSchema").filter(|schema| schema.to_string().len() <= limits.max_tool_bytes);
        let output = output.and_then(|schema| {
            let mut schema = schema.clone();
            convert_tuples(&mut schema);
            open(&mut schema);
            Plan::new(&schema).ok()
        });
        let (name, checked) = (shorten(name, 256).to_owned(), check(name, item, limits));
        Listed { name, checked, output: output.map(Arc::new) }
    }

    /// Returns the specification for models, with the name in a form that they accept.
    pub(crate) fn spec(&self, prefix: &str, server: &str) -> Result<ToolSpec, McpError> {
        let bad = |problem| McpError::BadTool { server: server.to_owned(), tool: self.name.clone(), problem };
        let (description, schema) = self.checked.as_ref().map_err(|problem| bad(problem.clone()))?;
        let name = format!("{prefix}{}", self.name);
        let name = name.replace(|c: char| !c.is_ascii_alphanumeric() && c != '_' && c != '-', "_");
        if name.len() > LONGEST_NAME {
            return Err(bad(format!("its name has more than {LONGEST_NAME} characters, with the prefix")));
        }
        Ok(ToolSpec::new(name, description, schema.clone()))
    }
}

fn check(name: &str, item: &Value, limits: &Limits) -> Result<(String, Value), String> {
    if name.is_empty() || name.len() > 256 {
        return Err("its name is missing, no string, or too long".into());
    }
    let description = match item.get("description") {
        None | Some(Value::Null) => "",
        Some(Value::String(text)) => text,
        Some(_) => return Err("its description is no string".into()),
    };
    let schema = match item.get("inputSchema") {
        None | Some(Value::Null) => Map::new(),
        Some(Value::Object(schema)) => schema.clone(),
        Some(_) => return Err("its input schema is no object".into()),
    };
    let mut schema = schema;
    match schema.get("type") {
        None => drop(schema.insert("type".into(), json!("object"))),
        Some(kind) if kind == "object" => {}
        Some(_) => return Err("its input schema is not that of an object".into()),
    }
    let mut schema = Value::Object(schema);
    convert_tuples(&mut schema);
    let size = description.len() + schema.to_string().len();
    if size > limits.max_tool_bytes {
        let most = limits.max_tool_bytes;
        return Err(format!(
            "its description and schema have {size} bytes; the limit `max_tool_bytes` is {most}"
        ));
    }
    Plan::new(&schema).map_err(|error| format!("its input schema is invalid: {error}"))?;
    Ok((description.to_owned(), schema))
}

/// Converts the lists of schemas in `items`, as JSON Schema had them until 2019, to `prefixItems`.
fn convert_tuples(schema: &mut Value) {
    match schema {
        Value::Array(items) => items.iter_mut().for_each(convert_tuples),
        Value::Object(members) => {
            if members.get("items").is_some_and(Value::is_array)
                && !members.contains_key("prefixItems")
                && let Some(items) = members.shift_remove("items")
            {
                members.insert("prefixItems".into(), items);
                if let Some(rest) = members.shift_remove("additionalItems") {
                    members.insert("items".into(), rest);
                }
            }
            members.values_mut().for_each(convert_tuples);
        }
        _ => {}
    }
}

/// Says of each object that it may have further members, which is so where a schema says nothing.
fn open(schema: &mut Value) {
    let Value::Object(members) = schema else { return };
    if members.contains_key("properties") && !members.contains_key("additionalProperties") {
        members.insert("additionalProperties".into(), true.into());
    }
    for (name, member) in members {
        match (name.as_str(), member) {
            ("properties" | "$defs" | "definitions", Value::Object(named)) => {
                named.values_mut().for_each(open);
            }
            ("anyOf" | "oneOf" | "allOf" | "prefixItems", Value::Array(items)) => {
                items.iter_mut().for_each(open);
            }
            ("items" | "additionalProperties", schema) => open(schema),
            _ => {}
        }
    }
}

/// Returns the tools that are enabled.
pub(crate) fn enabled<'t>(
    listed: &'t [Listed],
    only: Option<&[String]>,
    server: &str,
) -> Result<Vec<&'t Listed>, McpError> {
    let mut seen = HashSet::new();
    if let Some(twice) = listed.iter().find(|tool| !seen.insert(tool.name.as_str())) {
        return Err(McpError::Duplicate { name: twice.name.clone() });
    }
    let Some(only) = only else { return Ok(listed.iter().collect()) };
    let unknown: Vec<_> = only.iter().filter(|name| !seen.contains(name.as_str())).cloned().collect();
    if !unknown.is_empty() {
        let known = listed.iter().map(|tool| tool.name.clone()).collect();
        return Err(McpError::UnknownTools { server: server.to_owned(), unknown, known });
    }
    Ok(listed.iter().filter(|tool| only.contains(&tool.name)).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn schemas_of_real_servers_can_be_used() {
        let property =
            |schema: Value| json!({"type": "object", "properties": {"a": schema}, "required": ["a"]});
        for (schema, arguments) in [
            (json!({"type": "object"}), json!({"a": {"b": [1, "x"]}})),
            (
                json!({"type": "object", "properties": {}, "additionalProperties": false, "$schema": "http://json-schema.org/draft-07/schema#"}),
                json!({}),
            ),
            (property(json!({})), json!({"a": [1]})),
            (property(json!(true)), json!({"a": {"b": 1}})),
            (property(json!({"type": "array"})), json!({"a": [1, "x"]})),
            (property(json!({"type": ["string", "null"]})), json!({"a": null})),
            (property(json!({"type": ["string", "number", "boolean"]})), json!({"a": 1.5})),
            (
                property(
                    json!({"anyOf": [{"type": "string"}, {"type": "null"}], "default": null, "title": "A"}),
                ),
                json!({"a": "x"}),
            ),
            (
                property(
                    json!({"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}}]}),
                ),
                json!({"a": ["x"]}),
            ),
            (
                property(json!({"oneOf": [{"type": "string", "format": "uri"}, {"type": "string"}]})),
                json!({"a": "x"}),
            ),
            (property(json!({"allOf": [{"type": "string"}, {"minLength": 1}]})), json!({"a": "x"})),
            (property(json!({"const": "x"})), json!({"a": "x"})),
            (property(json!({"enum": ["x", 1, null]})), json!({"a": "x"})),
            (property(json!({"type": "string", "pattern": "^x$"})), json!({"a": "x"})),
            (
                property(
                    json!({"type": "integer", "exclusiveMinimum": 0, "maximum": 9_007_199_254_740_991_i64}),
                ),
                json!({"a": 7}),
            ),
            (
                property(json!({"type": "object", "additionalProperties": {"type": "string"}})),
                json!({"a": {"b": "c"}}),
            ),
            (
                property(json!({"type": "object", "patternProperties": {"^x": {"type": "string"}}})),
                json!({"a": {"x": "c"}}),
            ),
            (property(json!({"type": "object", "additionalProperties": {}})), json!({"a": {"b": 1}})),
            (
                property(json!({"type": "array", "items": [{"type": "string"}, {"type": "number"}]})),
                json!({"a": ["x", 1]}),
            ),
            (
                property(json!({"type": "array", "prefixItems": [{"type": "string"}], "items": false})),
                json!({"a": ["x"]}),
            ),
            (property(json!({"not": {"type": "null"}})), json!({"a": "x"})),
            (
                property(
                    json!({"type": "string", "contentEncoding": "base64", "examples": ["x"], "x-custom": 1}),
                ),
                json!({"a": "x"}),
            ),
            (
                json!({"type": "object", "properties": {"a": {"$ref": "#/definitions/t"}}, "definitions": {"t": {"type": "object", "properties": {"c": {"type": "array", "items": {"$ref": "#/definitions/t"}}}}}}),
                json!({"a": {"c": [{"c": []}]}}),
            ),
            (
                json!({"type": "object", "anyOf": [{"required": ["a"]}, {"required": ["b"]}], "properties": {"a": {"type": "string"}, "b": {"type": "string"}}}),
                json!({"a": "x"}),
            ),
            (
                json!({"type": "object", "oneOf": [{"properties": {"a": {"type": "string"}}, "required": ["a"]}, {"properties": {"b": {"type": "string"}}, "required": ["b"]}]}),
                json!({"a": "x"}),
            ),
            (
                json!({"type": "object", "properties": {"a": {"type": "string"}}, "if": {"properties": {"a": {"const": "x"}}}, "then": {"required": ["b"]}}),
                json!({"a": "y"}),
            ),
            (
                json!({"type": "object", "properties": {"a": {"type": "string"}}, "additionalProperties": true}),
                json!({"a": "x", "other": 1}),
            ),
        ] {
            let item = json!({"name": "t", "inputSchema": schema});
            let checked = Listed::read(&item, &Limits::default()).checked;
            let (_, schema) = checked.unwrap_or_else(|error| panic!("{item}: {error}"));
            let read = Plan::new(&schema).unwrap().coerce(arguments.clone()).unwrap();
            assert_eq!(read.value, arguments, "{schema}");
        }
    }
}
