//! Text of bounded length that the compiler can build.

/// The largest number of bytes.
const MOST: usize = 2048;

/// Text of at most 2 KB; what does not fit is left out.
#[derive(Clone, Copy)]
pub(super) struct Text {
    bytes: [u8; MOST],
    length: usize,
}

impl Text {
    pub(super) const fn new() -> Self {
        Text { bytes: [0; MOST], length: 0 }
    }

    pub(super) const fn is_empty(&self) -> bool {
        self.length == 0
    }

    pub(super) const fn as_str(&self) -> &str {
        // Only whole strings are added.
        match str::from_utf8(self.bytes.split_at(self.length).0) {
            Ok(text) => text,
            Err(_) => "",
        }
    }

    /// Adds strings, each as a whole.
    pub(super) const fn add(&mut self, parts: &[&str]) {
        let mut part = 0;
        while part < parts.len() {
            let text = parts[part].as_bytes();
            if self.length + text.len() <= MOST {
                let mut at = 0;
                while at < text.len() {
                    self.bytes[self.length] = text[at];
                    self.length += 1;
                    at += 1;
                }
            }
            part += 1;
        }
    }

    /// Starts an item of a list, separated from the one before.
    pub(super) const fn item(&mut self, parts: &[&str]) {
        if !self.is_empty() {
            self.add(&["; "]);
        }
        self.add(parts);
    }

    pub(super) const fn add_number(&mut self, number: usize) {
        const DIGITS: [&str; 10] = ["0", "1", "2", "3", "4", "5", "6", "7", "8", "9"];
        if number >= 10 {
            self.add_number(number / 10);
        }
        self.add(&[DIGITS[number % 10]]);
    }
}
