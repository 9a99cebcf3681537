//! "Did you mean …?"

/// Ends the message about an unknown word: with the candidate that was likely meant, or else with all there are.
pub(crate) fn remedy<'a>(word: &str, candidates: impl Iterator<Item = &'a str> + Clone) -> String {
    match nearest(word, candidates.clone()) {
        Some(near) => format!("did you mean `{near}`?"),
        None => {
            let all: Vec<_> = candidates.map(|name| format!("`{name}`")).collect();
            if all.is_empty() { "there are none".into() } else { format!("there are {}", all.join(", ")) }
        }
    }
}

/// The candidate that `word` is most likely a misspelling of.
fn nearest<'a>(word: &str, candidates: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    // Long words come from data, and are no slips.
    if word.len() > 200 {
        return None;
    }
    let allowed = (word.chars().count() / 3).clamp(1, 3);
    candidates
        .map(|candidate| (distance(word, candidate), candidate))
        .filter(|(distance, _)| *distance <= allowed)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// How many characters to insert, delete, replace or swap with their neighbour.
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
    fn slips_and_strangers() {
        let names = ["question", "context"];
        assert_eq!(remedy("qestion", names.into_iter()), "did you mean `question`?");
        assert_eq!(remedy("contxet", names.into_iter()), "did you mean `context`?");
        assert_eq!(remedy("zebra", names.into_iter()), "there are `question`, `context`");
        assert_eq!(remedy("zebra", [].into_iter()), "there are none");
    }
}
