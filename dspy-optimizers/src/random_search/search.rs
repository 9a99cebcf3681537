//! The search: making the candidates and selecting the best one.

use dspy_core::lm::Usage;

use crate::bootstrap_few_shot::{Bootstrap, Roles, Settings};
use crate::data::Rows;
use crate::demos;
use crate::engine::{Contestant, ExampleFor, Program, Stop, Study};
use crate::labeled_few_shot::sampling;
use crate::race::Race;
use crate::report::{Stopped, Trial};

/// The state of one search.
pub(super) struct Search<'s, 'd, P: Program, E> {
    pub(super) study: &'s Study<'d, P, E>,
    pub(super) roles: Roles<P>,
    pub(super) settings: &'s Settings,
    pub(super) candidates: usize,
}

/// The way in which a candidate is made.
#[derive(Debug, Clone, Copy)]
enum Kind {
    ZeroShot,
    Labelled,
    Bootstrapped,
    Shuffled(usize),
}

impl Kind {
    /// Returns the name of the candidate in the journal.
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

    /// Returns the name of the evaluation of its program in the journal.
    fn evaluation(self) -> String {
        format!("{}/evaluate", self.scope())
    }
}

/// A candidate that is made but not scored.
struct Built<P> {
    kind: Kind,
    program: P,
    notes: Vec<String>,
    usage: Usage,
}

impl<P: Program> Built<P> {
    fn trial(&self) -> Trial {
        let (notes, usage) = (self.notes.clone(), self.usage);
        Trial { notes, usage, ..Trial::new(self.kind.label(), &self.program) }
    }
}

impl<P: Program, E: ExampleFor<P>> Search<'_, '_, P, E> {
    fn kinds(&self) -> impl Iterator<Item = Kind> + use<P, E> {
        let shuffled = (0..self.candidates).map(Kind::Shuffled);
        [Kind::ZeroShot, Kind::Labelled, Kind::Bootstrapped].into_iter().chain(shuffled)
    }

    /// Scores each candidate on the whole valset.
    pub(super) async fn one_by_one(&self, stop_at_score: Option<f64>) -> Result<Stopped, Stop> {
        let val = self.study.val();
        for kind in self.kinds() {
            let built = self.build(kind).await?;
            self.study.phase(&kind.label(), val.len());
            let scores = self.study.evaluate(&kind.evaluation(), &built.program, val).await?;
            self.study.record(built.trial().scored(&scores), built.program);
            if stop_at_score.is_some_and(|enough| scores.mean >= enough) {
                return Ok(Stopped::ScoreReached);
            }
        }
        Ok(Stopped::Finished)
    }

    /// Compares the candidates in a race, which drops beaten ones before they have run on the whole valset.
    pub(super) async fn race(&self, race: &Race) -> Result<Stopped, Stop> {
        let val = self.study.val();
        let (schedule, ends) = race.schedule(val, self.study.seed());
        let first = schedule.select(0..ends[0]);
        let mut all = Vec::new();
        let mut stopped = None;
        for kind in self.kinds() {
            // Each candidate runs on the first block when it is made, so that there are scores if the budget
            // is exhausted.
            match self.build_and_start(kind, &first).await {
                Ok(built) => all.push(built),
                Err(Stop::Budget(limit)) => {
                    stopped = Some(limit);
                    break;
                }
                Err(stop) => return Err(stop),
            }
        }
        self.study.phase("race", all.len() * val.len());
        let contestants: Vec<_> =
            all.iter().map(|built| Contestant::new(built.kind.evaluation(), built.program.clone())).collect();
        let raced = self.study.race(race, &contestants, val).await?;
        for (built, standing) in all.iter().zip(&raced.standings) {
            self.study.record(built.trial().raced(standing), built.program.clone());
        }
        Ok(stopped.or(raced.stopped).map_or(Stopped::Finished, Stopped::Budget))
    }

    async fn build_and_start(&self, kind: Kind, first: &Rows<'_, E>) -> Result<Built<P>, Stop> {
        let built = self.build(kind).await?;
        self.study.phase(&kind.label(), first.len());
        self.study.evaluate(&kind.evaluation(), &built.program, first).await?;
        Ok(built)
    }

    async fn build(&self, kind: Kind) -> Result<Built<P>, Stop> {
        let train = self.study.train();
        let mut order: Vec<usize> = (0..train.len()).collect();
        let mut settings = self.settings.clone();
        let mut seed = self.study.seed();
        match kind {
            Kind::ZeroShot | Kind::Labelled => {
                let mut program = self.roles.student.clone();
                if matches!(kind, Kind::Labelled) {
                    let (count, sample) = (settings.max_labeled_demos, Some(sampling(seed)));
                    demos::attach(&mut program, train, &order, count, sample);
                }
                return Ok(Built { kind, program, notes: Vec::new(), usage: Usage::default() });
            }
            Kind::Bootstrapped => {}
            Kind::Shuffled(index) => {
                seed = seed.branch("candidate").index(index as u64);
                seed.branch("order").rng().shuffle(&mut order);
                let most = settings.max_bootstrapped_demos;
                settings.max_bootstrapped_demos = seed.branch("size").rng().between(1, most).min(most);
            }
        }
        let scope = format!("{}/bootstrap", kind.scope());
        let bootstrap = Bootstrap { scope: &scope, order: &order, settings: &settings, seed };
        let built = bootstrap.run(self.study, &self.roles).await?;
        match built.stopped {
            Some(limit) => Err(Stop::Budget(limit)),
            None => Ok(Built { kind, program: built.program, notes: built.notes, usage: built.usage }),
        }
    }
}
