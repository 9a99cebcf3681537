//! A gain on the rows that the search used.

use std::fmt;

use crate::counts::counted;
use crate::headroom::Headroom;
use crate::report::Trial;

/// The gain of a result over the original program that no rows but those of the search have shown.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Gain {
    gain: f64,
    rows: usize,
    /// The smallest gain that can be told from luck on these rows.
    detectable: f64,
}

impl Gain {
    /// Returns the gain of the trial `best` over the first one with the original parameters that has scores on as many
    /// rows; `None` if there is none, or it has no higher score.
    pub(super) fn of(
        trials: &[Trial],
        best: usize,
        headroom: Option<Headroom>,
        best_score: Option<f64>,
    ) -> Option<Self> {
        let (original, result) = (trials.first()?, trials.get(best)?);
        let gain = result.score? - original.score?;
        if gain <= 0.0 {
            return None;
        }
        let rows = result.items.len();
        let known = headroom.filter(|headroom| headroom.rows == rows);
        let scores = || original.items.iter().filter_map(|item| item.score).collect::<Vec<_>>();
        // The best score that was seen, if it is not known.
        let highest = || result.items.iter().filter_map(|item| item.score).chain(scores()).reduce(f64::max);
        let headroom = known.or_else(|| {
            Headroom::of(&scores(), best_score?).or_else(|| Headroom::of(&scores(), highest()?))
        });
        let headroom = headroom.or_else(|| Headroom::of(&scores(), highest()?))?;
        Some(Gain { gain, rows, detectable: headroom.detectable })
    }
}

impl fmt::Display for Gain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Gain { gain, rows, detectable } = self;
        let (gain, points, rows) = (gain * 100.0, detectable * 100.0, counted(*rows, "row"));
        if self.gain < *detectable {
            write!(
                f,
                "the gain of {gain:.1} points is below the {points:.1} that can be told from luck on {rows}, and the \
                 result is not verified: set a holdout, or `verify`"
            )
        } else {
            write!(
                f,
                "the result is not verified: its gain of {gain:.1} points is that on the {rows} by which it was chosen; \
                 set a holdout, or `verify`"
            )
        }
    }
}
