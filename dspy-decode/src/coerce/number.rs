//! Numbers in all common notations: grouping, currency, percent, fractions, units, words.
//!
//! The text is first searched for mentions of numbers. One mention is a value; several are a value only if
//! they are equal or form a fraction. Context around a mention that would change its meaning makes the text
//! ambiguous.

use std::borrow::Cow;

use serde_json::{Number, Value};

use super::super::path::Path;
use super::super::plan::{NodeId, NumberPlan};
use super::super::report::RepairKind as R;
use super::super::text::{bare_answer, has_negation, is_hedged, words};
use super::super::tree::{Shape, Tree, is_json_number, parse_number};
use super::numeral::{self, Mention, Scan};
use super::{Coercion, Fail, checkboxes, number_context, number_words};

/// The maximum length, in bytes, of text in which a number in a sentence is searched for.
const MAX_PROSE: usize = 16_384;

/// The highest scores of common scales.
const SCALES: [f64; 4] = [5.0, 10.0, 20.0, 100.0];

impl Coercion<'_> {
    pub(super) fn number(
        &mut self,
        id: NodeId,
        plan: &NumberPlan,
        tree: &Tree<'_>,
        path: &Path<'_>,
    ) -> Option<Value> {
        let result = match &tree.shape {
            Shape::Number(literal) => exact(literal, plan).and_then(|(n, kinds)| match plan.violation(&n) {
                None => Ok((n, kinds)),
                Some(limit) => Err(Fail::Limit(limit)),
            }),
            Shape::Text { text, .. } => read(text, plan),
            Shape::List(_) | Shape::Object(_) => return self.lone(id, tree, path),
            _ => return self.wrong(id, tree, path),
        };
        match result {
            Ok((number, kinds)) => {
                for kind in kinds {
                    self.repair(kind, path, tree.span);
                }
                Some(Value::Number(number))
            }
            Err(fail) => self.failed(fail, id, tree, path),
        }
    }
}

pub(super) type Reading = Result<(Number, Vec<R>), Fail>;

/// Converts a plain literal to the plan's kind of number.
fn exact(literal: &str, plan: &NumberPlan) -> Reading {
    let Some(number) = parse_number(literal) else {
        return Err(Fail::Limit("a number within the range of 64-bit floats".into()));
    };
    let digits = literal.bytes().filter(u8::is_ascii_digit).skip_while(|b| *b == b'0').count();
    if plan.decimal && digits > 15 {
        return Err(Fail::Limit("a number of at most 15 digits, or a decimal in quotation marks".into()));
    }
    if !plan.integer || !number.is_f64() {
        return Ok((number, Vec::new()));
    }
    if !literal.contains(['.', 'e', 'E']) {
        if literal.trim_start_matches('-').bytes().all(|b| b == b'0') {
            return Ok((0.into(), Vec::new()));
        }
        return Err(Fail::Limit("an integer that fits in 64 bits".into()));
    }
    // "3.0" is three; "3.5" is not an integer, and rounding would invent one.
    let whole = match literal.split_once('.') {
        Some((whole, fraction)) if fraction.bytes().all(|b| b == b'0') => {
            parse_number(whole).filter(|n| !n.is_f64())
        }
        _ => {
            const EXACT: f64 = 9_007_199_254_740_992.0;
            let float = number.as_f64().unwrap_or(f64::NAN);
            (float.fract() == 0.0 && float.abs() <= EXACT).then(|| Number::from(float as i64))
        }
    };
    whole.map(|n| (n, vec![R::IntegerFromFloat])).ok_or(Fail::No)
}

/// Reads the number that the text contains.
pub(super) fn read(text: &str, plan: &NumberPlan) -> Reading {
    if checkboxes::is_struck(text) {
        return Err(Fail::Ambiguous("is struck out in part".into()));
    }
    let answer = bare_answer(text).trim_start_matches(['=', '≈', '~']).trim_start();
    if is_json_number(answer) {
        let (number, mut kinds) = exact(answer, plan)?;
        if let Some(limit) = plan.violation(&number) {
            return Err(Fail::Limit(limit));
        }
        kinds.push(R::NumberFromText);
        return Ok((number, kinds));
    }
    if answer.len() > MAX_PROSE || answer.trim_start().starts_with('{') || answer.contains("\":") {
        return Err(Fail::No);
    }
    let plain = without_formulas(answer);
    let answer = plain.as_ref();
    // "five (5)": stated twice.
    if let Some((first, rest)) = answer.split_once('(')
        && let Some((second, unit)) = rest.split_once(')')
        && let (word, digits) =
            if second.contains(char::is_alphabetic) { (second, first) } else { (first, second) }
        && number_words::spelt(word.trim()).is_some_and(|value| value == digits.trim())
        && !unit.contains(|c: char| c.is_ascii_digit())
        && words(unit).count() <= 3
    {
        return read(&format!("{}{unit}", digits.trim()), plan);
    }
    let mentions = match numeral::scan(answer) {
        Scan::Mentions(mentions) => mentions,
        Scan::Unclear(why) => return Err(Fail::Ambiguous(why.into())),
    };
    // "1,00" may be one with two decimals, or have missing or surplus digits.
    if plan.integer && mentions.iter().any(|m| m.by_comma && is_whole(&m.literal)) {
        return Err(Fail::Ambiguous("has separators that can be read in several ways".into()));
    }
    match mentions.as_slice() {
        [] => match number_words::spelt(answer) {
            Some(value) => settle(vec![(value, vec![R::NumberWord])], plan),
            None => Err(Fail::No),
        },
        [one] => single(answer, one, plan),
        [a, b] => match fraction(answer, a, b, plan) {
            Some(reading) => reading,
            None => several(answer, &mentions, plan),
        },
        _ => several(answer, &mentions, plan),
    }
}

/// Returns whether the decimals of a literal are all zero.
fn is_whole(literal: &str) -> bool {
    literal.split_once('.').is_some_and(|(_, decimals)| decimals.bytes().all(|b| b == b'0'))
}

/// Returns the text without formulas (`$x^{2}$`) and placeholders (`{name}`), whose digits are not the
/// answer. The text is unchanged if nothing with digits would remain.
fn without_formulas(answer: &str) -> Cow<'_, str> {
    let mut out = String::new();
    let mut rest = answer;
    while let Some(at) = rest.find(['$', '{']) {
        let close = if rest[at..].starts_with('$') { '$' } else { '}' };
        let Some(end) = rest[at + 1..].find(close).map(|i| at + 1 + i) else { break };
        let inside = &rest[at + 1..end];
        let formula = close == '}' || inside.contains(['^', '_', '\\', '{']);
        out.push_str(&rest[..at]);
        if formula {
            out.push(' ');
            rest = &rest[end + 1..];
        } else {
            out.push_str(&rest[at..=at]);
            rest = &rest[at + 1..];
        }
    }
    out.push_str(rest);
    if out.contains(|c: char| c.is_ascii_digit()) { Cow::Owned(out) } else { Cow::Borrowed(answer) }
}

fn several(answer: &str, mentions: &[Mention<'_>], plan: &NumberPlan) -> Reading {
    let values: Vec<Option<f64>> = mentions.iter().map(|m| m.literal.parse().ok()).collect();
    let same = values.iter().all(|v| *v == values[0])
        && mentions.iter().all(|m| !m.percent && m.percent == mentions[0].percent);
    let plain = !has_negation(answer)
        && !is_hedged(answer)
        && number_context::changes_meaning(answer).is_none()
        && mentions.iter().all(|m| m.scale.is_none());
    // "42. The answer is 42": stated twice. "2 + 2" is a sum.
    let sum = answer.contains(['+', '*', '×', '^', '/', '=', '÷']);
    if same && plain && !sum && answer.split_whitespace().count() > mentions.len() {
        return settle(vec![(mentions[0].literal.clone(), vec![R::NumberInProse])], plan);
    }
    Err(Fail::Ambiguous("holds several numbers".into()))
}

fn single(answer: &str, mention: &Mention<'_>, plan: &NumberPlan) -> Reading {
    let (before, after) = (&answer[..mention.start], &answer[mention.end..]);
    let around = || words(before).chain(words(after));
    if has_negation(before) || has_negation(after) {
        return Err(Fail::Ambiguous("holds a negation".into()));
    }
    if is_hedged(before) || is_hedged(after) {
        return Err(Fail::Ambiguous("leaves the number open".into()));
    }
    if let Some(why) =
        number_context::changes_meaning(before).or_else(|| number_context::changes_meaning(after))
    {
        return Err(Fail::Ambiguous(why.into()));
    }
    if around().any(|w| matches!(w.text, "null" | "true" | "false")) {
        return Err(Fail::Ambiguous("holds another value beside the number".into()));
    }
    let mut kinds = mention.kinds.clone();
    let codes = |w: &str| number_context::is_currency_word(w);
    let others = around().filter(|w| !codes(w.text)).count();
    if around().any(|w| codes(w.text)) && !kinds.contains(&R::Currency) {
        kinds.push(R::Currency);
    }
    if others > 0 {
        let prefix = words(before).any(|w| !codes(w.text));
        let unit = !prefix && words(after).filter(|w| !codes(w.text)).count() <= 3;
        kinds.push(if unit { R::Unit } else { R::NumberInProse });
        if unit && around().any(|w| number_words::is_number_word(w.text)) {
            return Err(Fail::Ambiguous("holds a number word beside the number".into()));
        }
    } else if after.chars().chain(before.chars()).any(|c| {
        !c.is_whitespace() && !"()[]\"'*_`.:,=~≈#".contains(c) && !number_context::is_currency_sign(c)
    }) {
        kinds.push(R::Unit);
    }
    let literal = mention.scaled();
    if mention.percent {
        return percent(&literal, kinds, plan);
    }
    // "1,234" may have a decimal comma if only that reading satisfies the limits.
    let mut readings = vec![(literal, kinds.clone())];
    if let Some(other) = &mention.other {
        let (first, _) = &readings[0];
        let fits = |literal: &str| exact(literal, plan).is_ok_and(|(n, _)| plan.violation(&n).is_none());
        if !fits(first) && fits(other) {
            readings = vec![(other.clone(), kinds)];
        }
    }
    settle(readings, plan)
}

/// Reads a percentage: the number as written, or a hundredth of it if the limits require a share.
fn percent(literal: &str, mut kinds: Vec<R>, plan: &NumberPlan) -> Reading {
    kinds.push(R::Percent);
    let as_written = (literal.to_owned(), kinds.clone());
    let share = plan.max.is_some_and(|max| max.value <= 1.0);
    if !share {
        return settle(vec![as_written], plan);
    }
    let hundredth = shift_point(literal);
    settle(vec![as_written, (hundredth, kinds)], plan)
}

/// Divides a plain decimal literal by 100, digit by digit, so that 7 % is 0.07 and not 0.07000000000000001.
fn shift_point(literal: &str) -> String {
    format!("{literal}e-2").parse::<f64>().map_or_else(|_| literal.to_owned(), |f| f.to_string())
}

/// Reads a fraction or score: `1/5`, `8/10`, `8 out of 10`.
fn fraction(answer: &str, a: &Mention<'_>, b: &Mention<'_>, plan: &NumberPlan) -> Option<Reading> {
    let between = answer.get(a.end..b.start)?.trim();
    let slash = between == "/" || between == "⁄";
    let spoken = matches!(between.to_ascii_lowercase().as_str(), "out of" | "of" | "over");
    if !(slash || spoken) || a.percent || b.percent || a.scale.is_some() || b.scale.is_some() {
        return None;
    }
    let (x, y): (f64, f64) = (a.literal.parse().ok()?, b.literal.parse().ok()?);
    let rest = format!("{} {}", &answer[..a.start], &answer[b.end..]);
    if y == 0.0 || has_negation(&rest) || is_hedged(&rest) {
        return Some(Err(Fail::Ambiguous("is no plain fraction".into())));
    }
    let mut kinds = vec![R::Fraction];
    if words(&rest).next().is_some() {
        kinds.push(R::NumberInProse);
    }
    let quotient = (x / y).to_string();
    let score = (a.literal.clone(), kinds.clone());
    let divided = (quotient, kinds);
    let scale_is_max = plan.max.is_some_and(|max| max.value == y && !max.exclusive);
    let readings = match (plan.integer, plan.max.is_some()) {
        // A score out of the highest value is the score; any other integer would be a guess.
        (true, _) if !scale_is_max => {
            return Some(Err(Fail::Ambiguous("is a fraction, not an integer".into())));
        }
        // Without a limit, "1/8" is a number by itself, while "8 out of 10" may be 8 or 0.8. A numerator over
        // five, ten, twenty or a hundred is a score at least as often as a share.
        (false, false) if slash && !SCALES.contains(&y) && x.fract() == 0.0 && x < y && y < 1_000.0 => {
            vec![divided]
        }
        (false, false) => return Some(Err(Fail::Ambiguous("may be a score or a share".into()))),
        _ => vec![score, divided],
    };
    Some(settle(readings, plan))
}

/// Returns the only reading within the limits.
fn settle(readings: Vec<(String, Vec<R>)>, plan: &NumberPlan) -> Reading {
    let mut kept: Option<(Number, Vec<R>)> = None;
    let mut failure = Fail::No;
    for (literal, kinds) in readings {
        match exact(&literal, plan) {
            Ok((number, more)) => {
                if let Some(limit) = plan.violation(&number) {
                    failure = Fail::Limit(limit);
                } else {
                    if kept.as_ref().is_some_and(|(k, _)| k.as_f64() != number.as_f64()) {
                        return Err(Fail::Ambiguous("can be read as two numbers within the limits".into()));
                    }
                    kept = Some((number, kinds.into_iter().chain(more).collect()));
                }
            }
            Err(fail) => {
                if !matches!(failure, Fail::Limit(_)) {
                    failure = fail;
                }
            }
        }
    }
    let (number, mut kinds) = kept.ok_or(failure)?;
    if kinds.is_empty() {
        kinds.push(R::NumberFromText);
    }
    Ok((number, kinds))
}
