//! The scale of a metric, as far as its scores show it.

/// The score of a perfect output, and the highest score so far.
#[derive(Debug)]
pub(super) struct Scale {
    given: Option<f64>,
    highest: f64,
}

impl Scale {
    /// Creates a scale with the score of a perfect output, if it is known.
    pub(super) fn new(given: Option<f64>) -> Self {
        Scale { given, highest: f64::NEG_INFINITY }
    }

    pub(super) fn look_at(&mut self, score: f64) {
        self.highest = self.highest.max(score);
    }

    /// Returns the score of a perfect output: the given one, or 1 as long as no score is above it; `None` if the
    /// metric has another scale.
    pub(super) fn perfect(&self) -> Option<f64> {
        // A mean of parts may exceed 1 by rounding.
        self.given.or((self.highest <= 1.0 + 1e-9).then_some(1.0))
    }

    /// Returns whether a score is that of a perfect output, as far as the scale is known.
    pub(super) fn is_perfect(&self, score: f64) -> bool {
        self.perfect().is_some_and(|perfect| score >= perfect)
    }

    /// Returns whether an output with this score may be shown as a demonstration: a perfect one, or on an unknown
    /// scale one that is as good as the best so far.
    pub(super) fn is_good(&self, score: f64) -> bool {
        score >= self.perfect().unwrap_or(self.highest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_score_above_1_says_that_1_is_not_perfect() {
        let mut scale = Scale::new(None);
        scale.look_at(0.4);
        scale.look_at(1.0 + f64::EPSILON);
        assert!(scale.is_perfect(1.0) && scale.is_good(1.0) && !scale.is_good(0.9));
        scale.look_at(40.0);
        scale.look_at(3.0);
        assert!(scale.perfect().is_none() && !scale.is_perfect(40.0));
        assert!(scale.is_good(40.0) && !scale.is_good(3.0));
    }

    #[test]
    fn a_given_score_is_kept() {
        let mut scale = Scale::new(Some(100.0));
        scale.look_at(130.0);
        assert!(scale.is_perfect(100.0) && !scale.is_perfect(99.0));
    }
}
