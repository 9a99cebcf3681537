//! Rules in sentences that the answering half obeys, written from labelled rows.

use super::lexicon::{self, Clue};
use super::style::{Split, Style};
use super::table::Table;
use super::tree::{self, Rule};
use super::trial;

/// The number of words in all lists of words together.
const ALL_WORDS: usize = 300;
/// The number of rows from which kinds of conditions are compared on held-out rows, and the number of parts.
const COMPARED: usize = 12;
const PARTS: usize = 3;
/// The number of rows from which the only label is the answer in doubt, whatever else is known.
const ENOUGH: usize = 5;
/// The maximum number of labels that are listed.
const MOST_LISTED: usize = 30;

/// Returns the sentences for a table. `several` says that other outputs have rules too.
pub(super) fn sentences(table: &Table, style: &mut Style<'_>, several: bool) -> Vec<String> {
    let split = style.split.unwrap_or_else(|| best_split(table, style, several));
    let mut rules = written(table, style, split, several);
    let labels = table.labels.len();
    if labels > 1 && labels <= MOST_LISTED {
        let names: Vec<String> = table.labels.iter().map(|label| format!("\"{label}\"")).collect();
        let start = if several { format!("For `{}`, answer", table.output) } else { "Answer".to_owned() };
        rules.insert(0, format!("{start} with one of: {}.", joined(&names, "or")));
    }
    if labels > 1 {
        let before = trial::accuracy(table, &rules.join("\n"));
        let fallback = format!("{}, answer \"{}\".", opened("Otherwise", table, several), table.labels[0]);
        let with = format!("{}\n{fallback}", rules.join("\n"));
        if trial::accuracy(table, &with) > before + 1e-9 {
            rules.push(fallback);
        }
    } else if let Some(label) = table.labels.first()
        && (rules.is_empty() || table.len() >= ENOUGH)
    {
        rules.push(format!("{}, answer \"{label}\".", opened("In doubt", table, several)));
    }
    rules
}

/// Returns the kind of conditions that does best on held-out rows.
fn best_split(table: &Table, style: &mut Style<'_>, several: bool) -> Split {
    let kinds = [Split::Tree(3), Split::Tree(2), Split::Single(6)];
    let tabular = table.columns.iter().any(|column| column.cells != super::table::Cells::Prose);
    if !tabular || table.len() < COMPARED {
        return Split::Tree(2);
    }
    let mut best = (f64::NEG_INFINITY, kinds[0]);
    for kind in kinds {
        let mut sum = 0.0;
        for part in 0..PARTS {
            let (held_out, shown): (Vec<usize>, Vec<usize>) =
                (0..table.len()).partition(|row| row % PARTS == part);
            let rules = written(&table.sample(&shown), style, kind, several).join("\n");
            sum += trial::accuracy(&table.sample(&held_out), &rules);
        }
        if sum > best.0 + 1e-9 {
            best = (sum, kind);
        }
    }
    best.1
}

fn written(table: &Table, style: &mut Style<'_>, split: Split, several: bool) -> Vec<String> {
    let mut sentences = Vec::new();
    let mut between = || style.between();
    let conditions: Vec<Rule> = match split {
        Split::Tree(depth) => tree::grow(table, depth, &mut between),
        Split::Single(most) => tree::stumps(table, most, &mut between),
    };
    for rule in conditions.iter().filter(|rule| rule.rows > 0) {
        let start = opened("If", table, several);
        let label = &table.labels[rule.label];
        sentences.push(format!("{start} {}, {}answer \"{label}\".", rule.conditions(table), rule.hedge()));
    }
    let Some(prose) = table.prose_name() else { return sentences };
    let most = (ALL_WORDS / table.labels.len().max(1)).clamp(3, style.words);
    for (label, clues) in table.labels.iter().zip(lexicon::clues(table, most)) {
        let (certain, vague): (Vec<Clue>, Vec<Clue>) = clues.into_iter().partition(|clue| clue.certain);
        for (clues, hedge) in [(certain, ""), (vague, "usually ")] {
            if !clues.is_empty() {
                let words: Vec<String> = clues.into_iter().map(|clue| clue.word).collect();
                sentences.push(word_rule(table, style.frame, several, prose, &words, hedge, label));
            }
        }
    }
    sentences
}

/// Writes a rule about words in one of several forms.
fn word_rule(
    table: &Table,
    frame: usize,
    several: bool,
    prose: &str,
    words: &[String],
    hedge: &str,
    label: &str,
) -> String {
    let start = |text: &str| opened(text, table, several);
    match frame {
        1 => format!("{} such as {} {hedge}point to \"{label}\".", start("Words"), joined(words, "and")),
        2 => format!("{hedge}\"{label}\": {}.", words.join(", ")).replacen("usually ", "Usually ", 1),
        _ => {
            let prose = prose.replace('_', " ");
            format!(
                "{} the {prose} mentions {}, {hedge}answer \"{label}\".",
                start("When"),
                joined(words, "or")
            )
        }
    }
}

/// Starts a sentence, with the name of the output if there are rules for several.
fn opened(word: &str, table: &Table, several: bool) -> String {
    if several { format!("For `{}`, {}", table.output, word.to_lowercase()) } else { word.to_owned() }
}

/// Joins words with commas, and the last one with a conjunction.
pub(super) fn joined(words: &[String], conjunction: &str) -> String {
    match words {
        [] => String::new(),
        [only] => only.clone(),
        [first @ .., last] => format!("{} {conjunction} {last}", first.join(", ")),
    }
}
