//! Values drawn by reading a notation.

use std::sync::LazyLock;

use dspy_core::{Rng, Seed};
use regex_lite::Regex;
use serde_json::{Map, Number, Value};

use super::reader::{Limit, Notation, Type};

type Draw = fn(&mut Rng) -> String;

/// The formats as the notation calls them.
pub(crate) static FORMATS: LazyLock<Vec<(&'static str, Regex, Draw)>> = LazyLock::new(|| {
    let date = |rng: &mut Rng| {
        format!("20{:02}-{:02}-{:02}", rng.below(100), rng.between(1, 12), rng.between(1, 28))
    };
    let time = |rng: &mut Rng| format!("{:02}:{:02}:{:02}", rng.below(24), rng.below(60), rng.below(60));
    let both: Draw = |rng| format!("2024-02-{:02}T12:00:{:02}", rng.between(1, 29), rng.below(60));
    let regex = |text: &str| Regex::new(text).unwrap();
    let moment = r"^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}(\.\d+)?";
    vec![
        ("a date as YYYY-MM-DD", regex(r"^\d{4}-\d{2}-\d{2}$"), date as Draw),
        ("a time as HH:MM:SS", regex(r"^\d{2}:\d{2}:\d{2}(\.\d+)?$"), time),
        ("a date and time as YYYY-MM-DDTHH:MM:SS", regex(&format!("{moment}$")), both),
        (
            "a date and time with its offset from UTC, as YYYY-MM-DDTHH:MM:SSZ",
            regex(&format!("{moment}(Z|[+-]\\d{{2}}:\\d{{2}})$")),
            |rng| format!("2024-02-29T12:00:{:02}Z", rng.below(60)),
        ),
        ("an ISO 8601 duration such as PT1H30M", regex("^-?P.+$"), |rng| format!("PT{}M", rng.below(60))),
        ("a UUID", regex("^[0-9a-fA-F-]{36}$"), |rng| {
            format!("67e55044-10b1-426f-9247-{:012x}", rng.bits() & 0xffff_ffff_ffff)
        }),
        ("an e-mail address", regex("^[^@]+@[^@]+$"), |rng| format!("a{}@b.example", rng.below(100))),
        ("a URI", regex("^[a-z]+:.+$"), |rng| format!("https://a.example/{}", rng.below(100))),
        ("an IP address", regex("."), |rng| format!("10.0.0.{}", rng.below(256))),
    ]
});

/// The patterns that the schemas of these tests have, each with a way to draw a text for it.
pub(crate) fn pattern(pattern: &str) -> (Regex, Draw) {
    let draw: Draw = match pattern {
        r"^\d+$" => |rng| rng.below(1000).to_string(),
        r"^-?\d+$" => |rng| (i64::try_from(rng.below(1000)).unwrap_or(0) - 500).to_string(),
        "^[a-z]+$" => |rng| ["amber", "basin", "cedar", "delta"][rng.below(4)].to_owned(),
        "^[A-Z]{2}-[0-9]*/x; y$" => |rng| format!("AB-{}/x; y", rng.below(100)),
        r"^-?\d+(\.\d+)?([eE]\d+)?$" => |rng| format!("{}.{}", rng.below(1000), rng.below(10)),
        other => panic!("unknown pattern {other}"),
    };
    (Regex::new(pattern).unwrap(), draw)
}

pub(crate) fn words(rng: &mut Rng) -> String {
    const WORDS: [&str; 8] = ["amber", "basin", "cedar", "delta", "42", "null", "so \"it\" is", "{x: [1]}"];
    let count = rng.between(1, 2);
    (0..count).map(|_| WORDS[rng.below(WORDS.len())]).collect::<Vec<_>>().join(" ")
}

impl Notation {
    /// A value that the notation describes.
    pub(crate) fn draw(&self, seed: u64) -> Value {
        let mut rng = Seed::new(seed).rng();
        (0..50)
            .find_map(|_| self.any_of(&self.root, &[], 0, &mut rng).filter(|value| self.admits(value)))
            .unwrap_or_else(|| panic!("nothing could be drawn: {self:#?}"))
    }

    fn any_of(&self, ty: &Type, limits: &[Limit], depth: usize, rng: &mut Rng) -> Option<Value> {
        if depth > 14 {
            return None;
        }
        let size = |unit: char| {
            let sizes = limits.iter().filter_map(move |limit| match limit {
                Limit::Size(of, low, high) if *of == unit => Some((*low, *high)),
                _ => None,
            });
            sizes.fold((0, usize::MAX), |(low, high), (a, b)| (low.max(a), high.min(b)))
        };
        Some(match ty {
            Type::Any => [Value::Null, true.into(), 3.into(), words(rng).into()][rng.below(4)].clone(),
            Type::Never => return None,
            Type::Null => Value::Null,
            Type::Boolean => (rng.below(2) == 0).into(),
            Type::Integer => number(limits, true, rng)?,
            Type::Number => number(limits, false, rng)?,
            Type::Text => text(limits, size('c'), rng).into(),
            Type::Const(value) => value.clone(),
            Type::List(item) => {
                let (low, high) = size('i');
                let count = if depth > 5 { low } else { rng.between(low, high.min(low + 3)) };
                let mut items: Vec<Value> = Vec::new();
                for _ in 0..count * 4 {
                    if items.len() == count {
                        break;
                    }
                    let Some(item) = self.any_of(item, &[], depth + 1, rng) else { break };
                    if !(limits.contains(&Limit::Unique) && items.contains(&item)) {
                        items.push(item);
                    }
                }
                (items.len() >= low).then_some(Value::Array(items))?
            }
            Type::Tuple(items, rest) => {
                let mut values = Vec::new();
                for (item, absent) in items {
                    if *absent && rng.below(3) == 0 {
                        return Some(Value::Array(values));
                    }
                    values.push(self.any_of(item, &[], depth + 1, rng)?);
                }
                if let Some(rest) = rest {
                    for _ in 0..rng.below(3) {
                        values.push(self.any_of(rest, &[], depth + 1, rng)?);
                    }
                }
                Value::Array(values)
            }
            Type::Object { members, index } => {
                let mut map = Map::new();
                for (name, absent, ty) in members {
                    if *absent && (depth > 5 || rng.below(3) == 0) {
                        continue;
                    }
                    match self.any_of(ty, &[], depth + 1, rng) {
                        Some(value) => drop(map.insert(name.clone(), value)),
                        None if *absent => {}
                        None => return None,
                    }
                }
                let (low, high) = size('e');
                let more = if depth > 5 { 0 } else { rng.below(3) };
                let wanted = low.max(map.len() + if index.is_empty() { 0 } else { more }).min(high);
                for _ in 0..wanted * 4 {
                    let Some((keys, ty)) = index.get(rng.below(index.len())) else { break };
                    if map.len() >= wanted {
                        break;
                    }
                    let key = self.any_of(keys, &[], depth + 1, rng)?;
                    let key = key.as_str().unwrap().to_owned();
                    if !map.contains_key(&key) {
                        map.insert(key, self.any_of(ty, &[], depth + 1, rng)?);
                    }
                }
                Value::Object(map)
            }
            Type::Union(options) => {
                let order = rng.sample(options.len(), options.len());
                order.into_iter().find_map(|at| self.any_of(&options[at], limits, depth + 1, rng))?
            }
            Type::Named(name) => self.any_of(&self.definitions[name], limits, depth + 1, rng)?,
            Type::Limited(ty, own) => {
                let all: Vec<Limit> = own.iter().chain(limits).cloned().collect();
                self.any_of(ty, &all, depth, rng)?
            }
        })
    }
}

fn text(limits: &[Limit], (low, high): (usize, usize), rng: &mut Rng) -> String {
    for limit in limits {
        match limit {
            Limit::Format(format) => return FORMATS.iter().find(|(name, ..)| name == format).unwrap().2(rng),
            Limit::Matches(text) => return pattern(text).1(rng),
            _ => {}
        }
    }
    let mut text = if low == 0 && rng.below(8) == 0 { String::new() } else { words(rng) };
    while text.chars().count() < low {
        text.push_str(" é");
    }
    text.chars().take(high).collect()
}

/// A whole number without limits is one of 32 bits.
fn number(limits: &[Limit], whole: bool, rng: &mut Rng) -> Option<Value> {
    let (mut low, mut high) = (f64::from(i32::MIN), f64::from(i32::MAX));
    let (mut bounded_low, mut bounded_high) = (false, false);
    for limit in limits {
        match limit {
            Limit::AtLeast(bound) | Limit::Above(bound) => (low, bounded_low) = (low.max(*bound), true),
            Limit::AtMost(bound) | Limit::Below(bound) => (high, bounded_high) = (high.min(*bound), true),
            _ => {}
        }
    }
    if !bounded_low && rng.below(2) == 0 {
        low = low.max(high - 2000.0).max(-1000.0_f64.max(low));
    }
    if !bounded_high && rng.below(2) == 0 {
        high = high.min(low + 2000.0);
    }
    (0..60).find_map(|_| {
        let mut at = low + rng.unit() * (high - low);
        for limit in limits {
            if let Limit::MultipleOf(step) = limit {
                at = (at / step).round() * step;
            }
        }
        let number = if whole {
            Number::from(at.round() as i64)
        } else {
            Number::from_f64((at * 100.0).round() / 100.0)?
        };
        let value = Value::Number(number);
        limits.iter().all(|limit| limit.holds(&value)).then_some(value)
    })
}
