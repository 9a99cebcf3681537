//! Choices: matched exactly, then by spelling, alias and description, and finally as the only one named in a
//! sentence.

use serde_json::Value;

use super::super::path::Path;
use super::super::plan::{ChoicePlan, NodeId, same};
use super::super::report::RepairKind as R;
use super::super::text::{bare_answer, has_negation, is_hedged, sentence_around, words};
use super::super::tree::{Shape, Tree, parse_number};
use super::checkboxes::{self, Boxes};
use super::{Coercion, Fail};
use dspy_base::fold::{fold, fold_into};

/// The maximum length, in bytes, of text in which a named choice is searched for.
const MAX_PROSE: usize = 16_384;

impl Coercion<'_> {
    pub(super) fn choice(
        &mut self,
        id: NodeId,
        plan: &ChoicePlan,
        tree: &Tree<'_>,
        path: &Path<'_>,
    ) -> Option<Value> {
        let found = match &tree.shape {
            Shape::Text { text, .. } => read(plan, text),
            Shape::Null => plain(plan, &Value::Null, "null"),
            Shape::Bool(b) => plain(plan, &Value::Bool(*b), if *b { "true" } else { "false" }),
            Shape::Number(n) => match parse_number(n) {
                Some(number) => plain(plan, &Value::Number(number), n),
                None => Err(Fail::No),
            },
            Shape::List(_) | Shape::Object(_) => {
                if let Some(value) = tree.to_value().filter(|v| plan.has(v)) {
                    return Some(value);
                }
                if let Some(inner) = self.labelled(id, plan, tree) {
                    self.repair(R::Unwrapped, path, tree.span);
                    return self.read(id, inner, path);
                }
                return self.lone(id, tree, path);
            }
            Shape::Absent => Err(Fail::No),
        };
        match found {
            Ok((index, kind)) => {
                if let Some(kind) = kind {
                    self.repair(kind, path, tree.span);
                }
                Some(plan.items[index].value.clone())
            }
            Err(fail) => self.failed(fail, id, tree, path),
        }
    }
}

impl Coercion<'_> {
    /// Returns the only member of an object if its value is a choice: `{"level": "Low"}`.
    fn labelled<'a, 't>(&self, id: NodeId, plan: &ChoicePlan, tree: &'a Tree<'t>) -> Option<&'a Tree<'t>> {
        let Shape::Object(entries) = &tree.shape else { return None };
        let [only] = entries.as_slice() else { return None };
        let Shape::Text { text, quoted: true } = &only.value.shape else { return None };
        let spelt = matches!(read(plan, text), Ok((_, None | Some(R::ChoiceSpelling))));
        let denied = only.key.split(|c: char| !c.is_alphanumeric()).any(super::super::text::negates);
        (id == self.schema.root && !tree.cut && !only.value.cut && spelt && !denied).then_some(&only.value)
    }
}

type Match = Result<(usize, Option<R>), Fail>;

/// Matches a JSON scalar: the same value, or a string choice with that spelling (`1` for `"1"`).
fn plain(plan: &ChoicePlan, value: &Value, text: &str) -> Match {
    if let Some(i) = plan.items.iter().position(|item| same(&item.value, value)) {
        return Ok((i, None));
    }
    match plan.exact.get(text) {
        Some(&i) if !value.is_null() => Ok((i, Some(R::TextFromValue))),
        _ => Err(Fail::No),
    }
}

fn read(plan: &ChoicePlan, text: &str) -> Match {
    if let Some(&i) = plan.exact.get(text) {
        return Ok((i, None));
    }
    let text = match checkboxes::boxes(text) {
        Boxes::None => text,
        Boxes::Ticked(label) => label,
        Boxes::Unclear(why) => return Err(Fail::Ambiguous(why.into())),
    };
    if checkboxes::is_struck(text) || checkboxes::is_crossed(text) {
        return Err(Fail::Ambiguous("is struck out in part".into()));
    }
    let answer = bare_answer(text);
    for exact in [text.trim(), answer] {
        if let Some(&i) = plan.exact.get(exact) {
            return Ok((i, Some(R::ChoiceSpelling)));
        }
    }
    if let Some(found) =
        unique(plan, |item| item.value.as_str().is_some_and(|s| s.to_lowercase() == answer.to_lowercase()))
    {
        return found.map(|i| (i, Some(R::ChoiceSpelling)));
    }
    let folded = fold(answer);
    // A sign that folding would drop may distinguish two choices (`C`, `C++`), or negate one (`!ok`).
    if !folded.is_empty()
        && !has_operator(answer)
        && let Some(found) =
            unique(plan, |item| item.folded == folded && !item.value.as_str().is_some_and(has_operator))
    {
        return found.map(|i| (i, Some(R::ChoiceSpelling)));
    }
    if !folded.is_empty() {
        if let Some(found) = unique(plan, |item| item.aliases.contains(&folded)) {
            return found.map(|i| (i, Some(R::ChoiceAlias)));
        }
        if let Some(found) = unique(plan, |item| item.descriptions.contains(&folded)) {
            return found.map(|i| (i, Some(R::ChoiceDescription)));
        }
    }
    if plan.mixed
        && let Some(found) = other_kinds(plan, answer)
    {
        return found;
    }
    mention(plan, answer).map(|i| (i, Some(R::Mention)))
}

fn has_operator(text: &str) -> bool {
    text.contains(['+', '#', '!', '<', '>', '=', '~', '/', '*', '&', '|', '%', '^', '≠', '¬'])
        || text.trim_start().starts_with('-')
        || text.trim_end().ends_with('-')
}

/// Returns the only item that matches; several at the same rank are ambiguous.
fn unique(
    plan: &ChoicePlan,
    fits: impl Fn(&super::super::plan::ChoiceItem) -> bool,
) -> Option<Result<usize, Fail>> {
    let mut hits = plan.items.iter().enumerate().filter(|(_, item)| fits(item)).map(|(i, _)| i);
    let first = hits.next()?;
    Some(if hits.next().is_some() { Err(Fail::Ambiguous("fits several choices".into())) } else { Ok(first) })
}

/// Matches choices that are numbers, booleans or null.
fn other_kinds(plan: &ChoicePlan, answer: &str) -> Option<Match> {
    if plan.items.iter().any(|i| i.value.is_number()) {
        let all_whole = plan.items.iter().all(|i| !i.value.is_f64());
        let number = super::super::plan::NumberPlan { integer: all_whole, ..Default::default() };
        match super::number::read(answer, &number) {
            Ok((n, kinds)) => {
                let value = Value::Number(n);
                let hit = plan.items.iter().position(|i| same(&i.value, &value));
                let kind = kinds.into_iter().max_by_key(|k| k.cost()).unwrap_or(R::NumberFromText);
                return Some(hit.map(|i| (i, Some(kind))).ok_or(Fail::No));
            }
            Err(Fail::Ambiguous(why)) => return Some(Err(Fail::Ambiguous(why))),
            Err(_) => {}
        }
    }
    if plan.items.iter().any(|i| i.value.is_boolean())
        && let Ok((b, kind)) = super::boolean::read(answer)
    {
        let hit = plan.items.iter().position(|i| i.value == Value::Bool(b));
        return Some(hit.map(|i| (i, Some(kind))).ok_or(Fail::No));
    }
    if super::union::is_null_word(answer) {
        let hit = plan.items.iter().position(|i| i.value.is_null())?;
        return Some(Ok((hit, Some(R::NullWord))));
    }
    None
}

/// Returns the only choice that is named in a sentence, as whole words and without a negation next to it.
fn mention(plan: &ChoicePlan, text: &str) -> Result<usize, Fail> {
    if text.len() > MAX_PROSE || text.trim_start().starts_with('{') || text.contains("\":") {
        return Err(Fail::No);
    }
    let all: Vec<_> = words(text).collect();
    // If a choice is written with its exact spelling, words that match another choice only in another case
    // are ordinary words.
    let shouts = |name: &str| name.chars().any(char::is_uppercase) && !name.chars().any(char::is_lowercase);
    let spelt =
        |w: &super::super::text::Word<'_>| plan.exact.keys().any(|name| name == w.text && shouts(name));
    let by_case = all.iter().any(spelt);
    let folded: Vec<String> = all.iter().map(|w| fold(w.text)).collect();
    let mut found: Option<(usize, usize, usize)> = None;
    let mut i = 0;
    while i < all.len() {
        // The longest choice that starts at this word: "very high" before "high".
        let signed = signed_name(plan, text, &all[i..]);
        let mut longest = signed;
        for (c, item) in plan.items.iter().enumerate() {
            let names = std::iter::once(&item.folded).chain(&item.aliases);
            for name in names.filter(|n| !n.is_empty()) {
                if let Some(count) = words_spelling(name, &folded[i..]) {
                    let by_the_way = by_case
                        && item
                            .value
                            .as_str()
                            .is_some_and(|name| shouts(name) && all[i].text.chars().all(char::is_lowercase));
                    let stands_out = !by_the_way && stands_alone(text, &all[i], count, item.value.as_str());
                    if stands_out && longest.is_none_or(|(_, n)| count > n) {
                        longest = Some((c, count));
                    } else if stands_out
                        && signed.is_none()
                        && longest.is_some_and(|(other, n)| count == n && other != c)
                    {
                        return Err(Fail::Ambiguous("fits several choices".into()));
                    }
                }
            }
        }
        let Some((choice, count)) = longest else {
            i += 1;
            continue;
        };
        match found {
            Some((other, _, _)) if other != choice => {
                return Err(Fail::Ambiguous("names several choices".into()));
            }
            _ => {
                let signed = plan.items[choice].value.as_str().filter(|name| has_operator(name));
                let end = signed.map_or(all[i + count - 1].end(), |name| all[i].start + name.len());
                found = Some((choice, all[i].start, end));
            }
        }
        i += count;
    }
    let Some((choice, start, end)) = found else { return Err(Fail::No) };
    let name = &text[start..end];
    // The negation may be part of the name: "not urgent" as a choice.
    let outside = before_reasons(sentence_around(text, start, end), name).replacen(name, " ", 1);
    // "Unknown – the text does not say": the explanation contains the negation.
    let explained = has_negation(name)
        && text[..start].chars().all(|c| !c.is_alphanumeric())
        && text[end..]
            .trim_start_matches(['*', '_', '"', '\'', ' '])
            .starts_with(['-', '–', '—', ':', ',', '(']);
    if has_negation(&outside) && !explained {
        return Err(Fail::Ambiguous(format!("negates \"{name}\"")));
    }
    if checkboxes::is_outweighed(text, start, end) {
        return Err(Fail::Ambiguous(format!("names \"{name}\" and gives it little weight")));
    }
    // A word that is itself a choice, in another case, is not a hedge.
    let sure = outside.split_inclusive(|c: char| !c.is_alphanumeric()).filter(|w| {
        let word = w.trim_matches(|c: char| !c.is_alphanumeric());
        !by_case || !plan.exact.keys().any(|name| name.eq_ignore_ascii_case(word))
    });
    let unreal = words(&outside).any(|w| UNREAL.iter().any(|u| w.text.eq_ignore_ascii_case(u)));
    if unreal || is_hedged(&sure.collect::<String>()) {
        return Err(Fail::Ambiguous(format!("is not sure about \"{name}\"")));
    }
    let operator =
        |c: Option<char>| c.is_some_and(|c| matches!(c, '+' | '#' | '!' | '<' | '>' | '≠' | '¬' | '~'));
    let exclaims = text[end..].starts_with('!');
    if operator(text[..start].chars().next_back()) || (operator(text[end..].chars().next()) && !exclaims) {
        return Err(Fail::No);
    }
    // "positive=0.9" is one score of several.
    let scored = text[end..].trim_start().strip_prefix('=');
    if scored.is_some_and(|rest| rest.trim_start().starts_with(|c: char| c.is_ascii_digit() || c == '.')) {
        return Err(Fail::Ambiguous(format!("gives \"{name}\" a number")));
    }
    // "C-", "semi-urgent", "positive-ish": another word that contains the name. "in_feature": joined parts of
    // an identifier are one word.
    let word = |c: Option<char>| c.is_some_and(char::is_alphanumeric);
    let mut ahead = text[..start].chars().rev();
    let mut behind = text[end..].chars();
    if ahead.next() == Some('_') && word(ahead.next()) || behind.next() == Some('_') && word(behind.next()) {
        return Err(Fail::No);
    }
    let hyphen = |c: Option<char>| matches!(c, Some('-' | '‑'));
    let mut before = text[..start].chars().rev();
    let joined = hyphen(before.next()) && before.next().is_some_and(char::is_alphanumeric);
    if joined || hyphen(text[end..].chars().next()) {
        return Err(Fail::No);
    }
    Ok(choice)
}

/// Returns the choice with a sign in its name (`C++`) that is written at the first word, and the number of
/// words it spans.
fn signed_name(
    plan: &ChoicePlan,
    text: &str,
    words: &[super::super::text::Word<'_>],
) -> Option<(usize, usize)> {
    let at = words.first()?.start;
    let mut longest: Option<(usize, usize)> = None;
    for (c, item) in plan.items.iter().enumerate() {
        let Some(name) = item.value.as_str().filter(|name| has_operator(name)) else { continue };
        let Some(found) = text.get(at..at + name.len()) else { continue };
        let next = text[at + name.len()..].chars().next();
        let ends = next.is_none_or(|c| !c.is_alphanumeric() && !has_operator(c.encode_utf8(&mut [0; 4])));
        if ends && found.eq_ignore_ascii_case(name) && longest.is_none_or(|(_, end)| at + name.len() > end) {
            longest = Some((c, at + name.len()));
        }
    }
    longest.map(|(c, end)| (c, words.iter().take_while(|w| w.start < end).count()))
}

/// Returns a sentence up to its "because": the reasons for a choice may mention other choices.
fn before_reasons<'t>(sentence: &'t str, name: &str) -> &'t str {
    let named = sentence.find(name).map_or(0, |i| i + name.len());
    let reason = words(&sentence[named..])
        .find(|w| ["because", "since"].iter().any(|r| w.text.eq_ignore_ascii_case(r)));
    reason.map_or(sentence, |w| &sentence[..named + w.start])
}

/// Returns the number of leading words that spell the name when joined.
pub(super) fn words_spelling(name: &str, words: &[String]) -> Option<usize> {
    let mut joined = String::new();
    for (i, word) in words.iter().enumerate().take(12) {
        fold_into(word, &mut joined);
        if joined == name {
            return Some(i + 1);
        }
        if !name.starts_with(&joined) {
            return None;
        }
    }
    None
}

/// Words that are common in sentences; as a choice they count only at the end of a clause.
const COMMON: [&str; 34] = [
    "yes", "no", "none", "other", "others", "all", "any", "some", "on", "off", "in", "out", "up", "to", "us",
    "it", "is", "or", "and", "go", "do", "so", "most", "more", "less", "true", "false", "both", "can",
    "will", "as", "at", "be", "we",
];

/// Words that retract the choice next to them.
const UNREAL: [&str; 11] = [
    "false",
    "falsely",
    "less",
    "fake",
    "fakes",
    "faked",
    "pretends",
    "pretended",
    "previously",
    "formerly",
    "tempted",
];

/// Returns whether a choice is named here, and not just spelled by chance. A one-letter choice must have the
/// same case and must not be an article: "B is right", not "A good reason".
fn stands_alone(text: &str, word: &super::super::text::Word<'_>, count: usize, name: Option<&str>) -> bool {
    if count == 1 && COMMON.iter().any(|c| word.text.eq_ignore_ascii_case(c)) {
        let shouted =
            name == Some(word.text) && word.text.len() > 1 && word.text.chars().all(char::is_uppercase);
        return shouted || !text[word.end()..].starts_with([' ', '-', '\'']);
    }
    if count > 1 || word.text.chars().nth(1).is_some() {
        return true;
    }
    if name.is_some_and(|n| n != word.text) {
        return false;
    }
    if !matches!(word.text, "A" | "a" | "I" | "i") {
        return true;
    }
    let Some(behind) = text[word.end()..].strip_prefix(' ') else { return true };
    let next = words(behind).next().map(|w| w.text.to_lowercase()).unwrap_or_default();
    !behind.starts_with(char::is_alphanumeric)
        || matches!(
            next.as_str(),
            "and" | "or" | "nor" | "is" | "was" | "vs" | "versus" | "because" | "since"
        )
}
