//! Playbooks: lessons of earlier runs in the prompt.

use std::collections::BTreeSet;
use std::fmt;

use serde::{Deserialize, Serialize};

/// The heading of a playbook in an instruction, and the line below it.
const HEADING: &str = "## Playbook";
const NOTE: &str = "Lessons of earlier runs. Apply those that fit the inputs.";

/// The section of items that name none.
const GENERAL: &str = "general";

/// The largest length of the name of a section, and of an id, in characters.
const LONGEST_SECTION: usize = 60;
const LONGEST_ID: usize = 40;

/// The lessons that a predictor has learnt from earlier runs: an ordered list of items in sections.
///
/// Prompts show it below the instruction, under a fixed heading. An item has an id that no other item of the playbook
/// ever has, and counts how often it was helpful or harmful; the counters are not shown. Text and sections are single
/// lines. Saved programs keep the whole structure; files for Python DSPy have the playbook as a part of the
/// instruction, from which it is read back without counters.
///
/// ```
/// use dspy_core::signature::Playbook;
///
/// let mut playbook = Playbook::new();
/// let id = playbook.add("dates", "Write dates as in 2026-03-01.").unwrap();
/// playbook.mark_helpful(&id);
/// assert_eq!(playbook.get(&id).unwrap().helpful(), 1);
/// assert_eq!(playbook.to_string(), "### dates\n- [dat-1] Write dates as in 2026-03-01.");
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(try_from = "Saved", into = "Saved")]
pub struct Playbook {
    items: Vec<PlaybookItem>,
    /// The highest number of an id so far.
    last: u64,
}

/// One lesson of a [`Playbook`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlaybookItem {
    id: String,
    section: String,
    text: String,
    #[serde(default)]
    helpful: u32,
    #[serde(default)]
    harmful: u32,
}

impl PlaybookItem {
    /// Returns the id, which is unique in the playbook and never used for another item.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Returns the name of the section.
    pub fn section(&self) -> &str {
        &self.section
    }

    /// Returns the lesson, which is one line.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Returns how often the item was found to be helpful.
    pub fn helpful(&self) -> u32 {
        self.helpful
    }

    /// Returns how often the item was found to be harmful.
    pub fn harmful(&self) -> u32 {
        self.harmful
    }
}

impl Playbook {
    /// Creates an empty playbook.
    pub fn new() -> Self {
        Playbook::default()
    }

    /// Returns the items in order.
    pub fn items(&self) -> &[PlaybookItem] {
        &self.items
    }

    /// Returns the number of items.
    pub fn len(&self) -> usize {
        self.items.len()
    }

    /// Returns whether there are no items.
    pub fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    /// Returns the item with this id.
    pub fn get(&self, id: &str) -> Option<&PlaybookItem> {
        self.items.iter().find(|item| item.id == id)
    }

    /// Adds an item at the end of its section and returns its id; `None` if the text is blank. White space in the text
    /// becomes single spaces.
    pub fn add(&mut self, section: &str, text: &str) -> Option<String> {
        let text = one_line(text);
        if text.is_empty() {
            return None;
        }
        let section = section_name(section);
        self.last = self.last.saturating_add(1);
        let id = format!("{}-{}", prefix(&section), self.last);
        self.items.push(PlaybookItem { id: id.clone(), section, text, helpful: 0, harmful: 0 });
        Some(id)
    }

    /// Replaces the text of an item and resets its counters, which were about the earlier text. Returns whether there
    /// is such an item and the text is not blank.
    pub fn set_text(&mut self, id: &str, text: &str) -> bool {
        let text = one_line(text);
        match self.items.iter_mut().find(|item| item.id == id) {
            Some(item) if !text.is_empty() => {
                if item.text != text {
                    (item.text, item.helpful, item.harmful) = (text, 0, 0);
                }
                true
            }
            _ => false,
        }
    }

    /// Removes an item and returns whether there was one with this id.
    pub fn remove(&mut self, id: &str) -> bool {
        let before = self.items.len();
        self.items.retain(|item| item.id != id);
        self.items.len() < before
    }

    /// Counts an item as helpful once more and returns whether there is one with this id.
    pub fn mark_helpful(&mut self, id: &str) -> bool {
        self.mark(id, |item| &mut item.helpful)
    }

    /// Counts an item as harmful once more and returns whether there is one with this id.
    pub fn mark_harmful(&mut self, id: &str) -> bool {
        self.mark(id, |item| &mut item.harmful)
    }

    fn mark(&mut self, id: &str, counter: impl Fn(&mut PlaybookItem) -> &mut u32) -> bool {
        let item = self.items.iter_mut().find(|item| item.id == id);
        item.map(counter).map(|counter| *counter = counter.saturating_add(1)).is_some()
    }

    /// Makes later items get other ids than those that the other playbook has or had, such as a later state of this one.
    pub fn avoid_ids_of(&mut self, other: &Playbook) {
        self.last = self.last.max(other.last);
    }

    /// Returns whether prompts show both in the same way: sections, ids and texts.
    pub fn reads_as(&self, other: &Playbook) -> bool {
        self.to_string() == other.to_string()
    }

    /// Returns the playbook as an edited rendering of it states it. An item whose id the rendering keeps also keeps its
    /// counters, unless its text has changed; other lines are new items, except for those that repeat one.
    ///
    /// ```
    /// use dspy_core::signature::Playbook;
    ///
    /// let mut playbook = Playbook::new();
    /// playbook.add("style", "Be brief.");
    /// let edited = playbook.revised("### style\n- [sty-1] Be brief.\n- Use plain words.");
    /// assert_eq!(edited.to_string(), "### style\n- [sty-1] Be brief.\n- [sty-2] Use plain words.");
    /// ```
    #[must_use]
    pub fn revised(&self, text: &str) -> Playbook {
        let mut revised = Playbook { items: Vec::new(), last: self.last };
        let mut section = None;
        for line in text.lines().map(str::trim).filter(|line| !line.is_empty() && *line != NOTE) {
            if let Some(title) = heading(line) {
                section = (line != HEADING).then_some(title);
                continue;
            }
            let (id, text) = bullet(line);
            let text = one_line(text);
            let known = id.and_then(|id| self.get(id)).filter(|known| revised.get(&known.id).is_none());
            match known {
                Some(known) if !text.is_empty() => {
                    let mut item = known.clone();
                    item.section = section.map_or(item.section, section_name);
                    revised.items.push(item);
                    revised.set_text(&known.id, &text);
                }
                _ if revised.items.iter().any(|item| item.text == text) => {}
                _ => drop(revised.add(section.unwrap_or_default(), &text)),
            }
        }
        revised
    }

    /// Returns an instruction with the playbook below it.
    pub(crate) fn below(&self, instruction: &str) -> String {
        if self.is_empty() {
            return instruction.to_owned();
        }
        let separator = if instruction.is_empty() { "" } else { "\n\n" };
        format!("{instruction}{separator}{HEADING}\n{NOTE}\n\n{self}")
    }

    /// Returns the parts of an instruction that [`below`](Self::below) has made. If there is no playbook in it, or it
    /// was edited into another form, all of it is the instruction.
    pub(crate) fn split(text: &str) -> (&str, Playbook) {
        let start = format!("{HEADING}\n{NOTE}\n\n");
        let Some(at) = text.rfind(&start) else { return (text, Playbook::new()) };
        let before = &text[..at];
        let instruction = if before.is_empty() { Some(before) } else { before.strip_suffix("\n\n") };
        match (instruction, Playbook::parse(&text[at + start.len()..])) {
            (Some(instruction), Some(playbook)) => (instruction, playbook),
            _ => (text, Playbook::new()),
        }
    }

    /// Parses a rendering; `None` if it has another form.
    fn parse(text: &str) -> Option<Playbook> {
        let mut items = Vec::new();
        let mut section = None;
        for line in text.lines().filter(|line| !line.trim().is_empty()) {
            if let Some(title) = line.strip_prefix("### ") {
                section = Some(title);
                continue;
            }
            let (id, text) = bullet(line.strip_prefix("- ")?);
            let (id, section) = (id?.to_owned(), section?.to_owned());
            items.push(PlaybookItem { id, section, text: text.to_owned(), helpful: 0, harmful: 0 });
        }
        Playbook::try_from(Saved { items, last: 0 }).ok().filter(|found| found.to_string() == text.trim_end())
    }
}

/// Writes the items by section, in the order in which the sections first appear.
impl fmt::Display for Playbook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut sections: Vec<&str> = Vec::new();
        for item in &self.items {
            if sections.contains(&item.section.as_str()) {
                continue;
            }
            let blank = if sections.is_empty() { "" } else { "\n\n" };
            write!(f, "{blank}### {}", item.section)?;
            sections.push(&item.section);
            for PlaybookItem { id, text, .. } in
                self.items.iter().filter(|other| other.section == item.section)
            {
                write!(f, "\n- [{id}] {text}")?;
            }
        }
        Ok(())
    }
}

/// The saved form, which a reader checks.
#[derive(Clone, Serialize, Deserialize)]
struct Saved {
    items: Vec<PlaybookItem>,
    #[serde(default)]
    last: u64,
}

impl From<Playbook> for Saved {
    fn from(Playbook { items, last }: Playbook) -> Self {
        Saved { items, last }
    }
}

impl TryFrom<Saved> for Playbook {
    type Error = String;

    fn try_from(Saved { mut items, mut last }: Saved) -> Result<Self, String> {
        let mut ids = BTreeSet::new();
        for item in &mut items {
            item.text = one_line(&item.text);
            item.section = section_name(&item.section);
            if !is_id(&item.id) || item.text.is_empty() {
                return Err(format!(
                    "the item `{}` of a playbook has no valid id or no text",
                    short(&item.id)
                ));
            }
            if !ids.insert(item.id.clone()) {
                return Err(format!("duplicate item `{}` of a playbook", item.id));
            }
            let number = item.id.rsplit('-').next().and_then(|number| number.parse().ok());
            last = last.max(number.unwrap_or_default());
        }
        Ok(Playbook { items, last })
    }
}

fn short(text: &str) -> String {
    text.chars().take(LONGEST_ID).collect()
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn section_name(section: &str) -> String {
    let name = one_line(section.trim_start_matches('#'));
    let name: String = name.chars().take(LONGEST_SECTION).collect();
    if name.trim().is_empty() { GENERAL.to_owned() } else { name.trim_end().to_owned() }
}

/// Returns the beginning of the ids of a section: its first three letters.
fn prefix(section: &str) -> String {
    let letters: String = section.chars().filter(char::is_ascii_alphabetic).take(3).collect();
    if letters.is_empty() { "item".to_owned() } else { letters.to_lowercase() }
}

fn is_id(id: &str) -> bool {
    !id.is_empty() && id.len() <= LONGEST_ID && id.chars().all(|c| c.is_alphanumeric() || "-_.".contains(c))
}

fn heading(line: &str) -> Option<&str> {
    let title = line.trim_start_matches('#');
    (title.len() < line.len()).then(|| title.trim())
}

/// Returns the id and the text of a line such as `- [rul-1] Be brief.` or `2. Be brief.`.
fn bullet(line: &str) -> (Option<&str>, &str) {
    let text = line.trim().trim_start_matches(['-', '*', '•']).trim_start();
    let number = text.trim_start_matches(|c: char| c.is_ascii_digit());
    let text = match number.strip_prefix(['.', ')']) {
        Some(rest) if number.len() < text.len() && rest.starts_with(' ') => rest.trim_start(),
        _ => text,
    };
    match text.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((id, rest)) if is_id(id) => (Some(id), rest.trim_start_matches(':').trim_start()),
        _ => (None, text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn playbook() -> Playbook {
        let mut playbook = Playbook::new();
        playbook.add("rules", "Refunds go to billing.").unwrap();
        playbook.add("", "Be\n brief.").unwrap();
        playbook.add("rules", "Parcels go to shipping.").unwrap();
        playbook
    }

    #[test]
    fn items_are_shown_by_section_with_ids_that_stay() {
        let mut playbook = playbook();
        let shown = "### rules\n- [rul-1] Refunds go to billing.\n- [rul-3] Parcels go to shipping.\n\n\
                     ### general\n- [gen-2] Be brief.";
        assert_eq!(playbook.to_string(), shown);
        assert!(playbook.remove("rul-3") && !playbook.remove("rul-3"));
        assert_eq!(playbook.add("rules", "New.").as_deref(), Some("rul-4"), "no id is used again");
        assert_eq!(playbook.add("rules", " \n"), None);
        assert!(
            playbook.mark_harmful("rul-1") && playbook.mark_helpful("rul-1") && !playbook.mark_helpful("x")
        );
        let json = serde_json::to_string(&playbook).unwrap();
        assert_eq!(serde_json::from_str::<Playbook>(&json).unwrap(), playbook);
        let mut earlier = Playbook::new();
        earlier.avoid_ids_of(&playbook);
        assert_eq!(earlier.add("rules", "x").as_deref(), Some("rul-5"));
        assert!(
            playbook.set_text("rul-1", "Refunds and bills go to billing.") && !playbook.set_text("rul-1", "")
        );
        assert_eq!((playbook.items()[0].helpful(), playbook.items()[0].harmful()), (0, 0));
    }

    #[test]
    fn an_instruction_with_a_playbook_is_split_again() {
        let mut marked = playbook();
        marked.mark_helpful("rul-1");
        for instruction in ["Route it.", "", "Two\n\nparagraphs with ## Playbook inside."] {
            let text = marked.below(instruction);
            let (before, found) = Playbook::split(&text);
            assert_eq!(before, instruction);
            assert!(found.reads_as(&marked) && found.items()[0].helpful() == 0);
            assert_eq!(found.clone().add("rules", "x").as_deref(), Some("rul-4"));
        }
        assert_eq!(Playbook::new().below("Route it."), "Route it.");
        // Whatever was edited into another form stays text.
        let edited = marked.below("Route it.") + "\nAnd be kind.";
        for text in ["Route it.", edited.as_str(), "## Playbook\n- x"] {
            assert_eq!(Playbook::split(text), (text, Playbook::new()));
        }
    }

    #[test]
    fn an_edited_rendering_keeps_what_it_names() {
        let mut playbook = playbook();
        playbook.mark_helpful("rul-1");
        playbook.mark_helpful("gen-2");
        let same = playbook.revised(&playbook.below("")).to_string();
        assert_eq!(same, playbook.to_string());
        let edited = playbook
            .revised("[rul-1] Refunds go to billing.\n* [gen-2] Be kind.\n1. [rul-1] Twice.\n[x] New.\nNew.");
        let shown = "### rules\n- [rul-1] Refunds go to billing.\n\n### general\n- [gen-2] Be kind.\n- [gen-4] Twice.\n\
                     - [gen-5] New.";
        assert_eq!(edited.to_string(), shown);
        assert_eq!(edited.get("rul-1").unwrap().helpful(), 1);
        assert_eq!(edited.get("gen-2").unwrap().helpful(), 0);
        assert!(playbook.revised("").is_empty());
    }

    #[test]
    fn saved_playbooks_are_checked() {
        let read = |text: &str| serde_json::from_str::<Playbook>(text);
        let item = |id: &str, text: &str| format!(r#"{{"id": "{id}", "section": "", "text": "{text}"}}"#);
        let of = |items: &[String]| format!(r#"{{"items": [{}]}}"#, items.join(","));
        assert_eq!(read(&of(&[item("a-7", "x\\ny")])).unwrap().to_string(), "### general\n- [a-7] x y");
        for wrong in [
            of(&[item("a-1", "x"), item("a-1", "y")]),
            of(&[item("a 1", "x")]),
            of(&[item("", "x")]),
            of(&[item("a-1", " ")]),
        ] {
            assert!(read(&wrong).is_err(), "{wrong}");
        }
    }
}
