//! The plain notations of records: literals, sections with markers, headings, elements, `key: value` lines, arrows.

use super::literal;
use super::node::Node;
use crate::builtin::sections::{self, unescape};

/// The maximum nesting depth of elements.
const DEPTH: usize = 4;
/// The maximum number of words and bytes of a key before a colon.
const KEY_WORDS: usize = 4;
const KEY_LENGTH: usize = 40;
/// Signs between an input and its label on one line.
const ARROWS: &[&str] = &[" -> ", " => ", " → ", "\t"];

/// Parses a string in the first notation that fits it.
pub(super) fn parse(text: &str) -> Node {
    let text = text.trim();
    if let Some(mut nodes) = literal::whole(text) {
        return if nodes.len() == 1 { nodes.remove(0) } else { Node::List(nodes) };
    }
    let marked: Vec<_> =
        sections::read_all(text).map(|(name, section)| (name.to_owned(), leaf(&unescape(section)))).collect();
    if !marked.is_empty() {
        return group(marked);
    }
    if text.lines().filter(|line| heading(line).is_some()).count() > 1 {
        return headings(text);
    }
    let elements = elements(text, 0);
    if elements.len() > 1 {
        return group(elements);
    }
    let mut literals = literal::inside(text);
    if !literals.is_empty() {
        return if literals.len() == 1 { literals.remove(0) } else { Node::List(literals) };
    }
    let pairs = pairs(text);
    if pairs.len() > 1 {
        return group(pairs);
    }
    arrows(text).unwrap_or_else(|| Node::Text(text.to_owned()))
}

/// Parses `key: value` lines; `None` if the first line is none.
pub(super) fn members(text: &str) -> Option<Vec<(String, Node)>> {
    text.trim().lines().next().and_then(key_line)?;
    let found = pairs(text);
    (!found.is_empty()).then_some(found)
}

fn leaf(text: &str) -> Node {
    match literal::whole(text.trim()) {
        Some(mut nodes) if nodes.len() == 1 => nodes.remove(0),
        _ => Node::Text(text.trim().to_owned()),
    }
}

/// Groups names and values into objects: a name that repeats starts the next object.
fn group(pairs: Vec<(String, Node)>) -> Node {
    let mut objects: Vec<Vec<(String, Node)>> = vec![Vec::new()];
    let mut names = std::collections::HashSet::new();
    for (name, value) in pairs {
        let title = name.is_empty();
        if title || !names.insert(name.clone()) {
            names.clear();
            names.insert(name.clone());
            objects.push(Vec::new());
        }
        if let (Some(open), false) = (objects.last_mut(), title) {
            open.push((name, value));
        }
    }
    objects.retain(|object| !object.is_empty());
    let mut nodes: Vec<Node> = objects.into_iter().map(Node::Object).collect();
    if nodes.len() == 1 { nodes.remove(0) } else { Node::List(nodes) }
}

/// Returns the level and the title of a Markdown heading.
fn heading(line: &str) -> Option<(usize, &str)> {
    let rest = line.trim_start().trim_start_matches('#');
    let level = line.trim_start().len() - rest.len();
    let title = rest.strip_prefix(' ')?.trim().trim_matches('*').trim_end_matches(':');
    ((1..=6).contains(&level) && !title.is_empty()).then_some((level, title))
}

/// Parses headings: each one names the text below it, or the headings of a deeper level below it.
fn headings(text: &str) -> Node {
    struct Open {
        level: usize,
        title: String,
        text: String,
        members: Vec<(String, Node)>,
    }
    fn close(open: Open) -> (String, Node) {
        let text = open.text.trim();
        if open.members.is_empty() {
            return (open.title, leaf(text));
        }
        let mut members = open.members;
        if !text.is_empty() {
            members.push(("text".to_owned(), Node::Text(text.to_owned())));
        }
        (open.title, Node::Object(members))
    }
    fn close_to(stack: &mut Vec<Open>, level: usize) {
        while stack.len() > 1 && stack.last().is_some_and(|open| open.level >= level) {
            let Some(closed) = stack.pop().map(close) else { return };
            if let Some(parent) = stack.last_mut() {
                parent.members.push(closed);
            }
        }
    }
    let root = Open { level: 0, title: String::new(), text: String::new(), members: Vec::new() };
    let mut stack = vec![root];
    for line in text.lines() {
        if let Some((level, title)) = heading(line) {
            close_to(&mut stack, level);
            let title = title.to_owned();
            stack.push(Open { level, title, text: String::new(), members: Vec::new() });
        } else if let Some(open) = stack.last_mut() {
            open.text.push_str(line);
            open.text.push('\n');
        }
    }
    close_to(&mut stack, 0);
    let Some(root) = stack.pop() else { return Node::Text(text.to_owned()) };
    // Headings of one level that repeat are records themselves.
    let flat = root.members.iter().all(|(_, node)| matches!(node, Node::Text(_)));
    if flat {
        group(root.members.into_iter().map(|(name, node)| (numberless(&name), node)).collect())
    } else {
        close(root).1
    }
}

/// Returns the elements `<name>…</name>` at the top level of a string.
fn elements(text: &str, depth: usize) -> Vec<(String, Node)> {
    let mut found = Vec::new();
    let mut rest = text;
    // Each tag that does not close costs a search through the rest.
    let mut unclosed = 0;
    while let Some(at) = rest.find('<') {
        rest = &rest[at + 1..];
        let length =
            rest.find(|c: char| !(c.is_alphanumeric() || matches!(c, '_' | '-'))).unwrap_or(rest.len());
        let (name, after) = rest.split_at(length);
        let Some(body) = after.strip_prefix('>').filter(|_| !name.is_empty() && unclosed < 64) else {
            continue;
        };
        let close = format!("</{name}>");
        let Some(end) = body.find(&close) else {
            unclosed += 1;
            continue;
        };
        let inner = if depth < DEPTH { elements(&body[..end], depth + 1) } else { Vec::new() };
        let node = if inner.is_empty() { leaf(&body[..end]) } else { group(inner) };
        found.push((name.to_owned(), node));
        rest = &body[end + close.len()..];
    }
    found
}

/// Returns the key and the value of a line such as `**Key**: value` or `- key = value`.
pub(super) fn key_line(line: &str) -> Option<(&str, &str)> {
    let line = line.trim_start().trim_start_matches(['-', '*', '•', ' ']);
    let at = line.find([':', '='])?;
    let key = line[..at].trim().trim_matches(['*', '`', '"']);
    let value = line[at + 1..].trim_start_matches("**");
    let fair = |c: char| c.is_alphanumeric() || matches!(c, '_' | '-' | ' ' | '#');
    let words = key.split_whitespace().count();
    let is_key = key.len() <= KEY_LENGTH && (1..=KEY_WORDS).contains(&words) && key.chars().all(fair);
    // In a time or an address no space follows the colon.
    let spaced = value.is_empty() || value.starts_with(char::is_whitespace);
    (is_key && spaced && key.starts_with(char::is_alphabetic)).then_some((key, value.trim()))
}

/// Returns the `key: value` pairs of lines; lines without a key continue the value above. A pair without a name
/// separates records.
fn pairs(text: &str) -> Vec<(String, Node)> {
    let mut found: Vec<(String, String)> = Vec::new();
    for line in text.lines() {
        let rule = line.trim();
        if rule.len() >= 3 && rule.chars().all(|c| matches!(c, '-' | '=' | '*')) {
            found.push((String::new(), String::new()));
            continue;
        }
        match key_line(line) {
            // "Example 3:" is a title.
            Some((key, "")) if key.ends_with(|c: char| c.is_ascii_digit()) && !key.contains('_') => {
                found.push((String::new(), String::new()));
            }
            Some((key, value)) => found.push((numberless(key), value.to_owned())),
            None => {
                if let Some((name, open)) = found.last_mut().filter(|(name, _)| !name.is_empty()) {
                    if !line.trim().is_empty() || !open.is_empty() {
                        open.push('\n');
                        open.push_str(line);
                    }
                    debug_assert!(!name.is_empty());
                }
            }
        }
    }
    found.into_iter().map(|(name, text)| (name, leaf(&text))).collect()
}

/// Removes the number of a record from a key: `Input #3` becomes `Input`.
fn numberless(key: &str) -> String {
    let kept = key.trim_end_matches(|c: char| c.is_ascii_digit());
    if kept.len() == key.len() || !kept.ends_with(['#', ' ']) {
        return key.to_owned();
    }
    kept.trim_end_matches(['#', ' ']).to_owned()
}

/// Parses lines such as `an input -> its label`, if most lines are of this form.
fn arrows(text: &str) -> Option<Node> {
    let lines: Vec<&str> = text.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    let split = |line: &&str| {
        let (arrow, at) =
            ARROWS.iter().filter_map(|arrow| Some((arrow, line.rfind(arrow)?))).max_by_key(|(_, at)| *at)?;
        let label = line[at + arrow.len()..].trim();
        let input = line[..at].trim_start_matches(['-', '*', '•', ' ']).trim();
        let fair = !input.is_empty() && !label.is_empty() && label.split_whitespace().count() <= 8;
        let text = |text: &str| Node::Text(text.trim_matches('"').to_owned());
        fair.then(|| Node::Object(vec![("input".to_owned(), text(input)), ("label".to_owned(), text(label))]))
    };
    let found: Vec<Node> = lines.iter().filter_map(split).collect();
    (found.len() > 1 && found.len() * 5 >= lines.len() * 3).then_some(Node::List(found))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The same two records in every notation.
    #[test]
    fn notations_agree() {
        let expected = Node::List(
            [("late parcel", "shipping"), ("wrong invoice", "billing")]
                .map(|(input, label)| {
                    Node::Object(vec![
                        ("input".to_owned(), Node::Text(input.to_owned())),
                        ("label".to_owned(), Node::Text(label.to_owned())),
                    ])
                })
                .to_vec(),
        );
        for text in [
            r#"[{"input": "late parcel", "label": "shipping"}, {"input": "wrong invoice", "label": "billing"}]"#,
            "{'input': 'late parcel', 'label': 'shipping'}\n{'input': 'wrong invoice', 'label': 'billing'}",
            "[[ ## input ## ]]\nlate parcel\n\n[[ ## label ## ]]\nshipping\n\n[[ ## completed ## ]]\n\n[[ ## input ## \
             ]]\nwrong invoice\n\n[[ ## label ## ]]\nbilling",
            "# input\nlate parcel\n# label\nshipping\n# input\nwrong invoice\n# label\nbilling",
            "<input>late parcel</input><label>shipping</label>\n<input>wrong invoice</input><label>billing</label>",
            "input: late parcel\nlabel: shipping\n\ninput: wrong invoice\nlabel: billing",
            "Example 1:\n- **input**: late parcel\n- **label**: shipping\nExample 2:\n- **input**: wrong invoice\n- **label**: billing",
            "input 1: late parcel\nlabel 1: shipping\ninput 2: wrong invoice\nlabel 2: billing",
            "late parcel -> shipping\nwrong invoice -> billing",
        ] {
            assert_eq!(parse(text), expected, "{text}");
        }
    }

    #[test]
    fn headings_nest() {
        let text = "# Example 1\n## Inputs\n### message\nhi # there\n\n## Feedback\nWrong.\n# Example 2\n## Inputs\n### message\nyo";
        let Node::Object(members) = parse(text) else { panic!() };
        assert_eq!(members.len(), 2);
        assert_eq!(members[0].1.flat(), "hi # there\nWrong.");
    }

    #[test]
    fn prose_stays_text() {
        for text in [
            "",
            "Just a sentence.",
            "At 10:30 we left: nothing else.",
            "a <b and c> d",
            "# One heading\ntext",
        ] {
            assert!(matches!(parse(text), Node::Text(_)), "{text}");
        }
    }
}
