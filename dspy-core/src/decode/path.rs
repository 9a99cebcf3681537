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
        let mut steps = Vec::new();
        let mut at = Some(self);
        while let Some(path) = at {
            steps.push(path.step);
            at = path.parent;
        }
        let mut out = String::from("$");
        for step in steps.into_iter().rev() {
            match step {
                Step::Root => {}
                Step::Key(key)
                    if !key.is_empty()
                        && key.chars().all(|c| c.is_alphanumeric() || c == '_' || c == '-') =>
                {
                    out.push('.');
                    out.push_str(key);
                }
                Step::Key(key) => {
                    let _ = write!(out, "[{key:?}]");
                }
                Step::Index(i) => {
                    let _ = write!(out, "[{i}]");
                }
            }
        }
        out
    }
}
