//! The settings of the verification of a result on held-out rows.

use std::collections::BTreeSet;

use dspy_core::Seed;

use crate::data::Rows;
use crate::error::OptimizeError;
use crate::report::FEWEST_ROWS;

/// Settings of the verification of a result on rows that the search never uses.
///
/// A search selects the candidate with the best score on the rows that it uses. Part of that score is luck,
/// and more so the more candidates it tries. Verification therefore runs the best candidates and the original
/// program on held-out rows. The result is the candidate with the best score there, or the original program
/// if it scores higher than all of them. [`Report::verification`] has the scores.
///
/// The rows are those of [`Data::holdout`](crate::Data::holdout). Without it, rows are drawn at random from
/// the valset (or from the trainset, if there is no valset) before the search begins, by default at most half of them.
/// Each label has the same share of them as of the valset, up to one row: a program that always returns the
/// same label is otherwise the better one in an unlucky draw. If these would be fewer than 10 rows, the result
/// is not verified.
///
/// ```
/// use dspy_optimizers::{BootstrapFewShotWithRandomSearch, Verify};
/// let search = BootstrapFewShotWithRandomSearch::builder().verify(Verify::rows(100).finalists(1));
/// // let optimized = search.metric(exact).build().compile(program, &trainset).await?;
/// ```
///
/// [`Report::verification`]: crate::Report::verification
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Verify {
    rows: usize,
    share: f64,
    pub(crate) finalists: usize,
    pub(crate) reserve: f64,
}

impl Verify {
    /// Creates settings that hold out up to this many rows, verify the best three candidates and reserve 15 %
    /// of the budget for it.
    pub const fn rows(rows: usize) -> Self {
        Verify { rows, share: 0.5, finalists: 3, reserve: 0.15 }
    }

    /// Sets the largest share of the rows that is held out, from 0 to 1, one half by default.
    #[must_use]
    pub const fn at_most(mut self, share: f64) -> Self {
        self.share = share;
        self
    }

    /// Sets the number of best candidates that are verified, 3 by default and at least 1. The score of a
    /// single one is unbiased; the best of several scores is slightly too high.
    #[must_use]
    pub const fn finalists(mut self, candidates: usize) -> Self {
        self.finalists = if candidates == 0 { 1 } else { candidates };
        self
    }

    /// Sets the share of the budget that is reserved for the verification, from 0 to 1, 0.15 by default. No more calls are
    /// reserved than the verification can need, at ten calls of each predictor in a run.
    #[must_use]
    pub const fn reserve(mut self, share: f64) -> Self {
        self.reserve = share;
        self
    }

    /// Checks that the settings are valid.
    pub(crate) fn check(&self) -> Result<(), OptimizeError> {
        for (option, share) in [("verify.reserve", self.reserve), ("verify.at_most", self.share)] {
            if !(0.0..=1.0).contains(&share) {
                let (value, expected) = (share.to_string(), "a number from 0 to 1");
                return Err(OptimizeError::Option { option, value, expected });
            }
        }
        Ok(())
    }

    /// Splits rows into those for the search and those to hold out, by the values of the fields `labels`. If
    /// there are too few of the latter, returns all rows and the number that could have been held out.
    pub(crate) fn split<'d, E>(
        &self,
        rows: &Rows<'d, E>,
        labels: &BTreeSet<String>,
        seed: Seed,
    ) -> (Rows<'d, E>, Result<Rows<'d, E>, usize>) {
        // Not all rows, as the search needs some.
        let most = ((rows.len() as f64 * self.share) as usize).min(rows.len().saturating_sub(1));
        let count = self.rows.min(most);
        if count < FEWEST_ROWS {
            return (rows.clone(), Err(count));
        }
        let mut held = stratified(rows, labels, count, seed.branch("holdout"));
        held.sort_unstable();
        let rest = rows.select((0..rows.len()).filter(|index| held.binary_search(index).is_err()));
        (rest, Ok(rows.select(held)))
    }
}

/// Returns the indices of `count` rows: a systematic sample of the rows in the order of their labels, and in random
/// order within a label. All rows have the same probability.
fn stratified<E>(rows: &Rows<'_, E>, labels: &BTreeSet<String>, count: usize, seed: Seed) -> Vec<usize> {
    let mut rng = seed.rng();
    let mut order: Vec<usize> = (0..rows.len()).collect();
    rng.shuffle(&mut order);
    let of_row = |at: &usize| {
        let values = rows.get(*at).map(|row| row.values);
        labels.iter().map(|name| values?.get(name).map(ToString::to_string)).collect::<Vec<_>>()
    };
    order.sort_by_cached_key(of_row);
    let (start, step) = (rng.unit(), order.len() as f64 / count as f64);
    let at = |number: usize| (((start + number as f64) * step) as usize).min(order.len() - 1);
    (0..count).map(|number| order[at(number)]).collect()
}

impl Default for Verify {
    /// Returns settings that hold out up to 100 rows.
    fn default() -> Self {
        Verify::rows(100)
    }
}

#[cfg(test)]
mod tests {
    use dspy_core::signature::{Example, FieldError, Values};
    use serde_json::json;

    use super::*;

    struct Labelled(usize, &'static str);

    impl Example for Labelled {
        type Input = Values;

        fn input(&self) -> Result<Values, FieldError> {
            Ok(Values::from_iter([("text".to_owned(), json!(self.0))]))
        }

        fn values(&self) -> Result<Values, FieldError> {
            let mut values = self.input()?;
            values.insert("label".to_owned(), json!(self.1));
            Ok(values)
        }
    }

    /// Rows of three labels with shares of 61, 29 and 10 %.
    fn data() -> Vec<Labelled> {
        let label = |at| {
            if at < 61 {
                "a"
            } else if at < 90 {
                "b"
            } else {
                "c"
            }
        };
        (0..100).map(|at| Labelled(at, label(at))).collect()
    }

    fn held_out(data: &[Labelled], labels: &[&str], seed: u64) -> Vec<usize> {
        let labels = labels.iter().map(|name| (*name).to_owned()).collect();
        let rows = Rows::new("valset", data).unwrap();
        let (rest, held) = Verify::rows(40).split(&rows, &labels, Seed::new(seed));
        let held: Vec<usize> = held.unwrap().iter().map(|row| row.position).collect();
        assert_eq!((rest.len(), held.len()), (60, 40));
        assert!(rest.iter().all(|row| !held.contains(&row.position)));
        held
    }

    #[test]
    fn every_row_is_held_out_with_the_same_probability() {
        const SEEDS: u64 = 2_000;
        let data = data();
        for labels in [&["label"][..], &["label", "text"], &["other"], &[]] {
            let mut counts = vec![0_u32; data.len()];
            for seed in 0..SEEDS {
                held_out(&data, labels, seed).into_iter().for_each(|at| counts[at] += 1);
            }
            // Five standard deviations of 2,000 draws with a probability of 0.4.
            let (mean, deviation) = (0.4 * SEEDS as f64, (0.24 * SEEDS as f64).sqrt());
            let far = |count: &&u32| (f64::from(**count) - mean).abs() > 5.0 * deviation;
            assert_eq!(counts.iter().find(far), None, "{labels:?}");
        }
    }

    #[test]
    fn each_label_has_its_share() {
        let data = data();
        for seed in 0..200 {
            let held = held_out(&data, &["label"], seed);
            for (label, share) in [("a", 0.61), ("b", 0.29), ("c", 0.1)] {
                let count = held.iter().filter(|at| data[**at].1 == label).count();
                assert!((count as f64 - share * 40.0).abs() <= 1.0, "{label}: {count}");
            }
        }
    }
}
