//! Descriptions of nodes in words, for messages to a model.

use std::fmt::Write as _;

use serde_json::Value;

use super::{Bound, Format, NodeId, NodeKind, NumberPlan, Schema, TextPlan};

/// The maximum number of choices that a message names.
const MAX_NAMED: usize = 20;

impl Schema {
    /// Returns a short noun phrase such as "an integer from 1 to 5".
    pub(crate) fn describe(&self, id: NodeId) -> String {
        self.phrase(id, 2)
    }

    fn phrase(&self, id: NodeId, depth: usize) -> String {
        let node = self.node(id);
        match &node.kind {
            NodeKind::Any => "any value".into(),
            NodeKind::Never => "nothing at all".into(),
            NodeKind::Null => "null".into(),
            NodeKind::Bool => "true or false".into(),
            NodeKind::Number(plan) => number_phrase(plan),
            NodeKind::Text(plan) => text_phrase(plan),
            NodeKind::Choice(plan) => {
                let mut names: Vec<String> = plan
                    .items
                    .iter()
                    .take(MAX_NAMED)
                    .map(|item| match &item.value {
                        Value::String(s) => format!("\"{s}\""),
                        other => other.to_string(),
                    })
                    .collect();
                if plan.items.len() > MAX_NAMED {
                    names.push("…".into());
                }
                if names.len() == 1 { names.remove(0) } else { format!("one of {}", names.join(", ")) }
            }
            NodeKind::List(plan) if depth > 0 => match (plan.prefix.as_slice(), plan.items) {
                ([], Some(item)) => format!("a list of {}", self.phrase(item, depth - 1)),
                ([], None) => "an empty list".into(),
                (prefix, _) => {
                    let parts: Vec<_> = prefix.iter().map(|&p| self.phrase(p, depth - 1)).collect();
                    format!("a list of {} items: {}", parts.len(), parts.join(", "))
                }
            },
            NodeKind::List(_) => "a list".into(),
            NodeKind::Object(plan) => {
                let needed: Vec<_> =
                    plan.props.iter().filter(|p| p.required).map(|p| format!("`{}`", p.name)).collect();
                let name = node.name.as_ref().map(|n| format!(" ({n})")).unwrap_or_default();
                if needed.is_empty() {
                    format!("an object{name}")
                } else {
                    format!("an object{name} with {}", needed.join(", "))
                }
            }
            NodeKind::Union(union) if depth > 0 => {
                let mut parts: Vec<_> = union.options.iter().map(|&o| self.phrase(o, depth - 1)).collect();
                if union.null {
                    parts.push("null".into());
                }
                parts.join(" or ")
            }
            NodeKind::Union(_) => node.name.clone().unwrap_or_else(|| "one of several types".into()),
        }
    }
}

pub(crate) fn number_phrase(plan: &NumberPlan) -> String {
    let mut out = String::from(if plan.integer { "an integer" } else { "a number" });
    let show = |b: &Bound| b.whole.map_or_else(|| b.value.to_string(), |w| w.to_string());
    let is = |bound: &Option<Bound>, value: i128| bound.as_ref().is_some_and(|b| b.whole == Some(value));
    // The range of a 64-bit integer is not worth mentioning.
    let (low, high) = if is(&plan.max, i64::MAX.into()) && is(&plan.min, i64::MIN.into()) {
        (&None, &None)
    } else if is(&plan.max, u64::MAX.into()) {
        (&plan.min, &None)
    } else {
        (&plan.min, &plan.max)
    };
    match (low, high) {
        (Some(low), Some(high)) if !low.exclusive && !high.exclusive => {
            let _ = write!(out, " from {} to {}", show(low), show(high));
        }
        (low, high) => {
            if let Some(low) = low {
                let _ = write!(out, " {} {}", if low.exclusive { "above" } else { "of at least" }, show(low));
            }
            if let Some(high) = high {
                let joint = if low.is_some() { " and" } else { "" };
                let _ = write!(
                    out,
                    "{joint} {} {}",
                    if high.exclusive { "below" } else { "of at most" },
                    show(high)
                );
            }
        }
    }
    if let Some(step) = plan.multiple_of {
        let _ = write!(out, ", a multiple of {step}");
    }
    out
}

pub(crate) fn text_phrase(plan: &TextPlan) -> String {
    let mut out = String::from(plan.format.map_or("a string", Format::phrase));
    match (plan.min, plan.max) {
        (Some(1), Some(1)) => out += " of exactly one character",
        (Some(low), Some(high)) => {
            let _ = write!(out, " of {low} to {high} characters");
        }
        (Some(low), None) => {
            let _ = write!(out, " of at least {low} characters");
        }
        (None, Some(high)) => {
            let _ = write!(out, " of at most {high} characters");
        }
        (None, None) => {}
    }
    for pattern in &plan.patterns {
        let _ = write!(out, " matching /{pattern}/");
    }
    out
}
