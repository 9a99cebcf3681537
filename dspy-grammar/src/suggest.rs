//! Suggestions for misspelt words: "did you mean …?"

/// Returns the candidate that `word` is most likely a misspelling of.
pub fn nearest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let allowed = (word.chars().count() / 3).clamp(1, 3);
    candidates
        .into_iter()
        .map(|candidate| (distance(word, candidate), candidate))
        .filter(|(distance, _)| *distance <= allowed)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// Returns the end of the message about an unknown word: the candidate that was likely meant, or else all
/// candidates.
pub fn remedy<'a>(
    word: &str,
    candidates: impl IntoIterator<Item = &'a str>,
    all: impl FnOnce() -> String,
) -> String {
    nearest(word, candidates).map_or_else(all, |near| format!("did you mean `{near}`?"))
}

/// Returns the number of characters to insert, delete, replace or swap with their neighbour.
fn distance(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    let mut before = vec![0; b.len() + 1];
    let mut last: Vec<usize> = (0..=b.len()).collect();
    for i in 0..a.len() {
        let mut row = vec![i + 1; b.len() + 1];
        for j in 0..b.len() {
            let replace = last[j] + usize::from(a[i] != b[j]);
            row[j + 1] = replace.min(last[j + 1] + 1).min(row[j] + 1);
            if i > 0 && j > 0 && a[i] == b[j - 1] && a[i - 1] == b[j] {
                row[j + 1] = row[j + 1].min(before[j - 1] + 1);
            }
        }
        before = std::mem::replace(&mut last, row);
    }
    last[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slips_of_the_fingers() {
        let roles = ["input", "output", "hint"];
        for (word, expected) in [
            ("inptu", Some("input")),
            ("outptu", Some("output")),
            ("ouput", Some("output")),
            ("hnt", Some("hint")),
            ("label", None),
            ("allow", None),
        ] {
            assert_eq!(nearest(word, roles), expected, "{word}");
        }
    }
}
