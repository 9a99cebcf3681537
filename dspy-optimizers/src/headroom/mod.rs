//! The room for a gain that the original program leaves.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::counts::counted;
use crate::paired::p_value;

/// The number of rows from which on a program that is nearly perfect leaves no headroom. On fewer rows only a perfect
/// one does.
const MANY: usize = 30;

/// The number of rows from which on the verdict that a program is perfect says something about other rows.
pub(crate) const ENOUGH: usize = 10;

/// A gain, as a part of the best score, that a search should be able to tell from luck.
const LARGE: f64 = 0.25;

/// The significance level of the comparison with a perfect program.
const LEVEL: f64 = 0.05;

/// The sum of the one-sided 5 % and 20 % quantiles of the normal distribution.
const QUANTILES: f64 = 1.645 + 0.842;

/// The room for a gain that the original program leaves, as known from its scores at the start of a search.
///
/// A search ends with [`Stopped::NoHeadroom`](crate::Stopped) after it has scored the original program, and before it
/// spends anything else, if that program
///
/// - has the [best possible score](crate::Options::best_score) on every row, on which no candidate could be better (on
///   fewer than 10 rows, a warning says that this is no verdict on others), or,
/// - on 30 rows or more, is so near to it that a paired t-test at 5 % could not tell a perfect program from it. That
///   is the case if at most two rows have a score of 0, and all others the best one.
///
/// Half of the 72 optimizations in "Prompt Optimization Is a Coin Flip" (arXiv 2604.14585) ended below the original
/// program: a gain smaller than [`detectable`](Self::detectable) can well be luck.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Headroom {
    /// The number of rows with a score.
    pub rows: usize,
    /// The mean score of the original program on these rows.
    pub score: f64,
    /// Half the width of the 95 % confidence interval of that score, at most the distance between the lowest and the best
    /// possible score.
    pub margin: f64,
    /// The lowest score that is expected: 0, or a lower one that was seen.
    #[serde(default)]
    pub worst: f64,
    /// The best possible score.
    pub best: f64,
    /// The smallest gain that is seen in four of five searches on so many rows: by a one-sided paired test at 5 %, if
    /// the scores of the two programs correlate by one half. If it is more than the room up to `best`, no gain can be
    /// told from luck on these rows; see [`rows_needed`](Self::rows_needed).
    pub detectable: f64,
    /// The p-value of a perfect program against the original one, from the one-sided paired t-test.
    pub perfect: f64,
}

impl Headroom {
    /// Computes the headroom from the scores on rows. Returns `None` if there are none, or one is above the best
    /// possible score, which is then not known.
    pub(crate) fn of(scores: &[f64], best: f64) -> Option<Self> {
        let rows = scores.len();
        let known = |score: &f64| score.is_finite() && *score <= best + 1e-9;
        if rows == 0 || !scores.iter().all(known) {
            return None;
        }
        let score = scores.iter().sum::<f64>() / rows as f64;
        // Two scores at each end are added (Agresti and Coull, 1998), as equal scores on few rows are no proof that
        // the next one will be equal.
        let worst = scores.iter().copied().fold(0.0_f64.min(best), f64::min);
        let all: Vec<f64> = scores.iter().copied().chain([worst, worst, best, best]).collect();
        let count = all.len() as f64;
        let mean = all.iter().sum::<f64>() / count;
        let deviation = (all.iter().map(|score| (score - mean).powi(2)).sum::<f64>() / (count - 1.0)).sqrt();
        let of_mean = deviation / (rows as f64).sqrt();
        let own: Vec<Option<f64>> = scores.iter().copied().map(Some).collect();
        let perfect = p_value(&vec![Some(best); rows], &own);
        let margin = (1.96 * of_mean).min(best - worst);
        Some(Headroom { rows, score, margin, worst, best, detectable: QUANTILES * of_mean, perfect })
    }

    /// Returns the number of rows on which the largest possible gain could be told from luck, if these are too few; about
    /// four times as many for a gain of half that size.
    pub fn rows_needed(&self) -> Option<usize> {
        let room = self.best - self.score;
        let times = (self.detectable / room).powi(2);
        (room > 0.0 && times > 1.0).then(|| (times * self.rows as f64).ceil() as usize)
    }

    /// Returns a warning if the rows are too few for a verdict.
    pub(crate) fn warning(&self) -> Option<String> {
        let rows = counted(self.rows, "row");
        if !self.exists() {
            return (self.rows < ENOUGH).then(|| {
                format!(
                    "the original program has the best score on {rows}, so no candidate could be chosen by them; whether \
                     it is right on others, so few do not tell: add rows to compare on, at least {ENOUGH}"
                )
            });
        }
        self.rows_needed().map(|needed| {
            format!(
                "no gain can be told from luck on {rows}, about {} are needed; add rows to compare on",
                counted(needed, "row")
            )
        })
    }

    /// Returns whether a search could find a gain.
    pub fn exists(&self) -> bool {
        let perfect = self.score >= self.best - 1e-9;
        !perfect && (self.rows < MANY || self.perfect <= LEVEL)
    }
}

/// Returns a warning if only large gains can be told from luck on so many rows, for an original program that is right
/// on half of them.
pub(crate) fn few_rows(rows: usize, best: Option<f64>) -> Option<String> {
    let best = best.filter(|best| *best > 0.0)?;
    let scores: Vec<f64> = (0..rows).map(|row| if row % 2 == 0 { best } else { 0.0 }).collect();
    let headroom = Headroom::of(&scores, best).filter(|headroom| headroom.detectable > LARGE * best)?;
    let needed = (headroom.detectable / (LARGE * best)).powi(2) * rows as f64;
    Some(format!(
        "{} to compare on are few: if the original program is right on half of them, a gain below {:.0} points cannot be \
         told from luck, and if it is right on more, perhaps none; add rows, about {} are needed for a gain of {:.0} \
         points",
        counted(rows, "row"),
        headroom.detectable * 100.0,
        needed.ceil(),
        LARGE * best * 100.0
    ))
}

impl fmt::Display for Headroom {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rows = counted(self.rows, "row");
        let Headroom { score, margin, worst, best, detectable, .. } = self;
        let (low, high) = ((score - margin).max(*worst), (score + margin).min(*best));
        let [score, low, high, best, detectable] =
            [*score, low, high, *best, *detectable].map(|part| part * 100.0);
        let has = format!(
            "the original program has {score:.1} % (95 % interval: {low:.1} to {high:.1} %) of at most {best:.1} % on \
             {rows}"
        );
        if !self.exists() && self.rows < ENOUGH {
            return write!(f, "no candidate can be chosen: {has}, which says little about others; add rows");
        }
        if !self.exists() {
            return write!(
                f,
                "no headroom: {has}; use harder or more rows, a finer metric, or another `best_score`"
            );
        }
        match self.rows_needed() {
            None => write!(f, "headroom: {has}, on which a gain of {detectable:.1} points can be seen"),
            Some(needed) => write!(
                f,
                "headroom: {has}; no gain can be told from luck on so few, about {} are needed",
                counted(needed, "row")
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn binary(right: usize, rows: usize) -> Headroom {
        let scores: Vec<f64> = (0..rows).map(|row| f64::from(u8::from(row < right))).collect();
        Headroom::of(&scores, 1.0).unwrap()
    }

    #[test]
    fn a_perfect_program_leaves_none_and_a_nearly_perfect_one_only_on_few_rows() {
        for rows in [1, 5, 30, 100, 1_000] {
            assert!(!binary(rows, rows).exists(), "{rows}");
        }
        for (right, rows, exists) in [
            (4, 5, true),
            (28, 29, true),
            (29, 30, false),
            (28, 30, false),
            (27, 30, true),
            (98, 100, false),
            (97, 100, true),
            (998, 1_000, false),
            (997, 1_000, true),
            (0, 100, true),
        ] {
            assert_eq!(binary(right, rows).exists(), exists, "{right} of {rows}: {:?}", binary(right, rows));
        }
    }

    #[test]
    fn the_figures_shrink_with_the_rows() {
        let [few, many] = [binary(10, 20), binary(500, 1_000)];
        assert!((many.margin - 1.96 * 0.5 / 1_000_f64.sqrt()).abs() < 1e-3, "{many:?}");
        assert!((many.detectable - 2.487 * 0.5 / 1_000_f64.sqrt()).abs() < 1e-3, "{many:?}");
        assert!(few.detectable > 0.25 && few.detectable < 0.35, "{few:?}");
        assert!(binary(0, 20).detectable > 0.1, "equal scores on few rows prove little");
    }

    #[test]
    fn no_figure_is_beyond_the_possible_scores() {
        let scores = |scores: &[f64]| Headroom::of(scores, 1.0).unwrap();
        for headroom in [scores(&[0.0]), scores(&[0.0, 1.0]), binary(19, 20), binary(95, 100), binary(1, 3)] {
            assert!(headroom.margin <= 1.0, "{headroom:?}");
            let shown = headroom.to_string();
            let figures = shown.split(|c: char| !c.is_ascii_digit() && c != '.' && c != '-');
            let figures: Vec<f64> = figures.filter_map(|figure| figure.parse().ok()).collect();
            let percents = figures.iter().take(5);
            assert!(percents.into_iter().all(|figure| (0.0..=100.0).contains(figure)), "{shown}");
        }
        assert_eq!(
            scores(&[0.0]).to_string(),
            "headroom: the original program has 0.0 % (95 % interval: 0.0 to 100.0 %) of at most 100.0 % on 1 row; no \
             gain can be told from luck on so few, about 2 rows are needed"
        );
        let near = binary(95, 100);
        assert_eq!(near.rows_needed().is_some(), near.detectable > 0.05, "{near:?}");
        assert_eq!(binary(50, 100).rows_needed(), None);
    }

    #[test]
    fn scores_above_the_best_one_are_on_another_scale() {
        assert_eq!(Headroom::of(&[37.0, 80.0], 1.0), None);
        assert_eq!(Headroom::of(&[f64::NAN], 1.0), None);
        assert_eq!(Headroom::of(&[], 1.0), None);
        assert!(Headroom::of(&[37.0, 80.0], 100.0).unwrap().exists());
        assert!(!Headroom::of(&[0.0, 0.0], 0.0).unwrap().exists(), "a loss");
        assert!(Headroom::of(&[-1.0, 0.0], 0.0).unwrap().exists());
    }
}
