//! The form that free answers share: case, length, digits, a common end, and the number that is copied.

use super::task::Task;
use crate::builtin::number::{Pattern, numbers_in};
use crate::builtin::words::words;

/// The maximum number of words of a short answer.
const SHORT: usize = 6;
/// The part of the answers that a length covers: a few long ones do not make an answer a sentence.
const USUAL: (usize, usize) = (7, 8);

/// Returns sentences about the form of the right answers of a task.
pub(super) fn sentences(task: &Task) -> Vec<String> {
    let pairs: Vec<(String, &str)> = task
        .rows
        .iter()
        .filter_map(|row| {
            let input = row.inputs.iter().map(|(_, value)| value.as_str()).collect::<Vec<_>>().join("\n");
            Some((input, row.right.as_deref()?))
        })
        .collect();
    let mut found = Vec::new();
    if pairs.len() < 2 {
        return found;
    }
    let all = |test: &dyn Fn(&str) -> bool| pairs.iter().all(|(_, answer)| test(answer));
    let is_number = |answer: &str| crate::builtin::features::number(answer).is_some();
    if all(&is_number) {
        found.push("Answer with the number only.".to_owned());
        let copies = |pattern: &Pattern| {
            let hits = pairs.iter().filter(|(input, answer)| {
                pattern.apply(&numbers_in(input)) == crate::builtin::features::number(answer)
            });
            hits.count()
        };
        let best = Pattern::ALL.into_iter().rev().max_by_key(|pattern| copies(pattern));
        if let Some(pattern) = best.filter(|pattern| copies(pattern) * 5 > pairs.len() * 3) {
            found.push(format!("The answer is the {} number in the input.", pattern.name()));
        }
        return found;
    }
    let letters = |answer: &str| answer.chars().any(char::is_alphabetic);
    if all(&|answer| letters(answer) && answer.to_lowercase() == *answer) {
        found.push("Answer in lower case.".to_owned());
    } else if all(&|answer| letters(answer) && answer.to_uppercase() == *answer) {
        found.push("Answer in upper case.".to_owned());
    }
    let mut lengths: Vec<usize> = pairs.iter().map(|(_, answer)| words(answer).len()).collect();
    lengths.sort_unstable();
    let usual = lengths[(lengths.len() * USUAL.0).div_ceil(USUAL.1) - 1];
    if (1..=SHORT).contains(&usual) {
        let plural = if usual == 1 { "" } else { "s" };
        found.push(format!("Answer with at most {usual} word{plural}."));
    }
    let last = |answer: &str| answer.trim_end().chars().next_back().filter(|c| !c.is_alphanumeric());
    if let Some(mark) = pairs.first().and_then(|(_, answer)| last(answer))
        && !matches!(mark, '"' | '`')
        && all(&|answer| last(answer) == Some(mark))
    {
        found.push(format!("End the answer with \"{mark}\"."));
    }
    found
}
