//! A schema compiled into nodes that refer to each other by index, so that recursive types need no reference
//! cycles.

mod compile;
mod describe;
mod flatten;
mod format;
mod infinite_types;
mod keywords;
mod notation;
mod validate;

use std::collections::{HashMap, HashSet};

use regex_lite::Regex;
use serde_json::{Map, Value};

use super::error::SchemaError;
pub(super) use describe::text_phrase;
pub(super) use format::{Format, days_in};
pub(super) use validate::{first_duplicate, same};

pub(super) type NodeId = usize;

/// The compiled schema.
#[derive(Debug)]
pub(super) struct Schema {
    pub(super) nodes: Vec<Node>,
    pub(super) root: NodeId,
    /// Folded names of all members of all objects: the possible unquoted keys.
    pub(super) keys: HashSet<String>,
}

impl Schema {
    pub(super) fn compile(schema: &Value) -> Result<Self, SchemaError> {
        compile::Compiler::new(schema).finish()
    }

    pub(super) fn node(&self, id: NodeId) -> &Node {
        &self.nodes[id]
    }
}

#[derive(Debug, Default)]
pub(super) struct Node {
    pub(super) kind: NodeKind,
    /// Name of the type, for messages.
    pub(super) name: Option<String>,
    /// Assertions that are checked on the finished value.
    pub(super) checks: Vec<Check>,
    /// Annotations of the schema; most nodes have none.
    pub(super) notes: Option<Box<Notes>>,
}

/// The parts of a schema that describe a value without restricting it.
#[derive(Debug, Default)]
pub(super) struct Notes {
    /// Name of the definition that the node represents; unique in the schema.
    pub(super) definition: Option<String>,
    /// Documentation of the type.
    pub(super) doc: Option<String>,
    /// The type of this library that the node represents, if any.
    pub(super) own: Option<Own>,
}

/// The library's own types, which prompts call by their names.
#[derive(Debug)]
pub(super) enum Own {
    /// A type with a name in words.
    Called(String),
    /// An integer of any size.
    BigInt,
}

impl Node {
    pub(super) fn doc(&self) -> Option<&str> {
        self.notes.as_ref()?.doc.as_deref()
    }

    pub(super) fn definition(&self) -> Option<&str> {
        self.notes.as_ref()?.definition.as_deref()
    }

    pub(super) fn own(&self) -> Option<&Own> {
        self.notes.as_ref()?.own.as_ref()
    }
}

#[derive(Debug, Default)]
pub(super) enum NodeKind {
    #[default]
    Any,
    Never,
    Null,
    Bool,
    Number(Box<NumberPlan>),
    Text(Box<TextPlan>),
    Choice(Box<ChoicePlan>),
    List(Box<ListPlan>),
    Object(Box<ObjectPlan>),
    Union(UnionPlan),
}

/// An assertion keyword that does not determine the shape of the value.
#[derive(Debug)]
pub(super) enum Check {
    Also(NodeId),
    Not(NodeId),
    If { test: NodeId, then: Option<NodeId>, or_else: Option<NodeId> },
    Contains { node: NodeId, min: usize, max: usize },
    Names(NodeId),
    Needs { key: String, also: Vec<String> },
}

#[derive(Debug, Default)]
pub(super) struct NumberPlan {
    pub(super) integer: bool,
    pub(super) min: Option<Bound>,
    pub(super) max: Option<Bound>,
    pub(super) multiple_of: Option<f64>,
    /// Whether the number must be an exact decimal, so that no digit may be lost.
    pub(super) decimal: bool,
}

impl NumberPlan {
    /// Returns whether any number at all is accepted.
    pub(super) fn is_free(&self) -> bool {
        self.min.is_none() && self.max.is_none() && self.multiple_of.is_none() && !self.decimal
    }
}

#[derive(Debug, Clone, Copy)]
pub(super) struct Bound {
    pub(super) value: f64,
    /// The exact limit if it is an integer: `f64` cannot distinguish `u64::MAX` from its neighbour.
    pub(super) whole: Option<i128>,
    pub(super) exclusive: bool,
}

#[derive(Debug, Default)]
pub(super) struct TextPlan {
    pub(super) min: Option<usize>,
    pub(super) max: Option<usize>,
    pub(super) patterns: Vec<Regex>,
    pub(super) format: Option<Format>,
    /// A format that the decoder does not know and does not enforce.
    pub(super) other_format: Option<Box<str>>,
    /// Whether the string is code; a fence around it is then not part of it.
    pub(super) code: bool,
    /// Whether the string must be an exact decimal.
    pub(super) decimal: bool,
}

impl TextPlan {
    /// Returns whether the string must have a certain form, so that a word for "nothing" is not a valid
    /// value.
    pub(super) fn has_form(&self) -> bool {
        self.format.is_some() || !self.patterns.is_empty()
    }

    /// Returns whether any string is accepted.
    pub(super) fn is_free(&self) -> bool {
        self.min.is_none()
            && self.max.is_none()
            && self.patterns.is_empty()
            && self.format.is_none()
            && !self.code
    }
}

#[derive(Debug, Default)]
pub(super) struct ChoicePlan {
    pub(super) items: Vec<ChoiceItem>,
    /// Index of each string choice, by its exact text.
    pub(super) exact: HashMap<String, usize>,
    /// Whether any choice is not a string.
    pub(super) mixed: bool,
}

impl ChoicePlan {
    /// Returns whether the text is exactly one of the choices.
    pub(super) fn has_text(&self, text: &str) -> bool {
        // Comparing with a few choices is faster than hashing.
        const FEW: usize = 12;
        if self.items.len() <= FEW {
            self.items.iter().any(|item| matches!(&item.value, Value::String(s) if s == text))
        } else {
            self.exact.contains_key(text)
        }
    }
}

#[derive(Debug)]
pub(super) struct ChoiceItem {
    pub(super) value: Value,
    pub(super) folded: String,
    pub(super) aliases: Vec<String>,
    pub(super) descriptions: Vec<String>,
    /// Documentation of the choice, as written.
    pub(super) doc: Option<String>,
}

#[derive(Debug, Default)]
pub(super) struct ListPlan {
    pub(super) prefix: Vec<NodeId>,
    /// Type of the items after the prefix; `None` if there must not be any.
    pub(super) items: Option<NodeId>,
    pub(super) min: Option<usize>,
    pub(super) max: Option<usize>,
    pub(super) unique: bool,
}

impl ListPlan {
    pub(super) fn item(&self, index: usize) -> Option<NodeId> {
        self.prefix.get(index).copied().or(self.items)
    }
}

#[derive(Debug, Default)]
pub(super) struct ObjectPlan {
    pub(super) props: Vec<Prop>,
    pub(super) exact: HashMap<String, usize>,
    /// Index of each member by folded name; `None` if several members share it.
    pub(super) folded: HashMap<String, Option<usize>>,
    /// Index of each member by folded alias; `None` if several members share it.
    pub(super) aliases: HashMap<String, Option<usize>>,
    pub(super) extra: Extra,
    pub(super) patterns: Vec<(Regex, NodeId)>,
    /// Type of a key that several patterns match: the set of patterns as bits, and the node that combines
    /// their schemas.
    pub(super) overlaps: Vec<(u32, NodeId)>,
    /// Required names without a schema.
    pub(super) required: Vec<String>,
    pub(super) required_props: usize,
    pub(super) min: Option<usize>,
    pub(super) max: Option<usize>,
    /// A map with all members and null values, for objects whose members arrive in order: copying a map is
    /// much faster than filling one. `None` if there are no or many members, and for names that JSON writes
    /// with escapes.
    pub(super) template: Option<Map<String, Value>>,
}

/// The result of matching a key with the patterns of an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ByPattern {
    /// No pattern matches the key.
    Nothing,
    /// The type of the value.
    Node(NodeId),
    /// More patterns match the key than are combined.
    Unclear,
}

impl ObjectPlan {
    /// The maximum number of patterns whose overlaps are computed. With more, a key that several patterns
    /// match cannot be read.
    pub(super) const MAX_OVERLAPPING: usize = 4;

    /// Returns the type of a key according to the patterns.
    pub(super) fn by_pattern(&self, key: &str) -> ByPattern {
        let mut hits = self.patterns.iter().enumerate().filter(|(_, (pattern, _))| pattern.is_match(key));
        let Some((first, (_, node))) = hits.next() else { return ByPattern::Nothing };
        let mut mask = 1_u32.checked_shl(first as u32).unwrap_or(0);
        let mut alone = true;
        for (index, (_, other)) in hits {
            // Patterns with the same type need no combination.
            alone &= other == node;
            mask |= 1_u32.checked_shl(index as u32).unwrap_or(0);
        }
        if alone {
            return ByPattern::Node(*node);
        }
        let both = self.overlaps.iter().find(|(known, _)| *known == mask);
        both.map_or(ByPattern::Unclear, |(_, both)| ByPattern::Node(*both))
    }

    /// Returns the types of the entries that are not declared members.
    pub(super) fn others(&self) -> impl Iterator<Item = NodeId> {
        let extra = match self.extra {
            Extra::Node(node) => Some(node),
            Extra::Drop => None,
        };
        self.patterns.iter().map(|(_, node)| *node).chain(extra)
    }

    fn template_of(props: &[Prop]) -> Option<Map<String, Value>> {
        const MOST: usize = 32;
        let plain = |name: &str| name.bytes().all(|b| b >= 0x20 && b != b'"' && b != b'\\');
        ((1..=MOST).contains(&props.len()) && props.iter().all(|prop| plain(&prop.name)))
            .then(|| props.iter().map(|prop| (prop.name.clone(), Value::Null)).collect())
    }
}

#[derive(Debug)]
pub(super) struct Prop {
    pub(super) name: String,
    pub(super) node: NodeId,
    pub(super) required: bool,
    /// The description in the member's schema, in addition to that of its type.
    pub(super) doc: Option<String>,
}

/// The treatment of keys without a schema.
#[derive(Debug, Default, Clone, Copy)]
pub(super) enum Extra {
    #[default]
    Drop,
    Node(NodeId),
}

#[derive(Debug, Default)]
pub(super) struct UnionPlan {
    /// The branches other than null.
    pub(super) options: Vec<NodeId>,
    /// The documentation of each branch.
    pub(super) docs: Vec<Option<String>>,
    pub(super) null: bool,
    /// A member with one fixed value per branch, which determines the branch.
    pub(super) tag: Option<Tag>,
}

#[derive(Debug)]
pub(super) struct Tag {
    pub(super) key: String,
    /// The branch of each folded value.
    pub(super) branches: HashMap<String, NodeId>,
}
