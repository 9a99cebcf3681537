//! Paths in a value: a chain of steps on the stack, and the shared string that is written when a repair or
//! problem is reported.

use std::cell::OnceCell;
use std::fmt::{self, Write as _};
use std::sync::Arc;

/// A location in a value as a JSON path, such as `$.items[2].price`. It is displayed as this path, can be
/// compared with strings, and shares most of its text with its siblings, because a reply can have very many
/// repairs.
///
/// ```
/// let read = dspy_decode::decode::<Vec<bool>>("[true, True]")?;
/// let path = &read.report.repairs[0].path;
/// assert_eq!(path, "$[1]");
/// assert_eq!(format!("at {path}"), "at $[1]");
/// # Ok::<(), dspy_decode::DecodeError>(())
/// ```
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct ValuePath {
    stem: Arc<str>,
    /// The last step, if it is an item of a list.
    index: Option<usize>,
}

impl ValuePath {
    /// Returns the same location inside the member `name` of an object whose part this path starts from.
    /// Siblings share their text before and after: `shared` holds the last stem and its result.
    pub(super) fn below(self, name: &str, shared: &mut Option<(Arc<str>, Arc<str>)>) -> Self {
        let stem = match shared {
            Some((from, to)) if Arc::ptr_eq(from, &self.stem) => to.clone(),
            _ => {
                let to: Arc<str> = format!("$.{name}{}", self.stem.trim_start_matches('$')).into();
                *shared = Some((self.stem, to.clone()));
                to
            }
        };
        Self { stem, index: self.index }
    }
}

impl fmt::Display for ValuePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.stem)?;
        self.index.map_or(Ok(()), |index| write!(f, "[{index}]"))
    }
}

impl fmt::Debug for ValuePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{self}\"")
    }
}

impl PartialEq<str> for ValuePath {
    fn eq(&self, other: &str) -> bool {
        let Some(rest) = other.strip_prefix(&*self.stem) else { return false };
        self.index.map_or(rest.is_empty(), |index| rest == format!("[{index}]"))
    }
}

impl PartialEq<&str> for ValuePath {
    fn eq(&self, other: &&str) -> bool {
        self == *other
    }
}

#[derive(Debug, Clone, Copy)]
pub(super) enum Step<'a> {
    Root,
    Key(&'a str),
    Index(usize),
}

#[derive(Debug)]
pub(super) struct Path<'a> {
    parent: Option<&'a Path<'a>>,
    step: Step<'a>,
    /// The complete path, written for the first repair here or below and shared by all.
    full: OnceCell<Arc<str>>,
}

impl<'a> Path<'a> {
    pub(super) const fn root() -> Path<'static> {
        Path { parent: None, step: Step::Root, full: OnceCell::new() }
    }

    pub(super) fn key(&'a self, key: &'a str) -> Path<'a> {
        Path { parent: Some(self), step: Step::Key(key), full: OnceCell::new() }
    }

    pub(super) fn index(&'a self, index: usize) -> Path<'a> {
        Path { parent: Some(self), step: Step::Index(index), full: OnceCell::new() }
    }

    /// Returns the path for a report that may hold very many.
    pub(super) fn shared(&self) -> ValuePath {
        match (self.step, self.parent) {
            (Step::Index(index), Some(parent)) => {
                ValuePath { stem: parent.full().clone(), index: Some(index) }
            }
            _ => ValuePath { stem: self.full().clone(), index: None },
        }
    }

    fn full(&self) -> &Arc<str> {
        self.full.get_or_init(|| {
            let Some(parent) = self.parent else { return "$".into() };
            let above = parent.full();
            let mut out = String::with_capacity(above.len() + self.own_width());
            out.push_str(above);
            self.write_step(&mut out);
            out.into()
        })
    }

    /// Returns the path as text, such as `$.items[2].price`; a key that is not a plain word is quoted.
    pub(super) fn render(&self) -> String {
        let mut out = String::with_capacity(self.width());
        self.write(&mut out);
        out
    }

    /// Returns the approximate length of the text.
    fn width(&self) -> usize {
        self.own_width() + self.parent.map_or(0, Path::width)
    }

    fn own_width(&self) -> usize {
        match self.step {
            Step::Root => 1,
            Step::Key(key) => key.len() + 1,
            Step::Index(_) => 8,
        }
    }

    fn write(&self, out: &mut String) {
        if let Some(parent) = self.parent {
            parent.write(out);
        }
        self.write_step(out);
    }

    fn write_step(&self, out: &mut String) {
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
                let _ = write!(out, "[{index}]");
            }
        }
    }
}

fn is_plain(key: &str) -> bool {
    let ascii = |b: u8| b.is_ascii_alphanumeric() || b == b'_' || b == b'-';
    !key.is_empty()
        && (key.bytes().all(ascii) || key.chars().all(|c| c.is_alphanumeric() || c == '_' || c == '-'))
}
