//! Booleans, as literals or in words.

use serde_json::Value;

use super::super::path::Path;
use super::super::plan::NodeId;
use super::super::report::RepairKind as R;
use super::super::text::{bare_answer, has_negation, is_hedged, negates, words};
use super::super::tree::{Shape, Tree};
use super::checkboxes::{self, Boxes};
use super::{Coercion, Fail};
use dspy_base::fold::fold;

impl Coercion<'_> {
    pub(super) fn boolean(&mut self, id: NodeId, tree: &Tree<'_>, path: &Path<'_>) -> Option<Value> {
        let (value, kind) = match &tree.shape {
            Shape::Bool(b) => return Some(Value::Bool(*b)),
            Shape::Number(n) if n == "1" => (true, R::BoolWord),
            Shape::Number(n) if n == "0" => (false, R::BoolWord),
            Shape::Text { text, .. } => match read(text) {
                Ok(found) => found,
                Err(fail) => return self.failed(fail, id, tree, path),
            },
            Shape::List(_) | Shape::Object(_) => return self.lone(id, tree, path),
            _ => return self.wrong(id, tree, path),
        };
        self.repair(kind, path, tree.span);
        Some(Value::Bool(value))
    }
}

/// The maximum length, in bytes, of text in which a boolean is searched for.
const MAX_PROSE: usize = 16_384;

const YES: [&str; 14] =
    ["true", "yes", "y", "t", "1", "on", "✓", "✅", "✔", "yep", "yeah", "yup", "correct", "affirmative"];
const NO: [&str; 12] = ["false", "no", "n", "f", "0", "off", "✗", "❌", "✘", "nope", "nah", "incorrect"];

fn word(text: &str) -> Option<bool> {
    let is = |list: &[&str]| list.iter().any(|w| text.eq_ignore_ascii_case(w));
    if is(&YES) {
        Some(true)
    } else if is(&NO) {
        Some(false)
    } else {
        None
    }
}

/// Returns the boolean of a word in running text; single letters and digits have none.
fn spoken(text: &str) -> Option<bool> {
    match fold(text).as_str() {
        "true" | "yes" => Some(true),
        "false" | "no" => Some(false),
        _ => None,
    }
}

pub(super) fn read(text: &str) -> Result<(bool, R), Fail> {
    let text = match checkboxes::boxes(text) {
        Boxes::None => text,
        Boxes::Ticked(label) => label,
        Boxes::Unclear(why) => return Err(Fail::Ambiguous(why.into())),
    };
    if checkboxes::is_struck(text) {
        return Err(Fail::Ambiguous("is struck out in part".into()));
    }
    let answer = bare_answer(text);
    let bare = answer.trim_end_matches('\u{fe0f}');
    if let Some(value) = word(bare) {
        return Ok((value, R::BoolWord));
    }
    // "Answer: Verdict: yes": several labels are allowed, up to a limit.
    let mut answer = answer;
    for _ in 0..3 {
        let Some(labelled) = behind_label(answer) else { break };
        answer = bare_answer(labelled);
        if let Some(value) = word(answer.trim_end_matches('\u{fe0f}')) {
            return Ok((value, R::BoolWord));
        }
    }
    if answer.len() > MAX_PROSE || answer.trim_start().starts_with(['{', '[']) || answer.contains("\":") {
        return Err(Fail::No);
    }
    let spoken_words: Vec<(bool, usize)> =
        words(answer).filter_map(|w| spoken(w.text).map(|value| (value, w.end()))).collect();
    let Some(&(value, end)) = spoken_words.first() else { return Err(Fail::No) };
    if let [_] = spoken_words[..]
        && checkboxes::is_outweighed(answer, end, end)
    {
        return Err(Fail::Ambiguous("says one thing and gives it little weight".into()));
    }
    if spoken_words.iter().any(|(other, _)| *other != value) {
        return Err(Fail::Ambiguous("says both yes and no".into()));
    }
    if is_hedged(answer)
        || words(answer).any(|w| matches!(fold(w.text).as_str(), "but" | "however" | "almost"))
    {
        return Err(Fail::Ambiguous("leaves it open".into()));
    }
    // "Yes, …": the answer comes first, and an explanation follows.
    let first = words(answer).next().is_some_and(|w| w.end() == end);
    let rest = &answer[end..];
    let set_off = rest
        .trim_start_matches(['*', '_', '"', '\''])
        .starts_with([',', '.', '!', ';', ':', '-', '–', '—', '\n', '('])
        || rest.trim_start().starts_with(['-', '–', '—', '(']);
    if first && set_off {
        let sentence = rest.trim_start_matches(['*', '_', '"', '.', '!', '\n']);
        let same_sentence = rest.starts_with([',', ';', ':']) || sentence.len() == rest.len();
        if value && same_sentence && has_negation(first_sentence(rest)) {
            return Err(Fail::Ambiguous("says yes and then negates it".into()));
        }
        return Ok((value, R::BoolInProse));
    }
    let negated = words(answer).any(|w| spoken(w.text).is_none() && negates(w.text));
    if first && runs_on(rest) {
        if value && has_negation(first_sentence(rest)) {
            return Err(Fail::Ambiguous("says yes and then negates it".into()));
        }
        return Ok((value, R::BoolInProse));
    }
    if negated {
        return Err(Fail::Ambiguous("negates the word".into()));
    }
    // The word must be the statement itself ("is true", "Answer: no"), not part of another phrase ("no
    // doubt", "a false friend").
    let all: Vec<_> = words(answer).collect();
    let at = all.iter().position(|w| w.end() == end).unwrap_or(0);
    let led = at.checked_sub(1).is_some_and(|i| {
        let gap = &answer[all[i].end()..all[at].start];
        gap.contains(':')
            || matches!(
                fold(all[i].text).as_str(),
                "is" | "was" | "as" | "be" | "are" | "say" | "answer" | "its" | "thats"
            )
    });
    let last = rest.chars().all(|c| !c.is_alphanumeric());
    let closes = rest.starts_with(|c: char| c.is_ascii_punctuation());
    let that = rest.trim_start().starts_with("that ");
    if last || (led && (closes || that)) {
        return Ok((value, R::BoolInProse));
    }
    Err(Fail::Ambiguous("does not answer with yes or no".into()))
}

/// Returns the text after a short label such as `Verdict:`.
fn behind_label(answer: &str) -> Option<&str> {
    let (label, rest) = answer.split_once(':')?;
    let plain = label.len() <= 30
        && (1..=3).contains(&words(label).count())
        && label.chars().all(|c| c.is_alphanumeric() || matches!(c, ' ' | '*' | '_'))
        && words(label).all(|w| word(w.text).is_none() && !negates(w.text))
        && !is_hedged(label);
    let rest = rest.trim_start_matches([' ', '*', '_']);
    (plain && !rest.is_empty()).then_some(rest)
}

/// Returns whether the text after an answer continues it without a comma: "Yes it is", "No because …".
fn runs_on(rest: &str) -> bool {
    let next = words(rest).next().map(|w| w.text.to_lowercase()).unwrap_or_default();
    [
        "it",
        "it's",
        "this",
        "that",
        "the",
        "they",
        "he",
        "she",
        "there",
        "i",
        "we",
        "because",
        "since",
        "definitely",
        "indeed",
    ]
    .contains(&next.as_str())
}

fn first_sentence(text: &str) -> &str {
    text.find(['.', '!', '\n', ';']).map_or(text, |i| &text[..i])
}
