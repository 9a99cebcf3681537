//! The depth of the shallowest value of each type, which ends the generation of recursive types.

use super::super::plan::{NodeId, NodeKind, Schema};

/// The height of a type without values.
const NONE: usize = usize::MAX;

/// Returns the height of each node: 0 for scalars.
pub(super) fn of(schema: &Schema) -> Vec<usize> {
    let mut heights = vec![NONE; schema.nodes.len()];
    loop {
        let mut changed = false;
        for id in (0..heights.len()).rev() {
            let height = height(schema, id, &heights);
            changed |= height < heights[id];
            heights[id] = heights[id].min(height);
        }
        if !changed {
            return heights;
        }
    }
}

fn height(schema: &Schema, id: NodeId, known: &[usize]) -> usize {
    let above =
        |parts: &mut dyn Iterator<Item = usize>| parts.max().map_or(0, |height| height.saturating_add(1));
    match &schema.node(id).kind {
        NodeKind::Never => NONE,
        NodeKind::Any
        | NodeKind::Null
        | NodeKind::Bool
        | NodeKind::Number(_)
        | NodeKind::Text(_)
        | NodeKind::Choice(_) => 0,
        NodeKind::List(plan) => {
            let least = plan.min.unwrap_or(0).min(plan.prefix.len() + 1).max(plan.prefix.len());
            above(&mut (0..least).map(|index| plan.item(index).map_or(NONE, |item| known[item])))
        }
        NodeKind::Object(plan) => {
            let members =
                above(&mut plan.props.iter().filter(|prop| prop.required).map(|prop| known[prop.node]));
            if plan.required.is_empty() && plan.min.unwrap_or(0) <= plan.props.len() {
                return members;
            }
            let others = plan.others().map(|node| known[node]).min().unwrap_or(NONE);
            members.max(others.saturating_add(1))
        }
        NodeKind::Union(plan) if plan.null => 0,
        NodeKind::Union(plan) => plan.options.iter().map(|option| known[*option]).min().unwrap_or(NONE),
    }
}
