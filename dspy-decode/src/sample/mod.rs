//! Generation of values that a schema accepts, and of the inexact notations in which models write them.
//!
//! It is used by test doubles. Generated values are checked by the same plan that reads replies.

mod heights;
mod pattern;
mod sloppy;
mod text;

use serde_json::{Map, Number, Value};

use super::plan::{ByPattern, Check, Extra, ListPlan, NodeId, NodeKind, NumberPlan, ObjectPlan, Schema};
use super::{Plan, plan};
use dspy_base::seed::Rng;

/// Number of attempts to generate a whole value before the schema is given up.
const ATTEMPTS: usize = 64;
/// Number of attempts to generate one part with a limit that is easily violated.
const REDRAWS: usize = 16;
/// The depth from which values are as shallow as possible.
const DEEP: usize = 4;
/// The maximum number of optional items of a list.
const SPARE: usize = 3;

impl Plan {
    /// Returns a random value that satisfies the schema; `None` if none was found because of a pattern or a
    /// combination of limits.
    #[doc(hidden)]
    pub fn sample(&self, rng: &mut Rng) -> Option<Value> {
        let mut sampler = Sampler { schema: &self.schema, heights: heights::of(&self.schema), rng };
        (0..ATTEMPTS).find_map(|_| {
            let value = sampler.value(self.schema.root, 0)?;
            self.schema.is_valid(self.schema.root, &value).then_some(value)
        })
    }

    /// Returns the value as a careless model may write it as a field's text, such that it is read as the same
    /// value. `None` if there is only one notation.
    #[doc(hidden)]
    pub fn careless_text(&self, value: &Value, rng: &mut Rng) -> Option<String> {
        sloppy::field(&self.schema, value, rng)
    }

    /// Returns the value as inexact JSON that is read as the same value.
    #[doc(hidden)]
    pub fn careless_json(&self, value: &Value, rng: &mut Rng) -> String {
        sloppy::json(&self.schema, value, rng)
    }

    /// Returns text that cannot be a value of the schema; `None` unless the type is one with recognizable
    /// invalid text: numbers, booleans and choices.
    #[doc(hidden)]
    pub fn impossible_text(&self, rng: &mut Rng) -> Option<String> {
        sloppy::impossible(&self.schema, rng)
    }
}

/// Returns a few words without particular meaning.
pub fn words(rng: &mut Rng) -> String {
    text::words(rng, 3, 12)
}

struct Sampler<'s, 'r> {
    schema: &'s Schema,
    heights: Vec<usize>,
    rng: &'r mut Rng,
}

impl Sampler<'_, '_> {
    fn value(&mut self, id: NodeId, depth: usize) -> Option<Value> {
        if self.schema.node(id).checks.is_empty() {
            return self.shaped(id, depth);
        }
        // A combination of several assertions is found by trial.
        (0..REDRAWS).find_map(|_| {
            let value = self.guided(id, depth)?;
            self.schema.failed_check(id, &value).is_none().then_some(value)
        })
    }

    /// Returns a value of the node's kind, sometimes based on an assertion beside it.
    fn guided(&mut self, id: NodeId, depth: usize) -> Option<Value> {
        let schema = self.schema;
        let node = schema.node(id);
        let also = node.checks.iter().find_map(|check| match check {
            Check::Also(also) => Some(*also),
            _ => None,
        });
        if let Some(also) = also.filter(|_| self.rng.below(2) == 0) {
            return self.value(also, depth + 1);
        }
        let mut value = self.shaped(id, depth)?;
        for check in &node.checks {
            match (check, &mut value) {
                (Check::Contains { node, min, .. }, Value::Array(items)) => {
                    for index in 0..*min {
                        let wanted = self.value(*node, depth + 1)?;
                        match items.get_mut(index) {
                            Some(item) => *item = wanted,
                            None => items.push(wanted),
                        }
                    }
                }
                (Check::Names(names), Value::Object(members)) => {
                    let old = std::mem::take(members);
                    for value in old.into_iter().map(|(_, value)| value) {
                        if let Some(Value::String(name)) = self.value(*names, depth + 1) {
                            members.insert(name, value);
                        }
                    }
                }
                _ => {}
            }
        }
        Some(value)
    }

    fn shaped(&mut self, id: NodeId, depth: usize) -> Option<Value> {
        let schema = self.schema;
        Some(match &schema.node(id).kind {
            NodeKind::Any => self.anything(),
            NodeKind::Never => return None,
            NodeKind::Null => Value::Null,
            NodeKind::Bool => (self.rng.below(2) == 0).into(),
            NodeKind::Number(plan) => number(plan, self.rng)?,
            NodeKind::Text(plan) => text::text(plan, self.rng)?.into(),
            NodeKind::Choice(plan) => {
                plan.items.get(self.rng.below(plan.items.len())).map(|item| item.value.clone())?
            }
            NodeKind::List(plan) => self.list(plan, depth)?,
            NodeKind::Object(plan) => self.object(plan, depth)?,
            NodeKind::Union(union) => self.union(union, depth)?,
        })
    }

    fn anything(&mut self) -> Value {
        match self.rng.below(4) {
            0 => (self.rng.below(100) as u64).into(),
            1 => (self.rng.below(2) == 0).into(),
            _ => text::words(self.rng, 1, 3).into(),
        }
    }

    fn list(&mut self, plan: &ListPlan, depth: usize) -> Option<Value> {
        let least = plan.min.unwrap_or(0).max(plan.prefix.len().min(plan.max.unwrap_or(usize::MAX)));
        let most = match (plan.items, plan.max) {
            (None, max) => max.unwrap_or(usize::MAX).min(plan.prefix.len()),
            (Some(_), max) => max.unwrap_or(usize::MAX).min(least.saturating_add(SPARE)),
        };
        let count = if depth > DEEP { least } else { self.rng.between(least, most) };
        let mut items: Vec<Value> = Vec::with_capacity(count.min(1024));
        for index in 0..count {
            let node = plan.item(index)?;
            let item = (0..REDRAWS).find_map(|_| {
                let item = self.value(node, depth + 1)?;
                (!plan.unique || !items.contains(&item)).then_some(item)
            });
            match item {
                Some(item) => items.push(item),
                // A set over few possible values may be smaller than requested.
                None if items.len() >= least => break,
                None => return None,
            }
        }
        Some(Value::Array(items))
    }

    fn object(&mut self, plan: &ObjectPlan, depth: usize) -> Option<Value> {
        let mut members = Map::new();
        let most = plan.max.unwrap_or(usize::MAX);
        let mut optional = most.saturating_sub(plan.required_props + plan.required.len());
        for prop in &plan.props {
            if !prop.required && (depth > DEEP || optional == 0 || self.rng.below(3) == 0) {
                continue;
            }
            match self.value(prop.node, depth + 1) {
                Some(value) => drop(members.insert(prop.name.clone(), value)),
                None if prop.required => return None,
                None => continue,
            }
            optional -= usize::from(!prop.required);
        }
        for name in &plan.required {
            let value = self.extra(plan, name, depth)?;
            members.insert(name.clone(), value);
        }
        let open = matches!(plan.extra, Extra::Node(_)) || !plan.patterns.is_empty();
        // A type with declared members rarely has others.
        let spare = if plan.props.is_empty() && depth <= DEEP { SPARE } else { 0 };
        let least = plan.min.unwrap_or(0).max(members.len());
        let count = self.rng.between(least, least.saturating_add(spare).min(most));
        for _ in 0..REDRAWS * count {
            if members.len() >= count || !open {
                break;
            }
            let name = match plan.patterns.get(self.rng.below(plan.patterns.len())) {
                Some((pattern, _)) => pattern::matching(pattern.as_str(), 0, self.rng)?,
                None => text::words(self.rng, 1, 2),
            };
            if members.contains_key(&name) {
                continue;
            }
            let value = self.extra(plan, &name, depth)?;
            members.insert(name, value);
        }
        // The remaining entries may be optional members.
        for prop in plan.props.iter().filter(|prop| !prop.required) {
            if members.len() < plan.min.unwrap_or(0) && !members.contains_key(&prop.name) {
                let value = self.value(prop.node, depth + 1)?;
                members.insert(prop.name.clone(), value);
            }
        }
        Some(Value::Object(members))
    }

    /// Returns the value of a member without a schema.
    fn extra(&mut self, plan: &ObjectPlan, name: &str, depth: usize) -> Option<Value> {
        match (plan.by_pattern(name), plan.extra) {
            (ByPattern::Node(node), _) | (ByPattern::Nothing, Extra::Node(node)) => {
                self.value(node, depth + 1)
            }
            (ByPattern::Unclear, _) => None,
            (ByPattern::Nothing, Extra::Drop) => Some(self.anything()),
        }
    }

    fn union(&mut self, union: &plan::UnionPlan, depth: usize) -> Option<Value> {
        let schema = self.schema;
        if union.null && (union.options.is_empty() || depth > DEEP || self.rng.below(4) == 0) {
            return Some(Value::Null);
        }
        let shortest = union.options.iter().map(|option| self.heights[*option]).min()?;
        let deep = depth > DEEP;
        let options: Vec<NodeId> =
            union.options.iter().copied().filter(|o| !deep || self.heights[*o] == shortest).collect();
        let chosen = *options.get(self.rng.below(options.len()))?;
        let value = self.value(chosen, depth + 1)?;
        let Value::String(text) = &value else { return Some(value) };
        // A union with a number reads a string of digits as that number.
        let whole = || text.parse::<i64>().map(Number::from).ok();
        let number = serde_json::from_str::<Number>(text).ok().or_else(whole).map(Value::Number);
        let other = number.filter(|number| {
            union
                .options
                .iter()
                .any(|o| !matches!(schema.node(*o).kind, NodeKind::Text(_)) && schema.is_valid(*o, number))
        });
        Some(other.unwrap_or(value))
    }
}

/// Returns a number within the limits, usually a small one.
fn number(plan: &NumberPlan, rng: &mut Rng) -> Option<Value> {
    let usual = (-20.0, 1000.0);
    let (low, high) = match (plan.min, plan.max) {
        (Some(low), Some(high)) => {
            // Of a wide range, only the commonly used part.
            let clip = |value: f64| value.clamp(low.value, high.value);
            let (a, b) = (clip(usual.0), clip(usual.1));
            if a < b && high.value - low.value > 2000.0 { (a, b) } else { (low.value, high.value) }
        }
        (Some(low), None) => (low.value, low.value + usual.1),
        (None, Some(high)) => (high.value - usual.1, high.value),
        (None, None) => usual,
    };
    (0..REDRAWS * 4).find_map(|attempt| {
        let at = low + rng.unit() * (high - low);
        let at = match plan.multiple_of {
            Some(step) => ((at / step).round() * step * 1e9).round() / 1e9,
            None => at,
        };
        let number = if plan.integer {
            whole(at, plan)?
        } else if attempt > REDRAWS {
            Number::from_f64(at)?
        } else {
            Number::from_f64((at * 100.0).round() / 100.0)?
        };
        plan.violation(&number).is_none().then_some(Value::Number(number))
    })
}

/// Returns the integer nearest to `at`, exact at limits that `f64` cannot represent.
fn whole(at: f64, plan: &NumberPlan) -> Option<Number> {
    let mut number = at.round() as i128;
    if let Some(low) = plan.min.and_then(|bound| bound.whole) {
        number = number.max(low);
    }
    if let Some(high) = plan.max.and_then(|bound| bound.whole) {
        number = number.min(high);
    }
    i64::try_from(number).map(Number::from).or_else(|_| u64::try_from(number).map(Number::from)).ok()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use dspy_base::seed::Seed;

    #[test]
    fn samples_satisfy_their_schema() {
        for schema in [
            json!({"type": "integer", "minimum": 3, "maximum": 5}),
            json!({"type": "integer", "format": "uint64", "minimum": 18_446_744_073_709_551_614_u64}),
            json!({"type": "integer", "multipleOf": 7, "exclusiveMinimum": 0, "maximum": 21}),
            json!({"type": "number", "minimum": 0, "maximum": 1}),
            json!({"type": "number", "exclusiveMinimum": 0.001, "exclusiveMaximum": 0.002}),
            json!({"type": "number", "multipleOf": 0.25}),
            json!({"type": "string", "minLength": 60, "maxLength": 70}),
            json!({"type": "string", "maxLength": 1, "minLength": 1}),
            json!({"type": "string", "pattern": "^[A-Z]{2}-\\d{4}(-[a-f0-9]+)?$", "minLength": 8}),
            json!({"type": "string", "pattern": "^(?:cat|dog)s?$"}),
            json!({"type": "string", "pattern": "^[a-z]+$", "minLength": 30}),
            json!({"type": "string", "format": "date"}),
            json!({"type": "string", "format": "date-time"}),
            json!({"type": "string", "format": "time"}),
            json!({"type": "string", "format": "uuid"}),
            json!({"type": "string", "format": "email"}),
            json!({"type": "string", "format": "uri"}),
            json!({"type": "string", "x-code": true}),
            json!({"enum": ["a", 2, null, {"b": 1}]}),
            json!({"const": "only"}),
            json!({"type": "array", "items": {"type": "boolean"}, "minItems": 2, "uniqueItems": true}),
            json!({"type": "array", "prefixItems": [{"type": "integer"}, {"type": "string"}], "items": false, "minItems": 2}),
            json!({"type": "array", "items": {"type": "integer"}, "contains": {"type": "integer", "minimum": 900, "maximum": 901}}),
            json!({"type": "object", "additionalProperties": {"type": "integer"}, "minProperties": 4}),
            json!({"type": "object", "patternProperties": {"^k[0-9]+$": {"type": "boolean"}}, "minProperties": 1, "additionalProperties": false}),
            json!({"type": "object", "additionalProperties": true, "propertyNames": {"pattern": "^[a-z]{3}$"}, "minProperties": 2}),
            json!({"type": "object", "properties": {"a": {"type": "integer"}, "b": {"type": "string"}}, "maxProperties": 1}),
            json!({"properties": {"a": {"type": "integer"}}, "required": ["a", "z"], "additionalProperties": true}),
            json!({"anyOf": [{"type": "integer"}, {"type": "null"}, {"type": "string", "maxLength": 4}]}),
            json!({"type": ["integer", "string"], "pattern": "^-?[0-9]+$"}),
            json!({"allOf": [{"type": "string", "pattern": "^[a-c]+$"}, {"pattern": "^.{3}$"}]}),
            json!({"$ref": "#/$defs/T", "$defs": {"T": {"type": "object", "properties":
                {"label": {"type": "string"}, "children": {"type": "array", "items": {"$ref": "#/$defs/T"}}},
                "required": ["label", "children"]}}}),
            json!({"$ref": "#/$defs/E", "$defs": {"E": {"anyOf": [
                {"type": "object", "properties": {"plus": {"type": "array", "prefixItems": [{"$ref": "#/$defs/E"}, {"$ref": "#/$defs/E"}], "minItems": 2}}, "required": ["plus"]},
                {"type": "integer"}]}}}),
        ] {
            let plan = Plan::new(&schema).unwrap();
            for seed in 0..60 {
                let value = plan.sample(&mut Seed::new(seed).rng());
                let value = value.unwrap_or_else(|| panic!("nothing for {schema}"));
                assert!(plan.schema.is_valid(plan.schema.root, &value), "{value} for {schema}");
                assert_eq!(plan.sample(&mut Seed::new(seed).rng()), Some(value));
            }
        }
    }

    #[test]
    fn values_differ() {
        let plan = Plan::new(&json!({"type": "array", "items": {"type": "string"}})).unwrap();
        let values: std::collections::HashSet<String> =
            (0..100).filter_map(|seed| Some(plan.sample(&mut Seed::new(seed).rng())?.to_string())).collect();
        assert!(values.len() > 70, "{}", values.len());
    }

    #[test]
    fn what_cannot_be_found_is_not_made_up() {
        for schema in [
            json!({"allOf": [{"type": "string", "pattern": "^[0-9]{9}$"}, {"pattern": "^1{9}$"}, {"pattern": "^[2-3]{9}"}]}),
            json!({"type": "string", "pattern": "^a{9}$", "maxLength": 3}),
        ] {
            assert_eq!(Plan::new(&schema).unwrap().sample(&mut Seed::new(1).rng()), None, "{schema}");
        }
    }
}
