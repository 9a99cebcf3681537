//! Block scalars of YAML: `text: |` followed by indented lines.

/// The value of a key that opens a block.
pub(super) enum Block {
    /// The text, and the place where the lines of the block end.
    Text(String, usize),
    /// A block whose text cannot be determined.
    Unclear,
}

/// Reads the block that a value opens, whose lines start at `at` in the text and are indented more than
/// `depth`.
pub(super) fn read(text: &str, value: &str, at: usize, depth: usize) -> Option<Block> {
    let (mark, header) = header(value)?;
    Some(lines(text, mark == '>', header, at, depth).unwrap_or(Block::Unclear))
}

/// Returns the mark of a block and the rest of its header, if a value opens one.
fn header(value: &str) -> Option<(char, &str)> {
    let mark = value.chars().next().filter(|c| matches!(c, '|' | '>'))?;
    let header = value[1..].split(" #").next().unwrap_or("").trim_end();
    let plain = header.len() <= 2 && header.chars().all(|c| matches!(c, '+' | '-' | '1'..='9'));
    plain.then_some((mark, header))
}

/// Returns whether a line opens a block after its key.
pub(super) fn opens(line: &str) -> bool {
    line.split_once(':').is_some_and(|(_, value)| header(value.trim()).is_some())
}

/// Returns whether a value is the mark of a block.
pub(super) fn is_mark(value: &str) -> bool {
    header(value).is_some()
}

/// Reads the text of a block. The line break after its last line ends the block and is not part of the text;
/// a header that keeps it (`|+`) or states the indentation is not supported.
fn lines(text: &str, folds: bool, header: &str, at: usize, depth: usize) -> Option<Block> {
    if !matches!(header, "" | "-") {
        return None;
    }
    let (mut lines, mut own, mut from, mut end) = (Vec::new(), None, at, at);
    for line in text[at..].split_inclusive('\n') {
        let content = line.trim();
        let indent = line.len() - line.trim_start_matches(' ').len();
        if content.is_empty() {
            lines.push("");
        } else {
            if indent <= depth {
                break;
            }
            // Indented less than the first line and more than the key; or a tab, which has no defined width.
            let own = *own.get_or_insert(indent);
            if indent < own || line[own..].starts_with('\t') || folds && indent > own {
                return None;
            }
            lines.push(line[own..].trim_end_matches(['\n', '\r']));
            end = from + line.len();
        }
        from += line.len();
    }
    while lines.last().is_some_and(|line| line.is_empty()) {
        lines.pop();
    }
    if lines.is_empty() {
        return None;
    }
    let text = if folds { fold(&lines) } else { lines.join("\n") };
    Some(Block::Text(text, end))
}

/// Joins lines as YAML folds them: a line break is a space, and n blank lines are n line breaks.
fn fold(lines: &[&str]) -> String {
    let mut out = String::new();
    let mut blank = 0;
    for line in lines {
        if line.is_empty() {
            blank += 1;
            continue;
        }
        if blank > 0 {
            out.extend(std::iter::repeat_n('\n', blank));
        } else if !out.is_empty() {
            out.push(' ');
        }
        blank = 0;
        out.push_str(line.trim_end());
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_as_yaml_reads_them() {
        for (value, below, read) in [
            ("|", "  a\n  b\n", Some("a\nb")),
            ("|-", "  a\n    b\n\n  c\nd", Some("a\n  b\n\nc")),
            (">", "  a\n  b\n\n  c\n", Some("a b\nc")),
            (">- # folded", "  a\n  b", Some("a b")),
            (">", "  a\n    b\n", None),
            ("|+", "  a\n\n", None),
            ("|2", "  a\n", None),
            ("|", "a\n", None),
            ("|", "    a\n  b\n", None),
        ] {
            match (super::read(below, value, 0, 0), read) {
                (Some(Block::Text(text, _)), Some(read)) => assert_eq!(text, read, "{value} {below:?}"),
                (Some(Block::Unclear), None) => {}
                _ => panic!("{value} {below:?}"),
            }
        }
        for value in ["a | b", "|x", "> quoted", "5"] {
            assert!(super::read("  a", value, 0, 0).is_none(), "{value}");
        }
    }
}
