//! Content that one branch of a union drops although another branch has a member for it.

use super::super::path::Path;
use super::super::plan::{Extra, NodeId, NodeKind, ObjectPlan, UnionPlan};
use super::super::report::RepairKind as R;
use super::super::text::words;
use super::super::tree::{Shape, Tree};
use super::attempt::Attempt;
use super::choice::words_spelling;
use super::object::{KeyMatch, known};
use super::{Coercion, list_items};
use dspy_base::fold::fold;

impl Coercion<'_> {
    /// Returns why a reading by one branch must be rejected: it drops members of another branch, or takes
    /// text that names another branch as its content.
    pub(super) fn rivalry(
        &self,
        plan: &UnionPlan,
        option: NodeId,
        attempt: &Attempt,
        tree: &Tree<'_>,
        path: &Path<'_>,
    ) -> Option<String> {
        if attempt.cost == 0 || plan.options.len() < 2 {
            return None;
        }
        let lost = self.lost(plan, option, tree);
        if let [first, ..] = &lost[..] {
            let found = format!("members of several alternatives, such as `{}`", super::snippet(first));
            return Some(found);
        }
        let Shape::Text { text, .. } = &tree.shape else { return None };
        let here = path.shared();
        let interprets = attempt.repairs.iter().any(|repair| match &self.schema.node(option).kind {
            NodeKind::Choice(_) => repair.kind == R::Mention,
            NodeKind::Object(_) => repair.kind == R::ImpliedKey && repair.path == here,
            _ => false,
        });
        if !interprets {
            return None;
        }
        let folded: Vec<String> = words(text).map(|w| fold(w.text)).collect();
        let named = self.tags(plan).into_iter().find(|(branch, tag)| {
            let tag = fold(tag);
            *branch != option && (0..folded.len()).any(|i| words_spelling(&tag, &folded[i..]).is_some())
        });
        named.map(|(_, tag)| format!("{}, which also names `{tag}`", Self::found(tree)))
    }

    /// Returns the keys that the branch drops and another branch declares, if their values are not empty. A
    /// tag decides which branch is meant; a member of another branch is a contradiction nevertheless.
    pub(super) fn lost(&self, plan: &UnionPlan, option: NodeId, tree: &Tree<'_>) -> Vec<String> {
        let NodeKind::Object(own) = &self.schema.node(option).kind else { return Vec::new() };
        let others: Vec<&ObjectPlan> = plan
            .options
            .iter()
            .filter(|o| **o != option)
            .filter_map(|o| match &self.schema.node(*o).kind {
                NodeKind::Object(other) => Some(&**other),
                _ => None,
            })
            .collect();
        if others.is_empty() {
            return Vec::new();
        }
        let keys: Vec<&str> = match &tree.shape {
            Shape::Object(entries) => {
                entries.iter().filter(|e| !says_nothing(&e.value)).map(|e| &*e.key).collect()
            }
            Shape::Text { text, .. } => keys_of_lines(text),
            _ => Vec::new(),
        };
        let lost = |key: &&str| {
            matches!(known(own, key), KeyMatch::No)
                && others.iter().any(|other| matches!(known(other, key), KeyMatch::Prop(..)))
        };
        keys.into_iter().filter(lost).map(str::to_owned).collect()
    }

    /// Returns the names that identify a branch: the only key of one, or its tag value.
    fn tags<'a>(&'a self, plan: &'a UnionPlan) -> Vec<(NodeId, &'a str)> {
        let by_key = plan.options.iter().filter_map(|&option| match &self.schema.node(option).kind {
            NodeKind::Object(own) if own.required_props == 1 && matches!(own.extra, Extra::Drop) => {
                match &own.props[..] {
                    [only] => Some((option, only.name.as_str())),
                    _ => None,
                }
            }
            _ => None,
        });
        let by_tag =
            plan.tag.iter().flat_map(|tag| tag.branches.iter().map(|(name, id)| (*id, name.as_str())));
        by_key.chain(by_tag).collect()
    }
}

/// Returns whether a value is null or empty, as models write values that they omit.
pub(super) fn says_nothing(value: &Tree<'_>) -> bool {
    match &value.shape {
        Shape::Null => true,
        Shape::List(items) => items.is_empty(),
        Shape::Object(entries) => entries.is_empty(),
        _ => false,
    }
}

/// Returns the text before a colon or an equals sign in each piece of the text.
pub(super) fn keys_of_lines(text: &str) -> Vec<&str> {
    let key = |piece: &'_ str| -> Option<usize> { piece.find([':', '=']).filter(|at| *at < 80) };
    text.split(['\n', ',', ';'])
        .filter_map(|piece| {
            let piece = piece.trim();
            let piece = list_items::marker(piece).map_or(piece, |(_, offset)| &piece[offset..]);
            let at = key(piece)?;
            if super::union::is_null_word(&piece[at + 1..]) {
                return None;
            }
            let key = piece[..at].trim_matches(['*', '"', '`', '\'', '_', ' ', '{']);
            (!key.is_empty()).then_some(key)
        })
        .collect()
}
