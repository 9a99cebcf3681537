//! Strict validation of finished values, and the limits of a schema.

use serde_json::{Number, Value};

use super::super::code::{self, Code};
use super::{Bound, Check, ChoicePlan, Extra, NodeId, NodeKind, NumberPlan, Schema, TextPlan};

impl Schema {
    /// Returns whether the value satisfies the node exactly, without a key to drop.
    pub(crate) fn is_valid(&self, id: NodeId, value: &Value) -> bool {
        let node = self.node(id);
        let shaped = match (&node.kind, value) {
            (NodeKind::Any, _) | (NodeKind::Null, Value::Null) | (NodeKind::Bool, Value::Bool(_)) => true,
            (NodeKind::Number(plan), Value::Number(n)) => {
                plan.violation(n).is_none() && (!plan.integer || !n.is_f64())
            }
            (NodeKind::Text(plan), Value::String(s)) => plan.accepts(s),
            (NodeKind::Choice(plan), value) => plan.has(value),
            (NodeKind::List(plan), Value::Array(items)) => {
                plan.min.is_none_or(|min| items.len() >= min)
                    && plan.max.is_none_or(|max| items.len() <= max)
                    && items
                        .iter()
                        .enumerate()
                        .all(|(i, v)| plan.item(i).is_some_and(|n| self.is_valid(n, v)))
                    && (!plan.unique || first_duplicate(items).is_none())
            }
            (NodeKind::Object(plan), Value::Object(map)) => {
                let mut required = 0;
                map.iter().all(|(key, v)| {
                    if let Some(&i) = plan.exact.get(key) {
                        required += usize::from(plan.props[i].required);
                        return self.is_valid(plan.props[i].node, v);
                    }
                    let mut by_pattern = plan.patterns.iter().filter(|(p, _)| p.is_match(key)).peekable();
                    if by_pattern.peek().is_some() {
                        return by_pattern.all(|(_, n)| self.is_valid(*n, v));
                    }
                    match plan.extra {
                        Extra::Drop => false,
                        Extra::Node(n) => self.is_valid(n, v),
                    }
                }) && required == plan.required_props
                    && plan.required.iter().all(|k| map.contains_key(k))
                    && plan.min.is_none_or(|min| map.len() >= min)
                    && plan.max.is_none_or(|max| map.len() <= max)
            }
            (NodeKind::Union(plan), value) => {
                (plan.null && value.is_null()) || plan.options.iter().any(|&o| self.is_valid(o, value))
            }
            _ => false,
        };
        shaped && self.failed_check(id, value).is_none()
    }

    /// Returns the first assertion that the value violates, in words.
    pub(crate) fn failed_check(&self, id: NodeId, value: &Value) -> Option<String> {
        self.node(id).checks.iter().find_map(|check| match check {
            Check::Also(n) => (!self.holds(*n, value)).then(|| self.describe(*n)),
            Check::Not(n) => {
                self.holds(*n, value).then(|| format!("something other than {}", self.describe(*n)))
            }
            Check::If { test, then, or_else } => {
                let side = if self.holds(*test, value) { then } else { or_else };
                side.filter(|n| !self.holds(*n, value)).map(|n| self.describe(n))
            }
            Check::Contains { node, min, max } => {
                let count = value.as_array()?.iter().filter(|v| self.holds(*node, v)).count();
                (count < *min || count > *max).then(|| {
                    format!("a list in which {} occurs at least {min} time(s)", self.describe(*node))
                })
            }
            Check::Names(n) => {
                let bad =
                    value.as_object()?.keys().find(|k| !self.holds(*n, &Value::String((*k).clone())))?;
                Some(format!("keys that are {}, not `{bad}`", self.describe(*n)))
            }
            Check::Needs { key, also } => {
                let map = value.as_object().filter(|map| map.contains_key(key))?;
                let missing = also.iter().find(|k| !map.contains_key(*k))?;
                Some(format!("`{missing}` beside `{key}`"))
            }
        })
    }

    /// Returns whether the value satisfies the node by the rules of JSON Schema, for assertions: keys without
    /// a schema are allowed, and a keyword applies only to its own type.
    fn holds(&self, id: NodeId, value: &Value) -> bool {
        match (&self.node(id).kind, value) {
            (NodeKind::Object(plan), Value::Object(map)) => {
                plan.props.iter().all(|p| map.get(&p.name).map_or(!p.required, |v| self.holds(p.node, v)))
                    && plan.required.iter().all(|k| map.contains_key(k))
                    && plan.min.is_none_or(|min| map.len() >= min)
                    && plan.max.is_none_or(|max| map.len() <= max)
                    && self.failed_check(id, value).is_none()
            }
            (NodeKind::Union(plan), value) => {
                (plan.null && value.is_null()) || plan.options.iter().any(|&o| self.holds(o, value))
            }
            _ => self.is_valid(id, value),
        }
    }
}

impl ChoicePlan {
    pub(crate) fn has(&self, value: &Value) -> bool {
        match value {
            Value::String(s) => self.has_text(s),
            other => self.mixed && self.items.iter().any(|i| same(&i.value, other)),
        }
    }
}

/// Returns whether two values are equal; `1` and `1.0` are the same number.
pub(crate) fn same(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Number(a), Value::Number(b)) => {
            a == b || (a.is_f64() != b.is_f64() && a.as_f64() == b.as_f64())
        }
        (Value::Array(a), Value::Array(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(a, b)),
        (Value::Object(a), Value::Object(b)) => {
            a.len() == b.len() && a.iter().all(|(k, a)| b.get(k).is_some_and(|b| same(a, b)))
        }
        _ => a == b,
    }
}

impl NumberPlan {
    /// Returns the limit that the number violates, in words. The caller checks whether it must be an integer.
    pub(crate) fn violation(&self, number: &Number) -> Option<String> {
        // With the digits that a number holds, only the smallest have more than 28 decimal places.
        if self.decimal && number.as_f64().is_some_and(|n| n != 0.0 && n.abs() < 1e-13) {
            return Some("a decimal of at most 28 digits".into());
        }
        let float = number.as_f64().unwrap_or(f64::NAN);
        let whole = number.as_i64().map(i128::from).or_else(|| number.as_u64().map(i128::from));
        let order = |bound: &Bound| match (whole, bound.whole) {
            (Some(a), Some(b)) => Some(a.cmp(&b)),
            _ => float.partial_cmp(&bound.value),
        };
        let show = |b: &Bound| b.whole.map_or_else(|| b.value.to_string(), |w| w.to_string());
        if let Some(bound) = &self.min {
            let ok = order(bound).is_some_and(|o| o.is_gt() || (o.is_eq() && !bound.exclusive));
            if !ok {
                return Some(format!(
                    "{} {}",
                    if bound.exclusive { "more than" } else { "at least" },
                    show(bound)
                ));
            }
        }
        if let Some(bound) = &self.max {
            let ok = order(bound).is_some_and(|o| o.is_lt() || (o.is_eq() && !bound.exclusive));
            if !ok {
                return Some(format!(
                    "{} {}",
                    if bound.exclusive { "less than" } else { "at most" },
                    show(bound)
                ));
            }
        }
        if let Some(step) = self.multiple_of {
            let ratio = float / step;
            // 0.3 / 0.1 is not 3 in binary, so a relative error of a few units in the last place is
            // tolerated.
            if (ratio - ratio.round()).abs() > 1e-9 * ratio.abs().max(1.0) {
                return Some(format!("a multiple of {step}"));
            }
        }
        None
    }
}

impl TextPlan {
    pub(crate) fn accepts(&self, text: &str) -> bool {
        let fenced = || matches!(code::read(text), Code::Fenced { alone: true, .. });
        self.is_free() || (self.violation(text).is_none() && !(self.code && fenced()))
    }

    /// Returns the limit that the text violates, in words.
    pub(crate) fn violation(&self, text: &str) -> Option<String> {
        if self.min.is_some() || self.max.is_some() {
            let length = text.chars().count();
            if let Some(min) = self.min.filter(|min| length < *min) {
                return Some(format!("at least {min} characters"));
            }
            if let Some(max) = self.max.filter(|max| length > *max) {
                return Some(format!("at most {max} characters"));
            }
        }
        if let Some(pattern) = self.patterns.iter().find(|p| !p.is_match(text)) {
            return Some(format!("a text matching /{pattern}/"));
        }
        if self.decimal && !is_exact(text) {
            return Some("a decimal of at most 28 digits".into());
        }
        self.format.filter(|f| !f.accepts(text)).map(|_| super::describe::text_phrase(self))
    }
}

/// Returns whether a decimal holds all digits of the text.
fn is_exact(text: &str) -> bool {
    #[cfg(feature = "decimal")]
    return text.contains(['e', 'E']) || rust_decimal::Decimal::from_str_exact(text).is_ok();
    #[cfg(not(feature = "decimal"))]
    return !text.is_empty();
}

/// Returns the index of the first item that equals an earlier one.
pub(crate) fn first_duplicate(items: &[Value]) -> Option<usize> {
    if items.len() < 32 {
        return (1..items.len()).find(|&i| items[..i].contains(&items[i]));
    }
    let mut seen = std::collections::HashSet::with_capacity(items.len());
    items.iter().position(|item| !seen.insert(canonical(item)))
}

/// Returns a string that is the same for equal values, regardless of the order of keys.
fn canonical(value: &Value) -> String {
    match value {
        Value::Object(map) => {
            let mut parts: Vec<_> = map.iter().map(|(k, v)| format!("{k:?}:{}", canonical(v))).collect();
            parts.sort();
            format!("{{{}}}", parts.join(","))
        }
        Value::Array(items) => format!("[{}]", items.iter().map(canonical).collect::<Vec<_>>().join(",")),
        other => other.to_string(),
    }
}
