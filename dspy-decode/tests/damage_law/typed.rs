//! Random types as JSON Schema, and random values of them.

use serde_json::{Map, Value, json};

use crate::dice::Dice;

/// A type that a user could have declared.
pub(crate) enum Type {
    Text,
    Integer,
    Number,
    Bool,
    Choice(Vec<&'static str>),
    Nullable(Box<Type>),
    List(Box<Type>),
    Map(Box<Type>),
    Object(Vec<Member>),
    /// An object with a tag that names the variant.
    Tagged(Vec<(&'static str, Vec<Member>)>),
    /// A union without a tag.
    Either(Box<Type>, Box<Type>),
}

pub(crate) struct Member {
    name: &'static str,
    kind: Type,
    required: bool,
}

const NAMES: [&str; 28] = [
    "name",
    "n",
    "tags",
    "city",
    "fruit",
    "hue",
    "note",
    "id",
    "price",
    "ok",
    "items",
    "when",
    "user_id",
    "firstName",
    "score",
    "reason",
    "verdict",
    "k",
    "a",
    "b",
    "title",
    "body",
    "count",
    "unit",
    "parent",
    "children",
    "x",
    "summary",
];
const LABELS: [&str; 8] = ["billing", "bug", "feature", "open", "in_progress", "closed", "high", "low"];
const VARIANTS: [&str; 4] = ["circle", "square", "text", "image"];
const WORDS: [&str; 24] = [
    "fig",
    "red",
    "Paris",
    "the",
    "quick answer",
    "blue",
    "rain",
    "of",
    "Ann",
    "7",
    "and",
    "42 km",
    "no",
    "x",
    "yes",
    "one",
    "Dr. No",
    "tall",
    "river",
    "sea",
    "old",
    "new",
    "green",
    "stone",
];
const AWKWARD: [&str; 26] = [
    "say \"Hi\"",
    "a, b",
    "k: v",
    "{x}",
    "[1]",
    "line\nbreak",
    "tab\there",
    "back\\slash",
    "it's",
    "“curly”",
    "é",
    "日本",
    "😀",
    "{\"id\": \"7\"}",
    "see [2], page 3",
    "https://a.b/c?d=e",
    "6\" pipe",
    "```",
    "a\"b",
    "}",
    "]",
    "\"",
    ",",
    ":",
    " lead",
    "trail ",
];

pub(crate) fn text(dice: &mut Dice) -> String {
    match dice.below(10) {
        0 => String::new(),
        1..=5 => (0..=dice.below(4)).map(|_| *dice.pick(&WORDS)).collect::<Vec<_>>().join(" "),
        6 => (*dice.pick(&AWKWARD)).to_owned(),
        7 => format!("{} {} {}", dice.pick(&WORDS), dice.pick(&AWKWARD), dice.pick(&WORDS)),
        8 => (0..3 + dice.below(12)).map(|_| *dice.pick(&WORDS)).collect::<Vec<_>>().join(" ") + ".",
        _ => (0..dice.below(8)).map(|_| char::from(32 + u8::try_from(dice.below(95)).unwrap_or(0))).collect(),
    }
}

fn members(dice: &mut Dice, depth: usize, most: usize) -> Vec<Member> {
    let count = 1 + dice.below(most);
    let mut out: Vec<Member> = Vec::new();
    while out.len() < count {
        let name = *dice.pick(&NAMES);
        if out.iter().all(|m| m.name != name) {
            let kind = Type::random(dice, depth);
            out.push(Member { name, kind, required: dice.percent(65) });
        }
    }
    out
}

impl Type {
    /// A type whose values are in brackets.
    pub(crate) fn structure(dice: &mut Dice) -> Self {
        match dice.below(8) {
            0 => Self::List(Box::new(Self::random(dice, 2))),
            1 | 2 => Self::List(Box::new(Self::Object(members(dice, 1, 4)))),
            3 => Self::Map(Box::new(Self::random(dice, 1))),
            4 => Self::tagged(dice, 1),
            _ => Self::Object(members(dice, 2, 5)),
        }
    }

    fn tagged(dice: &mut Dice, depth: usize) -> Self {
        let count = 2 + dice.below(2);
        Self::Tagged(
            VARIANTS[..count]
                .iter()
                .map(|v| {
                    let members = members(dice, depth, 3);
                    (*v, members)
                })
                .collect(),
        )
    }

    fn random(dice: &mut Dice, depth: usize) -> Self {
        let deep = if depth == 0 { 0 } else { 6 };
        match dice.below(8 + deep) {
            0..=2 => Self::Text,
            3 => Self::Integer,
            4 => Self::Number,
            5 => Self::Bool,
            6 => {
                let from = dice.below(4);
                Self::Choice(LABELS[from..from + 2 + dice.below(3)].to_vec())
            }
            7 => Self::Nullable(Box::new(if dice.percent(50) { Self::Text } else { Self::Integer })),
            8 | 9 => Self::List(Box::new(Self::random(dice, depth - 1))),
            10 => Self::Object(members(dice, depth - 1, 4)),
            11 => Self::Map(Box::new(Self::random(dice, depth - 1))),
            12 => Self::tagged(dice, depth - 1),
            _ => Self::Either(Box::new(Self::Integer), Box::new(Self::Object(members(dice, depth - 1, 3)))),
        }
    }

    pub(crate) fn schema(&self) -> Value {
        match self {
            Self::Text => json!({"type": "string"}),
            Self::Integer => json!({"type": "integer", "format": "int64"}),
            Self::Number => json!({"type": "number", "format": "double"}),
            Self::Bool => json!({"type": "boolean"}),
            Self::Choice(labels) => json!({"type": "string", "enum": labels}),
            Self::Nullable(inner) => json!({"anyOf": [inner.schema(), {"type": "null"}]}),
            Self::List(item) => json!({"type": "array", "items": item.schema()}),
            Self::Map(item) => json!({"type": "object", "additionalProperties": item.schema()}),
            Self::Object(members) => object(members, None),
            Self::Tagged(variants) => {
                json!({"oneOf": variants.iter().map(|(v, m)| object(m, Some(v))).collect::<Vec<_>>()})
            }
            Self::Either(a, b) => json!({"anyOf": [a.schema(), b.schema()]}),
        }
    }

    /// A value that is not empty.
    pub(crate) fn filled(&self, dice: &mut Dice) -> Value {
        loop {
            let value = self.value(dice);
            if value.as_array().is_none_or(|a| !a.is_empty())
                && value.as_object().is_none_or(|o| !o.is_empty())
            {
                return value;
            }
            if let Self::Object(members) = self
                && members.iter().all(|m| !m.required)
            {
                return value;
            }
        }
    }

    pub(crate) fn value(&self, dice: &mut Dice) -> Value {
        match self {
            Self::Text => json!(text(dice)),
            Self::Integer => match dice.below(4) {
                0 => json!(dice.below(10)),
                1 => json!(-i64::try_from(dice.below(1000)).unwrap_or(0)),
                _ => json!(dice.below(100_000)),
            },
            Self::Number => json!(f64::from(u32::try_from(dice.below(100_000)).unwrap_or(0)) / 100.0),
            Self::Bool => json!(dice.percent(50)),
            Self::Choice(labels) => json!(dice.pick(labels)),
            Self::Nullable(inner) => {
                if dice.percent(30) {
                    Value::Null
                } else {
                    inner.value(dice)
                }
            }
            Self::List(item) => (0..dice.below(6)).map(|_| item.value(dice)).collect(),
            Self::Map(item) => {
                let count = dice.below(4);
                (0..count).map(|_| (text(dice), item.value(dice))).collect::<Map<_, _>>().into()
            }
            Self::Object(members) => fill(members, None, dice),
            Self::Tagged(variants) => {
                let (tag, members) = dice.pick(variants);
                fill(members, Some(tag), dice)
            }
            Self::Either(a, b) => {
                if dice.percent(50) {
                    a.value(dice)
                } else {
                    b.value(dice)
                }
            }
        }
    }
}

fn object(members: &[Member], tag: Option<&str>) -> Value {
    let mut props = Map::new();
    let mut required = Vec::new();
    if let Some(tag) = tag {
        props.insert("type".into(), json!({"const": tag, "type": "string"}));
        required.push("type");
    }
    for member in members {
        props.insert(member.name.into(), member.kind.schema());
        if member.required {
            required.push(member.name);
        }
    }
    json!({"type": "object", "properties": props, "required": required})
}

fn fill(members: &[Member], tag: Option<&str>, dice: &mut Dice) -> Value {
    let mut map = Map::new();
    if let Some(tag) = tag {
        map.insert("type".into(), json!(tag));
    }
    for member in members {
        if member.required || dice.percent(60) {
            map.insert(member.name.into(), member.kind.value(dice));
        }
    }
    map.into()
}
