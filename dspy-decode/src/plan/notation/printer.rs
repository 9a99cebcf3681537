//! Traversal of the nodes: types are written in place or as named definitions.

use std::collections::{BTreeMap, HashMap, HashSet};

use serde_json::Value;

use super::super::{
    ByPattern, Check, ChoicePlan, Extra, ListPlan, NodeId, NodeKind, ObjectPlan, Own, Schema, UnionPlan,
};
use super::layout::{LINE, Piece, Row, alternatives, bracketed, comment};
use super::limits::phrases;

/// Words of the notation, which cannot be names of definitions.
const WORDS: [&str; 16] = [
    "string", "number", "integer", "boolean", "null", "true", "false", "any", "never", "object", "image",
    "audio", "file", "history", "code", "document",
];

pub(super) struct Printer<'s> {
    schema: &'s Schema,
    /// The node whose limits and descriptions are written beside the type, not in it.
    subject: NodeId,
    /// Number of references to each node.
    uses: Vec<u32>,
    /// The nodes that are being printed.
    open: HashSet<NodeId>,
    names: HashMap<NodeId, String>,
    taken: HashSet<String>,
    /// The type of the keys of a node, as stated by an enclosing type of several kinds.
    keys: HashMap<NodeId, NodeId>,
    definitions: BTreeMap<String, String>,
}

impl<'s> Printer<'s> {
    pub(super) fn new(schema: &'s Schema, subject: NodeId) -> Self {
        Printer {
            schema,
            subject,
            uses: uses(schema),
            open: HashSet::new(),
            names: HashMap::new(),
            taken: WORDS.iter().copied().map(str::to_owned).collect(),
            keys: HashMap::new(),
            definitions: BTreeMap::new(),
        }
    }

    pub(super) fn into_definitions(self) -> BTreeMap<String, String> {
        self.definitions
    }

    pub(super) fn root(&mut self) -> String {
        self.piece(self.schema.root).text
    }

    /// Returns the type on one line, for a label: its name if it has one.
    pub(super) fn short(&mut self, id: NodeId) -> String {
        let text = self.piece(id).text;
        text.split_whitespace().collect::<Vec<_>>().join(" ")
    }

    fn piece(&mut self, id: NodeId) -> Piece {
        if let Some(name) = self.names.get(&id) {
            return Piece::tight(name.clone());
        }
        if self.open.contains(&id) {
            return Piece::tight(self.name(id));
        }
        self.open.insert(id);
        let piece = self.written(id);
        self.open.remove(&id);
        let node = self.schema.node(id);
        let shared = self.uses[id] > 1 && piece.text.len() > LINE / 3;
        let named = node.definition().is_some() && (shared || piece.is_broken());
        if !named && !self.names.contains_key(&id) {
            return piece;
        }
        let name = self.name(id);
        let text = format!("{}{}", piece.text, comment(node.doc()));
        self.definitions.insert(name.clone(), text);
        Piece::tight(name)
    }

    /// Returns the unique name of a node.
    fn name(&mut self, id: NodeId) -> String {
        if let Some(name) = self.names.get(&id) {
            return name.clone();
        }
        let node = self.schema.node(id);
        let wanted = node.definition().or(node.name.as_deref()).unwrap_or_default();
        let mut plain: String =
            wanted.chars().map(|c| if c.is_alphanumeric() || c == '_' { c } else { '_' }).collect();
        if !plain.starts_with(|c: char| c.is_alphabetic() || c == '_') {
            plain = format!("Type{plain}");
        }
        let mut name = plain.clone();
        let mut count = 1;
        while !self.taken.insert(name.clone()) {
            count += 1;
            name = format!("{plain}{count}");
        }
        self.names.insert(id, name.clone());
        name
    }

    /// Writes the type with its limits.
    fn written(&mut self, id: NodeId) -> Piece {
        let node = self.schema.node(id);
        let piece = match node.own() {
            Some(own) => {
                let name = match own {
                    Own::Called(name) => name,
                    Own::BigInt => "integer",
                };
                match &node.kind {
                    NodeKind::Union(union) if union.null => Piece::loose(format!("{name} | null")),
                    _ => Piece::tight(name),
                }
            }
            None => self.shape(id),
        };
        // "Of any size" is worth mentioning beside a field, but not as a comment in a list.
        if id == self.subject || matches!(node.own(), Some(Own::BigInt)) {
            return piece;
        }
        let limits = phrases(self.schema, id);
        if limits.is_empty() {
            return piece;
        }
        // The comment must not contain its own terminator.
        let limits = limits.join("; ").replace("*/", "*\\/");
        Piece::loose(format!("{} /* {limits} */", piece.closed()))
    }

    fn shape(&mut self, id: NodeId) -> Piece {
        let schema = self.schema;
        match &schema.node(id).kind {
            NodeKind::Any => Piece::tight("any"),
            NodeKind::Never => Piece::tight("never"),
            NodeKind::Null => Piece::tight("null"),
            NodeKind::Bool => Piece::tight("boolean"),
            NodeKind::Number(plan) => Piece::tight(if plan.integer { "integer" } else { "number" }),
            NodeKind::Text(_) => Piece::tight("string"),
            NodeKind::Choice(plan) => self.choice(plan, id),
            NodeKind::List(plan) if plan.prefix.is_empty() => self.list(plan),
            NodeKind::List(plan) => self.tuple(plan),
            NodeKind::Object(plan) => self.object(plan, id),
            NodeKind::Union(union) => self.union(union, id),
        }
    }

    fn choice(&mut self, plan: &ChoicePlan, id: NodeId) -> Piece {
        let beside = id == self.subject;
        let row = |item: &super::super::ChoiceItem| Row {
            text: item.value.to_string(),
            doc: item.doc.clone().filter(|_| !beside),
        };
        alternatives(plan.items.iter().map(row).collect())
    }

    fn union(&mut self, union: &UnionPlan, id: NodeId) -> Piece {
        let beside = id == self.subject;
        let mut rows: Vec<Row> = Vec::new();
        if let Some(names) = self.names_of(id) {
            self.keys.extend(union.options.iter().map(|option| (*option, names)));
        }
        for (&option, doc) in union.options.iter().zip(&union.docs) {
            // The choices of an enum beside its variants with data are alternatives as well.
            if let (NodeKind::Choice(plan), None) = (&self.schema.node(option).kind, doc)
                && self.schema.node(option).definition().is_none()
                && self.schema.node(option).checks.is_empty()
            {
                rows.extend(plan.items.iter().map(|item| Row {
                    text: item.value.to_string(),
                    doc: item.doc.clone().filter(|_| !beside),
                }));
                continue;
            }
            let text = self.piece(option).text;
            if !rows.iter().any(|row| row.text == text) {
                rows.push(Row { text, doc: doc.clone().filter(|_| !beside) });
            }
        }
        if union.null && !rows.iter().any(|row| row.text == "null") {
            rows.push(Row { text: "null".into(), doc: None });
        }
        alternatives(rows)
    }

    /// Returns the type that the keys of a node must have.
    fn names_of(&self, id: NodeId) -> Option<NodeId> {
        self.schema.node(id).checks.iter().find_map(|check| match check {
            Check::Names(names) => Some(*names),
            _ => None,
        })
    }

    fn list(&mut self, plan: &ListPlan) -> Piece {
        match plan.items {
            None => Piece::tight("[]"),
            Some(item) => Piece::tight(format!("{}[]", self.piece(item).closed())),
        }
    }

    fn tuple(&mut self, plan: &ListPlan) -> Piece {
        let most = plan.max.unwrap_or(usize::MAX);
        let mut rows = Vec::new();
        for (index, &item) in plan.prefix.iter().enumerate().take(most) {
            let piece = self.piece(item);
            let absent = index >= plan.min.unwrap_or(0);
            let text = if absent { format!("{}?", piece.closed()) } else { piece.text };
            rows.push(Row { text, doc: None });
        }
        if let Some(item) = plan.items.filter(|_| most > plan.prefix.len()) {
            rows.push(Row { text: format!("...{}[]", self.piece(item).closed()), doc: None });
        }
        Piece::tight(bracketed("[", &rows, "]"))
    }

    fn object(&mut self, plan: &ObjectPlan, id: NodeId) -> Piece {
        let mut rows = Vec::new();
        for prop in &plan.props {
            let node = self.schema.node(prop.node);
            if matches!(node.kind, NodeKind::Never) && !prop.required {
                continue;
            }
            let text = self.piece(prop.node).text;
            let named = self.names.contains_key(&prop.node);
            let inherited = || node.doc().filter(|_| !named).map(str::to_owned);
            let mark = if prop.required { "" } else { "?" };
            rows.push(Row {
                text: format!("{}{mark}: {text}", key(&prop.name)),
                doc: prop.doc.clone().or_else(inherited),
            });
        }
        for name in &plan.required {
            let node = match (plan.by_pattern(name), plan.extra) {
                (ByPattern::Node(node), _) | (ByPattern::Nothing, Extra::Node(node)) => Some(node),
                _ => None,
            };
            let text = node.map_or_else(|| "any".to_owned(), |node| self.piece(node).text);
            rows.push(Row { text: format!("{}: {text}", key(name)), doc: None });
        }
        let names = self.names_of(id).or_else(|| self.keys.get(&id).copied());
        let keys = names.map_or_else(|| "string".to_owned(), |names| self.piece(names).text);
        for (pattern, node) in &plan.patterns {
            let pattern = pattern.as_str().replace("*/", "*\\/");
            let text = self.piece(*node).text;
            rows.push(Row { text: format!("[key: {keys} /* matches /{pattern}/ */]: {text}"), doc: None });
        }
        if let Extra::Node(extra) = plan.extra {
            let anything = matches!(self.schema.node(extra).kind, NodeKind::Any)
                && self.schema.node(extra).checks.is_empty();
            if rows.is_empty() && names.is_none() && anything {
                return Piece::tight("object");
            }
            let text = self.piece(extra).text;
            rows.push(Row { text: format!("[key: {keys}]: {text}"), doc: None });
        }
        Piece::tight(if rows.is_empty() { "{}".to_owned() } else { bracketed("{", &rows, "}") })
    }
}

/// Returns the name of a member, quoted if any character in it could be taken for punctuation.
fn key(name: &str) -> String {
    let bare = name.starts_with(|c: char| c.is_alphabetic() || c == '_' || c == '$')
        && name.chars().all(|c| c.is_alphanumeric() || "_$-".contains(c));
    if bare { name.to_owned() } else { Value::from(name).to_string() }
}

/// Counts the references to each node.
fn uses(schema: &Schema) -> Vec<u32> {
    let mut uses = vec![0_u32; schema.nodes.len()];
    let mut to_see = vec![schema.root];
    let mut add = |id: NodeId, to_see: &mut Vec<NodeId>| {
        uses[id] += 1;
        if uses[id] == 1 {
            to_see.push(id);
        }
    };
    add(schema.root, &mut to_see);
    to_see.pop();
    while let Some(id) = to_see.pop() {
        let node = schema.node(id);
        match &node.kind {
            NodeKind::List(plan) => {
                plan.prefix.iter().chain(&plan.items).for_each(|&item| add(item, &mut to_see));
            }
            NodeKind::Object(plan) => {
                plan.props.iter().for_each(|prop| add(prop.node, &mut to_see));
                plan.patterns.iter().for_each(|(_, node)| add(*node, &mut to_see));
                if let Extra::Node(node) = plan.extra {
                    add(node, &mut to_see);
                }
            }
            NodeKind::Union(union) => union.options.iter().for_each(|&option| add(option, &mut to_see)),
            _ => {}
        }
    }
    uses
}
