//! The cost of an algorithm as runs of the program and calls of a proposer, and its estimate.

use dspy_core::lm::Lm;
use dspy_core::program::{HasPredictors, current_lm};

use super::origin::{Dearest, Origin, Size};
use super::tokens::{MOST_WRITTEN, Prices, Tokens};
use super::{Estimate, Span};
use crate::data::Rows;

/// The sizes that the cost of an algorithm depends on.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sizes {
    /// The rows of the trainset.
    pub(crate) train: usize,
    /// The rows of the valset, or of the trainset if there is none.
    pub(crate) val: usize,
    /// Whether the data has a valset.
    pub(crate) given_val: bool,
    pub(crate) predictors: usize,
}

/// The models that write texts.
#[expect(clippy::large_enum_variant, reason = "there is one for each estimate")]
#[derive(Debug, Clone)]
pub(crate) enum Writer {
    /// This model, or the current one.
    Lm(Option<Lm>),
    /// A custom proposer, whose models are not known.
    Unknown,
}

impl Writer {
    /// Returns the writer of an optimizer with a proposer that may be the default one.
    pub(crate) fn proposer(is_default: bool) -> Self {
        if is_default { Writer::Lm(None) } else { Writer::Unknown }
    }
}

/// The runs that a teacher makes instead of the program.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Taught {
    /// None, except those that `teacher_lm` says.
    None,
    /// Some of them.
    Some,
    /// All, except those of a verification.
    All,
}

/// The cost of an algorithm without its budget and its verification.
#[derive(Debug, Clone)]
pub(crate) struct Cost {
    /// The runs that score the original program, after which the search may end for lack of headroom.
    pub(crate) baseline: Option<u64>,
    /// The runs without which there is no result, if the original program is not scored.
    pub(crate) required: Option<u64>,
    /// The runs of the program.
    pub(crate) rollouts: Span<u64>,
    /// The calls of a proposer and the further runs that the first new program needs to be compared, at least, if it is
    /// not made without them.
    pub(crate) comparison: Option<(u64, u64)>,
    /// The calls of models that write texts.
    pub(crate) proposals: Span<u64>,
    /// The largest number of demonstrations of a predictor that the algorithm sets.
    pub(crate) demos: usize,
    /// The number of rows that a prompt of the proposer shows.
    pub(crate) shown: usize,
    /// The most tokens that proposed texts add to the prompt of a predictor.
    pub(crate) written: u64,
    pub(crate) writer: Writer,
    pub(crate) teacher_lm: Option<Lm>,
    pub(crate) taught: Taught,
}

impl Cost {
    /// Creates the cost of runs of the program alone.
    pub(crate) fn of_rollouts(rollouts: Span<u64>) -> Self {
        Cost {
            baseline: None,
            required: None,
            rollouts,
            comparison: None,
            proposals: Span::exactly(0),
            demos: 0,
            shown: 0,
            written: MOST_WRITTEN,
            writer: Writer::Lm(None),
            teacher_lm: None,
            taught: Taught::None,
        }
    }

    /// Returns the runs that come first, without which there is no result.
    pub(crate) fn first_runs(&self) -> Option<u64> {
        self.baseline.or(self.required)
    }

    /// Adds runs that may be made on held-out rows.
    pub(crate) fn verifying(mut self, most: u64) -> Self {
        self.rollouts = self.rollouts + Span::between(0, most);
        self
    }

    /// Takes into account that the search may end after the original program was scored.
    pub(crate) fn may_lack_headroom(mut self, on: bool) -> Self {
        if let Some(baseline) = self.baseline.filter(|_| on) {
            self.rollouts.least = self.rollouts.least.min(baseline);
            self.proposals.least = 0;
        }
        self
    }

    /// Returns the estimate for a program on rows, with the settings of the current task. `teacher` is that of the data.
    pub(crate) fn estimate<P: HasPredictors, E>(
        &self,
        program: &P,
        teacher: Option<&P>,
        rows: &Rows<'_, E>,
    ) -> Estimate {
        let teacher = teacher.filter(|_| self.taught != Taught::None);
        let is_taught = teacher.is_some() || self.teacher_lm.is_some();
        let base = Tokens::of(program, None, rows);
        let of_teacher =
            is_taught.then(|| Tokens::of(teacher.unwrap_or(program), self.teacher_lm.as_ref(), rows));
        let sizes = of_teacher.map_or(base, |teacher| base.spanning(teacher));
        let predictors = program.named_predictors();
        let current = current_lm();
        let per_rollout = predictors.len().max(1) as u64;
        let models = |program: &P| -> Vec<Option<Lm>> {
            let predictors = program.named_predictors();
            predictors.iter().map(|(_, predictor)| predictor.lm().or(current.as_ref()).cloned()).collect()
        };
        // A model of the teacher replaces all of its own.
        let of_teacher_models = match (&self.teacher_lm, teacher) {
            (Some(lm), _) => vec![Some(lm.clone())],
            (None, Some(teacher)) => models(teacher),
            (None, None) => Vec::new(),
        };
        let own_models = models(program);
        let models = own_models.iter().chain(&of_teacher_models).map(Option::as_ref);
        // The lower ends are those of the teacher if it makes all runs that are certain.
        let least_sizes = of_teacher.filter(|_| self.taught == Taught::All).unwrap_or(sizes);
        let least_models: Vec<Option<&Lm>> = match self.taught {
            Taught::All if is_taught => of_teacher_models.iter().map(Option::as_ref).collect(),
            _ => models.clone().collect(),
        };
        let none = self.proposals.most == Some(0);
        let writer = match &self.writer {
            _ if none => None,
            Writer::Lm(lm) => Some(Prices::of([lm.as_ref().or(current.as_ref())])),
            Writer::Unknown => Some(None),
        };
        let texts = if none { 0 } else { self.written.saturating_mul(per_rollout) };
        let prompt = sizes.prompt + sizes.demo * self.demos as f64 + texts as f64;
        let asked = sizes.longest_proposer_prompt(self.shown);
        let written = 1.0;
        let of_writer = match &self.writer {
            Writer::Lm(lm) => lm.as_ref().or(current.as_ref()).and_then(|lm| lm.params().max_tokens),
            Writer::Unknown => None,
        };
        let longest = of_writer.map_or(MOST_WRITTEN as f64, |most| f64::from(most).min(MOST_WRITTEN as f64));
        // The original program has neither more demonstrations nor longer texts.
        let original = self.baseline.unwrap_or(0);
        let spread = |(rollouts, proposals): (u64, u64)| {
            let first = original.min(rollouts);
            [first, rollouts - first, proposals].map(|count| count as f64)
        };
        let most = self.rollouts.most.zip(self.proposals.most).map(spread);
        let tokens = Span {
            least: (self.rollouts.least as f64 * (least_sizes.shortest + least_sizes.briefest)
                + self.proposals.least as f64 * (sizes.proposer_prompt(0) + written))
                as u64,
            most: most.map(|[first, others, proposals]| {
                let (first, others) = (first * (base.prompt + base.reply), others * (prompt + sizes.reply));
                (first + others + proposals * (asked + longest)) as u64
            }),
        };
        // The largest calls, for a run that a limit on calls ends.
        let [call, reply, demo] = sizes.call;
        let [own_call, own_reply, _] = base.call;
        let added = demo * self.demos as f64 + if none { 0.0 } else { self.written as f64 };
        let mut dearest = Dearest {
            tokens: call + added + reply,
            original: Size { tokens: own_call + own_reply, usd: 0.0 },
            proposal: Size { tokens: if none { 0.0 } else { asked + longest }, usd: 0.0 },
            first: original.saturating_mul(per_rollout),
            ..Dearest::NONE
        };
        let usd = Prices::of(models).and_then(|program| {
            // Without proposals, the price of their model does not matter.
            let writer = writer.map_or(Some(program), |writer| writer)?;
            let of_proposal = writer.most(asked, longest);
            dearest.usd = program.most(call + added, reply);
            dearest.original.usd = program.most(own_call, own_reply);
            dearest.proposal.usd = if none { 0.0 } else { of_proposal };
            let cost = |[first, others, proposals]: [f64; 3]| {
                first * program.most(base.prompt, base.reply)
                    + others * program.most(prompt, sizes.reply)
                    + proposals * of_proposal
            };
            let cheapest = Prices::of(least_models)?;
            let least = self.rollouts.least as f64
                * cheapest.least(least_sizes.shortest, least_sizes.briefest)
                + self.proposals.least as f64 * writer.least(sizes.proposer_prompt(0), written);
            // What is free is free in any number.
            let free = dearest.usd == 0.0 && dearest.proposal.usd == 0.0;
            Some(Span { least, most: if free { Some(0.0) } else { most.map(cost) } })
        });
        Estimate {
            program_calls: self.rollouts.map(|rollouts| rollouts.saturating_mul(per_rollout)),
            proposer_calls: self.proposals,
            tokens: Some(tokens),
            usd,
            calls_per_rollout: per_rollout as f64,
            warnings: Vec::new(),
            dearest,
            origin: Origin::Whole,
        }
    }
}
