//! The size of a search.

/// The size of a search, as in the `auto` setting of Python DSPy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Auto {
    /// About 6 candidates.
    Light,
    /// About 12 candidates.
    Medium,
    /// About 18 candidates.
    Heavy,
}

impl Auto {
    /// Returns the number of candidates.
    pub(crate) fn candidates(self) -> usize {
        match self {
            Auto::Light => 6,
            Auto::Medium => 12,
            Auto::Heavy => 18,
        }
    }

    /// Returns the number of rollouts of a [`Gepa`](crate::Gepa) for a program with this number of predictors and a
    /// valset of this size.
    ///
    /// ```
    /// use dspy_optimizers::Auto;
    /// assert_eq!([Auto::Light, Auto::Medium, Auto::Heavy].map(|auto| auto.rollouts(1, 100)), [780, 1190, 1735]);
    /// ```
    pub fn rollouts(self, predictors: usize, valset: usize) -> usize {
        let candidates = self.candidates();
        let trials =
            (4.0 * predictors as f64 * (candidates as f64).log2()).max(1.5 * candidates as f64) as usize;
        let full = (trials + 1) / 5 + 1 + usize::from(trials < 5);
        valset + 5 * candidates + 35 * trials + full * valset
    }
}
