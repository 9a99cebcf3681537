//! The checksum of a line, which is its last member. A byte that has changed can leave a line valid JSON.
//!
//! Lines of earlier versions have no checksum and are read without a check, and so is the header: a changed one is that
//! of another run.

use dspy_base::digest::Digest;

/// The text between the content of a line and its checksum.
const START: &str = ",\"sum\":\"";
/// The end of a line with a checksum.
const END: &str = "\"}";
/// The number of hexadecimal digits.
const DIGITS: usize = 8;

/// Returns a JSON object with members as a line with a checksum.
pub(super) fn sealed(mut object: String) -> String {
    object.pop();
    let sum = checksum(&object);
    object.push_str(START);
    object.push_str(&sum);
    object.push_str(END);
    object.push('\n');
    object
}

/// Returns whether a line is intact: its checksum is that of its content, or it has none.
pub(super) fn is_intact(line: &[u8]) -> bool {
    let Ok(line) = std::str::from_utf8(line) else { return false };
    let parts = line.trim_end().strip_suffix(END).and_then(|line| {
        let (content, sum) = line.split_at_checked(line.len().checked_sub(DIGITS)?)?;
        Some((content.strip_suffix(START)?, sum))
    });
    parts.is_none_or(|(content, sum)| checksum(content) == sum)
}

fn checksum(content: &str) -> String {
    let mut sum = Digest::new().add_text(content).short();
    sum.truncate(DIGITS);
    sum
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_changed_byte_of_the_content_is_found() {
        let line = sealed(r#"{"at":17,"text":"a reply"}"#.into());
        assert!(is_intact(line.as_bytes()) && is_intact(line.trim_end().as_bytes()), "{line}");
        let content = line.find(START).unwrap();
        for at in 0..content {
            let mut changed = line.clone().into_bytes();
            changed[at] ^= 1;
            assert!(!is_intact(&changed), "{at}");
        }
        let json: serde_json::Value = serde_json::from_str(&line).unwrap();
        assert_eq!(json["text"], "a reply");
    }

    #[test]
    fn lines_without_a_checksum_are_intact() {
        for line in ["{\"at\":17}\n", "{}", "", "{\"text\":\"sum\"}"] {
            assert!(is_intact(line.as_bytes()), "{line}");
        }
    }
}
