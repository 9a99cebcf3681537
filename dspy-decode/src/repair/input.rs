//! Byte-wise input of text with one change.

use super::super::text::next_special;

/// A change of the text: `skip` bytes from `at` on are replaced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Patch {
    pub(super) at: usize,
    pub(super) skip: usize,
    pub(super) put: [u8; 5],
    pub(super) len: u8,
}

impl Patch {
    pub(super) fn new(at: usize, skip: usize, put: &[u8]) -> Self {
        let mut bytes = [0; 5];
        let len = put.len().min(5);
        bytes[..len].copy_from_slice(&put[..len]);
        Self { at, skip, put: bytes, len: len as u8 }
    }

    pub(super) fn put(&self) -> &[u8] {
        &self.put[..usize::from(self.len)]
    }

    /// Returns the text after the change.
    pub(super) fn apply(&self, text: &str) -> Option<String> {
        let put = std::str::from_utf8(self.put()).ok()?;
        Some([text.get(..self.at)?, put, text.get(self.at + self.skip..)?].concat())
    }
}

/// The text with its patch, read byte by byte.
#[derive(Debug)]
pub(super) struct Input<'t> {
    pub(super) text: &'t str,
    patch: Option<Patch>,
    /// The next byte of the text; if `put > 0`, the place of the patch.
    pub(super) at: usize,
    /// Number of bytes of the patch that were read.
    put: usize,
    /// The key so far.
    pub(super) key: Vec<u8>,
}

impl<'t> Input<'t> {
    pub(super) fn new(text: &'t str, patch: Option<Patch>, at: usize) -> Self {
        Input { text, patch, at, put: 0, key: Vec::new() }
    }

    pub(super) fn peek(&self) -> Option<u8> {
        if let Some(patch) = &self.patch
            && patch.at == self.at
        {
            if let Some(b) = patch.put().get(self.put) {
                return Some(*b);
            }
            return self.text.as_bytes().get(self.at + patch.skip).copied();
        }
        self.text.as_bytes().get(self.at).copied()
    }

    pub(super) fn bump(&mut self) {
        if let Some(patch) = &self.patch
            && patch.at == self.at
        {
            if self.put < patch.put().len() {
                self.put += 1;
                if self.put == patch.put().len() && patch.skip > 0 {
                    self.leave();
                }
                return;
            }
            self.leave();
            self.at += 1;
            return;
        }
        self.at += 1;
    }

    /// Continues after the patch.
    pub(super) fn leave(&mut self) {
        if let Some(patch) = self.patch.take() {
            self.at = patch.at + patch.skip;
        }
    }

    pub(super) fn skip_white(&mut self) -> Option<u8> {
        loop {
            let c = self.peek()?;
            if !matches!(c, b' ' | b'\n' | b'\r' | b'\t') {
                return Some(c);
            }
            self.bump();
        }
    }

    /// Reads a byte like [`bump`](Self::bump), and adds it to the key if `key` is set.
    pub(super) fn advance(&mut self, key: bool) {
        if key && let Some(b) = self.peek() {
            self.key.push(b);
        }
        self.bump();
    }

    /// Returns the next relevant byte of a string: a quotation mark, an escape, a control character, or a
    /// structural character.
    pub(super) fn next_mark(&mut self, key: bool) -> Option<u8> {
        loop {
            let c = self.peek()?;
            if c < 0x20 || matches!(c, b'"' | b'\\' | b',' | b':' | b'{' | b'}' | b'[' | b']') {
                return Some(c);
            }
            self.advance(key);
        }
    }

    /// Reads a number, or one of three words.
    pub(super) fn literal(&mut self) -> bool {
        let mut bytes = [0_u8; 40];
        let mut len = 0;
        while let Some(c) = self.peek() {
            if !(c.is_ascii_alphanumeric() || matches!(c, b'-' | b'+' | b'.')) {
                break;
            }
            if len == bytes.len() {
                // A very long number is left to the actual reader.
                if !matches!(c, b'0'..=b'9' | b'.') {
                    return false;
                }
            } else {
                bytes[len] = c;
                len += 1;
            }
            self.bump();
        }
        let word = std::str::from_utf8(&bytes[..len]).unwrap_or("");
        matches!(word, "true" | "false" | "null") || super::super::tree::is_json_number(word)
    }

    /// Returns the key that was read.
    pub(super) fn take_key(&mut self) -> Option<String> {
        let raw = String::from_utf8(std::mem::take(&mut self.key)).ok()?;
        if !raw.contains('\\') {
            return Some(raw);
        }
        serde_json::from_str(&format!("\"{raw}\"")).ok()
    }
}

/// Returns the next quotation mark in a string that is not escaped.
pub(super) fn next_quote(bytes: &[u8], from: usize) -> Option<usize> {
    let mut at = from;
    while let Some(found) = next_special(bytes, at, b'"') {
        match bytes[found] {
            b'"' => return Some(found),
            b'\\' => at = found + 2,
            _ => at = found + 1,
        }
    }
    None
}
