//! Detection of types without finite values: a list node that must contain another, an object that must
//! contain itself.

use super::{NodeId, NodeKind, Schema};

impl Schema {
    /// Returns whether any finite value satisfies the root.
    pub(super) fn has_values(&self) -> bool {
        // The nodes that are known to have values, propagated from the leaves upwards until nothing changes.
        let mut known = vec![false; self.nodes.len()];
        loop {
            let mut learnt = false;
            for id in (0..self.nodes.len()).rev() {
                if !known[id] && self.follows(id, &known) {
                    known[id] = true;
                    learnt = true;
                }
            }
            if known[self.root] || !learnt {
                return known[self.root];
            }
        }
    }

    /// Returns whether the node has values, given which others have.
    fn follows(&self, id: NodeId, known: &[bool]) -> bool {
        match &self.node(id).kind {
            NodeKind::Never => false,
            NodeKind::Any
            | NodeKind::Null
            | NodeKind::Bool
            | NodeKind::Number(_)
            | NodeKind::Text(_)
            | NodeKind::Choice(_) => true,
            NodeKind::List(plan) => (0..plan.min.unwrap_or(0).min(plan.prefix.len() + 1))
                .all(|i| plan.item(i).is_some_and(|item| known[item])),
            NodeKind::Object(plan) => {
                // A minimum number of entries requires members, or other entries, that have values.
                let members = plan.props.iter().filter(|prop| known[prop.node]).count();
                let others = plan.others().any(|node| known[node]);
                plan.props.iter().filter(|prop| prop.required).all(|prop| known[prop.node])
                    && (others || (plan.required.is_empty() && plan.min.unwrap_or(0) <= members))
            }
            NodeKind::Union(plan) => plan.null || plan.options.iter().any(|&o| known[o]),
        }
    }
}
