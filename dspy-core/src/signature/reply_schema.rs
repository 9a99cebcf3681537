//! The JSON Schema of a whole reply: all outputs of a signature as one object.

use std::collections::HashMap;

use serde_json::{Value, json};

use super::check::checks_in_words;
use super::{CheckSpec, FieldSpec};
use dspy_base::keyword;

/// Returns one object schema for all outputs. Each field's definitions move to the root under unique names.
pub(super) fn reply_schema<'a>(outputs: impl Iterator<Item = &'a FieldSpec>, checks: &[CheckSpec]) -> Value {
    let mut properties = serde_json::Map::new();
    let mut definitions = serde_json::Map::new();
    let mut required = Vec::new();
    for field in outputs {
        let mut schema = field.schema().clone();
        let own = schema.as_object_mut().and_then(|members| members.shift_remove("$defs"));
        let mut renamed = HashMap::new();
        for (name, definition) in own.iter().filter_map(Value::as_object).flatten() {
            let taken = definitions.get(name).is_some_and(|other| other != definition);
            let unique = if taken { format!("{name}_{}", field.name()) } else { name.clone() };
            definitions.insert(unique.clone(), definition.clone());
            if taken {
                renamed.insert(format!("#/$defs/{name}"), format!("#/$defs/{unique}"));
            }
        }
        if mentions_root(&schema) || own.as_ref().is_some_and(mentions_root) {
            let name = format!("{}_type", field.name());
            renamed.insert("#".into(), format!("#/$defs/{name}"));
            rename_references(&mut schema, &renamed);
            definitions.insert(name.clone(), schema);
            schema = json!({"$ref": format!("#/$defs/{name}")});
        }
        for (name, _) in own.iter().filter_map(Value::as_object).flatten() {
            let unique = renamed.get(&format!("#/$defs/{name}")).and_then(|to| to.strip_prefix("#/$defs/"));
            if let Some(definition) = definitions.get_mut(unique.unwrap_or(name)) {
                rename_references(definition, &renamed);
            }
        }
        rename_references(&mut schema, &renamed);
        annotate(&mut schema, field);
        if !field.is_optional() {
            required.push(field.name());
        }
        properties.insert(field.name().to_owned(), schema);
    }
    let mut schema = json!({"type": "object", "properties": properties, "required": required});
    if !checks.is_empty() {
        schema["description"] = rules("", checks).into();
    }
    if !definitions.is_empty() {
        schema["$defs"] = Value::Object(definitions);
    }
    schema
}

/// Adds the description, the checks and the aliases of the field to the schema of its type.
fn annotate(schema: &mut Value, field: &FieldSpec) {
    if *schema == Value::Bool(true) {
        *schema = json!({});
    }
    let Some(members) = schema.as_object_mut() else { return };
    if !field.description().is_empty() || !field.checks().is_empty() {
        let own = members.get("description").and_then(Value::as_str).unwrap_or_default();
        let description = if field.description().is_empty() { own } else { field.description() };
        members.insert("description".into(), rules(description, field.checks()).into());
    }
    if !field.aliases().is_empty() {
        members.insert(keyword::ALIASES.into(), field.aliases().iter().map(|alias| &**alias).collect());
    }
}

/// Returns the description followed by the rules that the value must satisfy.
fn rules(description: &str, checks: &[CheckSpec]) -> String {
    let mut lines: Vec<String> = Vec::from_iter((!description.is_empty()).then(|| description.to_owned()));
    lines.extend(checks_in_words(checks));
    lines.join("\n")
}

fn mentions_root(schema: &Value) -> bool {
    match schema {
        Value::Object(members) => {
            members.get("$ref").is_some_and(|target| target == "#") || members.values().any(mentions_root)
        }
        Value::Array(items) => items.iter().any(mentions_root),
        _ => false,
    }
}

fn rename_references(schema: &mut Value, renamed: &HashMap<String, String>) {
    match schema {
        Value::Object(members) => {
            if let Some(Value::String(target)) = members.get_mut("$ref")
                && let Some(to) = renamed.get(target)
            {
                target.clone_from(to);
            }
            members.values_mut().for_each(|member| rename_references(member, renamed));
        }
        Value::Array(items) => items.iter_mut().for_each(|item| rename_references(item, renamed)),
        _ => {}
    }
}
