//! The limits of a node in words, one phrase each.

use serde_json::Value;

use super::super::{Bound, Check, ListPlan, NodeId, NodeKind, NumberPlan, ObjectPlan, Own, Schema, TextPlan};

/// Returns the limits of the node itself. A pattern is last, because it may contain any text.
pub(super) fn phrases(schema: &Schema, id: NodeId) -> Vec<String> {
    let node = schema.node(id);
    let mut phrases = match (&node.kind, node.own()) {
        // Its pattern is defined by the library.
        (_, Some(Own::BigInt)) => vec!["of any size".to_owned()],
        (NodeKind::Number(plan), _) => number(plan),
        (NodeKind::Text(plan), _) => text(plan),
        (NodeKind::List(plan), _) => list(plan),
        (NodeKind::Object(plan), _) => object(plan),
        _ => Vec::new(),
    };
    let at = phrases.iter().position(|phrase| phrase.starts_with("matches /")).unwrap_or(phrases.len());
    let checks = node.checks.iter().flat_map(|check| checked(schema, check));
    phrases.splice(at..at, checks.collect::<Vec<_>>());
    phrases
}

fn number(plan: &NumberPlan) -> Vec<String> {
    let mut phrases = Vec::new();
    let low = plan.min.filter(|bound| !is_width(bound));
    let high = plan.max.filter(|bound| !is_width(bound));
    match (low, high) {
        (Some(low), Some(high)) if !low.exclusive && !high.exclusive => {
            phrases.push(format!("from {} to {}", shown(&low), shown(&high)));
        }
        (low, high) => {
            phrases.extend(low.map(|low| {
                format!("{} {}", if low.exclusive { "greater than" } else { "at least" }, shown(&low))
            }));
            phrases.extend(high.map(|high| {
                format!("{} {}", if high.exclusive { "less than" } else { "at most" }, shown(&high))
            }));
        }
    }
    phrases.extend(plan.multiple_of.map(|step| format!("a multiple of {step}")));
    phrases
}

/// Returns whether a limit is only that of 32 or 64 bits, which values do not reach by accident.
fn is_width(bound: &Bound) -> bool {
    const WIDTHS: [i128; 6] = [
        i32::MIN as i128,
        i32::MAX as i128,
        u32::MAX as i128,
        i64::MIN as i128,
        i64::MAX as i128,
        u64::MAX as i128,
    ];
    !bound.exclusive && bound.whole.is_some_and(|whole| WIDTHS.contains(&whole))
}

fn shown(bound: &Bound) -> String {
    bound.whole.map_or_else(|| bound.value.to_string(), |whole| whole.to_string())
}

fn text(plan: &TextPlan) -> Vec<String> {
    let mut phrases = Vec::new();
    phrases.extend(sizes(plan.min, plan.max, "character"));
    phrases.extend(plan.format.map(|format| format.phrase().to_owned()));
    phrases.extend(plan.other_format.as_deref().and_then(other_format).map(str::to_owned));
    phrases.extend(plan.patterns.iter().map(|pattern| format!("matches /{}/", pattern.as_str())));
    phrases
}

/// Returns the phrase of a format that is not enforced but informative.
fn other_format(format: &str) -> Option<&'static str> {
    Some(match format {
        "ipv4" | "ipv6" | "ip" => "an IP address",
        "hostname" => "a host name",
        "idn-email" => "an e-mail address",
        "iri" | "uri-reference" | "iri-reference" => "a URI",
        _ => return None,
    })
}

fn list(plan: &ListPlan) -> Vec<String> {
    let mut phrases = Vec::new();
    // The length of a tuple is visible in its type.
    let least = plan.min.filter(|min| *min > plan.prefix.len());
    let most = plan.max.filter(|max| *max > plan.prefix.len() && plan.items.is_some());
    phrases.extend(sizes(least, most, "item"));
    if plan.prefix.is_empty() && plan.max == Some(0) && plan.items.is_some() {
        phrases.push("exactly 0 items".to_owned());
    }
    phrases.extend(plan.unique.then(|| "no duplicates".to_owned()));
    phrases
}

fn object(plan: &ObjectPlan) -> Vec<String> {
    // Required members are visible in the type.
    let least = plan.min.filter(|min| *min > plan.required_props + plan.required.len());
    sizes(least, plan.max, "entry").into_iter().collect()
}

fn sizes(low: Option<usize>, high: Option<usize>, unit: &str) -> Option<String> {
    let units = |count: usize| match (count, unit) {
        (1, unit) => unit.to_owned(),
        (_, "entry") => "entries".to_owned(),
        (_, unit) => format!("{unit}s"),
    };
    Some(match (low, high) {
        (Some(low), Some(high)) if low == high => format!("exactly {low} {}", units(low)),
        (Some(low), Some(high)) => format!("{low} to {high} {}", units(high)),
        (Some(low), None) => format!("at least {low} {}", units(low)),
        (None, Some(high)) => format!("at most {high} {}", units(high)),
        (None, None) => return None,
    })
}

fn checked(schema: &Schema, check: &Check) -> Vec<String> {
    match check {
        Check::Also(id) => {
            let own = phrases(schema, *id);
            if own.is_empty() { vec![format!("also {}", schema.describe(*id))] } else { own }
        }
        Check::Not(id) => vec![format!("not {}", schema.describe(*id))],
        Check::If { test, then, or_else } => {
            let mut phrases = Vec::new();
            let test = schema.describe(*test);
            phrases.extend(then.map(|then| format!("{} if it is {test}", schema.describe(then))));
            phrases.extend(or_else.map(|side| format!("{} if it is not {test}", schema.describe(side))));
            phrases
        }
        Check::Contains { node, min, max } => {
            let times = match (min, max) {
                (min, &usize::MAX) => format!("at least {min}"),
                (min, max) => format!("{min} to {max}"),
            };
            vec![format!("with {times} of {}", schema.describe(*node))]
        }
        // The type of the keys shows them.
        Check::Names(_) => Vec::new(),
        Check::Needs { key, also } => {
            let also: Vec<String> = also.iter().map(|name| Value::from(name.as_str()).to_string()).collect();
            vec![format!("with {} where there is {}", also.join(", "), Value::from(key.as_str()))]
        }
    }
}
