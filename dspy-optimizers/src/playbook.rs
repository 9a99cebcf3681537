//! Changes of playbooks, and the rules by which they are merged.

use dspy_core::signature::{Playbook, PlaybookItem};
use serde::{Deserialize, Serialize};

use crate::counts::counted;
use crate::words::WordCounts;

/// A change of a playbook that a curator proposes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Delta {
    /// A new item.
    Add {
        /// The name of its section.
        section: String,
        /// The lesson.
        text: String,
    },
    /// Another text for an item.
    Update {
        /// The id of the item.
        id: String,
        /// The lesson.
        text: String,
    },
    /// The removal of an item.
    Remove {
        /// The id of the item.
        id: String,
    },
}

/// The effect of an item on a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Effect {
    /// It led towards the right result.
    Helpful,
    /// It misled.
    Harmful,
    /// It made no difference.
    Neutral,
}

/// The largest length of the text of an item, in characters.
const LONGEST: usize = 1_000;

/// The largest number of changes in one proposal.
const MOST: usize = 50;

/// The rules of a merge.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Rules {
    /// The largest length of a playbook as prompts show it, in characters.
    pub(crate) max_chars: usize,
    /// The similarity from which on two texts are duplicates.
    pub(crate) similarity: f64,
    /// The number of harmful uses from which on an item is removed, if it was more often harmful than helpful.
    pub(crate) max_harmful: u32,
}

/// The result of a merge.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct Merged {
    pub(crate) playbook: Playbook,
    pub(crate) added: usize,
    pub(crate) updated: usize,
    pub(crate) removed: usize,
    /// The changes that were dropped, each with the reason.
    pub(crate) dropped: Vec<String>,
}

impl Merged {
    /// Returns the number of changes in words.
    pub(crate) fn summary(&self) -> String {
        let Merged { added, updated, removed, .. } = self;
        let parts = [(added, "added"), (updated, "updated"), (removed, "removed")];
        let parts = parts.into_iter().filter(|(count, _)| **count > 0);
        parts.map(|(count, what)| format!("{count} {what}")).collect::<Vec<_>>().join(", ")
    }
}

/// Counts the effects of items; unknown ids are ignored, and so are neutral items.
pub(crate) fn count(playbook: &mut Playbook, effects: &[(String, Effect)]) {
    for (id, effect) in effects {
        match effect {
            Effect::Helpful => playbook.mark_helpful(id),
            Effect::Harmful => playbook.mark_harmful(id),
            Effect::Neutral => false,
        };
    }
}

impl Rules {
    /// Merges changes into a playbook, in order. Duplicates and invalid changes are dropped; then harmful items are
    /// removed, and the least useful ones while the playbook is too long.
    pub(crate) fn merge(&self, playbook: &Playbook, proposals: &[Vec<Delta>]) -> Merged {
        let mut merged = Merged { playbook: playbook.clone(), ..Merged::default() };
        let mut words: Vec<(String, WordCounts)> =
            playbook.items().iter().map(|item| (item.id().to_owned(), WordCounts::of(item.text()))).collect();
        for proposal in proposals {
            for delta in proposal.iter().take(MOST) {
                self.apply(delta, &mut merged, &mut words);
            }
            if proposal.len() > MOST {
                let further = counted(proposal.len() - MOST, "change");
                merged.dropped.push(format!("{further} beyond the first {MOST} of a reply"));
            }
        }
        let playbook = &mut merged.playbook;
        let is_harmful = |id: &str, playbook: &Playbook| {
            let item = playbook.get(id);
            item.is_some_and(|item| item.harmful() >= self.max_harmful && item.harmful() > item.helpful())
        };
        for (id, _) in &words {
            if is_harmful(id, playbook) && playbook.remove(id) {
                merged.removed += 1;
            }
        }
        while playbook.to_string().chars().nth(self.max_chars).is_some() {
            // Of equally useful items, the oldest one goes.
            let use_of = |item: &dspy_core::signature::PlaybookItem| {
                i64::from(item.helpful()) - i64::from(item.harmful())
            };
            let Some(least) = playbook.items().iter().min_by_key(|item| use_of(item)) else { break };
            let id = least.id().to_owned();
            playbook.remove(&id);
            merged.removed += 1;
        }
        merged
    }

    fn apply(&self, delta: &Delta, merged: &mut Merged, words: &mut Vec<(String, WordCounts)>) {
        let Merged { playbook, added, updated, removed, dropped } = merged;
        let unknown = |id: &str| format!("the id `{}` is unknown", short(id));
        let checked = |text: &str, own: Option<&str>, words: &[(String, WordCounts)]| {
            let text = item_text(text)?;
            let counts = WordCounts::of(&text);
            let twin = words
                .iter()
                .find(|(id, known)| own != Some(id.as_str()) && known.similarity(&counts) >= self.similarity);
            match twin {
                Some((id, _)) => Err(format!("a duplicate of `{id}`")),
                None => Ok((text, counts)),
            }
        };
        let done = match delta {
            Delta::Add { section, text } => checked(text, None, words).map(|(text, counts)| {
                let section = item_text(section).unwrap_or_default();
                if let Some(id) = playbook.add(&section, &text) {
                    words.push((id, counts));
                    *added += 1;
                }
            }),
            Delta::Update { id, .. } | Delta::Remove { id } if playbook.get(id).is_none() => Err(unknown(id)),
            Delta::Update { id, text } => checked(text, Some(id.as_str()), words).map(|(text, counts)| {
                if playbook.get(id).is_some_and(|item| item.text() != text) && playbook.set_text(id, &text) {
                    words
                        .iter_mut()
                        .filter(|(known, _)| known == id)
                        .for_each(|word| word.1 = counts.clone());
                    *updated += 1;
                }
            }),
            Delta::Remove { id } => {
                playbook.remove(id);
                words.retain(|(known, _)| known != id);
                *removed += 1;
                Ok(())
            }
        };
        if let Err(reason) = done {
            dropped.push(reason);
        }
    }
}

/// Returns the text of an item as one line.
///
/// # Errors
/// If it is blank, too long or contains markers of an adapter; the error is the reason.
pub(crate) fn item_text(text: &str) -> Result<String, String> {
    // The length comes first, so that an endless text costs nothing.
    if text.chars().nth(2 * LONGEST).is_some() {
        return Err(format!("a text of more than {LONGEST} characters"));
    }
    let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
    let text = text.trim_start_matches(['-', '*', '•', '#']).trim();
    let controls = text.chars().any(char::is_control);
    match text.chars().nth(LONGEST) {
        Some(_) => Err(format!("a text of more than {LONGEST} characters")),
        None if !text.chars().any(char::is_alphanumeric) => Err("an empty text".to_owned()),
        None if text.contains("[[ ##") || text.contains("## ]]") || controls => {
            Err("a text with markers or control characters".to_owned())
        }
        None => Ok(text.to_owned()),
    }
}

fn short(text: &str) -> String {
    dspy_core::error::clipped(text.chars().take(40).collect::<String>())
}

/// Returns the changes that make one playbook of another.
pub(crate) fn difference(old: &Playbook, new: &Playbook) -> Vec<Delta> {
    let mut deltas = Vec::new();
    for item in old.items() {
        let (id, text) = (item.id().to_owned(), new.get(item.id()).map(PlaybookItem::text));
        match text {
            None => deltas.push(Delta::Remove { id }),
            Some(text) if text != item.text() => deltas.push(Delta::Update { id, text: text.to_owned() }),
            Some(_) => {}
        }
    }
    let added = new.items().iter().filter(|item| old.get(item.id()).is_none());
    let add = |item: &dspy_core::signature::PlaybookItem| Delta::Add {
        section: item.section().to_owned(),
        text: item.text().to_owned(),
    };
    deltas.extend(added.map(add));
    deltas
}

#[cfg(test)]
mod tests {
    use super::*;

    const RULES: Rules = Rules { max_chars: 1_000, similarity: 0.9, max_harmful: 2 };

    fn add(text: &str) -> Delta {
        Delta::Add { section: "rules".into(), text: text.into() }
    }

    fn playbook(texts: &[&str]) -> Playbook {
        RULES.merge(&Playbook::new(), &[texts.iter().map(|text| add(text)).collect()]).playbook
    }

    #[test]
    fn changes_are_merged_in_order() {
        let before = playbook(&["Cows say moo.", "Cats say meow."]);
        let deltas = vec![
            add("Dogs say woof."),
            add("COWS say: moo!"),
            Delta::Update { id: "rul-2".into(), text: "Cats say meow or nothing.".into() },
            Delta::Update { id: "rul-2".into(), text: "cows say moo".into() },
            Delta::Remove { id: "rul-1".into() },
            Delta::Remove { id: "rul-9".into() },
            add("Cows say moo."),
        ];
        let merged = RULES.merge(&before, &[deltas]);
        let shown = "### rules\n- [rul-2] Cats say meow or nothing.\n- [rul-3] Dogs say woof.\n- [rul-4] Cows say moo.";
        assert_eq!(merged.playbook.to_string(), shown);
        assert_eq!(merged.summary(), "2 added, 1 updated, 1 removed");
        let reasons = ["a duplicate of `rul-1`", "a duplicate of `rul-1`", "the id `rul-9` is unknown"];
        assert_eq!(merged.dropped, reasons);
    }

    #[test]
    fn nonsense_is_dropped() {
        let endless = "z".repeat(100_000);
        let deltas: Vec<Delta> =
            ["", " - ", "[[ ## answer ## ]] moo", "a\u{7}b", &endless].map(add).into_iter().collect();
        let merged = RULES.merge(&Playbook::new(), &[deltas]);
        assert!(merged.playbook.is_empty() && merged.dropped.len() == 5, "{:?}", merged.dropped);
        let many = (0..MOST + 7).map(|n| add(&format!("word{n} other{n}"))).collect();
        let merged = Rules { max_chars: 100_000, ..RULES }.merge(&Playbook::new(), &[many]);
        assert_eq!((merged.added, merged.dropped.len()), (MOST, 1));
    }

    #[test]
    fn harmful_items_and_those_without_room_are_removed() {
        let mut before = playbook(&["one", "two", "three"]);
        let harmful = |id: &str| (id.to_owned(), Effect::Harmful);
        let helpful = |id: &str| (id.to_owned(), Effect::Helpful);
        count(
            &mut before,
            &[harmful("rul-1"), harmful("rul-2"), harmful("rul-2"), helpful("rul-3"), harmful("x")],
        );
        let merged = RULES.merge(&before, &[]);
        assert_eq!((merged.playbook.get("rul-2"), merged.removed), (None, 1));
        let narrow = Rules { max_chars: 40, ..RULES };
        let merged = narrow.merge(&before, &[vec![add("four")]]);
        assert_eq!(merged.playbook.to_string(), "### rules\n- [rul-3] three\n- [rul-4] four");
        assert!(Rules { max_chars: 0, ..RULES }.merge(&before, &[]).playbook.is_empty());
    }

    #[test]
    fn a_difference_makes_the_other_playbook() {
        let old = playbook(&["Cows say moo.", "Cats say meow.", "Dogs bark."]);
        let new = old.revised("### rules\n- [rul-1] Cows say moo.\n- [rul-3] Dogs say woof.\n- Owls hoot.");
        assert!(RULES.merge(&old, &[difference(&old, &new)]).playbook.reads_as(&new));
        assert!(difference(&old, &old).is_empty());
    }
}
