//! The vectors of texts that embedding models have returned, by the digest of the text.

use std::collections::HashMap;
use std::fmt::Write as _;

use super::packed::Key;

/// The vectors of a run, by study and digest of the text.
#[derive(Debug, Default)]
pub(super) struct Vectors(HashMap<Key, Box<[f32]>>);

impl Vectors {
    /// Adds the vectors of an answer in the form of [`write`]. One that is damaged has none.
    pub(super) fn add(&mut self, scope: &str, answer: &str) {
        for (digest, vector) in read(answer).unwrap_or_default() {
            self.0.insert(key(scope, digest), vector.into());
        }
    }

    pub(super) fn get(&self, scope: &str, digest: &str) -> Option<&[f32]> {
        self.0.get(&key(scope, digest)).map(AsRef::as_ref)
    }
}

fn key(scope: &str, digest: &str) -> Key {
    Key::of(&format!("{scope}/{digest}"))
}

/// Writes the answer of an embedding model, one text on each line: its digest, and its vector as hexadecimal bits, which
/// is exact and short.
pub(crate) fn write(digests: &[String], vectors: &[Vec<f32>]) -> String {
    let numbers: usize = vectors.iter().map(Vec::len).sum();
    let mut text =
        String::with_capacity(8 * numbers + digests.iter().map(|digest| digest.len() + 2).sum::<usize>());
    for (digest, vector) in digests.iter().zip(vectors) {
        text.push_str(digest);
        text.push(' ');
        for number in vector {
            // Writing to a string does not fail.
            let _ = write!(text, "{:08x}", number.to_bits());
        }
        text.push('\n');
    }
    text
}

fn read(text: &str) -> Option<Vec<(&str, Vec<f32>)>> {
    let number = |digits: &[u8]| {
        let digits = std::str::from_utf8(digits).ok().filter(|digits| digits.len() == 8)?;
        u32::from_str_radix(digits, 16).ok().map(f32::from_bits)
    };
    let line = |line| {
        let (digest, numbers) = str::split_once(line, ' ')?;
        Some((digest, numbers.as_bytes().chunks(8).map(number).collect::<Option<_>>()?))
    };
    text.lines().map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn vectors_are_found_as_they_were_written() {
        let vectors = [vec![0.1, -1e-38, f32::MAX], Vec::new(), vec![-0.0]];
        let digests = ["a", "b", "c"].map(String::from);
        let mut known = Vectors::default();
        known.add("study", &write(&digests, &vectors));
        for (digest, vector) in digests.iter().zip(&vectors) {
            let found = known.get("study", digest).unwrap();
            assert!(
                found.iter().map(|number| number.to_bits()).eq(vector.iter().map(|number| number.to_bits()))
            );
        }
        assert_eq!(known.get("other", "a"), None);
    }

    #[test]
    fn a_damaged_answer_has_no_vectors() {
        assert_eq!(read(""), Some(Vec::new()));
        for damaged in ["0", "a 0", "a 0000000g\n", "a 000000000\n", "a é000000", "a 00000000\nb"] {
            assert_eq!(read(damaged), None, "{damaged}");
        }
    }
}
