//! `enum` and `const`: choices with their aliases and descriptions.

use std::collections::HashMap;

use serde_json::{Map, Value};

use super::super::super::error::SchemaError;
use super::super::flatten::array;
use super::super::keywords::{contradiction, plain_name, strings, type_fits, within_limits};
use super::super::{ChoiceItem, ChoicePlan, NodeKind};
use super::{Compiled, Compiler, doc};
use dspy_base::fold::fold;
use dspy_base::keyword;

impl Compiler<'_> {
    pub(super) fn choice(map: &Map<String, Value>, at: &str) -> Compiled<NodeKind> {
        let mut values = match map.get("enum") {
            Some(list) => array(list, "enum", at)?.clone(),
            None => Vec::new(),
        };
        let single = map.get("const");
        if let Some(value) = single {
            if !values.is_empty() && !values.contains(value) {
                return Err(contradiction(at, "a `const` that is not in `enum`"));
            }
            values = vec![value.clone()];
        }
        if values.is_empty() {
            return Err(contradiction(at, "an empty `enum`"));
        }
        if let Some(types) = map.get("type") {
            values.retain(|v| type_fits(types, v));
            if values.is_empty() {
                return Err(contradiction(at, "no value of `enum` has the given `type`"));
            }
        }
        values.retain(|value| within_limits(value, map, at).unwrap_or(true));
        if values.is_empty() {
            return Err(contradiction(at, "no value of `enum` is within the limits beside it"));
        }
        let mut notes: Vec<String> = Vec::new();
        if single.is_some() {
            notes.extend(
                ["title", "description"].iter().filter_map(|k| map.get(*k)?.as_str()).map(str::to_owned),
            );
        }
        let items = values
            .into_iter()
            .map(|value| {
                let name = plain_name(&value);
                let mut aliases = Vec::new();
                if single.is_some() {
                    aliases.extend(strings(map.get(keyword::ALIASES)));
                }
                aliases.extend(strings(map.get(keyword::ENUM_ALIASES).and_then(|a| a.get(&name))));
                let mut descriptions = notes.clone();
                let by_value = map.get(keyword::ENUM_DESCRIPTIONS).and_then(|all| all.get(&name));
                descriptions.extend(by_value.and_then(Value::as_str).map(str::to_owned));
                let described = doc(map.get("description"));
                ChoiceItem {
                    folded: fold(&name),
                    aliases: aliases.iter().map(|a| fold(a)).filter(|a| !a.is_empty()).collect(),
                    descriptions: descriptions.iter().map(|d| fold(d)).filter(|d| !d.is_empty()).collect(),
                    doc: described.filter(|_| single.is_some()).or_else(|| doc(by_value)),
                    value,
                }
            })
            .collect();
        Ok(NodeKind::Choice(Box::new(choice_plan(items, at)?)))
    }
}

pub(super) fn choice_plan(items: Vec<ChoiceItem>, at: &str) -> Compiled<ChoicePlan> {
    let mut lower: HashMap<String, String> = HashMap::new();
    let mut plan = ChoicePlan::default();
    for (i, item) in items.iter().enumerate() {
        let Value::String(name) = &item.value else {
            plan.mixed = true;
            continue;
        };
        if let Some(first) = lower.insert(name.to_lowercase(), name.clone())
            && first != *name
        {
            return Err(SchemaError::ClashingNames { at: at.to_owned(), first, second: name.clone() });
        }
        plan.exact.insert(name.clone(), i);
    }
    plan.items = items;
    Ok(plan)
}
