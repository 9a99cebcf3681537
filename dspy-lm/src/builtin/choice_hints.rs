//! Evidence for choices in the prompt: their names, their descriptions, and rules in prose that mention them.

use std::collections::{HashMap, HashSet};

use serde_json::Value;

use super::choice_names::{Mentions, Name, split_case};
use super::conditions::{self, Condition, Conditions};
use super::features::hash;
use super::input::Input;
use super::prompt::Field;
use super::value_type::plain;
use super::words::{Word, sentences, words};

/// Weights of a word by its source: the name of a choice, its description, or a rule in prose.
const IN_NAME: f64 = 1.5;
const IN_DESCRIPTION: f64 = 1.0;
const IN_RULE: f64 = 1.2;
/// The weight of a rule whose conditions hold.
const IF_MET: f64 = 2.5;
/// The weight of the choice for all other cases; a single word of a rule has more.
const OTHERWISE: f64 = 0.45;
/// The weight of a rule that denies a choice, relative to one that states it.
const DENIED: f64 = -0.6;
/// The weight of a match of only the first letters, relative to a match of the whole stem.
const PREFIX_SHARE: f64 = 0.5;
/// The number of letters of such a prefix.
const PREFIX: usize = 5;
/// Words that connect the words of a rule with its choice, and are evidence for none.
const CONNECTING: &[&str] = &[
    "answer",
    "answers",
    "say",
    "says",
    "mention",
    "mentions",
    "mentioned",
    "mentioning",
    "mean",
    "means",
    "point",
    "points",
    "go",
    "goes",
    "belong",
    "belongs",
    "label",
    "labels",
    "choose",
    "classify",
    "classified",
    "indicate",
    "indicates",
    "suggest",
    "suggests",
    "otherwise",
    "words",
    "usually",
    "often",
    "mostly",
    "always",
    "probably",
    "likely",
    "sometimes",
    "certainly",
    "surely",
    "rarely",
    "typically",
    "generally",
    "contain",
    "contains",
    "include",
    "includes",
    "like",
    "cases",
];
/// Words that weaken or strengthen the rule that they are in, with the factor.
const HEDGES: &[(f64, &[&str])] = &[
    (0.3, &["sometimes", "may", "might", "rarely", "perhaps", "occasionally", "slightly"]),
    (0.6, &["usually", "often", "mostly", "probably", "likely", "typically", "generally", "tend", "tends"]),
    (1.5, &["always", "certainly", "surely", "definitely", "strongly"]),
];
/// Phrases that state the choice for all other cases.
pub(super) const FALLBACKS: &[&str] = &[
    "otherwise",
    "in all other cases",
    "in any other case",
    "in doubt",
    "if unsure",
    "by default",
    "none of these",
];

/// The parts of a prompt in which rules are found.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Prose<'a> {
    pub(super) instruction: &'a str,
    pub(super) inputs: &'a [Field],
}

/// Weighted words and conditions that are evidence for each choice.
#[derive(Debug, Default)]
pub(super) struct ChoiceHints {
    /// The choices that each word is evidence for, with weights, by the hash of its stem or prefix.
    weights: HashMap<u64, Vec<(usize, f64)>>,
    rules: Vec<Rule>,
    /// The weight of each choice without any evidence.
    usual: Vec<(usize, f64)>,
    choices: usize,
}

/// A rule: if all conditions hold, the weight is evidence for the choice.
#[derive(Debug)]
struct Rule {
    conditions: Vec<Condition>,
    choice: usize,
    weight: f64,
    text: String,
}

/// The names and fields with which a clause is read.
struct Context<'a> {
    names: &'a [Name],
    inputs: &'a [Field],
    /// The stems in the names of the inputs, which say nothing about a choice.
    skipped: HashSet<String>,
}

impl ChoiceHints {
    /// Collects the evidence from a field's names and descriptions and from the instruction.
    pub(super) fn read(field: &Field, choices: &[Value], prose: Prose<'_>) -> ChoiceHints {
        let mut hints = ChoiceHints { choices: choices.len(), ..ChoiceHints::default() };
        let names: Vec<Name> = choices.iter().map(|choice| Name::new(&plain(choice))).collect();
        for (index, name) in names.iter().enumerate() {
            for word in name.words.iter().filter(|_| !choices[index].is_boolean()) {
                hints.add(word, index, IN_NAME);
            }
            let descriptions = field.choices.iter().filter(|(value, _)| *value == choices[index]);
            for (_, text) in descriptions {
                for word in words(text).iter().filter(|word| !word.stop) {
                    if !is_connecting(&word.written(text).to_lowercase()) {
                        hints.add(&word.stem, index, IN_DESCRIPTION);
                    }
                }
            }
        }
        let of_inputs = prose.inputs.iter().flat_map(|input| words(&split_case(&input.name)));
        let mut context = Context {
            names: &names,
            inputs: prose.inputs,
            skipped: of_inputs.map(|word| word.stem).collect(),
        };
        names.iter().flat_map(|name| &name.words).for_each(|word| {
            context.skipped.remove(word);
        });
        let truth = choices.iter().position(|choice| *choice == Value::Bool(true));
        let of_field = format!("`{}`", field.name);
        for (text, is_description) in [(prose.instruction, false), (field.description.as_str(), true)] {
            for sentence in sentences(text) {
                if is_about_another(sentence, field, prose.inputs) {
                    continue;
                }
                let mut last = None;
                for clause in sentence.split(';') {
                    // A description of a boolean field describes when it is true, unless it mentions a value.
                    let about_field = is_description || clause.contains(&of_field);
                    hints.add_clause(clause, &context, truth.filter(|_| about_field), &mut last);
                }
            }
        }
        if let Some(truth) = truth {
            for word in words(&field.name.replace('_', " ")).iter().filter(|word| !word.stop) {
                hints.add(&word.stem, truth, IN_NAME);
            }
        }
        hints
    }

    fn add(&mut self, stem: &str, choice: usize, weight: f64) {
        let mut put = |feature: u64, weight: f64| {
            let entry = self.weights.entry(feature).or_default();
            match entry.iter_mut().find(|(known, _)| *known == choice) {
                Some((_, known)) => *known = weight.max(*known),
                None => entry.push((choice, weight)),
            }
        };
        put(hash(stem), weight);
        if let Some(prefix) = prefix(stem) {
            put(prefix, weight * PREFIX_SHARE);
        }
    }

    /// Adds a clause as a rule about the choices that it mentions, or about `otherwise` if it mentions none.
    fn add_clause(
        &mut self,
        clause: &str,
        context: &Context<'_>,
        otherwise: Option<usize>,
        last: &mut Option<usize>,
    ) {
        let found = words(clause);
        let conditions = conditions::read(clause, context.inputs, last);
        let covered: Vec<_> = if conditions.vague {
            Vec::new()
        } else {
            conditions.list.iter().map(|condition| condition.span.clone()).collect()
        };
        let mentions = Mentions::find(clause, &found, context.names, &covered);
        let mentioned = mentions.choices();
        let scale = hedge(clause, &found);
        if !conditions.list.is_empty() {
            self.add_rules(clause, &found, &conditions, &mentions, otherwise, scale);
            if !conditions.vague {
                return;
            }
        }
        let mut add_words = |found: &[Word], choice: usize, weight: f64| {
            for word in found.iter().filter(|word| !word.stop && !context.skipped.contains(&word.stem)) {
                if !is_connecting(&word.written(clause).to_lowercase()) {
                    self.add(&word.stem, choice, weight);
                }
            }
        };
        let weight = IN_RULE * scale;
        match (&mentioned[..], otherwise) {
            ([], None) => {
                for choice in &mentions.denied {
                    add_words(&found, *choice, weight * DENIED);
                }
            }
            ([], Some(choice)) => add_words(&found, choice, weight),
            (&[choice], _) => {
                let lower = clause.to_lowercase();
                if FALLBACKS.iter().any(|phrase| lower.contains(phrase)) {
                    self.usual.push((choice, OTHERWISE * scale));
                } else {
                    add_words(&found, choice, weight);
                }
            }
            (several, _) => {
                // "refunds to billing, parcels to shipping": each part between commas is about its own
                // choice.
                let leads = mentions.at.iter().flatten().any(|at| *at == 0);
                let mut waiting: Vec<&[Word]> = Vec::new();
                let mut last = None;
                for part in parts(clause, &found) {
                    let inside = |at: &usize| {
                        part.first().is_some_and(|word| found[*at].start >= word.start)
                            && part.last().is_some_and(|word| found[*at].start <= word.start)
                    };
                    let mut here = several.iter().filter(|index| mentions.at[**index].iter().any(inside));
                    match (here.next(), here.next()) {
                        (Some(choice), None) => {
                            for part in waiting.drain(..).chain([part]) {
                                add_words(part, *choice, weight);
                            }
                            last = Some(*choice);
                        }
                        (None, _) if leads => {
                            last.into_iter().for_each(|choice| add_words(part, choice, weight));
                        }
                        (None, _) => waiting.push(part),
                        // A part that lists several choices is no evidence for any of them.
                        _ => waiting.clear(),
                    }
                }
            }
        }
    }

    /// Adds the rules of a clause with conditions. If it mentions several choices, each one has the conditions
    /// before it, or after it if the clause starts with a choice.
    fn add_rules(
        &mut self,
        clause: &str,
        found: &[Word],
        conditions: &Conditions,
        mentions: &Mentions,
        otherwise: Option<usize>,
        scale: f64,
    ) {
        let mut stated: Vec<(usize, usize)> = Vec::new();
        for (choice, at) in mentions.at.iter().enumerate() {
            stated.extend(at.iter().map(|at| (found[*at].start, choice)));
        }
        stated.sort_unstable();
        let mut weight = IF_MET * scale;
        if stated.is_empty() {
            if let [denied] = mentions.denied[..] {
                stated.push((0, denied));
                weight *= DENIED;
            } else {
                stated.extend(otherwise.map(|choice| (0, choice)));
            }
        }
        let first = conditions.list.iter().map(|condition| condition.span.start).min().unwrap_or_default();
        let leads = stated.first().is_some_and(|(at, _)| *at < first);
        let several = stated.len() > 1;
        for (index, (at, choice)) in stated.iter().enumerate() {
            let from = if leads { *at } else { index.checked_sub(1).map_or(0, |before| stated[before].0) };
            let to = if leads { stated.get(index + 1).map_or(usize::MAX, |next| next.0) } else { *at };
            let mut open: Vec<Condition> = Vec::new();
            let own = |condition: &&Condition| !several || (from..to).contains(&condition.span.start);
            for condition in conditions.list.iter().filter(own) {
                if condition.alternative && !open.is_empty() {
                    self.add_rule(clause, std::mem::take(&mut open), *choice, weight);
                }
                open.push(condition.clone());
            }
            if !open.is_empty() {
                self.add_rule(clause, open, *choice, weight);
            }
            if !several {
                break;
            }
        }
    }

    fn add_rule(&mut self, clause: &str, conditions: Vec<Condition>, choice: usize, weight: f64) {
        let spans = conditions.iter().filter_map(|condition| clause.get(condition.span.clone()));
        let text = spans.collect::<Vec<_>>().join(" and ");
        self.rules.push(Rule { conditions, choice, weight, text });
    }

    /// Returns the rules whose conditions an input meets, and the choices for all other cases, as (text, choice,
    /// weight).
    pub(super) fn rules<'a>(&'a self, input: &'a Input) -> impl Iterator<Item = (&'a str, usize, f64)> {
        let met = |rule: &&Rule| rule.conditions.iter().all(|condition| condition.holds(input));
        let usual = self.usual.iter().map(|(choice, weight)| ("", *choice, *weight));
        self.rules.iter().filter(met).map(|rule| (rule.text.as_str(), rule.choice, rule.weight)).chain(usual)
    }

    /// Returns the evidence in an input as (word, choice, weight). A word that is evidence for fewer choices
    /// has more weight; one that is evidence for all of several choices has none.
    pub(super) fn evidence<'a>(&'a self, stems: &'a [String]) -> impl Iterator<Item = (&'a str, usize, f64)> {
        stems.iter().flat_map(move |stem| {
            let exact = self.weights.get(&hash(stem));
            let entry = exact.or_else(|| self.weights.get(&prefix(stem)?));
            let entries = entry.map(Vec::as_slice).unwrap_or_default();
            let rarity = (1.0 + self.choices as f64 / entries.len().max(1) as f64).ln();
            // A word that belongs to all choices does not distinguish them.
            let shared = if entries.len() == self.choices && self.choices > 1 { 0.0 } else { rarity };
            entries.iter().map(move |(choice, weight)| (stem.as_str(), *choice, weight * shared))
        })
    }
}

/// Returns whether a word in lower case only connects the words of a rule with its choice.
pub(super) fn is_connecting(lower: &str) -> bool {
    CONNECTING.contains(&lower)
}

/// Returns whether a sentence is about another output only, perhaps of another step: "For `urgency`, …".
pub(super) fn is_about_another(sentence: &str, field: &Field, inputs: &[Field]) -> bool {
    let lower = sentence.trim_start().to_lowercase();
    let about = lower.strip_prefix("for ").unwrap_or(&lower);
    let Some((name, rest)) = about.strip_prefix('`').and_then(|rest| rest.split_once('`')) else {
        return false;
    };
    let is_field = lower.starts_with("for ") && rest.starts_with([',', ':']);
    is_field
        && name != field.name.to_lowercase()
        && !inputs.iter().any(|input| input.name.to_lowercase() == name)
}

/// Returns the factor of the words that weaken or strengthen a clause.
fn hedge(clause: &str, found: &[Word]) -> f64 {
    let has =
        |hedges: &[&str]| found.iter().any(|word| hedges.contains(&&*word.written(clause).to_lowercase()));
    HEDGES.iter().find(|(_, hedges)| has(hedges)).map_or(1.0, |(scale, _)| *scale)
}

/// Splits the words of a clause at commas and vertical bars.
fn parts<'a>(clause: &str, found: &'a [Word]) -> impl Iterator<Item = &'a [Word]> {
    let breaks: Vec<usize> = clause.match_indices([',', '|']).map(|(at, _)| at).collect();
    found.chunk_by(move |left, right| !breaks.iter().any(|at| (left.end..=right.start).contains(at)))
}

fn prefix(stem: &str) -> Option<u64> {
    let end = stem.char_indices().nth(PREFIX).map(|(end, _)| end)?;
    Some(hash(&format!("{}*", &stem[..end])))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn of_input(instruction: &str, choices: &[Value], values: &[(&str, &str)]) -> Vec<f64> {
        let field = |name: &str| Field { name: name.to_owned(), ..Field::default() };
        let inputs: Vec<Field> = values.iter().map(|(name, _)| field(name)).collect();
        let prose = Prose { instruction, inputs: &inputs };
        let hints = ChoiceHints::read(&Field::default(), choices, prose);
        let input = Input::new(values);
        let mut scores = vec![0.0; choices.len()];
        let evidence = hints.evidence(&input.stems).chain(hints.rules(&input));
        evidence.for_each(|(_, choice, weight)| scores[choice] += weight);
        scores
    }

    fn best(instruction: &str, choices: &[&str], input: &str) -> Vec<f64> {
        let choices: Vec<Value> = choices.iter().map(|choice| json!(choice)).collect();
        of_input(instruction, &choices, &[("text", input)])
    }

    #[test]
    fn rules_in_prose_are_understood() {
        for rules in [
            "Mentions of a refund → billing. Parcels → shipping.",
            "Refunds go to billing; parcels go to shipping.",
            "Refunds and money go to billing, parcels and boxes to shipping.",
            "billing: refunds, money\nshipping: parcels, boxes",
            "Choose billing for refunds, money, shipping for parcels.",
        ] {
            let scores = best(rules, &["billing", "shipping"], "Where is my parcel?");
            assert!(scores[1] > scores[0], "{rules}: {scores:?}");
            let scores = best(rules, &["billing", "shipping"], "I want a refund.");
            assert!(scores[0] > scores[1], "{rules}: {scores:?}");
        }
    }

    #[test]
    fn function_words_are_values_only_when_marked() {
        let rules = "There is no need to hurry. Answer \"no\" for cats. Answer \"yes\" for dogs.";
        let scores = best(rules, &["yes", "no"], "a dog in a hurry");
        assert!(scores[0] > scores[1], "{scores:?}");
    }

    #[test]
    fn names_speak_for_themselves() {
        let scores = best("", &["card_arrival", "exchangeRate"], "when will my card arrive");
        assert!(scores[0] > scores[1], "{scores:?}");
    }

    #[test]
    fn ranges_and_values_decide() {
        let choices = [json!("low"), json!("mid"), json!("no")];
        for rules in [
            "A size below 2 means low. A size from 2 to 5 means mid. A size above 5 means no.",
            "If size is at most 2, answer low; if it is above 5, answer no; between 2 and 5, answer mid.",
            "If size is above 5, answer \"no\". If size is above 2 and at most 5, answer \"mid\". Otherwise, answer \"low\".",
            "size < 2 -> low, size > 5 -> no, size between 2 and 5 -> mid",
            "low: size below 2. mid: size from 2 to 5. no: size of 5.1 or more.",
            "Answer low if size is below 2, mid if size is between 2 and 5, no if size is over 5.",
        ] {
            for (at, size) in ["1", "3.5", "9"].into_iter().enumerate() {
                let scores = of_input(rules, &choices, &[("size", size), ("note", "the low and mid ones")]);
                let scores: Vec<f64> = scores
                    .iter()
                    .zip(of_input("", &choices, &[("note", "the low and mid ones")]))
                    .map(|(a, b)| a - b)
                    .collect();
                let best = (0..3).max_by(|a, b| scores[*a].total_cmp(&scores[*b])).unwrap();
                assert_eq!(best, at, "{rules} {size}: {scores:?}");
            }
        }
        let rules = "If colour is \"no\" and size is above 2, answer \"mid\". If colour is \"no\" or size is 9, answer \"low\".";
        let scores = |colour, size| of_input(rules, &choices, &[("colour", colour), ("size", size)]);
        assert!(scores("no", "3")[1] > 0.0 && scores("no", "1")[1] == 0.0 && scores("yes", "3")[1] == 0.0);
        assert!(scores("yes", "9")[0] > 0.0 && scores("no", "1")[0] > 0.0 && scores("yes", "1")[0] == 0.0);
    }

    #[test]
    fn conditions_and_words_combine() {
        let rules = "If amount is above 10 and the text mentions cake, pie or buns, answer billing.";
        let choices = [json!("billing"), json!("shipping")];
        let score = |amount, text| of_input(rules, &choices, &[("amount", amount), ("text", text)])[0];
        assert!(score("11", "two pies") > 0.0);
        assert!(score("9", "two pies") == 0.0 && score("11", "two cars") == 0.0);
    }

    #[test]
    fn denials_hedges_and_other_fields_are_understood() {
        let choices = &["billing", "shipping"];
        let scores = best("Refunds belong to shipping, not billing.", choices, "a refund");
        assert!(scores[1] > scores[0], "{scores:?}");
        let scores = best("Never answer billing for refunds.", choices, "a refund");
        assert!(scores[0] < 0.0, "{scores:?}");
        let scores = best("A cat always means billing. A dog often means shipping.", choices, "cat and dog");
        assert!(scores[0] > scores[1] && scores[1] > 0.0, "{scores:?}");
        let scores = best("For `other`, when the text mentions cats, answer billing.", choices, "cats");
        assert_eq!(scores, [0.0, 0.0]);
        let scores = best("The words billing and cats go to \"shipping\".", choices, "cats");
        assert!(scores[1] > scores[0], "{scores:?}");
        let scores = best("Cats go to card_arrival.", &["card", "card_arrival"], "cats");
        assert!(scores[1] > scores[0], "{scores:?}");
    }
}
