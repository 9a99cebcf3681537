//! Normal forms of names and words, in which equivalent spellings are equal.
//!
//! | function | case | marks and spaces | accents | `"Réf-No 2"` | for |
//! |---|---|---|---|---|---|
//! | [`fold`] | lower | removed | removed | `refno2` | keys and choices that a reply may spell in its own way |
//! | [`fold_accented`] | lower | removed | kept | `réfno2` | markers of fields, whose names are identifiers |
//! | [`words`] | lower | separate words | kept | `réf`, `no`, `2` | texts: search, embeddings, mentions of names |
//! | [`words_of_name`] | lower | separate words, like capitals | kept | `réf`, `no`, `2` | keys in `camelCase` too |
//!
//! Two further forms stay where they are used: `evaluate::normalize_text` of `dspy-core` reproduces a
//! published metric, and the built-in model of `dspy-lm` removes the endings of English words.

/// Returns the letters and digits of a string in lower case, without accents: `"Très élevé!"` →
/// `"treseleve"`.
pub fn fold(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    fold_into(text, &mut out);
    out
}

/// Appends the [`fold`] of a string to `out`.
pub fn fold_into(text: &str, out: &mut String) {
    for c in text.chars() {
        if c.is_ascii() {
            if c.is_ascii_alphanumeric() {
                out.push(c.to_ascii_lowercase());
            }
            continue;
        }
        for lower in c.to_lowercase() {
            match unaccent(lower) {
                Some(plain) => out.push_str(plain),
                None if lower.is_alphanumeric() => out.push(lower),
                None => {}
            }
        }
    }
}

/// Returns the plain spelling of an accented lower-case Latin letter; `""` for a combining mark.
fn unaccent(c: char) -> Option<&'static str> {
    Some(match c {
        'à' | 'á' | 'â' | 'ã' | 'ä' | 'å' | 'ā' | 'ă' | 'ą' | 'ǎ' => "a",
        'æ' => "ae",
        'ç' | 'ć' | 'ĉ' | 'ċ' | 'č' => "c",
        'ď' | 'đ' | 'ð' => "d",
        'è' | 'é' | 'ê' | 'ë' | 'ē' | 'ĕ' | 'ė' | 'ę' | 'ě' => "e",
        'ĝ' | 'ğ' | 'ġ' | 'ģ' => "g",
        'ĥ' | 'ħ' => "h",
        'ì' | 'í' | 'î' | 'ï' | 'ĩ' | 'ī' | 'ĭ' | 'į' | 'ı' | 'ǐ' => "i",
        'ĵ' => "j",
        'ķ' => "k",
        'ĺ' | 'ļ' | 'ľ' | 'ł' => "l",
        'ñ' | 'ń' | 'ņ' | 'ň' => "n",
        'ò' | 'ó' | 'ô' | 'õ' | 'ö' | 'ø' | 'ō' | 'ŏ' | 'ő' | 'ǒ' => "o",
        'œ' => "oe",
        'ŕ' | 'ř' => "r",
        'ś' | 'ŝ' | 'ş' | 'š' | 'ș' => "s",
        'ß' => "ss",
        'ţ' | 'ť' | 'ț' => "t",
        'ù' | 'ú' | 'û' | 'ü' | 'ũ' | 'ū' | 'ŭ' | 'ů' | 'ű' | 'ų' | 'ǔ' => "u",
        'ŵ' => "w",
        'ý' | 'ÿ' => "y",
        'ź' | 'ż' | 'ž' => "z",
        'þ' => "th",
        '\u{300}'..='\u{36f}' => "",
        _ => return None,
    })
}

/// Returns the letters and digits of a name in lower case, with accents: `"Très élevé!"` → `"trèsélevé"`.
pub fn fold_accented(name: &str) -> String {
    name.chars().filter(|c| c.is_alphanumeric()).flat_map(char::to_lowercase).collect()
}

/// Returns the runs of letters and digits of a string in lower case.
pub fn words(text: &str) -> impl Iterator<Item = String> + '_ {
    text.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty()).map(str::to_lowercase)
}

/// Returns the words of a name in lower case; spaces, marks and capital letters separate them.
pub fn words_of_name(name: &str) -> Vec<String> {
    let mut out: Vec<String> = Vec::new();
    let (mut fresh, mut small) = (true, false);
    for c in name.chars() {
        if !c.is_alphanumeric() {
            (fresh, small) = (true, false);
            continue;
        }
        fresh |= small && c.is_uppercase();
        small = c.is_lowercase();
        if fresh {
            out.push(String::new());
        }
        fresh = false;
        if let Some(word) = out.last_mut() {
            word.extend(c.to_lowercase());
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folding_keeps_letters_and_digits() {
        for (text, folded) in [
            ("Très élevé!", "treseleve"),
            ("high_priority-2", "highpriority2"),
            ("STRASSE ß", "strassess"),
            ("e\u{301}", "e"),
        ] {
            assert_eq!(fold(text), folded, "{text}");
        }
    }

    #[test]
    fn accents_are_kept_where_they_tell_names_apart() {
        for (text, folded) in [("Très élevé!", "trèsélevé"), ("Unit_Price", "unitprice"), ("[[ ## ]]", "")]
        {
            assert_eq!(fold_accented(text), folded, "{text}");
        }
    }

    #[test]
    fn words_are_separated_by_marks_and_those_of_names_by_capitals_too() {
        for (text, expected, of_name) in [
            ("unitPrice in_EUR", vec!["unitprice", "in", "eur"], vec!["unit", "price", "in", "eur"]),
            ("HTTPStatus-2", vec!["httpstatus", "2"], vec!["httpstatus", "2"]),
            ("Réf-No 2", vec!["réf", "no", "2"], vec!["réf", "no", "2"]),
            ("--", vec![], vec![]),
        ] {
            assert_eq!(words(text).collect::<Vec<_>>(), expected, "{text}");
            assert_eq!(words_of_name(text), of_name, "{text}");
        }
    }
}
