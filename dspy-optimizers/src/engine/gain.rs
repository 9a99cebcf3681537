//! A gain that can be luck.

use std::fmt;

use crate::counts::counted;
use crate::headroom::Headroom;
use crate::report::Trial;

/// A gain over the original program on the rows of the search that is smaller than what can be told from luck.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Gain {
    points: f64,
    rows: usize,
    /// The smallest gain that can be told from luck on these rows, in points.
    detectable: f64,
}

impl Gain {
    /// Returns the gain of a result over the trial of the original program; `None` if there is none, or it is no luck.
    /// `headroom` is that of the original program, if it is known.
    pub(super) fn of(
        original: &Trial,
        result: &Trial,
        headroom: Option<Headroom>,
        best_score: Option<f64>,
    ) -> Option<Self> {
        let gain = result.score? - original.score?;
        if gain <= 0.0 {
            return None;
        }
        let rows = result.items.len();
        let scores = |of: &Trial| of.items.iter().filter_map(|item| item.score).collect::<Vec<_>>();
        let before = scores(original);
        // The highest score that was seen, if the best one is not known.
        let seen = || before.iter().copied().chain(scores(result)).reduce(f64::max);
        let headroom = headroom
            .filter(|headroom| headroom.rows == rows)
            .or_else(|| Headroom::of(&before, best_score?))
            .or_else(|| Headroom::of(&before, seen()?))?;
        let detectable = headroom.detectable;
        (gain < detectable).then_some(Gain { points: gain * 100.0, rows, detectable: detectable * 100.0 })
    }
}

impl fmt::Display for Gain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Gain { points, rows, detectable } = self;
        write!(
            f,
            "the gain of {points:.1} points is below the {detectable:.1} that can be told from luck on {}, and the result is not \
             verified: set a holdout, or `verify`",
            counted(*rows, "row")
        )
    }
}
