//! The place in the value, as a chain on the stack that is only written out when something is reported.

use std::fmt::Write as _;

#[derive(Debug, Clone, Copy)]
pub(super) enum Step<'a> {
    Root,
    Key(&'a str),
    Index(usize),
}

#[derive(Debug, Clone, Copy)]
pub(super) struct Path<'a> {
    pub(super) parent: Option<&'a Path<'a>>,
    pub(super) step: Step<'a>,
}

impl<'a> Path<'a> {
    pub(super) const ROOT: Path<'static> = Path { parent: None, step: Step::Root };

    pub(super) fn key(&'a self, key: &'a str) -> Path<'a> {
        Path { parent: Some(self), step: Step::Key(key) }
    }

    pub(super) fn index(&'a self, index: usize) -> Path<'a> {
        Path { parent: Some(self), step: Step::Index(index) }
    }

    /// `$.items[2].price`; a key that is not a plain word is quoted.
    pub(super) fn render(&self) -> String {
        let mut out = String::with_capacity(self.width());
        self.write(&mut out);
        out
    }

    /// About how long the text will be.
    fn width(&self) -> usize {
        let own = match self.step {
            Step::Root => 1,
            Step::Key(key) => key.len() + 1,
            Step::Index(_) => 8,
        };
        own + self.parent.map_or(0, Path::width)
    }

    fn write(&self, out: &mut String) {
        if let Some(parent) = self.parent {
            parent.write(out);
        }
        match self.step {
            Step::Root => out.push('$'),
            Step::Key(key) if is_plain(key) => {
                out.push('.');
                out.push_str(key);
            }
            Step::Key(key) => {
                let _ = write!(out, "[{key:?}]");
            }
            Step::Index(index) => {
                out.push('[');
                write_digits(index, out);
                out.push(']');
            }
        }
    }
}

fn is_plain(key: &str) -> bool {
    let ascii = |b: u8| b.is_ascii_alphanumeric() || b == b'_' || b == b'-';
    !key.is_empty()
        && (key.bytes().all(ascii) || key.chars().all(|c| c.is_alphanumeric() || c == '_' || c == '-'))
}

/// As `{}` does, without the machinery of formatting: a reply can hold 100,000 repairs.
fn write_digits(number: usize, out: &mut String) {
    if number > 9 {
        write_digits(number / 10, out);
    }
    out.push(char::from(b'0' + (number % 10) as u8));
}
