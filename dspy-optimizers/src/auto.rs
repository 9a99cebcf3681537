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
        let full = trials.saturating_add(1) / 5 + 1 + usize::from(trials < 5);
        let minibatches = trials.saturating_mul(35).saturating_add(5 * candidates);
        valset.saturating_mul(full.saturating_add(1)).saturating_add(minibatches)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rollouts_are_those_published_and_never_overflow() {
        let of =
            |predictors| [Auto::Light, Auto::Medium, Auto::Heavy].map(|auto| auto.rollouts(predictors, 100));
        assert_eq!(of(2), [1_330, 1_740, 2_045]);
        assert_eq!(of(3), [1_915, 2_565, 3_040]);
        assert_eq!(Auto::Heavy.rollouts(usize::MAX, usize::MAX), usize::MAX);
        assert_eq!(Auto::Light.rollouts(1, usize::MAX), usize::MAX);
    }
}
