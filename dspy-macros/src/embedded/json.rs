//! A reader of JSON. With a library for it, every user would build that library a second time, for the compiler.

use std::str::Chars;

/// The deepest nesting, as in `serde_json`.
const DEEPEST: usize = 128;

/// A value. Numbers, booleans and null are not told apart, as nothing reads them.
#[derive(Debug, PartialEq)]
pub(super) enum Json {
    Object(Vec<(String, Json)>),
    Array(Vec<Json>),
    Text(String),
    Other,
}

impl Json {
    /// Reads a whole file.
    ///
    /// # Errors
    /// The problem, with its line.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let mut reader = Reader { rest: text.chars(), depth: 0 };
        let read = reader.value().and_then(|value| match reader.peek() {
            None => Ok(value),
            Some(_) => Err("more text after the JSON".into()),
        });
        read.map_err(|problem| {
            let line = text[..text.len() - reader.rest.as_str().len()].matches('\n').count() + 1;
            format!("{problem} in line {line}")
        })
    }

    /// Returns a member of an object; the last of several with the same name.
    pub(super) fn get(&self, name: &str) -> Option<&Json> {
        self.members().iter().rfind(|(other, _)| other == name).map(|(_, value)| value)
    }

    /// Returns the members of an object, none for other values.
    pub(super) fn members(&self) -> &[(String, Json)] {
        if let Json::Object(members) = self { members } else { &[] }
    }

    /// Returns the items of an array, none for other values.
    pub(super) fn items(&self) -> &[Json] {
        if let Json::Array(items) = self { items } else { &[] }
    }

    /// Returns a string, `None` for other values.
    pub(super) fn text(&self) -> Option<&str> {
        if let Json::Text(text) = self { Some(text) } else { None }
    }
}

struct Reader<'a> {
    rest: Chars<'a>,
    depth: usize,
}

impl Reader<'_> {
    /// Returns the next character that is not white space.
    fn peek(&mut self) -> Option<char> {
        let rest = self.rest.as_str().trim_start_matches([' ', '\t', '\r', '\n']);
        self.rest = rest.chars();
        rest.chars().next()
    }

    /// Takes a character if it is next.
    fn take(&mut self, wanted: char) -> bool {
        let found = self.peek() == Some(wanted);
        if found {
            self.rest.next();
        }
        found
    }

    fn expect(&mut self, wanted: char) -> Result<(), String> {
        if self.take(wanted) { Ok(()) } else { Err(self.instead(&format!("`{wanted}`"))) }
    }

    fn instead(&mut self, wanted: &str) -> String {
        match self.peek() {
            Some(found) => format!("expected {wanted}, found `{found}`"),
            None => format!("expected {wanted}, found the end"),
        }
    }

    fn value(&mut self) -> Result<Json, String> {
        match self.peek() {
            Some('{') => self.list('{', '}', Self::member).map(Json::Object),
            Some('[') => self.list('[', ']', Self::value).map(Json::Array),
            Some('"') => self.text().map(Json::Text),
            _ => self.word(),
        }
    }

    fn list<T>(
        &mut self,
        open: char,
        close: char,
        item: fn(&mut Self) -> Result<T, String>,
    ) -> Result<Vec<T>, String> {
        self.expect(open)?;
        self.depth += 1;
        if self.depth > DEEPEST {
            return Err("too deep nesting".into());
        }
        let mut items = Vec::new();
        if !self.take(close) {
            items.push(item(self)?);
            while self.take(',') {
                items.push(item(self)?);
            }
            if !self.take(close) {
                return Err(self.instead(&format!("`,` or `{close}`")));
            }
        }
        self.depth -= 1;
        Ok(items)
    }

    fn member(&mut self) -> Result<(String, Json), String> {
        let name = self.text()?;
        self.expect(':')?;
        Ok((name, self.value()?))
    }

    /// Reads a number, a boolean or null.
    fn word(&mut self) -> Result<Json, String> {
        let rest = self.rest.as_str();
        let is_part = |c: char| c.is_ascii_alphanumeric() || ['+', '-', '.'].contains(&c);
        let (word, after) = rest.split_at(rest.find(|c| !is_part(c)).unwrap_or(rest.len()));
        let is_number = || {
            word.trim_start_matches('-').starts_with(|c: char| c.is_ascii_digit())
                && word.parse::<f64>().is_ok()
        };
        if !["true", "false", "null"].contains(&word) && !is_number() {
            return Err(self.instead("a value"));
        }
        self.rest = after.chars();
        Ok(Json::Other)
    }

    fn text(&mut self) -> Result<String, String> {
        self.expect('"')?;
        let mut text = String::new();
        loop {
            match self.rest.next() {
                None => return Err("a string without an end".into()),
                Some('"') => return Ok(text),
                Some('\\') => text.push(self.escape()?),
                Some(c) if c < ' ' => return Err("a control character in a string".into()),
                Some(c) => text.push(c),
            }
        }
    }

    fn escape(&mut self) -> Result<char, String> {
        Ok(match self.rest.next() {
            Some('n') => '\n',
            Some('t') => '\t',
            Some('r') => '\r',
            Some('b') => '\u{8}',
            Some('f') => '\u{c}',
            Some(c @ ('"' | '\\' | '/')) => c,
            Some('u') => {
                let mut units = vec![self.unit()?];
                // Characters outside the basic plane are two escapes.
                if (0xd800..0xdc00).contains(&units[0]) && self.rest.as_str().starts_with("\\u") {
                    self.rest.nth(1);
                    units.push(self.unit()?);
                }
                let mut decoded = char::decode_utf16(units);
                match (decoded.next(), decoded.next()) {
                    (Some(Ok(c)), None) => c,
                    _ => return Err("half a character in a string".into()),
                }
            }
            _ => return Err("an unknown escape in a string".into()),
        })
    }

    /// Reads the four digits of an escape.
    fn unit(&mut self) -> Result<u16, String> {
        let digits: String = self.rest.by_ref().take(4).collect();
        let is_hex = digits.len() == 4 && digits.bytes().all(|digit| digit.is_ascii_hexdigit());
        let unit = is_hex.then(|| u16::from_str_radix(&digits, 16).ok()).flatten();
        unit.ok_or_else(|| "an unknown escape in a string".into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn strip(value: &serde_json::Value) -> Json {
        match value {
            serde_json::Value::Object(members) => {
                Json::Object(members.iter().map(|(name, value)| (name.clone(), strip(value))).collect())
            }
            serde_json::Value::Array(items) => Json::Array(items.iter().map(strip).collect()),
            serde_json::Value::String(text) => Json::Text(text.clone()),
            _ => Json::Other,
        }
    }

    /// Both readers agree, about values and about errors.
    #[test]
    fn json_is_read_as_by_serde_json() {
        let deep = |depth: usize| "[".repeat(depth) + &"]".repeat(depth);
        let deepest = [deep(127), deep(129)];
        let texts = [
            r#"{"a": [1, -2.5e+3, true, null, "x"], "b": {}, "c": [ ]}"#,
            r#" "\"\\\/\b\f\n\r\t\u00e9\ud83e\udd80 🦀" "#,
            "\r\n\t[\n]\n",
            "",
            "{",
            "[1,]",
            "[1 2]",
            r#"{"a" 1}"#,
            "{a: 1}",
            r#"{"a": 1,}"#,
            "[] []",
            "nul",
            "NaN",
            "--1",
            "1.2.3",
            "\"a",
            "\"a\nb\"",
            r#""\x""#,
            r#""\u12""#,
            r#""\u+123""#,
            r#""\ud83e""#,
            r#""\ud83e\u0041""#,
            r#""\udd80""#,
        ];
        for text in texts.into_iter().chain(deepest.iter().map(String::as_str)) {
            let other = serde_json::from_str(text).map(|value| strip(&value));
            assert_eq!(Json::parse(text).ok(), other.ok(), "{text}");
        }
    }

    #[test]
    fn errors_name_the_line() {
        assert_eq!(Json::parse("{\n\"a\": x}").unwrap_err(), "expected a value, found `x` in line 2");
        assert_eq!(Json::parse("[1").unwrap_err(), "expected `,` or `]`, found the end in line 1");
    }

    #[test]
    fn the_last_of_several_members_counts() {
        let json = Json::parse(r#"{"a": "x", "a": "y"}"#).unwrap();
        assert_eq!(json.get("a").and_then(Json::text), Some("y"));
        assert_eq!(json.get("b"), None);
    }
}
