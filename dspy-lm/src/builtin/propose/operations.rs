//! Changes of a list of items with identifiers, such as a playbook: which ones are added, updated and removed.

use serde_json::Value;

use super::draft::Draft;
use super::material::Material;
use super::merge;
use super::roles;
use crate::builtin::prompt::object;
use crate::builtin::value_type::{Member, ValueType, plain};

/// The objects that state changes: their members, and the values that name the operations.
#[derive(Debug)]
pub(super) struct Operations<'a> {
    members: &'a [Member],
    add: &'a Value,
    update: Option<&'a Value>,
    remove: Option<&'a Value>,
}

/// One change.
#[derive(Debug, PartialEq)]
enum Change {
    Add(String),
    Update(String, String),
    Remove(String),
}

impl<'a> Operations<'a> {
    /// Returns the operations that a list of objects consists of; `None` if it is another list.
    pub(super) fn of(kind: &'a ValueType) -> Option<Operations<'a>> {
        let ValueType::List(item) = kind else { return None };
        let ValueType::Object(members) = &**item else { return None };
        members.iter().find_map(|member| {
            let ValueType::Choice(choices) = &member.kind else { return None };
            let find = |names: &[&str]| {
                choices.iter().find(|choice| names.contains(&&*plain(choice).to_lowercase()))
            };
            let add = find(&["add", "create", "insert", "new"])?;
            let update = find(&["update", "edit", "modify", "replace", "revise"]);
            let remove = find(&["remove", "delete", "drop"]);
            (update.is_some() || remove.is_some()).then_some(Operations { members, add, update, remove })
        })
    }

    /// Returns the changes that make the current items those of a draft, at most `most`.
    pub(super) fn values(&self, draft: &Draft, material: &Material, most: usize) -> Vec<Value> {
        let changes = changes(draft, &material.bullets()).into_iter();
        changes.filter_map(|change| self.value(&change)).take(most).collect()
    }

    fn value(&self, change: &Change) -> Option<Value> {
        let (operation, id, text) = match change {
            Change::Add(text) => (self.add, None, Some(text)),
            Change::Update(id, text) => (self.update?, Some(id), Some(text)),
            Change::Remove(id) => (self.remove?, Some(id), None),
        };
        let values = self.members.iter().filter_map(|member| {
            let words = roles::name_words(&member.name);
            let has = |list: &[&str]| words.iter().any(|word| list.contains(&word.as_str()));
            let value: Option<Value> = match &member.kind {
                ValueType::Choice(_) => Some(operation.clone()),
                kind if !kind.is_text() => None,
                _ if has(&["id", "key", "identifier", "bullet"]) => id.map(|id| id.as_str().into()),
                _ if has(&["section", "category", "topic", "title"]) => {
                    matches!(change, Change::Add(_)).then(|| "rules".into())
                }
                _ => text.map(|text| text.as_str().into()),
            };
            let value = value.or_else(|| (!member.optional).then(|| "".into()))?;
            Some((member.name.clone(), value))
        });
        Some(object(values))
    }
}

/// Returns the changes: a list of words that has grown is an update, a rule that the records contradict is removed,
/// and what was learned besides is added.
fn changes(draft: &Draft, items: &[(String, String)]) -> Vec<Change> {
    let mut new: Vec<String> =
        draft.learned.iter().filter(|sentence| draft.instruction.contains(sentence)).cloned().collect();
    let mut changes = Vec::new();
    if new.is_empty() {
        return changes;
    }
    for (id, text) in items {
        let own = merge::split(text);
        if let [sentence] = &own[..]
            && let Some(at) = new.iter().position(|other| merge::replaces(other, sentence))
        {
            let longer = new.remove(at);
            if !merge::unknown(&own, vec![longer.clone()]).is_empty() {
                changes.push(Change::Update(id.clone(), longer));
            }
            continue;
        }
        let is_kept = merge::unknown(&draft.instruction, own.clone()).len() < own.len();
        if !is_kept && own.iter().all(|sentence| merge::is_rule(sentence)) {
            changes.push(Change::Remove(id.clone()));
        }
        new = merge::unknown(&own, new);
    }
    changes.extend(new.into_iter().map(Change::Add));
    changes
}
