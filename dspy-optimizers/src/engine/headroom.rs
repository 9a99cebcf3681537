//! The headroom that the original program leaves.

use super::{ExampleFor, Program, Scores, Stop, Study};
use crate::counts::counted;
use crate::data::Rows;
use crate::error::OptimizeError;
use crate::headroom::{ENOUGH, Headroom};

impl<P: Program, E> Study<'_, P, E> {
    /// Reports the headroom that the original program leaves with these scores; see [`Headroom`]. Call it once, after
    /// the original program was scored, and before anything else is spent. If the rows are too few to tell a gain from
    /// luck, that is a [warning](crate::Report::warnings).
    ///
    /// # Errors
    /// If the search has to stop, because there is no headroom.
    pub fn check_headroom(&self, scores: &Scores) -> Result<(), Stop> {
        self.check_headroom_of(scores.items.iter().filter_map(|item| item.score))
    }

    pub(crate) fn check_headroom_of(&self, scores: impl Iterator<Item = f64>) -> Result<(), Stop> {
        let Some(headroom) = self.note_headroom(scores) else { return Ok(()) };
        // Nested searches have the rows of the outermost one.
        headroom
            .warning()
            .filter(|_| self.name.is_empty())
            .into_iter()
            .for_each(|warning| self.warn(warning));
        if headroom.exists() { Ok(()) } else { Err(Stop::NoHeadroom) }
    }

    /// Reports the headroom with the scores on a part of the rows. Returns whether there is none.
    pub(crate) fn lacks_headroom(&self, scores: &Scores) -> bool {
        let scores = scores.items.iter().filter_map(|item| item.score);
        self.note_headroom(scores).is_some_and(|headroom| !headroom.exists())
    }

    fn note_headroom(&self, scores: impl Iterator<Item = f64>) -> Option<Headroom> {
        let best = self.options.best_score?;
        let scores: Vec<f64> = scores.collect();
        let headroom = Headroom::of(&scores, best);
        if headroom.is_none() && scores.iter().any(|score| *score > best) {
            self.warn(format!(
                "a score is above {best}, the best one that was expected, so the headroom is not known; set `best_score`"
            ));
        }
        self.found().headroom = headroom;
        headroom
    }
}

impl<'d, P: Program, E: ExampleFor<P>> Study<'d, P, E> {
    /// Returns all rows to compare on if a part of them was held out, which is too small for a verdict and on which the
    /// original program is perfect: no candidate could be chosen by it.
    pub(crate) fn enough(&self, val: &Rows<'d, E>, scores: &Scores) -> Option<Rows<'d, E>> {
        let all = self.train();
        let is_enough = val.len() >= ENOUGH || val.len() == all.len();
        if self.has_valset() || is_enough || !self.lacks_headroom(scores) {
            return None;
        }
        self.warn(format!(
            "the original program is right on all of the {} that were held out to compare on, so candidates are compared on \
             all {} instead, from which they also learn; add rows, or set a valset",
            counted(val.len(), "row"),
            counted(all.len(), "row")
        ));
        Some(all.clone())
    }
}

/// Checks the best possible score.
pub(crate) fn check_best_score(best: Option<f64>) -> Result<(), OptimizeError> {
    match best.filter(|best| !best.is_finite()) {
        None => Ok(()),
        Some(best) => {
            let (value, expected) = (best.to_string(), "a finite number, or none");
            Err(OptimizeError::Option { option: "best_score", value, expected })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_best_score_is_a_number() {
        assert!(check_best_score(Some(f64::NAN)).is_err() && check_best_score(Some(f64::INFINITY)).is_err());
        assert!(check_best_score(None).is_ok() && check_best_score(Some(-3.0)).is_ok());
    }
}
