//! Proposals as values of the requested types.

use serde_json::Value;

use super::draft::Draft;
use super::material::Material;
use super::merge;
use super::operations::Operations;
use super::roles::{self, Wish};
use crate::builtin::prompt::{Field, object};
use crate::builtin::value_type::{Member, ValueType, plain};

/// The maximum number of items of a list, and the depth of nested values.
const MOST_ITEMS: usize = 24;
const DEPTH: usize = 6;

/// Returns a value for an output that asks for something; `None` for a type that cannot hold prose.
pub(super) fn value(field: &Field, wish: Wish, draft: &Draft, material: &Material) -> Option<Value> {
    fill(&field.kind, &field.name, wish, draft, material, 0)
}

/// Returns whether values are lists of objects with prose or ratings.
pub(super) fn holds_sentences(kind: &ValueType) -> bool {
    let ValueType::List(item) = kind else { return false };
    let ValueType::Object(members) = &**item else { return false };
    members.iter().any(|member| {
        let names = roles::name_words(&member.name);
        let is_prose = names.iter().any(|word| {
            matches!(
                word.as_str(),
                "content" | "text" | "rule" | "bullet" | "lesson" | "advice" | "insight" | "instruction"
            )
        });
        rating(&member.kind).is_some() || (member.kind.is_text() && is_prose)
    })
}

fn fill(
    kind: &ValueType,
    name: &str,
    wish: Wish,
    draft: &Draft,
    material: &Material,
    depth: usize,
) -> Option<Value> {
    if depth > DEPTH {
        return None;
    }
    if let Some(operations) = Operations::of(kind) {
        return Some(operations.values(draft, material, MOST_ITEMS).into());
    }
    let sentences = sentences(name, wish, draft);
    Some(match kind {
        ValueType::Text | ValueType::Any => {
            let separator =
                if matches!(wish, Wish::Instruction | Wish::MaybeInstruction) { "\n" } else { " " };
            sentences.join(separator).into()
        }
        ValueType::Nullable(kind) => fill(kind, name, wish, draft, material, depth + 1)?,
        ValueType::List(item) => match &**item {
            ValueType::Text | ValueType::Any => sentences.iter().take(MOST_ITEMS).cloned().collect(),
            ValueType::Object(members) => items(members, sentences, material).into(),
            _ => return None,
        },
        ValueType::Object(members) => {
            let values = members.iter().filter(|member| !member.optional).map(|member| {
                let wish =
                    roles::wish(&Field { name: member.name.clone(), ..Field::default() }).unwrap_or(wish);
                let value = fill(&member.kind, &member.name, wish, draft, material, depth + 1);
                (member.name.clone(), value.unwrap_or_else(|| plain_value(&member.kind, material)))
            });
            object(values)
        }
        ValueType::Map => {
            let advice = sentences.join("\n");
            let parts =
                if material.parts.is_empty() { vec!["advice".to_owned()] } else { material.parts.clone() };
            object(parts.into_iter().map(|part| (part, Value::from(advice.clone()))))
        }
        ValueType::Choice(_) | ValueType::Integer | ValueType::Number | ValueType::Tuple(_) => return None,
    })
}

/// Returns the sentences for an output.
fn sentences<'d>(name: &str, wish: Wish, draft: &'d Draft) -> &'d [String] {
    let words = roles::name_words(name);
    let has = |list: &[&str]| words.iter().any(|word| list.contains(&word.as_str()));
    let some = |all: &'d [String], most: usize| &all[..all.len().min(most)];
    match wish {
        // Rules and lessons are what was learned; an instruction is more than that.
        Wish::Instruction | Wish::MaybeInstruction
            if has(&["rules", "rule", "lesson", "lessons", "tip", "tips", "hints"])
                && !draft.learned.is_empty() =>
        {
            &draft.learned
        }
        Wish::Instruction | Wish::MaybeInstruction => &draft.instruction,
        Wish::Diagnosis => some(&draft.diagnosis, 6),
        Wish::Observation
            if has(&["insight", "takeaway", "approach", "lesson"]) && !draft.learned.is_empty() =>
        {
            some(&draft.learned, 3)
        }
        Wish::Observation => &draft.observations,
    }
}

/// Returns an object for each sentence, or for each item of the current instruction if the objects rate them.
fn items(members: &[Member], sentences: &[String], material: &Material) -> Vec<Value> {
    let rates = members.iter().any(|member| rating(&member.kind).is_some());
    let bullets = material.bullets();
    let texts: Vec<(String, String)> = if rates {
        bullets
    } else {
        sentences.iter().enumerate().map(|(at, text)| (format!("r{}", at + 1), text.clone())).collect()
    };
    let of_text = |(id, text): (String, String)| {
        let values =
            members.iter().filter(|member| !member.optional || member.kind.is_text()).map(|member| {
                let words = roles::name_words(&member.name);
                let has = |list: &[&str]| words.iter().any(|word| list.contains(&word.as_str()));
                let value = match &member.kind {
                    ValueType::Text | ValueType::Any if has(&["id", "key", "identifier", "bullet"]) => {
                        id.clone().into()
                    }
                    ValueType::Text | ValueType::Any if has(&["section", "category", "topic", "title"]) => {
                        "rules".into()
                    }
                    ValueType::Text | ValueType::Any => text.clone().into(),
                    kind => match rating(kind) {
                        Some(ratings) => ratings.value(rated(&text, material)),
                        None => plain_value(kind, material),
                    },
                };
                (member.name.clone(), value)
            });
        object(values)
    };
    texts.into_iter().take(MOST_ITEMS).map(of_text).collect()
}

/// The values that rate an item.
pub(super) struct Ratings<'a> {
    good: &'a Value,
    bad: &'a Value,
    neither: &'a Value,
}

impl Ratings<'_> {
    pub(super) fn value(&self, rating: std::cmp::Ordering) -> Value {
        match rating {
            std::cmp::Ordering::Greater => self.good.clone(),
            std::cmp::Ordering::Less => self.bad.clone(),
            std::cmp::Ordering::Equal => self.neither.clone(),
        }
    }
}

/// Returns the values of a choice that rates something as helpful or harmful.
pub(super) fn rating(kind: &ValueType) -> Option<Ratings<'_>> {
    let ValueType::Choice(choices) = kind else { return None };
    let find = |names: &[&str]| choices.iter().find(|choice| names.contains(&&*plain(choice).to_lowercase()));
    let good = find(&["helpful", "good", "useful"])?;
    let bad = find(&["harmful", "bad", "useless", "misleading"])?;
    Some(Ratings { good, bad, neither: find(&["neutral", "unclear", "unused"]).unwrap_or(good) })
}

/// Rates a sentence by whether the records are answered better with it than without it.
pub(super) fn rated(sentence: &str, material: &Material) -> std::cmp::Ordering {
    let with = merge::accuracy(&material.tables, &[sentence.to_owned()]);
    let without = merge::accuracy(&material.tables, &[]);
    if (with - without).abs() < 1e-9 { std::cmp::Ordering::Equal } else { with.total_cmp(&without) }
}

/// Returns a value of a type that holds no prose.
fn plain_value(kind: &ValueType, material: &Material) -> Value {
    match kind {
        ValueType::Choice(choices) => {
            let adds = |choice: &&Value| plain(choice).eq_ignore_ascii_case("add");
            choices.iter().find(adds).or(choices.first()).cloned().unwrap_or_default()
        }
        ValueType::Integer | ValueType::Number => {
            material.tables.iter().map(super::table::Table::len).sum::<usize>().into()
        }
        ValueType::List(_) | ValueType::Tuple(_) => Value::Array(Vec::new()),
        ValueType::Object(_) | ValueType::Map => object([]),
        ValueType::Text | ValueType::Any => "".into(),
        ValueType::Nullable(_) => Value::Null,
    }
}
