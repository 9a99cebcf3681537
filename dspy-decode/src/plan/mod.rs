//! A schema, compiled once into nodes that point at each other by index (so that recursion is a number, not a loop).

mod compile;
mod describe;
mod endless;
mod flatten;
mod format;
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
    /// Folded names of all members anywhere: what an unquoted key may be.
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
    /// The type's name, for messages.
    pub(super) name: Option<String>,
    /// Assertions that are checked on the finished value.
    pub(super) checks: Vec<Check>,
    /// What the schema says for readers only; most nodes have none.
    pub(super) notes: Option<Box<Notes>>,
}

/// The parts of a schema that describe a value without restricting it.
#[derive(Debug, Default)]
pub(super) struct Notes {
    /// The name of the definition that the node stands for. Nothing else in the schema has it.
    pub(super) definition: Option<String>,
    /// The documentation of the type.
    pub(super) doc: Option<String>,
    /// The name of one of the library's own types.
    pub(super) own: Option<Own>,
}

/// The library's own types, which prompts call by their names.
#[derive(Debug)]
pub(super) enum Own {
    /// A name in words.
    Called(String),
    /// A whole number of any size.
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

/// An assertion keyword that does not shape the value.
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
    /// The number is to be an exact decimal, so that no digit may be lost.
    pub(super) decimal: bool,
}

impl NumberPlan {
    /// Whether any number at all is accepted.
    pub(super) fn is_free(&self) -> bool {
        self.min.is_none() && self.max.is_none() && self.multiple_of.is_none() && !self.decimal
    }
}

#[derive(Debug, Clone, Copy)]
pub(super) struct Bound {
    pub(super) value: f64,
    /// The exact value where the limit is a whole number: `f64` cannot tell `u64::MAX` from its neighbour.
    pub(super) whole: Option<i128>,
    pub(super) exclusive: bool,
}

#[derive(Debug, Default)]
pub(super) struct TextPlan {
    pub(super) min: Option<usize>,
    pub(super) max: Option<usize>,
    pub(super) patterns: Vec<Regex>,
    pub(super) format: Option<Format>,
    /// A format that is not known here, so that it is not enforced.
    pub(super) other_format: Option<Box<str>>,
    /// The text is code, and a fence around it is not part of it.
    pub(super) code: bool,
    /// The text is an exact decimal.
    pub(super) decimal: bool,
}

impl TextPlan {
    /// Whether the text must have a form, so that a word for "nothing" is no such text.
    pub(super) fn has_form(&self) -> bool {
        self.format.is_some() || !self.patterns.is_empty()
    }

    /// Whether any text at all is accepted.
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
    /// Exact strings.
    pub(super) exact: HashMap<String, usize>,
    /// Whether any choice is something else than a string.
    pub(super) mixed: bool,
}

impl ChoicePlan {
    /// Whether the text is a choice as it stands.
    pub(super) fn has_text(&self, text: &str) -> bool {
        // To compare with a few is faster than to hash.
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
    /// The documentation as it was written.
    pub(super) doc: Option<String>,
}

#[derive(Debug, Default)]
pub(super) struct ListPlan {
    pub(super) prefix: Vec<NodeId>,
    /// What the items after the prefix are; `None` when there must not be any.
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
    /// By folded name; `None` when two members share it.
    pub(super) folded: HashMap<String, Option<usize>>,
    /// By alias, folded.
    pub(super) aliases: HashMap<String, Option<usize>>,
    pub(super) extra: Extra,
    pub(super) patterns: Vec<(Regex, NodeId)>,
    /// What a key must hold that several patterns match: the patterns as bits, and all that they say together.
    pub(super) overlaps: Vec<(u32, NodeId)>,
    /// Required names that have no schema of their own.
    pub(super) required: Vec<String>,
    pub(super) required_props: usize,
    pub(super) min: Option<usize>,
    pub(super) max: Option<usize>,
    /// All members with nothing in them, for objects that have them in order: a map is copied much faster than it is
    /// filled. `None` for no or many members, and for names that JSON writes with escapes.
    pub(super) template: Option<Map<String, Value>>,
}

/// What the patterns of an object say of a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ByPattern {
    /// None matches it.
    Nothing,
    /// What it holds.
    Node(NodeId),
    /// More match it than are worked out together.
    Unclear,
}

impl ObjectPlan {
    /// Patterns whose overlaps are worked out; with more of them a key that several match cannot be read.
    pub(super) const MAX_OVERLAPPING: usize = 4;

    /// What the patterns say of a key.
    pub(super) fn by_pattern(&self, key: &str) -> ByPattern {
        let mut hits = self.patterns.iter().enumerate().filter(|(_, (pattern, _))| pattern.is_match(key));
        let Some((first, (_, node))) = hits.next() else { return ByPattern::Nothing };
        let mut mask = 1_u32.checked_shl(first as u32).unwrap_or(0);
        let mut alone = true;
        for (index, (_, other)) in hits {
            // Patterns that share a type need not agree any further.
            alone &= other == node;
            mask |= 1_u32.checked_shl(index as u32).unwrap_or(0);
        }
        if alone {
            return ByPattern::Node(*node);
        }
        let both = self.overlaps.iter().find(|(known, _)| *known == mask);
        both.map_or(ByPattern::Unclear, |(_, both)| ByPattern::Node(*both))
    }

    /// What entries hold that are no members by name.
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
    /// What the schema says of the member, besides what its type says of itself.
    pub(super) doc: Option<String>,
}

/// What becomes of keys that have no schema of their own.
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
    /// A member with one fixed value per branch, which decides the branch.
    pub(super) tag: Option<Tag>,
}

#[derive(Debug)]
pub(super) struct Tag {
    pub(super) key: String,
    /// Folded value to branch.
    pub(super) branches: HashMap<String, NodeId>,
}
