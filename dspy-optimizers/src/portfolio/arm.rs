//! The optimizers of a portfolio, and their sizes.

use super::plan::Share;
use super::suit::{Case, MINIBATCH};
use crate::data::{Data, Rows};
use crate::engine::{ExampleFor, Program};
use crate::options::Options;
use crate::race::Race;
use crate::{
    BootstrapFewShotWithRandomSearch, Capo, Copro, Gepa, InferRules, LabeledFewShot, MiproV2, ModuleOpro,
    OptimizeError, Optimized, Optimizer, Simba,
};
use dspy_core::evaluate::SharedMetric;

/// The number of rows that a proposer sees.
const SHOWN: usize = 30;

/// The runs of [`Simba`] on each row of a minibatch.
const SIMBA_RUNS: usize = 10;

/// The rows of the first minibatches of [`Gepa`], and the number of children of which one is typically better there.
const GEPA_MINIBATCH: usize = 3;
const GEPA_TRIES: usize = 4;

/// An optimizer of a portfolio.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Arm {
    Labeled,
    Gepa,
    RandomSearch,
    Copro,
    ModuleOpro,
    InferRules,
    Mipro,
    Capo,
    Simba,
}

/// The work of an optimizer.
pub(super) struct Work<'w, 'd, P, E, O> {
    pub(super) metric: &'w SharedMetric<E, O>,
    pub(super) options: &'w Options,
    pub(super) program: P,
    pub(super) data: Data<P, Rows<'d, E>>,
    pub(super) share: Share,
    pub(super) seed: u64,
    pub(super) case: Case,
}

/// Sets what all optimizers have in common on a builder, and runs it.
macro_rules! compile {
    ($builder:expr, $work:expr) => {{
        let Work { metric, options, program, data, share, seed, .. } = $work;
        let optimizer = $builder
            .metric(metric.clone())
            .budget(share.limit())
            .seed(seed)
            .concurrency(options.concurrency)
            .max_errors(options.max_errors)
            .best_score(options.best_score)
            .build();
        optimizer.compile(program, data).await
    }};
}

impl Arm {
    /// All of them, in the order in which they are kept if the budget is too small.
    pub(super) const ALL: [Arm; 9] = [
        Arm::Labeled,
        Arm::InferRules,
        Arm::Copro,
        Arm::ModuleOpro,
        Arm::RandomSearch,
        Arm::Gepa,
        Arm::Capo,
        Arm::Mipro,
        Arm::Simba,
    ];

    /// The order if the feedback of the metric says more than the rows: those that show it to a proposer come before
    /// those that show rows and scores.
    pub(super) const BY_FEEDBACK: [Arm; 9] = [
        Arm::Labeled,
        Arm::Gepa,
        Arm::Simba,
        Arm::InferRules,
        Arm::Copro,
        Arm::ModuleOpro,
        Arm::RandomSearch,
        Arm::Capo,
        Arm::Mipro,
    ];

    /// Returns whether the optimizer makes no runs, so that its only cost is the score of its result.
    pub(super) fn makes_no_runs(self) -> bool {
        self == Arm::Labeled
    }

    /// Returns the runs of one round of the algorithm, after which there can be a first gain on this number of rows. The
    /// original program is scored already.
    pub(super) fn round(self, val: usize) -> usize {
        match self {
            Arm::Labeled => val,
            Arm::Gepa => val + GEPA_TRIES * 2 * GEPA_MINIBATCH,
            // Half of the runs of a step, since the limit is twice the share, and a race needs about half of them.
            Arm::Simba => (2 * val).max(MINIBATCH * SIMBA_RUNS / 2),
            _ => 2 * val,
        }
    }

    /// Returns whether the optimizer runs programs under the names that other studies give them.
    pub(super) fn names_alike(self) -> bool {
        self != Arm::RandomSearch
    }

    pub(super) fn name(self) -> &'static str {
        match self {
            Arm::Labeled => "LabeledFewShot",
            Arm::Gepa => "Gepa",
            Arm::RandomSearch => "BootstrapFewShotWithRandomSearch",
            Arm::Copro => "Copro",
            Arm::ModuleOpro => "ModuleOpro",
            Arm::InferRules => "InferRules",
            Arm::Mipro => "MiproV2",
            Arm::Capo => "Capo",
            Arm::Simba => "Simba",
        }
    }

    /// Runs the optimizer in a size that its share pays for.
    pub(super) async fn run<P, E>(
        self,
        work: Work<'_, '_, P, E, P::Output>,
    ) -> Result<Optimized<P>, OptimizeError>
    where
        P: Program,
        E: ExampleFor<P>,
    {
        let Case { val, predictors, .. } = work.case;
        let rollouts = work.share.rollouts;
        let sizes = Scale { rollouts, val: val.max(1), predictors: predictors.max(1) };
        match self {
            Arm::Labeled => {
                let labelled = LabeledFewShot::builder().seed(work.seed).build();
                Optimizer::<P, E>::compile(&labelled, work.program, work.data).await
            }
            Arm::Gepa => compile!(Gepa::builder().max_rollouts(sizes.evolution()), work),
            Arm::RandomSearch => {
                let search = BootstrapFewShotWithRandomSearch::builder().race(Race::new());
                compile!(
                    search.num_candidate_programs(sizes.candidates().saturating_sub(3).clamp(1, 16)),
                    work
                )
            }
            Arm::Copro => compile!(Copro::builder().examples(SHOWN).depth(2).breadth(sizes.breadth()), work),
            Arm::ModuleOpro => compile!(ModuleOpro::builder().examples(SHOWN).steps(sizes.steps()), work),
            Arm::InferRules => {
                compile!(
                    InferRules::builder().num_candidates(sizes.candidates().saturating_sub(2).clamp(1, 10)),
                    work
                )
            }
            Arm::Mipro => {
                let trials = sizes.trials();
                compile!(MiproV2::builder().num_trials(trials).num_candidates((trials / 2).clamp(2, 6)), work)
            }
            Arm::Capo => {
                let (population, steps) = sizes.generations();
                compile!(
                    Capo::builder().examples(SHOWN).population(population).crossovers(3).steps(steps),
                    work
                )
            }
            Arm::Simba => {
                let steps = (rollouts / (MINIBATCH * SIMBA_RUNS)).clamp(1, 8);
                compile!(Simba::builder().minibatch(MINIBATCH).num_candidates(4).max_steps(steps), work)
            }
        }
    }
}

/// The sizes that optimizers get for a number of runs. They are about what the runs pay for; the budget is the limit.
#[derive(Debug, Clone, Copy)]
struct Scale {
    rollouts: usize,
    val: usize,
    predictors: usize,
}

impl Scale {
    /// Returns the number of runs of an evolution, at least two programs on the valset and four minibatches. It counts
    /// those of the program that it begins with, which are known.
    fn evolution(self) -> usize {
        (self.rollouts + self.val).max(2 * self.val + 12)
    }

    /// Returns the number of candidates in a race, in which each runs on half of the rows.
    fn candidates(self) -> usize {
        self.rollouts / (self.val / 2 + 6)
    }

    /// Returns the number of instructions in each of two rounds.
    fn breadth(self) -> usize {
        (self.rollouts / self.val.saturating_mul(self.predictors)).clamp(2, 10)
    }

    /// Returns the number of steps on minibatches, of which one in four runs on all rows.
    fn steps(self) -> usize {
        (self.rollouts / (25.min(self.val) + self.val / 4).max(1)).clamp(2, 30)
    }

    /// Returns the number of trials on minibatches, of which one in five is followed by a run on all rows.
    fn trials(self) -> usize {
        (self.rollouts / (35.min(self.val) + self.val / 5).max(1)).clamp(2, 30)
    }

    /// Returns the size of the population and the number of steps with three children each.
    fn generations(self) -> (usize, usize) {
        let members = 2 * self.rollouts / self.val;
        let population = (members / 3).clamp(2, 8);
        (population, (members.saturating_sub(population) / 3).clamp(1, 10))
    }
}
