//! The sizes of a search: candidates, trials, rows, minibatches.

use serde_json::{Value, json};

use crate::OptimizeError;
use crate::auto::Auto;
use crate::bootstrap_few_shot::Settings;
use crate::counts::counted;
use crate::data::Rows;
use crate::engine::{Program, Study};
use crate::estimate::Sizes;
use crate::proposer::SharedProposer;

/// The number of rows up to which the valset has no minibatches by default.
const SMALL: usize = 50;

/// The default size of a minibatch.
const MINIBATCH: usize = 35;

/// The largest number of rows of the trainset that are split off as valset.
const MOST_SPLIT: usize = 1_000;

/// The largest number of demonstrations in a request for an instruction.
pub(super) const MOST_SHOWN: usize = 3;

/// The share of the trainset that is split off as valset.
const SPLIT: f64 = 0.8;

/// The parts of the prompts that are searched.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Searched {
    Both,
    Instructions,
    Demos,
}

/// The rows of a trial.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Minibatch {
    /// Minibatches of 35 rows if the valset is not small.
    Default,
    Rows(usize),
    /// The whole valset.
    Off,
}

/// The parameters of the search that determine the result.
#[expect(clippy::struct_excessive_bools, reason = "independent switches")]
#[derive(Debug, Clone)]
pub(super) struct MiproSettings {
    pub(super) searched: Searched,
    pub(super) auto: Auto,
    pub(super) num_candidates: Option<usize>,
    pub(super) num_trials: Option<usize>,
    pub(super) minibatch: Minibatch,
    /// The number of trials between two full evaluations.
    pub(super) full_eval_steps: usize,
    pub(super) published: bool,
    pub(super) temperature: f64,
    pub(super) dataset: bool,
    pub(super) program: bool,
    pub(super) demos: bool,
    pub(super) tips: bool,
    pub(super) batch: usize,
    pub(super) source: Option<String>,
    pub(super) proposer: SharedProposer,
}

impl MiproSettings {
    /// Returns the parameters of the bootstraps. Without a search over demonstrations, a few are made for the proposer.
    pub(super) fn bootstrap(&self, given: &Settings) -> Settings {
        let mut bootstrap = given.clone();
        if self.searched == Searched::Instructions {
            (bootstrap.max_bootstrapped_demos, bootstrap.max_labeled_demos) = (MOST_SHOWN, 0);
        }
        bootstrap
    }

    pub(super) fn identity(&self) -> Value {
        let MiproSettings { searched, auto, num_candidates, num_trials, minibatch, .. } = self;
        json!({
            "searched": format!("{searched:?}"),
            "auto": format!("{auto:?}"),
            "num_candidates": num_candidates,
            "num_trials": num_trials,
            "minibatch": format!("{minibatch:?}"),
            "full_eval_steps": self.full_eval_steps,
            "published": self.published,
            "temperature": self.temperature,
            "ground": [self.dataset, self.program, self.demos, self.tips],
            "batch": self.batch,
            "source": self.source,
            "proposer": self.proposer.identity(),
        })
    }
}

/// The sizes of a search.
#[derive(Debug, PartialEq)]
pub(super) struct Plan {
    /// The sets of demonstrations of each predictor.
    pub(super) sets: usize,
    /// The instructions of each predictor, with the original one.
    pub(super) instructions: usize,
    pub(super) trials: usize,
    /// The largest number of rows of the valset.
    valset: usize,
}

impl Plan {
    pub(super) fn new(settings: &MiproSettings, predictors: usize) -> Self {
        let MiproSettings { searched, auto, num_candidates, num_trials, .. } = settings;
        let candidates = num_candidates.unwrap_or_else(|| auto.candidates());
        let variables = predictors * if *searched == Searched::Both { 2 } else { 1 };
        let of_size = |n: f64| (2.0 * variables as f64 * n.log2()).max(1.5 * n) as usize;
        let instructions = match searched {
            Searched::Demos => 1,
            Searched::Both if num_candidates.is_none() => candidates / 2,
            _ => candidates,
        };
        // Without a search over demonstrations, they are made for the writer of the instructions only.
        let sets = if *searched == Searched::Instructions && !settings.demos { 0 } else { candidates };
        let valset = match auto {
            _ if num_candidates.is_some() || num_trials.is_some() => usize::MAX,
            Auto::Light => 100,
            Auto::Medium => 300,
            Auto::Heavy => 1_000,
        };
        let trials = num_trials.unwrap_or_else(|| of_size(candidates as f64));
        Plan { sets, instructions, trials, valset }
    }

    /// Returns the number of rows at the start of the trainset to learn from, and the rows to score on.
    pub(super) fn rows<'d, P: Program, E>(
        &self,
        study: &Study<'d, P, E>,
    ) -> Result<(usize, Rows<'d, E>), OptimizeError> {
        let (train, val) = (study.train(), study.val());
        let sizes =
            Sizes { train: train.len(), val: val.len(), given_val: study.has_valset(), predictors: 0 };
        let (learn, count) = self.sizes(&sizes)?;
        let val = if sizes.given_val { val.clone() } else { train.split_at(learn).1 };
        if val.len() <= count {
            return Ok((learn, val));
        }
        Ok((learn, val.shuffled(study.seed().branch("valset")).select(0..count)))
    }

    /// Returns the number of rows to learn from, and of those to score on.
    pub(super) fn sizes(&self, sizes: &Sizes) -> Result<(usize, usize), OptimizeError> {
        let Sizes { train: rows, val, given_val, .. } = *sizes;
        if given_val {
            return Ok((rows, val.min(self.valset)));
        }
        let held_out = ((rows as f64 * SPLIT) as usize).clamp(1, MOST_SPLIT);
        if rows <= held_out {
            return Err(OptimizeError::Split { set: "trainset", rows, ratio: SPLIT });
        }
        Ok((rows - held_out, held_out.min(self.valset)))
    }
}

impl Minibatch {
    /// Returns the number of rows of a minibatch; `None` for the whole valset.
    pub(super) fn of(self, valset: usize) -> Result<Option<usize>, OptimizeError> {
        match self {
            Minibatch::Default => Ok((valset > SMALL).then_some(MINIBATCH)),
            Minibatch::Off => Ok(None),
            Minibatch::Rows(rows) if rows > valset => {
                let value = format!("{rows}, for a valset of {},", counted(valset, "row"));
                let expected = "at most the number of rows of the valset";
                Err(OptimizeError::Option { option: "minibatch", value, expected })
            }
            Minibatch::Rows(rows) => Ok((rows < valset).then_some(rows)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_numbers_are_those_published() {
        let trials = |searched, predictors| {
            [Auto::Light, Auto::Medium, Auto::Heavy].map(|auto| {
                let settings = MiproSettings { searched, auto, ..super::super::defaults() };
                Plan::new(&settings, predictors).trials
            })
        };
        let full = |trials: usize| trials + trials / 5 + 1 + usize::from(!trials.is_multiple_of(5));
        for (predictors, few, with_full, zero) in [
            (1, [10, 18, 27], [13, 23, 34], [9, 18, 27]),
            (2, [20, 28, 33], [25, 35, 41], [10, 18, 27]),
            (3, [31, 43, 50], [39, 53, 61], [15, 21, 27]),
            (5, [51, 71, 83], [63, 87, 101], [25, 35, 41]),
        ] {
            assert_eq!(trials(Searched::Both, predictors), few);
            assert_eq!(few.map(full), with_full);
            assert_eq!(trials(Searched::Instructions, predictors), zero);
            assert_eq!(trials(Searched::Demos, predictors), zero);
        }
        let plan = |searched| {
            let Plan { sets, instructions, valset, .. } =
                Plan::new(&MiproSettings { searched, ..super::super::defaults() }, 1);
            (sets, instructions, valset)
        };
        assert_eq!(plan(Searched::Both), (6, 3, 100));
        assert_eq!(plan(Searched::Instructions), (6, 6, 100));
        assert_eq!(plan(Searched::Demos), (6, 1, 100));
        let own = MiproSettings { num_candidates: Some(7), num_trials: Some(4), ..super::super::defaults() };
        let expected = Plan { sets: 7, instructions: 7, trials: 4, valset: usize::MAX };
        assert_eq!(Plan::new(&own, 3), expected);
    }

    #[test]
    fn a_small_valset_has_no_minibatches_by_default() {
        assert_eq!([50, 51].map(|rows| Minibatch::Default.of(rows).unwrap()), [None, Some(35)]);
        assert_eq!(
            [9, 10, 11].map(|rows| Minibatch::Rows(10).of(rows).ok()),
            [None, Some(None), Some(Some(10))]
        );
        assert_eq!(Minibatch::Off.of(1_000).unwrap(), None);
    }
}
