//! Challenges of servers that require authorization.

/// The challenge of an HTTP server that requires authorization: its header `WWW-Authenticate`.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Challenge {
    /// The scheme, such as `Bearer`.
    pub scheme: String,
    /// The parameters in their order, such as `resource_metadata` and `scope`. Names are in lower case.
    pub parameters: Vec<(String, String)>,
    /// The whole header.
    pub header: String,
}

impl Challenge {
    /// The largest length of a header that is read.
    #[cfg(feature = "http")]
    const LONGEST: usize = 8 * 1024;

    /// Reads a header. Parts that are malformed are left out of the parameters.
    #[cfg(feature = "http")]
    pub(crate) fn read(header: &str) -> Self {
        let header = shorten(header, Self::LONGEST);
        let (scheme, mut rest) = header.trim().split_once(char::is_whitespace).unwrap_or((header.trim(), ""));
        let mut parameters = Vec::new();
        while let Some((name, after)) = rest.split_once('=') {
            let name = name.trim_matches(|c: char| c == ',' || c.is_whitespace()).to_ascii_lowercase();
            let after = after.trim_start();
            let (value, left) = match after.strip_prefix('"') {
                Some(quoted) => read_quoted(quoted),
                None => {
                    let end = after.find(',').unwrap_or(after.len());
                    (after[..end].trim().to_owned(), &after[end..])
                }
            };
            parameters.push((name, value));
            rest = left;
        }
        Challenge { scheme: scheme.to_owned(), parameters, header: header.to_owned() }
    }

    /// Returns the value of a parameter.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.parameters
            .iter()
            .find(|(known, _)| known.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.as_str())
    }

    /// Returns the address of the metadata that names the authorization server.
    pub fn resource_metadata(&self) -> Option<&str> {
        self.get("resource_metadata")
    }

    /// Returns the scopes that the server requires.
    pub fn scope(&self) -> Option<&str> {
        self.get("scope")
    }
}

/// Reads up to the closing quotation mark. Returns the value and the rest.
#[cfg(feature = "http")]
fn read_quoted(text: &str) -> (String, &str) {
    let mut value = String::new();
    let mut letters = text.char_indices();
    while let Some((at, letter)) = letters.next() {
        match letter {
            '"' => return (value, &text[at + 1..]),
            '\\' => value.extend(letters.next().map(|(_, letter)| letter)),
            letter => value.push(letter),
        }
    }
    (value, "")
}

/// Returns the first `most` bytes, or fewer at a boundary of characters.
pub(crate) fn shorten(text: &str, most: usize) -> &str {
    &text[..text.floor_char_boundary(most)]
}

#[cfg(all(test, feature = "http"))]
mod tests {
    use super::*;

    #[test]
    fn a_challenge_has_its_parameters() {
        let header = r#"Bearer resource_metadata="https://a.example/x, y", scope="files:read files:\"w\"", Error=invalid_token"#;
        let challenge = Challenge::read(header);
        assert_eq!(challenge.scheme, "Bearer");
        assert_eq!(challenge.resource_metadata(), Some("https://a.example/x, y"));
        assert_eq!(challenge.scope(), Some("files:read files:\"w\""));
        assert_eq!(challenge.get("error"), Some("invalid_token"));
        assert_eq!(challenge.header, header);
    }

    #[test]
    fn malformed_challenges_do_no_harm() {
        for header in
            ["", "Bearer", "=", "Bearer =", "Bearer a=\"b", "Bearer a=\"\\", "é=\"é, ü=ö", "a b c d"]
        {
            assert_eq!(Challenge::read(header).header, header);
        }
        assert_eq!(Challenge::read(&"é=".repeat(1_000_000)).header.len(), 8 * 1024);
    }
}
