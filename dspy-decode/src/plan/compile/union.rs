//! Unions: their branches, and the member that distinguishes them.

use std::collections::HashMap;

use serde_json::{Map, Value, json};

use super::super::super::error::SchemaError;
use super::super::flatten::{ANNOTATIONS, Flat, reference};
use super::super::keywords::contradiction;
use super::super::{ChoiceItem, Node, NodeId, NodeKind, ObjectPlan, Tag, UnionPlan};
use super::choice::choice_plan;
use super::{Compiled, Compiler, doc};

/// The maximum number of branches in the product of several unions on one value.
const MAX_BRANCHES: usize = 256;

impl Compiler<'_> {
    pub(super) fn union(&mut self, flat: &Flat, at: &str) -> Compiled<NodeKind> {
        let base: Map<String, Value> = flat
            .keywords
            .iter()
            .filter(|(k, _)| !ANNOTATIONS.contains(&k.as_str()))
            .map(|(k, v)| (k.clone(), v.clone()))
            .collect();
        // Several unions on one value: every combination of their branches.
        let mut branches: Vec<Value> = vec![Value::Object(base)];
        for options in &flat.unions {
            if options.is_empty() {
                return Err(contradiction(at, "a union without branches"));
            }
            let mut next = Vec::with_capacity(branches.len() * options.len());
            for branch in &branches {
                for option in options {
                    let bare = branch.as_object().is_some_and(Map::is_empty);
                    next.push(if bare { option.clone() } else { json!({"allOf": [branch, option]}) });
                }
            }
            if next.len() > MAX_BRANCHES {
                return Err(SchemaError::TooDeep { at: at.to_owned() });
            }
            branches = next;
        }
        let mut union = UnionPlan::default();
        let mut choices: Vec<ChoiceItem> = Vec::new();
        for (i, branch) in branches.iter().enumerate() {
            let id = self.node(branch, &format!("{at}/{i}"))?;
            match &mut self.nodes[id] {
                Node { kind: NodeKind::Null, .. } => union.null = true,
                // A branch that its sibling keywords exclude.
                Node { kind: NodeKind::Never, .. } => {}
                // Unit variants with and without documentation form one list of choices.
                Node { kind: NodeKind::Choice(plan), checks, .. }
                    if checks.is_empty() && reference(branch).is_none() =>
                {
                    for item in std::mem::take(&mut plan.items) {
                        match choices.iter_mut().find(|c| c.value == item.value) {
                            Some(same) => {
                                same.aliases.extend(item.aliases);
                                same.descriptions.extend(item.descriptions);
                                same.doc = same.doc.take().or(item.doc);
                            }
                            None => choices.push(item),
                        }
                    }
                }
                node => {
                    // The description of the branch, or else that of its type if the type has no name.
                    let own = doc(branch.get("description"));
                    let inherited = || node.doc().filter(|_| node.definition().is_none()).map(str::to_owned);
                    union.docs.push(own.or_else(inherited));
                    union.options.push(id);
                }
            }
        }
        if !choices.is_empty() {
            let kind = NodeKind::Choice(Box::new(choice_plan(choices, at)?));
            if union.options.is_empty() && !union.null {
                return Ok(kind);
            }
            let id = self.push(kind);
            union.options.insert(0, id);
            union.docs.insert(0, None);
        }
        if union.options.is_empty() {
            return Ok(if union.null { NodeKind::Null } else { NodeKind::Never });
        }
        Ok(NodeKind::Union(union))
    }

    /// Finds the member whose fixed value distinguishes the branches of a union.
    pub(super) fn find_tag(&mut self, id: NodeId) {
        let NodeKind::Union(union) = &self.nodes[id].kind else { return };
        let objects: Vec<(NodeId, &ObjectPlan)> = union
            .options
            .iter()
            .filter_map(|&o| {
                if let NodeKind::Object(plan) = &self.nodes[o].kind { Some((o, &**plan)) } else { None }
            })
            .collect();
        if objects.len() < 2 {
            return;
        }
        let fixed = |plan: &ObjectPlan, key: &str| -> Option<String> {
            let prop = plan.props.get(*plan.exact.get(key)?)?;
            match &self.nodes[prop.node].kind {
                NodeKind::Choice(choice) if prop.required && choice.items.len() == 1 => {
                    Some(choice.items[0].folded.clone())
                }
                _ => None,
            }
        };
        let tag = objects[0].1.props.iter().find_map(|prop| {
            let mut branches = HashMap::new();
            for (option, plan) in &objects {
                let value = fixed(plan, &prop.name).filter(|v| !v.is_empty())?;
                if branches.insert(value, *option).is_some() {
                    return None;
                }
            }
            Some(Tag { key: prop.name.clone(), branches })
        });
        if let NodeKind::Union(union) = &mut self.nodes[id].kind {
            union.tag = tag;
        }
    }
}
