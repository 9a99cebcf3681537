//! The choices that make one proposal differ from another.

use crate::builtin::sampler::Sampler;

/// The kind of conditions on numbers and categories.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Split {
    /// A decision tree of this depth.
    Tree(usize),
    /// Single conditions on this number of columns.
    Single(usize),
}

/// The style of a proposal.
#[derive(Debug)]
pub(super) struct Style<'a> {
    sampler: &'a mut Sampler,
    varies: bool,
    /// The maximum number of words for each label.
    pub(super) words: usize,
    /// The form of rules about words.
    pub(super) frame: usize,
    /// The kind of conditions; `None` for the best one.
    pub(super) split: Option<Split>,
    /// The number of rules from feedback.
    pub(super) rules: usize,
    /// A number that selects an opening or a closing sentence.
    pub(super) variant: usize,
}

impl<'a> Style<'a> {
    /// Draws a style; without variety it is always the same one.
    pub(super) fn draw(sampler: &'a mut Sampler, several: bool) -> Style<'a> {
        let varies = sampler.varies();
        let mut style = Style { varies, ..Style::fixed(sampler) };
        if !varies {
            return style;
        }
        style.words = 4 + style.below(9);
        style.frame = if several { style.below(2) } else { style.below(3) };
        let splits = [
            None,
            None,
            Some(Split::Tree(1)),
            Some(Split::Tree(2)),
            Some(Split::Tree(3)),
            Some(Split::Single(6)),
        ];
        style.split = splits[style.below(splits.len())];
        style.rules = 2 + style.below(8);
        style.variant = style.below(1 << 16);
        style
    }

    /// Returns the style without variety.
    pub(super) fn fixed(sampler: &'a mut Sampler) -> Style<'a> {
        Style { sampler, varies: false, words: 12, frame: 0, split: None, rules: 8, variant: 0 }
    }

    /// Returns a whole number below `count`; zero without variety.
    pub(super) fn below(&mut self, count: usize) -> usize {
        if !self.varies || count == 0 {
            return 0;
        }
        ((self.sampler.uniform() * count as f64) as usize).min(count - 1)
    }

    /// Returns where a threshold lies between two values: in the middle, or near it.
    pub(super) fn between(&mut self) -> f64 {
        if self.varies { 0.15 + 0.7 * self.sampler.uniform() } else { 0.5 }
    }

    /// Returns the rows to learn from: all of them, or a sample with replacement.
    pub(super) fn bag(&mut self, rows: usize) -> Option<Vec<usize>> {
        (rows > 5 && self.below(3) > 0).then(|| (0..rows).map(|_| self.below(rows)).collect())
    }

    pub(super) fn varies(&self) -> bool {
        self.varies
    }
}
