//! Majority votes.

use std::collections::HashMap;
use std::hash::Hash;

use serde::Serialize;
use serde_json::Value;

/// Returns a key that outputs share if they differ in nothing that matters: texts are compared apart from case, white
/// space and punctuation at the end. `None` if the output has no JSON form.
pub(crate) fn agreement(output: &impl Serialize) -> Option<String> {
    let mut value = serde_json::to_value(output).ok()?;
    normalize(&mut value);
    Some(value.to_string())
}

/// Removes differences between texts that hardly ever matter. Signs and points inside remain: `-1.5` is not `15`.
fn normalize(value: &mut Value) {
    match value {
        Value::String(text) => {
            let words: Vec<_> = text.split_whitespace().collect();
            *text = words.join(" ").trim_end_matches(['.', '!', ',', ';', ':']).to_lowercase();
        }
        Value::Array(items) => items.iter_mut().for_each(normalize),
        Value::Object(members) => members.values_mut().for_each(normalize),
        _ => {}
    }
}

/// The winner of a [`majority`] vote.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Majority {
    /// The index of the first item with the winning value.
    pub index: usize,
    /// The number of items with that value.
    pub votes: usize,
    /// The number of items that voted.
    pub voters: usize,
}

/// Returns the most common value, by the key of each item; of equally common ones the one that occurs first. Items
/// whose key is `None` do not vote. Returns `None` if no item votes.
///
/// ```
/// use dspy_strategies::majority;
/// let winner = majority(["Oslo", "oslo", "Bergen", ""], |city| {
///     (!city.is_empty()).then(|| city.to_lowercase())
/// });
/// let winner = winner.unwrap();
/// assert_eq!((winner.index, winner.votes, winner.voters), (0, 2, 3));
/// ```
pub fn majority<T, K: Eq + Hash>(
    items: impl IntoIterator<Item = T>,
    mut key: impl FnMut(&T) -> Option<K>,
) -> Option<Majority> {
    let mut votes: HashMap<K, (usize, usize)> = HashMap::new();
    let mut voters = 0;
    for (index, item) in items.into_iter().enumerate() {
        if let Some(key) = key(&item) {
            voters += 1;
            votes.entry(key).or_insert((index, 0)).1 += 1;
        }
    }
    let winner = votes.into_values().max_by_key(|(index, votes)| (*votes, usize::MAX - index));
    winner.map(|(index, votes)| Majority { index, votes, voters })
}
