//! A reader of the type notation, written from its grammar and from nothing else.

use std::collections::BTreeMap;

use dspy_core::types::TypeText;
use serde_json::Value;

/// A type as the notation has it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Type {
    Any,
    Never,
    Null,
    Boolean,
    Integer,
    Number,
    Text,
    Const(Value),
    List(Box<Type>),
    /// Items, each with whether it may be absent, and what may follow them.
    Tuple(Vec<(Type, bool)>, Option<Box<Type>>),
    Object {
        /// Name, whether it may be absent, type.
        members: Vec<(String, bool, Type)>,
        /// Types of keys and values.
        index: Vec<(Type, Type)>,
    },
    Union(Vec<Type>),
    Named(String),
    Limited(Box<Type>, Vec<Limit>),
}

/// A limit. Each speaks of values of one kind and leaves others alone.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Limit {
    AtLeast(f64),
    AtMost(f64),
    Above(f64),
    Below(f64),
    MultipleOf(f64),
    /// Characters, items or entries.
    Size(char, usize, usize),
    Unique,
    Format(&'static str),
    Matches(String),
}

/// A notation with its definitions.
#[derive(Debug)]
pub(crate) struct Notation {
    pub(crate) root: Type,
    pub(crate) definitions: BTreeMap<String, Type>,
}

impl Notation {
    pub(crate) fn read(text: &TypeText) -> Notation {
        let limits = limits(&text.constraints.join("; "));
        let root = whole(&text.notation);
        let root = if limits.is_empty() { root } else { Type::Limited(Box::new(root), limits) };
        let definitions: BTreeMap<String, Type> =
            text.definitions.iter().map(|(name, text)| (name.clone(), whole(text))).collect();
        let notation = Notation { root, definitions };
        notation.check_names(&notation.root);
        notation.definitions.values().for_each(|ty| notation.check_names(ty));
        notation
    }

    fn check_names(&self, ty: &Type) {
        match ty {
            Type::Named(name) => {
                assert!(self.definitions.contains_key(name), "{name} is not defined: {self:#?}");
            }
            Type::List(item) | Type::Limited(item, _) => self.check_names(item),
            Type::Tuple(items, rest) => {
                items.iter().for_each(|(item, _)| self.check_names(item));
                rest.iter().for_each(|rest| self.check_names(rest));
            }
            Type::Object { members, index } => {
                members.iter().for_each(|(_, _, ty)| self.check_names(ty));
                index.iter().for_each(|(key, value)| {
                    self.check_names(key);
                    self.check_names(value);
                });
            }
            Type::Union(options) => options.iter().for_each(|option| self.check_names(option)),
            _ => {}
        }
    }

    /// Whether the notation describes the value.
    pub(crate) fn admits(&self, value: &Value) -> bool {
        self.fits(&self.root, value)
    }

    fn fits(&self, ty: &Type, value: &Value) -> bool {
        match ty {
            Type::Any => true,
            Type::Never => false,
            Type::Null => value.is_null(),
            Type::Boolean => value.is_boolean(),
            Type::Integer => value.is_i64() || value.is_u64(),
            Type::Number => value.is_number(),
            Type::Text => value.is_string(),
            Type::Const(wanted) => wanted == value,
            Type::List(item) => value.as_array().is_some_and(|all| all.iter().all(|v| self.fits(item, v))),
            Type::Tuple(items, rest) => value.as_array().is_some_and(|values| {
                let needed = items.iter().filter(|(_, absent)| !absent).count();
                values.len() >= needed
                    && values.iter().enumerate().all(|(at, value)| match (items.get(at), rest) {
                        (Some((item, _)), _) => self.fits(item, value),
                        (None, Some(rest)) => self.fits(rest, value),
                        (None, None) => false,
                    })
            }),
            Type::Object { members, index } => value.as_object().is_some_and(|map| {
                members.iter().all(|(name, absent, _)| *absent || map.contains_key(name))
                    && map.iter().all(|(key, value)| {
                        if let Some((_, _, ty)) = members.iter().find(|(name, _, _)| name == key) {
                            return self.fits(ty, value);
                        }
                        // Signatures that name a pattern go before one that takes any key.
                        let known = |keys: &Type| self.fits(keys, &Value::from(key.as_str()));
                        let special: Vec<_> =
                            index.iter().filter(|(keys, _)| *keys != Type::Text && known(keys)).collect();
                        if special.is_empty() {
                            return index
                                .iter()
                                .any(|(keys, ty)| *keys == Type::Text && self.fits(ty, value));
                        }
                        special.iter().all(|(_, ty)| self.fits(ty, value))
                    })
            }),
            Type::Union(options) => options.iter().any(|option| self.fits(option, value)),
            Type::Named(name) => self.fits(&self.definitions[name], value),
            Type::Limited(ty, limits) => {
                self.fits(ty, value) && limits.iter().all(|limit| limit.holds(value))
            }
        }
    }
}

impl Limit {
    pub(crate) fn holds(&self, value: &Value) -> bool {
        let number = value.as_f64();
        let text = value.as_str();
        match self {
            Limit::AtLeast(low) => number.is_none_or(|number| number >= *low),
            Limit::AtMost(high) => number.is_none_or(|number| number <= *high),
            Limit::Above(low) => number.is_none_or(|number| number > *low),
            Limit::Below(high) => number.is_none_or(|number| number < *high),
            Limit::MultipleOf(step) => {
                number.is_none_or(|number| (number / step - (number / step).round()).abs() < 1e-9)
            }
            Limit::Size(unit, low, high) => {
                let size = match (unit, value) {
                    ('c', Value::String(text)) => text.chars().count(),
                    ('i', Value::Array(items)) => items.len(),
                    ('e', Value::Object(members)) => members.len(),
                    _ => return true,
                };
                (*low..=*high).contains(&size)
            }
            Limit::Unique => value
                .as_array()
                .is_none_or(|items| (1..items.len()).all(|at| !items[..at].contains(&items[at]))),
            Limit::Format(format) => text.is_none_or(|text| {
                super::draw::FORMATS.iter().find(|(name, ..)| name == format).unwrap().1.is_match(text)
            }),
            Limit::Matches(pattern) => text.is_none_or(|text| super::draw::pattern(pattern).0.is_match(text)),
        }
    }
}

/// Reads one phrase of a comment.
fn limit(phrase: &str) -> Limit {
    let number = |text: &str| text.parse::<f64>().unwrap_or_else(|_| panic!("no number: {phrase}"));
    if let Some((format, ..)) = super::draw::FORMATS.iter().find(|(format, ..)| *format == phrase) {
        return Limit::Format(format);
    }
    if phrase == "no duplicates" {
        return Limit::Unique;
    }
    if let Some(pattern) = phrase.strip_prefix("matches /").and_then(|rest| rest.strip_suffix('/')) {
        return Limit::Matches(pattern.to_owned());
    }
    if let Some(step) = phrase.strip_prefix("a multiple of ") {
        return Limit::MultipleOf(number(step));
    }
    let sized = [("character", 'c'), ("item", 'i'), ("entr", 'e')]
        .into_iter()
        .find(|(unit, _)| phrase.rsplit(' ').next().is_some_and(|last| last.starts_with(unit)));
    if let Some((_, unit)) = sized {
        let counts = phrase.rsplit_once(' ').unwrap().0;
        let count = |text: &str| text.parse::<usize>().unwrap_or_else(|_| panic!("no size: {phrase}"));
        let (low, high) = if let Some(exact) = counts.strip_prefix("exactly ") {
            (count(exact), count(exact))
        } else if let Some(low) = counts.strip_prefix("at least ") {
            (count(low), usize::MAX)
        } else if let Some(high) = counts.strip_prefix("at most ") {
            (0, count(high))
        } else {
            let (low, high) = counts.split_once(" to ").unwrap_or_else(|| panic!("unknown phrase: {phrase}"));
            (count(low), count(high))
        };
        return Limit::Size(unit, low, high);
    }
    for (start, make) in [
        ("at least ", Limit::AtLeast as fn(f64) -> Limit),
        ("at most ", Limit::AtMost),
        ("greater than ", Limit::Above),
        ("less than ", Limit::Below),
    ] {
        if let Some(bound) = phrase.strip_prefix(start) {
            return make(number(bound));
        }
    }
    panic!("unknown phrase: {phrase}")
}

fn limits(comment: &str) -> Vec<Limit> {
    // A pattern may hold anything, so it is the last phrase.
    let (phrases, pattern) = match comment.find("matches /") {
        Some(at) => comment.split_at(at),
        None => (comment, ""),
    };
    let mut limits = Vec::new();
    let phrases = phrases.split("; ").map(str::trim);
    // All numbers are of any size here.
    for phrase in phrases.filter(|phrase| !phrase.is_empty() && *phrase != "of any size") {
        match phrase.strip_prefix("from ").and_then(|range| range.split_once(" to ")) {
            Some((low, high)) => {
                limits.push(limit(&format!("at least {low}")));
                limits.push(limit(&format!("at most {high}")));
            }
            None => limits.push(limit(phrase)),
        }
    }
    if !pattern.is_empty() {
        limits.push(limit(&pattern.trim().replace("*\\/", "*/")));
    }
    limits
}

fn whole(text: &str) -> Type {
    let mut reader = Reader { rest: text, all: text };
    let ty = reader.union();
    reader.skip();
    assert!(reader.rest.is_empty(), "left over: {:?} of {text}", reader.rest);
    ty
}

struct Reader<'t> {
    rest: &'t str,
    all: &'t str,
}

impl Reader<'_> {
    fn fail(&self, wanted: &str) -> ! {
        panic!("expected {wanted} at {:?} of\n{}", self.rest, self.all)
    }

    /// Space and the comments of whole lines.
    fn skip(&mut self) {
        loop {
            self.rest = self.rest.trim_start();
            let Some(comment) = self.rest.strip_prefix("//") else { return };
            self.rest = comment.split_once('\n').map_or("", |(_, rest)| rest);
        }
    }

    fn eat(&mut self, token: &str) -> bool {
        self.skip();
        let rest = self.rest.strip_prefix(token);
        self.rest = rest.unwrap_or(self.rest);
        rest.is_some()
    }

    fn expect(&mut self, token: &str) {
        if !self.eat(token) {
            self.fail(token);
        }
    }

    fn union(&mut self) -> Type {
        self.eat("|");
        let mut options = vec![self.limited()];
        while self.eat("|") {
            options.push(self.limited());
        }
        if options.len() == 1 { options.remove(0) } else { Type::Union(options) }
    }

    fn limited(&mut self) -> Type {
        let ty = self.list();
        if !self.eat("/*") {
            return ty;
        }
        let (comment, rest) = self.rest.split_once("*/").unwrap_or_else(|| self.fail("*/"));
        self.rest = rest;
        Type::Limited(Box::new(ty), limits(comment))
    }

    fn list(&mut self) -> Type {
        let mut ty = self.single();
        while self.eat("[]") {
            ty = Type::List(Box::new(ty));
        }
        ty
    }

    fn single(&mut self) -> Type {
        if self.eat("(") {
            let ty = self.union();
            self.expect(")");
            return ty;
        }
        if self.eat("[") {
            return self.tuple();
        }
        if self.eat("{") {
            return self.object();
        }
        if self.rest.starts_with(|c: char| c == '"' || c == '-' || c.is_ascii_digit()) {
            return Type::Const(self.json());
        }
        match self.word() {
            "any" => Type::Any,
            "never" => Type::Never,
            "null" => Type::Null,
            "boolean" => Type::Boolean,
            "integer" => Type::Integer,
            "number" => Type::Number,
            "string" => Type::Text,
            "true" => Type::Const(true.into()),
            "false" => Type::Const(false.into()),
            "object" => Type::Object { members: Vec::new(), index: vec![(Type::Text, Type::Any)] },
            "code" => {
                if self.rest.starts_with(" in ") {
                    let end = self.rest.find(['|', ',', ')', ']', '\n']).unwrap_or(self.rest.len());
                    self.rest = &self.rest[end..];
                }
                Type::Text
            }
            "" => self.fail("a type"),
            name => Type::Named(name.to_owned()),
        }
    }

    fn word(&mut self) -> &str {
        self.skip();
        let end = self.rest.find(|c: char| !(c.is_alphanumeric() || "_$-".contains(c)));
        let (word, rest) = self.rest.split_at(end.unwrap_or(self.rest.len()));
        self.rest = rest;
        word
    }

    fn json(&mut self) -> Value {
        let mut values = serde_json::Deserializer::from_str(self.rest).into_iter::<Value>();
        let Some(Ok(value)) = values.next() else { self.fail("a constant") };
        self.rest = &self.rest[values.byte_offset()..];
        value
    }

    fn tuple(&mut self) -> Type {
        let (mut items, mut rest) = (Vec::new(), None);
        while !self.eat("]") {
            if self.eat("...") {
                let Type::List(item) = self.list() else { self.fail("a list") };
                rest = Some(item);
            } else {
                let item = self.union();
                items.push((item, self.eat("?")));
            }
            if !self.eat(",") {
                self.expect("]");
                break;
            }
        }
        Type::Tuple(items, rest)
    }

    fn object(&mut self) -> Type {
        let (mut members, mut index) = (Vec::new(), Vec::new());
        while !self.eat("}") {
            if self.eat("[") {
                assert_eq!(self.word(), "key");
                self.expect(":");
                let keys = self.union();
                self.expect("]");
                self.expect(":");
                index.push((keys, self.union()));
            } else {
                let name = if self.rest.starts_with('"') {
                    self.json().as_str().unwrap().to_owned()
                } else {
                    self.word().to_owned()
                };
                let absent = self.eat("?");
                self.expect(":");
                members.push((name, absent, self.union()));
            }
            if !self.eat(",") {
                self.expect("}");
                break;
            }
        }
        Type::Object { members, index }
    }
}
