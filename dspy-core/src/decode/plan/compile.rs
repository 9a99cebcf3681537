//! From JSON Schema to plan nodes.

use std::collections::{HashMap, HashSet};

use serde_json::{Map, Value, json};

use super::super::error::SchemaError;
use super::super::text::fold;
use super::flatten::{ANNOTATIONS, Flat, Resolver, array, reference};
use super::keywords::{
    bad, contradiction, implied_type, number, plain_name, regex, sizes, strings, text, type_fits,
    within_limits,
};
use super::{
    Check, ChoiceItem, ChoicePlan, Extra, Kind, ListPlan, Node, NodeId, ObjectPlan, Prop, Schema, Tag,
    UnionPlan,
};

/// Nesting of the schema itself; a schema is written by people or macros, never thousands deep.
const MAX_SCHEMA_DEPTH: usize = 200;
/// Branches that the product of several unions on one value may have.
const MAX_BRANCHES: usize = 256;

pub(super) struct Compiler<'s> {
    resolver: Resolver<'s>,
    nodes: Vec<Node>,
    /// Schemas under way or done, by what they say; recursion ends here.
    known: HashMap<String, NodeId>,
    keys: HashSet<String>,
    depth: usize,
}

type Compiled<T> = Result<T, SchemaError>;

impl<'s> Compiler<'s> {
    pub(super) fn new(root: &'s Value) -> Self {
        Self {
            resolver: Resolver { root },
            nodes: Vec::new(),
            known: HashMap::new(),
            keys: HashSet::new(),
            depth: 0,
        }
    }

    pub(super) fn finish(mut self) -> Compiled<Schema> {
        let root = self.resolver.root;
        let root = self.node(root, "#")?;
        self.reject_cycles()?;
        for id in 0..self.nodes.len() {
            self.find_tag(id);
        }
        let schema = Schema { nodes: self.nodes, root, keys: self.keys };
        if schema.has_values() {
            Ok(schema)
        } else {
            Err(contradiction("#", "a type that must hold itself, or `false`"))
        }
    }

    fn node(&mut self, schema: &Value, at: &str) -> Compiled<NodeId> {
        // Only a reference can lead back, so only references need to be known by name.
        let key = if reference(schema).is_some() || std::ptr::eq(schema, self.resolver.root) {
            let only_ref = schema.as_object().is_some_and(|m| {
                m.keys().all(|k| k == "$ref" || k == "$dynamicRef" || ANNOTATIONS.contains(&k.as_str()))
            });
            let key = match reference(schema) {
                Some(r) if only_ref && !std::ptr::eq(schema, self.resolver.root) => r.to_owned(),
                Some(_) => schema.to_string(),
                None => "#".to_owned(),
            };
            if let Some(&id) = self.known.get(&key) {
                return Ok(id);
            }
            Some(key)
        } else {
            None
        };
        let id = self.nodes.len();
        self.nodes.push(Node::default());
        if let Some(key) = key {
            self.known.insert(key, id);
        }
        self.depth += 1;
        if self.depth > MAX_SCHEMA_DEPTH {
            return Err(SchemaError::TooDeep { at: at.to_owned() });
        }
        let flat = self.resolver.flatten(schema, at)?;
        let node = self.flat(flat, at)?;
        self.nodes[id] = node;
        self.depth -= 1;
        Ok(id)
    }

    fn flat(&mut self, flat: Flat, at: &str) -> Compiled<Node> {
        let name = flat.keywords.get("title").and_then(Value::as_str).map(str::to_owned);
        if flat.never {
            return Ok(Node { kind: Kind::Never, name, checks: Vec::new() });
        }
        let mut checks = self.checks(&flat.keywords, at)?;
        for schema in &flat.also {
            checks.push(Check::Also(self.node(schema, at)?));
        }
        let kind =
            if flat.unions.is_empty() { self.plain(&flat.keywords, at)? } else { self.union(&flat, at)? };
        Ok(Node { kind, name, checks })
    }

    /// A schema without alternatives, or with several types (which are alternatives too).
    fn plain(&mut self, map: &Map<String, Value>, at: &str) -> Compiled<Kind> {
        if map.contains_key("const") || map.contains_key("enum") {
            return Self::choice(map, at);
        }
        let types: Vec<&str> = match map.get("type") {
            Some(Value::String(t)) => vec![t],
            Some(Value::Array(types)) => types.iter().filter_map(Value::as_str).collect(),
            Some(other) => return Err(bad("type", other, at)),
            None => implied_type(map).into_iter().collect(),
        };
        match types.as_slice() {
            [] => Ok(Kind::Any),
            [one] => self.typed(one, map, at),
            several => {
                let mut union = UnionPlan::default();
                for kind in several {
                    if *kind == "null" {
                        union.null = true;
                        continue;
                    }
                    let kind = self.typed(kind, map, at)?;
                    union.options.push(self.push(kind));
                }
                Ok(Kind::Union(union))
            }
        }
    }

    fn typed(&mut self, kind: &str, map: &Map<String, Value>, at: &str) -> Compiled<Kind> {
        Ok(match kind {
            "null" => Kind::Null,
            "boolean" => Kind::Bool,
            "integer" => Kind::Number(Box::new(number(map, true, at)?)),
            "number" => Kind::Number(Box::new(number(map, false, at)?)),
            "string" => Kind::Text(Box::new(text(map, at)?)),
            "array" => Kind::List(Box::new(self.list(map, at)?)),
            "object" => Kind::Object(Box::new(self.object(map, at)?)),
            other => return Err(bad("type", &json!(other), at)),
        })
    }

    fn push(&mut self, kind: Kind) -> NodeId {
        self.nodes.push(Node { kind, ..Node::default() });
        self.nodes.len() - 1
    }

    fn union(&mut self, flat: &Flat, at: &str) -> Compiled<Kind> {
        let base: Map<String, Value> = flat
            .keywords
            .iter()
            .filter(|(k, _)| !ANNOTATIONS.contains(&k.as_str()))
            .map(|(k, v)| (k.clone(), v.clone()))
            .collect();
        // Several unions on one value: every combination of their branches.
        let mut branches: Vec<Value> = vec![Value::Object(base)];
        for options in &flat.unions {
            if options.is_empty() {
                return Err(contradiction(at, "a union without branches"));
            }
            let mut next = Vec::with_capacity(branches.len() * options.len());
            for branch in &branches {
                for option in options {
                    let bare = branch.as_object().is_some_and(Map::is_empty);
                    next.push(if bare { option.clone() } else { json!({"allOf": [option, branch]}) });
                }
            }
            if next.len() > MAX_BRANCHES {
                return Err(SchemaError::TooDeep { at: at.to_owned() });
            }
            branches = next;
        }
        let mut union = UnionPlan::default();
        let mut choices: Vec<ChoiceItem> = Vec::new();
        for (i, branch) in branches.iter().enumerate() {
            let id = self.node(branch, &format!("{at}/{i}"))?;
            match &mut self.nodes[id] {
                Node { kind: Kind::Null, .. } => union.null = true,
                // A branch that its siblings rule out.
                Node { kind: Kind::Never, .. } => {}
                // Unit variants with and without documentation are one list of choices.
                Node { kind: Kind::Choice(plan), checks, .. }
                    if checks.is_empty() && reference(branch).is_none() =>
                {
                    for item in std::mem::take(&mut plan.items) {
                        match choices.iter_mut().find(|c| c.value == item.value) {
                            Some(same) => {
                                same.aliases.extend(item.aliases);
                                same.descriptions.extend(item.descriptions);
                            }
                            None => choices.push(item),
                        }
                    }
                }
                _ => union.options.push(id),
            }
        }
        if !choices.is_empty() {
            let kind = Kind::Choice(Box::new(choice_plan(choices, at)?));
            if union.options.is_empty() && !union.null {
                return Ok(kind);
            }
            let id = self.push(kind);
            union.options.insert(0, id);
        }
        if union.options.is_empty() {
            return Ok(if union.null { Kind::Null } else { Kind::Never });
        }
        Ok(Kind::Union(union))
    }

    fn choice(map: &Map<String, Value>, at: &str) -> Compiled<Kind> {
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
                    aliases.extend(strings(map.get("x-aliases")));
                }
                aliases.extend(strings(map.get("x-enum-aliases").and_then(|a| a.get(&name))));
                let mut descriptions = notes.clone();
                descriptions.extend(
                    map.get("x-enum-descriptions").and_then(|a| a.get(&name)?.as_str()).map(str::to_owned),
                );
                ChoiceItem {
                    folded: fold(&name),
                    aliases: aliases.iter().map(|a| fold(a)).filter(|a| !a.is_empty()).collect(),
                    descriptions: descriptions.iter().map(|d| fold(d)).filter(|d| !d.is_empty()).collect(),
                    value,
                }
            })
            .collect();
        Ok(Kind::Choice(Box::new(choice_plan(items, at)?)))
    }

    fn list(&mut self, map: &Map<String, Value>, at: &str) -> Compiled<ListPlan> {
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
            None => Some(self.push(Kind::Any)),
        };
        (plan.min, plan.max) = sizes(map, "minItems", "maxItems", at)?;
        if plan.unique
            && plan.prefix.is_empty()
            && let (Some(min), Some(item)) = (plan.min, plan.items)
        {
            let differing = match &self.nodes[item].kind {
                Kind::Bool => Some(2),
                Kind::Null => Some(1),
                Kind::Choice(choice) if !choice.items.is_empty() => Some(choice.items.len()),
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

    fn object(&mut self, map: &Map<String, Value>, at: &str) -> Compiled<ObjectPlan> {
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
                if is_required && matches!(self.nodes[node].kind, Kind::Never) {
                    return Err(contradiction(at, &format!("`{name}` is required and excluded")));
                }
                let index = plan.props.len();
                let folded = fold(name);
                self.keys.insert(folded.clone());
                plan.exact.insert(name.clone(), index);
                plan.folded.entry(folded).and_modify(|slot| *slot = None).or_insert(Some(index));
                for alias in strings(schema.get("x-aliases")) {
                    let alias = fold(&alias);
                    self.keys.insert(alias.clone());
                    plan.aliases.entry(alias).and_modify(|slot| *slot = None).or_insert(Some(index));
                }
                plan.required_props += usize::from(is_required);
                plan.props.push(Prop { name: name.clone(), node, required: is_required });
            }
        }
        plan.template = ObjectPlan::template_of(&plan.props);
        plan.required = required.into_iter().collect();
        plan.required.sort();
        if let Some(patterns) = map.get("patternProperties") {
            let patterns = patterns.as_object().ok_or_else(|| bad("patternProperties", patterns, at))?;
            for (pattern, schema) in patterns {
                let node = self.node(schema, &format!("{at}/patternProperties"))?;
                plan.patterns.push((regex(pattern, at)?, node));
            }
        }
        plan.extra = match map.get("additionalProperties").or_else(|| map.get("unevaluatedProperties")) {
            Some(Value::Bool(false)) => Extra::Drop,
            Some(schema) => Extra::Node(self.node(schema, &format!("{at}/additionalProperties"))?),
            // A schema that names no members says "any object".
            None if plan.props.is_empty() && plan.patterns.is_empty() => Extra::Node(self.push(Kind::Any)),
            None => Extra::Drop,
        };
        (plan.min, plan.max) = sizes(map, "minProperties", "maxProperties", at)?;
        if plan.max.is_some_and(|max| plan.required.len() + plan.required_props > max) {
            return Err(contradiction(at, "more members are required than `maxProperties` allows"));
        }
        Ok(plan)
    }

    fn checks(&mut self, map: &Map<String, Value>, at: &str) -> Compiled<Vec<Check>> {
        let mut checks = Vec::new();
        if let Some(schema) = map.get("not") {
            checks.push(Check::Not(self.node(schema, &format!("{at}/not"))?));
        }
        if let Some(test) = map.get("if") {
            let side = |key: &str, this: &mut Self| -> Compiled<Option<NodeId>> {
                map.get(key).map(|schema| this.node(schema, &format!("{at}/{key}"))).transpose()
            };
            let (then, or_else) = (side("then", self)?, side("else", self)?);
            checks.push(Check::If { test: self.node(test, &format!("{at}/if"))?, then, or_else });
        }
        if let Some(schema) = map.get("contains") {
            let limit = |key: &str| map.get(key).and_then(Value::as_u64).map(|n| n as usize);
            checks.push(Check::Contains {
                node: self.node(schema, &format!("{at}/contains"))?,
                min: limit("minContains").unwrap_or(1),
                max: limit("maxContains").unwrap_or(usize::MAX),
            });
        }
        if let Some(schema) = map.get("propertyNames") {
            checks.push(Check::Names(self.node(schema, &format!("{at}/propertyNames"))?));
        }
        if let Some(Value::Object(needs)) = map.get("dependentRequired") {
            for (key, also) in needs {
                checks.push(Check::Needs { key: key.clone(), also: strings(Some(also)) });
            }
        }
        if let Some(Value::Object(schemas)) = map.get("dependentSchemas") {
            for (key, schema) in schemas {
                let test = self.node(&json!({"type": "object", "required": [key]}), at)?;
                let then = Some(self.node(schema, at)?);
                checks.push(Check::If { test, then, or_else: None });
            }
        }
        Ok(checks)
    }

    /// A union that is its own branch would be walked for ever without reading a byte.
    fn reject_cycles(&self) -> Compiled<()> {
        // 0 = new, 1 = on the path, 2 = done
        let mut state = vec![0_u8; self.nodes.len()];
        for start in 0..self.nodes.len() {
            let mut stack = vec![(start, false)];
            while let Some((id, leaving)) = stack.pop() {
                if leaving {
                    state[id] = 2;
                    continue;
                }
                match state[id] {
                    1 => {
                        return Err(SchemaError::RefCycle {
                            at: self.nodes[id].name.clone().unwrap_or_else(|| "#".into()),
                        });
                    }
                    2 => continue,
                    _ => {}
                }
                state[id] = 1;
                stack.push((id, true));
                let node = &self.nodes[id];
                if let Kind::Union(union) = &node.kind {
                    stack.extend(union.options.iter().map(|&o| (o, false)));
                }
                for check in &node.checks {
                    match check {
                        Check::Also(n) | Check::Not(n) => stack.push((*n, false)),
                        Check::If { test, then, or_else } => {
                            stack.push((*test, false));
                            stack.extend(then.iter().chain(or_else).map(|&n| (n, false)));
                        }
                        Check::Contains { .. } | Check::Names(_) | Check::Needs { .. } => {}
                    }
                }
            }
        }
        Ok(())
    }

    /// Finds the member whose fixed value tells the branches of a union apart.
    fn find_tag(&mut self, id: NodeId) {
        let Kind::Union(union) = &self.nodes[id].kind else { return };
        let objects: Vec<(NodeId, &ObjectPlan)> = union
            .options
            .iter()
            .filter_map(
                |&o| if let Kind::Object(plan) = &self.nodes[o].kind { Some((o, &**plan)) } else { None },
            )
            .collect();
        if objects.len() < 2 {
            return;
        }
        let fixed = |plan: &ObjectPlan, key: &str| -> Option<String> {
            let prop = plan.props.get(*plan.exact.get(key)?)?;
            match &self.nodes[prop.node].kind {
                Kind::Choice(choice) if prop.required && choice.items.len() == 1 => {
                    Some(choice.items[0].folded.clone())
                }
                _ => None,
            }
        };
        let tag = objects[0].1.props.iter().find_map(|prop| {
            let mut branches = HashMap::new();
            for (option, plan) in &objects {
                let value = fixed(plan, &prop.name).filter(|v| !v.is_empty())?;
                if branches.insert(value, *option).is_some() {
                    return None;
                }
            }
            Some(Tag { key: prop.name.clone(), branches })
        });
        if let Kind::Union(union) = &mut self.nodes[id].kind {
            union.tag = tag;
        }
    }
}

fn choice_plan(items: Vec<ChoiceItem>, at: &str) -> Compiled<ChoicePlan> {
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
