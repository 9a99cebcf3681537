//! The sentences of instructions: kept, merged and put in order.

use std::collections::HashSet;
use std::sync::LazyLock;

use regex_lite::Regex;

use super::rules::joined;
use super::table::Table;
use super::trial;
use crate::builtin::clauses::whole_sentences;
use crate::builtin::form_rules::FormRule;
use crate::builtin::words::words;

/// The maximum number of words of a list in an instruction, and in an item of a list that grows.
pub(super) const MOST_LISTED: usize = 18;
pub(super) const MOST_IN_ITEM: usize = 60;
/// The maximum number of bytes of an instruction, and of sentences that are tried.
const MOST_BYTES: usize = 12_000;
const MOST_TRIED: usize = 48;

/// Splits an instruction into sentences. A list item is one sentence; its mark and number are left out.
pub(super) fn split(text: &str) -> Vec<String> {
    let mut found: Vec<String> = Vec::new();
    let mut seen = HashSet::new();
    for sentence in text.lines().flat_map(|line| whole_sentences(bullet(line).1)) {
        if seen.insert(normal(sentence)) {
            found.push(sentence.to_owned());
        }
        if found.len() >= 400 {
            break;
        }
    }
    found
}

/// Returns the identifier and the text of a list item: `[id] helpful=1 :: text`, `- text`, `3. text`.
pub(super) fn bullet(line: &str) -> (Option<&str>, &str) {
    let text = line.trim().trim_start_matches(['-', '*', '•']).trim_start();
    let number = text.trim_start_matches(|c: char| c.is_ascii_digit());
    let text = match number.strip_prefix(['.', ')']) {
        Some(rest) if number.len() < text.len() && rest.starts_with(' ') => rest.trim_start(),
        _ => text,
    };
    let Some((id, rest)) = text.strip_prefix('[').and_then(|rest| rest.split_once(']')) else {
        return (None, text);
    };
    if id.len() > 40 || id.contains(' ') || id.contains('[') {
        return (None, text);
    }
    let rest = rest.split_once("::").map_or(rest, |(_, rest)| rest);
    (Some(id), rest.trim_start_matches([':', ' ']))
}

/// Returns whether a sentence states a rule in the form in which this model writes them.
pub(super) fn is_rule(sentence: &str) -> bool {
    sentence.contains("answer \"") || sentence.contains("point to \"")
}

/// Returns a sentence in the form in which sentences are compared.
fn normal(sentence: &str) -> String {
    words(sentence).into_iter().map(|word| word.stem).collect::<Vec<_>>().join(" ")
}

/// Returns the sentences of `more` that are not in `known`.
pub(super) fn unknown(known: &[String], more: Vec<String>) -> Vec<String> {
    let mut seen: HashSet<String> = known.iter().map(|sentence| normal(sentence)).collect();
    more.into_iter().filter(|sentence| seen.insert(normal(sentence))).collect()
}

/// A sentence that lists words, or the possible answers.
struct WordList {
    start: String,
    words: Vec<String>,
    end: String,
    /// Whether it lists answers.
    answers: bool,
}

impl WordList {
    fn read(sentence: &str) -> Option<WordList> {
        static FORM: LazyLock<Option<Regex>> = LazyLock::new(|| {
            const THEN: &str =
                r#"answer "[^"]+"|(?:answer (?:in|with|without)|(?:start|end) the answer with) .+"#;
            Regex::new(&format!(r"^(.*[Ww]hen the .{{1,40}} mentions )(.+)(, (?:usually )?(?:{THEN})\.)$"))
                .ok()
        });
        if let Some((start, answers)) = sentence.split_once("nswer with one of: ") {
            let words: Vec<String> =
                answers.split('"').skip(1).step_by(2).map(|name| format!("\"{name}\"")).collect();
            let start = format!("{start}nswer with one of: ");
            let is_list = answers == format!("{}.", joined(&words, "or"));
            return is_list.then(|| WordList { start, words, end: ".".to_owned(), answers: true });
        }
        let found = FORM.as_ref()?.captures(sentence)?;
        let list = found[2].replace(" or ", ", ");
        let words =
            list.split(", ").map(str::trim).filter(|word| !word.is_empty()).map(str::to_owned).collect();
        Some(WordList { start: found[1].to_owned(), words, end: found[3].to_owned(), answers: false })
    }

    fn is_about_the_same(&self, other: &WordList) -> bool {
        self.start == other.start && self.end == other.end
    }
}

/// Returns whether one of two sentences takes the place of the other: both list words for the same answer, or the
/// possible answers, or both state the answer or its form in all other cases.
pub(super) fn replaces(new: &str, old: &str) -> bool {
    if let (Some(new), Some(old)) = (WordList::read(new), WordList::read(old)) {
        return new.is_about_the_same(&old);
    }
    let fallback = |sentence: &str| {
        if let Some(form) = FormRule::read(sentence) {
            return form.is_fallback().then(|| "form".to_owned());
        }
        let (start, _) = sentence.split_once('"')?;
        let lower = start.to_lowercase();
        ["otherwise, answer ", "in doubt, answer "]
            .iter()
            .find_map(|end| lower.strip_suffix(end).map(str::to_owned))
    };
    fallback(new).is_some_and(|of| fallback(old) == Some(of))
}

/// Adds the words of old lists to new lists about the same answer, up to `most`, as long as no new list gives them to
/// another one. The old sentences that were merged are removed.
pub(super) fn merge_lists(old: &mut Vec<String>, new: &mut [String], most: usize) {
    let mut lists: Vec<(usize, WordList)> =
        new.iter().enumerate().filter_map(|(at, sentence)| Some((at, WordList::read(sentence)?))).collect();
    let taken: HashSet<String> = lists.iter().flat_map(|(_, list)| list.words.iter().cloned()).collect();
    old.retain(|sentence| {
        let Some(known) = WordList::read(sentence) else { return true };
        let Some((_, list)) = lists.iter_mut().find(|(_, list)| list.is_about_the_same(&known)) else {
            return true;
        };
        if list.answers {
            // A list of answers keeps its order.
            let more: Vec<String> = list.words.drain(..).filter(|word| !known.words.contains(word)).collect();
            list.words = known.words.into_iter().chain(more).collect();
            return false;
        }
        for word in known.words {
            if list.words.len() < most && !taken.contains(&word) && !list.words.contains(&word) {
                list.words.push(word);
            }
        }
        false
    });
    for (at, list) in lists {
        new[at] = format!("{}{}{}", list.start, joined(&list.words, "or"), list.end);
    }
}

/// Returns whether a sentence mentions a label, and so may decide an answer.
fn decides(sentence: &str, tables: &[Table]) -> bool {
    let lower = sentence.to_lowercase();
    tables.iter().flat_map(|table| &table.labels).any(|label| {
        let label = label.to_lowercase();
        lower.contains(&label) || lower.contains(&label.replace(['_', '-'], " "))
    })
}

/// Returns the share of rows of all tables that an instruction answers right.
pub(super) fn accuracy(tables: &[Table], instruction: &[String]) -> f64 {
    let text = instruction.join("\n");
    tables.iter().map(|table| trial::accuracy(table, &text)).sum::<f64>() / tables.len().max(1) as f64
}

/// Adds to `base` those sentences that do not lead to worse answers on the rows. Sentences that mention no label
/// cannot, and come first.
pub(super) fn add_harmless(tables: &[Table], base: Vec<String>, more: Vec<String>) -> Vec<String> {
    let (rules, general): (Vec<String>, Vec<String>) =
        unknown(&base, more).into_iter().partition(|sentence| decides(sentence, tables));
    let mut out = base;
    let mut best = if rules.is_empty() { 0.0 } else { accuracy(tables, &out) };
    for rule in rules.into_iter().take(MOST_TRIED) {
        out.push(rule);
        let now = accuracy(tables, &out);
        if now + 1e-9 < best {
            out.pop();
        } else {
            best = now;
        }
    }
    general.into_iter().chain(out).collect()
}

/// Leaves out sentences until the instruction is short enough: the later ones of those that are not in `learned` first.
pub(super) fn shortened(
    instruction: Vec<String>,
    learned: &[String],
    most_bytes: Option<usize>,
) -> Vec<String> {
    let most = most_bytes.unwrap_or(MOST_BYTES).min(MOST_BYTES);
    let mut bytes = 0;
    let mut fits = |sentence: &String| {
        let fits = bytes + sentence.len() <= most;
        bytes += if fits { sentence.len() + 1 } else { 0 };
        fits
    };
    let is_learned: HashSet<&String> = learned.iter().collect();
    let mut kept: Vec<bool> =
        instruction.iter().map(|sentence| is_learned.contains(sentence) && fits(sentence)).collect();
    for (kept, sentence) in kept.iter_mut().zip(&instruction) {
        *kept |= !is_learned.contains(sentence) && fits(sentence);
    }
    instruction.into_iter().zip(kept).filter(|(_, kept)| *kept).map(|(sentence, _)| sentence).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn items_and_sentences_are_split() {
        let text = "Do it. Do it well.\n- [r-1] helpful=2 harmful=0 :: Be kind.\n3. Be quick.\nDo it.";
        assert_eq!(split(text), ["Do it.", "Do it well.", "Be kind.", "Be quick."]);
        assert_eq!(bullet("[r-1] Be kind."), (Some("r-1"), "Be kind."));
    }

    #[test]
    fn lists_about_one_answer_are_merged() {
        let list = |words: &str, label: &str| format!("When the text mentions {words}, answer \"{label}\".");
        let mut old = vec![list("a or b", "x"), list("c", "y"), "Be kind.".to_owned()];
        let mut new = vec![list("d or e", "x"), list("b", "z")];
        merge_lists(&mut old, &mut new, MOST_LISTED);
        assert_eq!(old, [list("c", "y"), "Be kind.".to_owned()]);
        assert_eq!(new, [list("d, e or a", "x"), list("b", "z")]);
    }
}
