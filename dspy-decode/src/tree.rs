//! The loose tree: the content of text, independent of any type.

use std::borrow::Cow;

use serde_json::{Map, Number, Value};

use super::report::RepairKind;

/// A byte range that is cheap to copy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Span {
    pub(super) start: usize,
    pub(super) end: usize,
}

impl Span {
    pub(super) fn new(start: usize, end: usize) -> Self {
        Self { start, end }
    }
    pub(super) fn range(self) -> std::ops::Range<usize> {
        self.start..self.end
    }
}

/// A repair of notation, recorded while scanning; its path is determined when the tree is coerced.
#[derive(Debug, Clone, Copy)]
pub(super) struct Note {
    pub(super) kind: RepairKind,
    pub(super) span: Span,
}

/// The notes of one place: usually none or one, which require no allocation.
#[derive(Debug, Clone, Default)]
pub(super) enum Notes {
    #[default]
    None,
    One(Note),
    Many(Vec<Note>),
}

impl Notes {
    pub(super) fn push(&mut self, note: Note) {
        // A run of commas is one error.
        if note.kind == RepairKind::TrailingComma
            && let Some(last) = self.as_mut_slice().last_mut()
            && last.kind == note.kind
        {
            last.span.end = note.span.end;
            return;
        }
        match self {
            Self::None => *self = Self::One(note),
            Self::One(first) => *self = Self::Many(vec![*first, note]),
            Self::Many(notes) => notes.push(note),
        }
    }

    pub(super) fn extend(&mut self, more: &Self) {
        more.as_slice().iter().for_each(|note| self.push(*note));
    }

    pub(super) fn as_slice(&self) -> &[Note] {
        match self {
            Self::None => &[],
            Self::One(note) => std::slice::from_ref(note),
            Self::Many(notes) => notes,
        }
    }

    pub(super) fn as_mut_slice(&mut self) -> &mut [Note] {
        match self {
            Self::None => &mut [],
            Self::One(note) => std::slice::from_mut(note),
            Self::Many(notes) => notes,
        }
    }
}

/// The reason why text must not be read as a value although it has the form of one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Flaw {
    /// The brackets hold something that is not a structure: `{placeholder}`.
    NotAStructure,
    /// `...` represents omitted members.
    Elided,
    /// Half of a surrogate pair.
    LoneSurrogate,
    /// The end of the string is unclear.
    UnclearEnd,
}

#[derive(Debug, Clone)]
pub(super) struct Tree<'t> {
    pub(super) span: Span,
    pub(super) shape: Shape<'t>,
    /// Whether the text ended inside.
    pub(super) cut: bool,
    pub(super) flaw: Option<Flaw>,
    pub(super) notes: Notes,
}

#[derive(Debug, Clone)]
pub(super) enum Shape<'t> {
    /// A key without a value.
    Absent,
    Null,
    Bool(bool),
    /// A JSON number literal.
    Number(Cow<'t, str>),
    Text {
        text: Cow<'t, str>,
        quoted: bool,
    },
    List(Vec<Tree<'t>>),
    Object(Vec<Entry<'t>>),
}

#[derive(Debug, Clone)]
pub(super) struct Entry<'t> {
    pub(super) key: Cow<'t, str>,
    pub(super) quoted: bool,
    pub(super) span: Span,
    pub(super) value: Tree<'t>,
}

impl<'t> Tree<'t> {
    pub(super) fn new(shape: Shape<'t>, span: Span) -> Self {
        Self { span, shape, cut: false, flaw: None, notes: Notes::None }
    }

    pub(super) fn text(text: impl Into<Cow<'t, str>>, quoted: bool, span: Span) -> Self {
        Self::new(Shape::Text { text: text.into(), quoted }, span)
    }

    /// Creates the tree of a JSON value; spans are empty because there is no text.
    pub(super) fn of(value: Value) -> Tree<'static> {
        let shape = match value {
            Value::Null => Shape::Null,
            Value::Bool(b) => Shape::Bool(b),
            Value::Number(n) => Shape::Number(Cow::Owned(n.to_string())),
            Value::String(s) => Shape::Text { text: Cow::Owned(s), quoted: true },
            Value::Array(items) => Shape::List(items.into_iter().map(Tree::of).collect()),
            Value::Object(map) => Shape::Object(
                map.into_iter()
                    .map(|(key, value)| Entry {
                        key: Cow::Owned(key),
                        quoted: true,
                        span: Span::default(),
                        value: Tree::of(value),
                    })
                    .collect(),
            ),
        };
        Tree::new(shape, Span::default())
    }

    /// Creates a tree like [`of`](Self::of), for a value in the text.
    pub(super) fn of_at(value: Value, span: Span) -> Tree<'static> {
        Tree { span, ..Tree::of(value) }
    }

    /// Returns the JSON value without coercion; `None` if the tree has none (truncated, flawed, or duplicate
    /// keys).
    pub(super) fn to_value(&self) -> Option<Value> {
        if self.cut || self.flaw.is_some() {
            return None;
        }
        Some(match &self.shape {
            Shape::Absent => return None,
            Shape::Null => Value::Null,
            Shape::Bool(b) => Value::Bool(*b),
            Shape::Number(n) => Value::Number(exact_number(n)?),
            Shape::Text { text, .. } => Value::String(text.to_string()),
            Shape::List(items) => Value::Array(items.iter().map(Tree::to_value).collect::<Option<_>>()?),
            Shape::Object(entries) => {
                let mut map = Map::new();
                for entry in entries {
                    let value = entry.value.to_value()?;
                    if map.insert(entry.key.to_string(), value.clone()).is_some_and(|old| old != value) {
                        return None;
                    }
                }
                Value::Object(map)
            }
        })
    }
}

/// Converts a JSON number literal to a number: an integer if it is written as one and fits, otherwise a
/// float.
pub(super) fn parse_number(literal: &str) -> Option<Number> {
    if !literal.contains(['.', 'e', 'E']) {
        if let Ok(n) = literal.parse::<u64>() {
            return Some(n.into());
        }
        if let Ok(n) = literal.parse::<i64>() {
            // "-0" is a float in JSON; as an integer it is plain zero.
            return Some(n.into());
        }
    }
    Number::from_f64(literal.parse().ok()?)
}

/// Converts a literal like [`parse_number`]; `None` for an integer whose digits a float would lose.
fn exact_number(literal: &str) -> Option<Number> {
    let number = parse_number(literal)?;
    let plain = !literal.contains(['.', 'e', 'E']);
    let kept = !plain || !number.is_f64() || number.as_f64().is_some_and(|f| format!("{f:.0}") == literal);
    (kept || literal.trim_start_matches('-') == "0").then_some(number)
}

/// Returns whether a 64-bit number holds every digit of a JSON number literal.
pub(super) fn keeps_digits(literal: &str) -> bool {
    let places = |count: usize| i64::try_from(count).unwrap_or(i64::MAX / 4);
    // The digits without leading and trailing zeros, and the power of ten of the last one.
    let normal = |literal: &str| -> Option<(String, i64)> {
        let (mantissa, exponent) = literal.split_once(['e', 'E']).unwrap_or((literal, "0"));
        let (whole, fraction) = mantissa
            .trim_start_matches(['-', '+'])
            .split_once('.')
            .unwrap_or((mantissa.trim_start_matches(['-', '+']), ""));
        let digits = [whole, fraction].concat();
        let kept = digits.trim_end_matches('0');
        let power = i64::from(exponent.parse::<i32>().ok()?) + places(digits.len() - kept.len())
            - places(fraction.len());
        let kept = kept.trim_start_matches('0');
        Some((kept.to_owned(), if kept.is_empty() { 0 } else { power }))
    };
    if literal.len() <= 15 {
        return true;
    }
    let Some(number) = parse_number(literal) else { return false };
    normal(literal).is_some_and(|digits| normal(&number.to_string()) == Some(digits))
}

/// Returns whether the text is exactly a JSON number.
pub(super) fn is_json_number(text: &str) -> bool {
    let b = text.as_bytes();
    let digits = |mut i: usize| {
        let start = i;
        while b.get(i).is_some_and(u8::is_ascii_digit) {
            i += 1;
        }
        (i > start).then_some(i)
    };
    let start = usize::from(b.first() == Some(&b'-'));
    let Some(mut i) = digits(start) else { return false };
    if b[start] == b'0' && i > start + 1 {
        return false;
    }
    if b.get(i) == Some(&b'.') {
        match digits(i + 1) {
            Some(end) => i = end,
            None => return false,
        }
    }
    if matches!(b.get(i), Some(b'e' | b'E')) {
        let sign = usize::from(matches!(b.get(i + 1), Some(b'+' | b'-')));
        match digits(i + 1 + sign) {
            Some(end) => i = end,
            None => return false,
        }
    }
    i == b.len()
}
