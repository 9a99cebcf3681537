//! The candidates among the texts of a proposer.

use super::clean;
use crate::fruitless::Fruitless;

/// Returns the texts of an answer that are candidates, cleaned and at most `most` characters long, and the number of the
/// others. An answer without any text is a blank one.
pub(crate) fn sift(texts: &[String], current: &str, most: usize) -> (Vec<String>, Fruitless) {
    let (mut usable, mut fruitless) = (Vec::new(), Fruitless::default());
    for text in texts {
        match clean(text, usize::MAX) {
            None => fruitless.blank += 1,
            Some(text) if text.chars().nth(most).is_some() => fruitless.endless += 1,
            Some(text) if text == current.trim() => fruitless.unchanged += 1,
            Some(text) => usable.push(text),
        }
    }
    fruitless.blank += usize::from(texts.is_empty());
    (usable, fruitless)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_of_markers_alone_are_blank() {
        let texts = ["", " \n", "\"\"", "[[ ## instruction ## ]]\n[[ ## completed ## ]]", "```\n```"];
        let sift = |texts: &[&str]| {
            let texts: Vec<String> = texts.iter().map(|text| (*text).to_owned()).collect();
            super::sift(&texts, " Answer. ", 10)
        };
        for text in texts {
            assert_eq!(sift(&[text]), (Vec::new(), Fruitless { blank: 1, ..Fruitless::default() }), "{text}");
        }
        let (usable, others) = sift(&["Answer.", "Reply.", "much too long", "\"Answer.\""]);
        assert_eq!(usable, ["Reply."]);
        assert_eq!(others.to_string(), "2 unchanged texts, 1 overlong text");
        assert_eq!(sift(&[]).1.to_string(), "1 blank text");
    }
}
