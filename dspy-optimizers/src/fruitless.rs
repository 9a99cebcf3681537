//! Answers of proposers that have led to no candidate.

use std::fmt;
use std::ops::AddAssign;

use crate::counts::counted;

/// The number of answers for one predictor that were no candidates.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Fruitless {
    /// Texts without content.
    pub(crate) blank: usize,
    /// Texts equal to the present one.
    pub(crate) unchanged: usize,
    /// Texts that are too long.
    pub(crate) endless: usize,
    /// Answers without any change of a playbook.
    pub(crate) none: usize,
    /// Diagnoses of runs without a lesson.
    pub(crate) lessons: usize,
}

impl AddAssign for Fruitless {
    fn add_assign(&mut self, other: Self) {
        let Fruitless { blank, unchanged, endless, none, lessons } = other;
        self.blank += blank;
        self.unchanged += unchanged;
        self.endless += endless;
        self.none += none;
        self.lessons += lessons;
    }
}

impl Fruitless {
    /// Returns a warning about the answers for the predictor at a path, if there are any.
    pub(crate) fn warning(&self, path: &str) -> Option<String> {
        (*self != Fruitless::default())
            .then(|| format!("the proposer has returned {self} for `{path}`; none of them was scored"))
    }
}

impl fmt::Display for Fruitless {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Fruitless { blank, unchanged, endless, none, lessons } = *self;
        let parts = [
            (blank, "blank text"),
            (unchanged, "unchanged text"),
            (endless, "overlong text"),
            (none, "empty answer"),
            (lessons, "diagnosis without a lesson"),
        ];
        let mut first = true;
        for (count, what) in parts.into_iter().filter(|(count, _)| *count > 0) {
            let shown = match what {
                "diagnosis without a lesson" if count > 1 => format!("{count} diagnoses without a lesson"),
                _ => counted(count, what),
            };
            write!(f, "{}{shown}", if first { "" } else { ", " })?;
            first = false;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_was_returned_is_named() {
        let mut all = Fruitless { blank: 1, ..Fruitless::default() };
        assert_eq!(Fruitless::default().warning("a"), None);
        assert_eq!(all.to_string(), "1 blank text");
        all += Fruitless { blank: 1, unchanged: 2, lessons: 2, ..Fruitless::default() };
        assert_eq!(
            all.warning("step").unwrap(),
            "the proposer has returned 2 blank texts, 2 unchanged texts, 2 diagnoses without a lesson for `step`; none \
             of them was scored"
        );
    }
}
