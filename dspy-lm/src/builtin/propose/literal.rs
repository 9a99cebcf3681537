//! A lenient reader of JSON and of literals of Python, found anywhere in a string.

use super::node::Node;

/// The maximum nesting depth of a literal.
const DEPTH: usize = 48;

/// Returns the literals that make up the whole text, separated by spaces or commas; `None` if there is anything else.
pub(super) fn whole(text: &str) -> Option<Vec<Node>> {
    let mut reader = Reader::new(text);
    let mut found = Vec::new();
    loop {
        reader.skip_separators();
        if reader.rest().is_empty() {
            return (!found.is_empty()).then_some(found);
        }
        if !reader.rest().starts_with(['{', '[']) || reader.rest().starts_with("[[ ##") {
            return None;
        }
        found.push(reader.value(0)?);
    }
}

/// Returns the objects, and the lists of objects, that occur in a string.
pub(super) fn inside(text: &str) -> Vec<Node> {
    let mut reader = Reader::new(text);
    let mut found = Vec::new();
    while let Some(at) = reader.rest().find(['{', '[']) {
        reader.at += at;
        let start = reader.at;
        match reader.value(0) {
            Some(node) => {
                if node.has_object() {
                    found.push(node);
                }
            }
            None => reader.at = start + 1,
        }
        if reader.steps == 0 {
            break;
        }
    }
    found
}

struct Reader<'a> {
    text: &'a str,
    at: usize,
    /// The number of values and characters that may still be read. It bounds the time for texts with many
    /// brackets that do not close.
    steps: usize,
}

impl<'a> Reader<'a> {
    fn new(text: &'a str) -> Reader<'a> {
        Reader { text, at: 0, steps: text.len().saturating_mul(4) + 1024 }
    }

    fn rest(&self) -> &'a str {
        self.text.get(self.at..).unwrap_or_default()
    }

    fn skip_separators(&mut self) {
        let rest = self.rest();
        self.at += rest.len() - rest.trim_start_matches(|c: char| c.is_whitespace() || c == ',').len();
    }

    /// Spends steps; `None` when there are none left.
    fn spend(&mut self, steps: usize) -> Option<()> {
        let left = self.steps.checked_sub(steps);
        self.steps = left.unwrap_or_default();
        left.map(|_| ())
    }

    fn value(&mut self, depth: usize) -> Option<Node> {
        self.spend(1)?;
        self.skip_separators();
        match self.rest().chars().next()? {
            _ if depth > DEPTH => None,
            '{' => self.object(depth),
            open @ ('[' | '(') => {
                self.at += 1;
                let close = if open == '[' { ']' } else { ')' };
                let mut items = Vec::new();
                loop {
                    self.skip_separators();
                    if self.rest().starts_with(close) {
                        self.at += 1;
                        return Some(Node::List(items));
                    }
                    items.push(self.value(depth + 1)?);
                }
            }
            '"' | '\'' => self.string().map(Node::Text),
            _ => self.bare().map(Node::Text),
        }
    }

    fn object(&mut self, depth: usize) -> Option<Node> {
        self.at += 1;
        let mut members = Vec::new();
        loop {
            self.spend(1)?;
            self.skip_separators();
            match self.rest().chars().next()? {
                '}' => {
                    self.at += 1;
                    return Some(Node::Object(members));
                }
                '"' | '\'' => {
                    let key = self.string()?;
                    self.member(key, &mut members, depth)?;
                }
                c if c.is_alphanumeric() || c == '_' => {
                    let key = self.bare()?;
                    self.member(key, &mut members, depth)?;
                }
                _ => return None,
            }
        }
    }

    fn member(&mut self, key: String, members: &mut Vec<(String, Node)>, depth: usize) -> Option<()> {
        self.skip_separators();
        self.at += self.rest().starts_with(':').then_some(1)?;
        let value = self.value(depth + 1)?;
        members.push((key, value));
        Some(())
    }

    fn string(&mut self) -> Option<String> {
        let quote = self.rest().chars().next()?;
        let mut out = String::new();
        let mut chars = self.text.get(self.at + 1..)?.char_indices();
        while let Some((at, c)) = chars.next() {
            self.spend(1)?;
            match c {
                '\\' => match chars.next()?.1 {
                    'n' => out.push('\n'),
                    't' => out.push('\t'),
                    'r' => {}
                    'u' => {
                        let digits: String = chars.by_ref().take(4).map(|(_, c)| c).collect();
                        out.extend(u32::from_str_radix(&digits, 16).ok().and_then(char::from_u32));
                    }
                    other => out.push(other),
                },
                c if c == quote => {
                    self.at += 1 + at + 1;
                    return Some(out);
                }
                c => out.push(c),
            }
        }
        None
    }

    /// Reads a word without quotes: a number, a constant or the name of a key. A null becomes the empty string.
    fn bare(&mut self) -> Option<String> {
        let rest = self.rest();
        let ends = |c: char| matches!(c, ',' | ':' | '}' | ']' | ')' | '{' | '[' | '\n' | '"');
        let length = rest.find(ends).unwrap_or(rest.len());
        self.spend(length)?;
        let word = rest[..length].trim();
        let length_is_fair = !word.is_empty() && length <= 64;
        self.at += length;
        length_is_fair.then(|| match word {
            "null" | "None" => String::new(),
            "True" => "true".to_owned(),
            "False" => "false".to_owned(),
            word => word.to_owned(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_and_python_are_read() {
        for text in [
            r#"[{"a": "x", "n": 1.5, "ok": true, "l": ["p", "q"]}]"#,
            "[{'a': 'x', 'n': 1.5, 'ok': True, 'l': ('p', 'q'),}]",
            "{a: x, n: 1.5, ok: true, l: [p, q]}",
        ] {
            let found = whole(text).unwrap();
            assert_eq!(found[0].flat(), "x\n1.5\ntrue\np\nq", "{text}");
        }
        assert!(whole("a {\"b\": 1}").is_none());
        assert_eq!(inside("see Example({'q': 'it\\'s'}) (input_keys={'q'}) [1] {\"r\": null}").len(), 2);
    }

    #[test]
    fn brackets_that_do_not_close_are_no_trouble() {
        for text in
            ["[".repeat(100_000), "{\"a\":".repeat(20_000), "{ a ".repeat(30_000), "\"'{[".repeat(30_000)]
        {
            let start = std::time::Instant::now();
            assert!(inside(&text).is_empty());
            assert!(start.elapsed().as_secs() < 5, "{}", &text[..8]);
        }
    }
}
