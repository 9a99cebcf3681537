//! The candidates, one after the other.

use dspy_core::Seed;
use dspy_core::lm::Usage;

use super::Search;
use crate::bootstrap_few_shot::{Bootstrap, Teaching};
use crate::data::Rows;
use crate::engine::{Fits, Halt, Program, Row, Run};
use crate::labeled_few_shot::sampling;
use crate::report::{Stopped, Trial, parameters};
use crate::{OptimizeError, demos};

/// One search.
pub(super) struct Job<'a, P, E, M> {
    pub(super) search: &'a Search,
    pub(super) run: &'a Run<M>,
    pub(super) teaching: Teaching<P>,
    pub(super) rows: Rows<'a, E>,
    pub(super) valset: &'a [E],
    pub(super) root: Seed,
}

/// What it has found.
pub(super) struct Found<P> {
    /// The place of the best candidate and its program; none if the budget was used up before there was one.
    pub(super) best: Option<(usize, P)>,
    pub(super) trials: Vec<Trial>,
    pub(super) stopped: Stopped,
}

/// How a candidate comes to be.
#[derive(Debug, Clone, Copy)]
enum Kind {
    ZeroShot,
    Labelled,
    Bootstrapped,
    Shuffled(usize),
}

impl Kind {
    /// The name in the journal.
    fn scope(self) -> String {
        match self {
            Kind::ZeroShot => "zero-shot".into(),
            Kind::Labelled => "labelled".into(),
            Kind::Bootstrapped => "bootstrapped".into(),
            Kind::Shuffled(index) => format!("shuffled-{index}"),
        }
    }

    fn label(self) -> String {
        match self {
            Kind::ZeroShot => "no demonstrations".into(),
            Kind::Labelled => "labelled demonstrations".into(),
            Kind::Bootstrapped => "bootstrapped demonstrations".into(),
            Kind::Shuffled(index) => format!("bootstrapped demonstrations, shuffle {index}"),
        }
    }
}

/// A candidate before it is scored.
struct Candidate<P> {
    program: P,
    notes: Vec<String>,
    usage: Usage,
}

impl<P, E, M> Job<'_, P, E, M>
where
    P: Program,
    E: Row<P>,
    M: Fits<P, E>,
{
    pub(super) async fn search(&self) -> Result<Found<P>, OptimizeError> {
        let shuffled = (0..self.search.num_candidate_programs).map(Kind::Shuffled);
        let mut best: Option<(f64, usize, P)> = None;
        let mut trials = Vec::new();
        let mut stopped = Stopped::Finished;
        for kind in [Kind::ZeroShot, Kind::Labelled, Kind::Bootstrapped].into_iter().chain(shuffled) {
            let (score, trial, program) = match self.trial(kind).await {
                Ok(done) => done,
                Err(Halt::Budget(limit)) => {
                    stopped = Stopped::Budget(limit);
                    break;
                }
                Err(Halt::Error(error)) => return Err(*error),
            };
            self.run.progress.scored(score);
            if best.as_ref().is_none_or(|(highest, ..)| score > *highest) {
                best = Some((score, trials.len(), program));
            }
            trials.push(trial);
            if self.search.stop_at_score.is_some_and(|enough| score >= enough) {
                stopped = Stopped::ScoreReached;
                break;
            }
        }
        Ok(Found { best: best.map(|(_, place, program)| (place, program)), trials, stopped })
    }

    async fn trial(&self, kind: Kind) -> Result<(f64, Trial, P), Halt> {
        let scope = kind.scope();
        let Candidate { program, notes, mut usage } = self.candidate(kind, &scope).await?;
        self.run.progress.phase(&kind.label(), self.valset.len());
        let scores = self.run.evaluate(&format!("{scope}/evaluate"), &program, self.valset).await?;
        for item in &scores.items {
            usage += item.usage;
        }
        let trial = Trial {
            label: kind.label(),
            score: Some(scores.mean),
            items: scores.items,
            parameters: parameters(&program),
            notes,
            usage,
        };
        Ok((scores.mean, trial, program))
    }

    async fn candidate(&self, kind: Kind, scope: &str) -> Result<Candidate<P>, Halt> {
        let Search { settings, .. } = self.search;
        let mut order: Vec<usize> = (0..self.rows.examples.len()).collect();
        let mut settings = settings.clone();
        let mut seed = self.root;
        match kind {
            Kind::ZeroShot | Kind::Labelled => {
                let mut program = self.teaching.student.clone();
                if matches!(kind, Kind::Labelled) {
                    let sample = Some(sampling(seed));
                    demos::attach(
                        &mut program,
                        &self.rows.values,
                        &order,
                        settings.max_labeled_demos,
                        sample,
                    );
                }
                return Ok(Candidate { program, notes: Vec::new(), usage: Usage::default() });
            }
            Kind::Bootstrapped => {}
            Kind::Shuffled(index) => {
                seed = self.root.branch("candidate").index(index as u64);
                seed.branch("order").rng().shuffle(&mut order);
                let most = settings.max_bootstrapped_demos;
                settings.max_bootstrapped_demos = seed.branch("size").rng().between(1, most).min(most);
            }
        }
        let scope = format!("{scope}/bootstrap");
        let bootstrap = Bootstrap { scope: &scope, order: &order, settings: &settings, seed };
        let made = bootstrap.run(self.run, &self.teaching, &self.rows).await?;
        let usage = made.usage();
        match made.halted {
            Some(limit) => Err(Halt::Budget(limit)),
            None => Ok(Candidate { program: made.program, notes: made.notes, usage }),
        }
    }
}
