//! The checksums of lines. Each is the last member of its line, and covers the line and the checksum before, so a line
//! that has changed, is missing, or is not in its place is found.
//!
//! The first line, the header, has none: the chain begins with its text.

use dspy_base::digest::Digest;

/// The text between the content of a line and its checksum.
const START: &str = ",\"sum\":\"";
/// The end of a line with a checksum.
const END: &str = "\"}";
/// The number of hexadecimal digits.
const DIGITS: usize = 8;

/// The checksum of the last line of a journal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Seal(String);

impl Seal {
    /// Returns the beginning of the chain of a journal with this header.
    pub(super) fn of_header(line: &[u8]) -> Self {
        Seal(String::new()).after(&String::from_utf8_lossy(line.trim_ascii_end()))
    }

    /// Returns a JSON object with members as the next line, and the checksum of that.
    pub(super) fn line(&self, mut object: String) -> (String, Seal) {
        object.pop();
        let seal = self.after(&object);
        object.push_str(START);
        object.push_str(&seal.0);
        object.push_str(END);
        object.push('\n');
        (object, seal)
    }

    /// Returns the checksum of a line if it is the one that is due here.
    pub(super) fn next(&self, line: &[u8]) -> Option<Seal> {
        let line = std::str::from_utf8(line).ok()?.trim_end().strip_suffix(END)?;
        let (content, sum) = line.split_at_checked(line.len().checked_sub(DIGITS)?)?;
        let seal = self.after(content.strip_suffix(START)?);
        (seal.0 == sum).then_some(seal)
    }

    fn after(&self, content: &str) -> Seal {
        let mut sum = Digest::new().add_text(&self.0).add_text(content).short();
        sum.truncate(DIGITS);
        Seal(sum)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEADER: &[u8] = b"{\"format\":\"f\"}\n";

    #[test]
    fn every_changed_byte_is_found() {
        let start = Seal::of_header(HEADER);
        let (line, seal) = start.line(r#"{"at":17,"text":"a reply"}"#.into());
        assert_eq!(start.next(line.as_bytes()), Some(seal.clone()), "{line}");
        assert_eq!(start.next(line.trim_end().as_bytes()), Some(seal), "{line}");
        for at in 0..line.len() - 1 {
            let mut changed = line.clone().into_bytes();
            changed[at] ^= 1;
            assert_eq!(start.next(&changed), None, "{at}");
            assert_eq!(start.next(&line.as_bytes()[..at]), None, "{at}");
        }
        let json: serde_json::Value = serde_json::from_str(&line).unwrap();
        assert_eq!(json["text"], "a reply");
    }

    #[test]
    fn a_line_belongs_to_the_lines_before_it() {
        let start = Seal::of_header(HEADER);
        let (first, seal) = start.line(r#"{"at":1}"#.into());
        let (second, last) = seal.line(r#"{"at":1}"#.into());
        assert_eq!(seal.next(second.as_bytes()), Some(last.clone()));
        assert_ne!(first, second);
        assert_eq!(start.next(second.as_bytes()), None, "the first line is missing");
        assert_eq!(seal.next(first.as_bytes()), None, "the first line is repeated");
        assert_eq!(last.next(second.as_bytes()), None, "the second line is repeated");
        assert_eq!(Seal::of_header(b"{\"format\":\"g\"}").next(first.as_bytes()), None);
    }

    #[test]
    fn lines_without_a_checksum_are_none() {
        for line in ["{\"at\":17}\n", "{}", "", "\n", "{\"text\":\"sum\"}"] {
            assert_eq!(Seal::of_header(HEADER).next(line.as_bytes()), None, "{line}");
        }
    }
}
