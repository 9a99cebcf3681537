//! Compilation of lists and objects with the types of their items and members.

use std::collections::HashSet;

use serde_json::{Map, Value, json};

use super::super::super::error::SchemaError;
use super::super::flatten::array;
use super::super::keywords::{bad, contradiction, regex, sizes, strings};
use super::super::{ByPattern, Extra, ListPlan, NodeKind, ObjectPlan, Prop};
use super::{Compiled, Compiler, doc};
use dspy_base::fold::fold;
use dspy_base::keyword;

impl Compiler<'_> {
    pub(super) fn list(&mut self, map: &Map<String, Value>, at: &str) -> Compiled<ListPlan> {
        let mut plan =
            ListPlan { unique: map.get("uniqueItems") == Some(&Value::Bool(true)), ..ListPlan::default() };
        if let Some(prefix) = map.get("prefixItems") {
            for (i, schema) in array(prefix, "prefixItems", at)?.iter().enumerate() {
                plan.prefix.push(self.node(schema, &format!("{at}/prefixItems/{i}"))?);
            }
        }
        plan.items = match map.get("items") {
            Some(Value::Bool(false)) => None,
            Some(schema) => Some(self.node(schema, &format!("{at}/items"))?),
            None => Some(self.push(NodeKind::Any)),
        };
        (plan.min, plan.max) = sizes(map, "minItems", "maxItems", at)?;
        if plan.unique
            && plan.prefix.is_empty()
            && let (Some(min), Some(item)) = (plan.min, plan.items)
        {
            let differing = match &self.nodes[item].kind {
                NodeKind::Bool => Some(2),
                NodeKind::Null => Some(1),
                NodeKind::Choice(choice) if !choice.items.is_empty() => Some(choice.items.len()),
                _ => None,
            };
            if differing.is_some_and(|count| count < min) {
                return Err(contradiction(
                    at,
                    &format!("`minItems` {min} with fewer items that could differ"),
                ));
            }
        }
        if plan.items.is_none() && plan.min.is_some_and(|min| min > plan.prefix.len()) {
            return Err(contradiction(at, "`minItems` exceeds the number of `prefixItems`"));
        }
        Ok(plan)
    }

    /// Compiles the types of keys that several patterns match.
    fn overlaps(&mut self, patterns: &Map<String, Value>, plan: &mut ObjectPlan, at: &str) -> Compiled<()> {
        let schemas: Vec<&Value> = patterns.values().collect();
        if schemas.len() > ObjectPlan::MAX_OVERLAPPING {
            return Ok(());
        }
        for mask in 1_u32..1 << schemas.len() {
            let mut parts: Vec<&Value> = Vec::new();
            for (index, schema) in schemas.iter().enumerate() {
                if mask & (1 << index) != 0 && !parts.contains(schema) {
                    parts.push(schema);
                }
            }
            if mask.count_ones() < 2 {
                continue;
            }
            let node = if let [only] = parts.as_slice() {
                let at = schemas.iter().position(|schema| schema == only).unwrap_or_default();
                plan.patterns[at].1
            } else {
                let depth = self.depth;
                match self.node(&json!({"allOf": parts}), &format!("{at}/patternProperties")) {
                    // No value is valid for a key that both match; other keys have values.
                    Err(SchemaError::Contradiction { .. }) => {
                        self.depth = depth;
                        self.push(NodeKind::Never)
                    }
                    node => node?,
                }
            };
            plan.overlaps.push((mask, node));
        }
        Ok(())
    }

    pub(super) fn object(&mut self, map: &Map<String, Value>, at: &str) -> Compiled<ObjectPlan> {
        let mut plan = ObjectPlan::default();
        let mut required: HashSet<String> = match map.get("required") {
            Some(names) => {
                array(names, "required", at)?.iter().filter_map(Value::as_str).map(str::to_owned).collect()
            }
            None => HashSet::new(),
        };
        if let Some(props) = map.get("properties") {
            let props = props.as_object().ok_or_else(|| bad("properties", props, at))?;
            for (name, schema) in props {
                let node = self.node(schema, &format!("{at}/properties/{name}"))?;
                let is_required = required.remove(name);
                if is_required && matches!(self.nodes[node].kind, NodeKind::Never) {
                    return Err(contradiction(at, &format!("`{name}` is required and excluded")));
                }
                let index = plan.props.len();
                let folded = fold(name);
                self.keys.insert(folded.clone());
                plan.exact.insert(name.clone(), index);
                plan.folded.entry(folded).and_modify(|slot| *slot = None).or_insert(Some(index));
                for alias in strings(schema.get(keyword::ALIASES)) {
                    let alias = fold(&alias);
                    self.keys.insert(alias.clone());
                    plan.aliases.entry(alias).and_modify(|slot| *slot = None).or_insert(Some(index));
                }
                plan.required_props += usize::from(is_required);
                plan.props.push(Prop {
                    name: name.clone(),
                    node,
                    required: is_required,
                    doc: doc(schema.get("description")),
                });
            }
        }
        plan.required = required.into_iter().collect();
        plan.required.sort();
        if let Some(patterns) = map.get("patternProperties") {
            let patterns = patterns.as_object().ok_or_else(|| bad("patternProperties", patterns, at))?;
            for (pattern, schema) in patterns {
                let node = self.node(schema, &format!("{at}/patternProperties"))?;
                plan.patterns.push((regex(pattern, at)?, node));
            }
            self.overlaps(patterns, &mut plan, at)?;
        }
        plan.extra = match map.get("additionalProperties").or_else(|| map.get("unevaluatedProperties")) {
            Some(Value::Bool(false)) => Extra::Drop,
            Some(schema) => Extra::Node(self.node(schema, &format!("{at}/additionalProperties"))?),
            // A schema without declared members means "any object".
            None if plan.props.is_empty() && plan.patterns.is_empty() => {
                Extra::Node(self.push(NodeKind::Any))
            }
            None => Extra::Drop,
        };
        if matches!(plan.extra, Extra::Drop) {
            // A required member cannot be one of the dropped ones.
            for name in std::mem::take(&mut plan.required) {
                if plan.by_pattern(&name) != ByPattern::Nothing {
                    plan.required.push(name);
                    continue;
                }
                let node = self.push(NodeKind::Any);
                let folded = fold(&name);
                self.keys.insert(folded.clone());
                plan.exact.insert(name.clone(), plan.props.len());
                plan.folded.entry(folded).and_modify(|slot| *slot = None).or_insert(Some(plan.props.len()));
                plan.required_props += 1;
                plan.props.push(Prop { name, node, required: true, doc: None });
            }
        }
        plan.template = ObjectPlan::template_of(&plan.props);
        (plan.min, plan.max) = sizes(map, "minProperties", "maxProperties", at)?;
        if plan.max.is_some_and(|max| plan.required.len() + plan.required_props > max) {
            return Err(contradiction(at, "more members are required than `maxProperties` allows"));
        }
        Ok(plan)
    }
}
