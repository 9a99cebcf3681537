//! Keys that consist of a member's name and further words: `work_email` or `E-mail address` for `email`,
//! `budget_usd` for `budget`.

use dspy_base::fold::words_of_name;

/// Words after a name that do not change its meaning.
const TAILS: [&str; 14] = [
    "estimate", "address", "number", "no", "nr", "name", "value", "text", "amount", "total", "usd", "eur",
    "gbp", "str",
];

/// Returns whether the key, which names no member, refers to the member: by its name with a word that adds
/// nothing or specifies it, or by its letters in another order.
pub(super) fn speaks_of(name: &str, key: &str) -> bool {
    if name.len() > 64 || key.len() > 64 {
        return false;
    }
    let (name, key) = (words(name), words(key));
    let (Some(last), false) = (key.last(), name.is_empty()) else { return false };
    let joined = |words: &[String]| words.concat();
    let (own, other) = (joined(&name), joined(&key));
    if own == other {
        return false;
    }
    if own.len() >= 3 {
        // `work_email` is an email; `email_address` and `budget_usd` are the email and the budget.
        let head = (0..key.len()).any(|at| joined(&key[at..]) == own);
        let tail = TAILS.contains(&last.as_str());
        let led = tail && (0..key.len() - 1).any(|at| joined(&key[at..key.len() - 1]) == own);
        if head || led {
            return true;
        }
    }
    is_jumbled(own.as_bytes(), other.as_bytes())
}

/// Returns the words of a name; `E-mail` is one.
fn words(name: &str) -> Vec<String> {
    words_of_name(&name.replace("E-mail", "email").replace("e-mail", "email"))
}

/// Returns whether a key has the letters of a name in nearly the same order, with at most one letter more or
/// less.
fn is_jumbled(name: &[u8], key: &[u8]) -> bool {
    let (long, short) = if name.len() >= key.len() { (name, key) } else { (key, name) };
    if short.len() < 4 || long.len() - short.len() > 1 {
        return false;
    }
    let mut counts = [0_i8; 256];
    for &b in long {
        counts[usize::from(b)] = counts[usize::from(b)].saturating_add(1);
    }
    for &b in short {
        counts[usize::from(b)] = counts[usize::from(b)].saturating_sub(1);
    }
    // Each letter is displaced by at most one.
    let near = short.iter().enumerate().all(|(i, b)| {
        let from = i.saturating_sub(1);
        long[from..(i + 3).min(long.len())].contains(b)
    });
    counts.iter().all(|count| (0..=1).contains(count)) && near
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_with_words_around_them() {
        for (name, key) in [
            ("phone", "Phone number"),
            ("email", "E-mail address"),
            ("email", "workEmail"),
            ("email", "mial"),
            ("budget", "budget_usd"),
            ("budget", "total_budget"),
        ] {
            assert!(speaks_of(name, key), "{name} {key}");
        }
        for (name, key) in [
            ("phone", "phone_type"),
            ("city", "company"),
            ("name", "Name"),
            ("id", "order_id"),
            ("line", "nail"),
        ] {
            assert!(!speaks_of(name, key), "{name} {key}");
        }
    }
}
