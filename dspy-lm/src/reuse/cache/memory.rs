//! The answers in memory: bounded in bytes, the least recently used are evicted first.

use std::collections::HashMap;
use std::ops::RangeInclusive;
use std::sync::Arc;

use super::key::Key;
use crate::Response;

/// The bytes of an entry beside its content.
const OVERHEAD: usize = 256;

/// Answers by key, in order of use.
///
/// A linked list in a vector: `nodes` never shrinks, and is never longer than the highest number of entries.
pub(super) struct Memory {
    limit: usize,
    bytes: usize,
    places: HashMap<Key, usize>,
    nodes: Vec<Node>,
    free: Vec<usize>,
    newest: usize,
    oldest: usize,
}

struct Node {
    key: Key,
    /// The answer; `None` in a free node.
    answer: Option<Answer>,
    newer: usize,
    older: usize,
}

/// An answer with its date in milliseconds since 1970.
pub(super) struct Answer {
    pub(super) response: Arc<Response>,
    pub(super) at: u64,
    /// The size in bytes.
    pub(super) size: usize,
}

impl Answer {
    /// Creates an answer; `size` is the length of its JSON in bytes.
    pub(super) fn new(response: Arc<Response>, at: u64, size: usize) -> Self {
        Answer { response, at, size: size + OVERHEAD }
    }
}

/// The index that stands for no node.
const END: usize = usize::MAX;

impl Memory {
    pub(super) fn new(limit: usize) -> Self {
        Memory {
            limit,
            bytes: 0,
            places: HashMap::new(),
            nodes: Vec::new(),
            free: Vec::new(),
            newest: END,
            oldest: END,
        }
    }

    pub(super) fn len(&self) -> usize {
        self.places.len()
    }

    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Returns the answer and marks it as used. An answer with a date outside of `good` is removed.
    pub(super) fn get(&mut self, key: &Key, good: &RangeInclusive<u64>) -> Option<Arc<Response>> {
        let place = *self.places.get(key)?;
        let answer = self.nodes[place].answer.as_ref()?;
        if !good.contains(&answer.at) {
            self.remove(key);
            return None;
        }
        let response = answer.response.clone();
        if self.newest != place {
            self.unlink(place);
            self.link(place);
        }
        Some(response)
    }

    /// Stores an answer and returns the number of evicted answers. An answer larger than the limit is not
    /// stored.
    pub(super) fn put(&mut self, key: Key, answer: Answer) -> u64 {
        self.remove(&key);
        if answer.size > self.limit {
            return 0;
        }
        let mut gone = 0;
        while self.bytes + answer.size > self.limit && self.oldest != END {
            let oldest = self.nodes[self.oldest].key;
            self.remove(&oldest);
            gone += 1;
        }
        self.bytes += answer.size;
        let node = Node { key, answer: Some(answer), newer: END, older: END };
        let place = if let Some(place) = self.free.pop() {
            self.nodes[place] = node;
            place
        } else {
            self.nodes.push(node);
            self.nodes.len() - 1
        };
        self.places.insert(key, place);
        self.link(place);
        gone
    }

    pub(super) fn remove(&mut self, key: &Key) -> bool {
        let Some(place) = self.places.remove(key) else { return false };
        self.unlink(place);
        if let Some(answer) = self.nodes[place].answer.take() {
            self.bytes -= answer.size;
        }
        self.free.push(place);
        true
    }

    pub(super) fn clear(&mut self) {
        *self = Memory::new(self.limit);
    }

    /// Links a node that is in no list as the newest.
    fn link(&mut self, place: usize) {
        let second = std::mem::replace(&mut self.newest, place);
        (self.nodes[place].newer, self.nodes[place].older) = (END, second);
        match second {
            END => self.oldest = place,
            _ => self.nodes[second].newer = place,
        }
    }

    fn unlink(&mut self, place: usize) {
        let Node { newer, older, .. } = self.nodes[place];
        match newer {
            END => self.newest = older,
            _ => self.nodes[newer].older = older,
        }
        match older {
            END => self.oldest = newer,
            _ => self.nodes[older].newer = newer,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::{Lm, Message, Request};

    fn key(number: usize) -> Key {
        Key::of(&Lm::builtin(), &Request::new(vec![Message::user(number.to_string())]), None)
    }

    fn answer(text: &str, size: usize) -> Answer {
        Answer { response: Arc::new(Response::text(text)), at: 5, size }
    }

    #[test]
    fn old_answers_are_no_longer_good() {
        let mut memory = Memory::new(100);
        memory.put(key(0), answer("a", 10));
        assert!(memory.get(&key(0), &(5..=5)).is_some());
        assert!(memory.get(&key(0), &(6..=9)).is_none());
        assert_eq!((memory.len(), memory.bytes()), (0, 0));
        memory.put(key(0), answer("from the future", 10));
        assert!(memory.get(&key(0), &(0..=4)).is_none());
    }

    proptest! {
        /// Compares with a plain list that is searched from end to end.
        #[test]
        fn keeps_what_was_used_last(steps in prop::collection::vec((0..3u8, 0..12usize, 1..130usize), 1..200)) {
            let keys: Vec<Key> = (0..12).map(key).collect();
            let mut memory = Memory::new(100);
            let mut model: Vec<(usize, usize, String)> = Vec::new();
            for (count, (what, number, size)) in steps.into_iter().enumerate() {
                match what {
                    0 => {
                        let text = count.to_string();
                        memory.put(keys[number], answer(&text, size));
                        model.retain(|(other, ..)| *other != number);
                        // An answer larger than the whole memory is not stored and evicts nothing.
                        if size <= 100 {
                            model.push((number, size, text));
                        }
                        while model.iter().map(|(_, size, _)| size).sum::<usize>() > 100 {
                            model.remove(0);
                        }
                    }
                    1 => {
                        let found = memory.get(&keys[number], &(0..=9)).map(|found| found.completions[0].text.clone());
                        let at = model.iter().position(|(other, ..)| *other == number);
                        prop_assert_eq!(found, at.map(|at| model[at].2.clone()));
                        if let Some(at) = at {
                            let used = model.remove(at);
                            model.push(used);
                        }
                    }
                    _ => {
                        let there = model.iter().any(|(other, ..)| *other == number);
                        prop_assert_eq!(memory.remove(&keys[number]), there);
                        model.retain(|(other, ..)| *other != number);
                    }
                }
                prop_assert_eq!(memory.len(), model.len());
                prop_assert_eq!(memory.bytes(), model.iter().map(|(_, size, _)| size).sum::<usize>());
            }
        }
    }
}
