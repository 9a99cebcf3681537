//! The search: making the candidates and selecting the best one.

use crate::bootstrap_few_shot::{DemoSet, Roles, Settings, WithDemos};
use crate::data::Rows;
use crate::engine::{Contestant, ExampleFor, Needs, Program, Scores, Stop, Study};
use crate::race::Race;
use crate::report::{Stopped, Trial};

/// The state of one search.
pub(super) struct Search<'s, 'd, P: Program, E> {
    pub(super) study: &'s Study<'d, P, E>,
    pub(super) roles: Roles<P>,
    pub(super) settings: &'s Settings,
    pub(super) candidates: usize,
}

/// A candidate that is made but not scored.
struct Built<P> {
    set: DemoSet,
    made: WithDemos<P>,
}

impl<P: Program> Built<P> {
    fn trial(&self) -> Trial {
        let WithDemos { program, notes, usage } = &self.made;
        Trial { notes: notes.clone(), usage: *usage, ..Trial::new(self.set.label(), program) }
    }

    /// Returns the name of the evaluation of its program in the journal.
    fn evaluation(&self) -> String {
        format!("{}/evaluate", self.set.scope())
    }
}

impl<P: Program, E: ExampleFor<P>> Search<'_, '_, P, E> {
    fn sets(&self) -> impl Iterator<Item = DemoSet> + use<P, E> {
        let shuffled = (0..self.candidates).map(DemoSet::Shuffled);
        let Settings { max_bootstrapped_demos: bootstrapped, max_labeled_demos: labelled, .. } =
            *self.settings;
        // Sets without demonstrations are the program itself once more.
        let has_demos = move |set: &DemoSet| match set {
            DemoSet::ZeroShot => true,
            DemoSet::Labelled => labelled > 0,
            DemoSet::Bootstrapped => bootstrapped > 0,
            DemoSet::Shuffled(_) => bootstrapped.max(labelled) > 0,
        };
        let all = [DemoSet::ZeroShot, DemoSet::Labelled, DemoSet::Bootstrapped].into_iter().chain(shuffled);
        all.filter(has_demos)
    }

    /// Scores each candidate on the whole valset.
    pub(super) async fn one_by_one(&self, stop_at_score: Option<f64>) -> Result<Stopped, Stop> {
        let val = self.study.val();
        self.study.plan(self.sets().count() * val.len());
        for set in self.sets() {
            let built = self.build(set, val.len()).await;
            let built = match set {
                DemoSet::ZeroShot => built?,
                _ => self.study.or_warn(built, val.len())?,
            };
            self.study.part("search", &set.label(), val.len());
            let scores = self.study.evaluate(&built.evaluation(), &built.made.program, val).await?;
            self.study.record(built.trial().scored(&scores), built.made.program);
            if stop_at_score.is_some_and(|enough| scores.mean >= enough) {
                return Ok(Stopped::ScoreReached);
            }
            if matches!(set, DemoSet::ZeroShot) {
                self.study.check_headroom(&scores)?;
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
        for set in self.sets() {
            // Each candidate runs on the first block when it is made, so that there are scores if the budget
            // is exhausted.
            match self.build_and_start(set, &first).await {
                Ok((built, scores)) => {
                    if matches!(set, DemoSet::ZeroShot) {
                        self.check_headroom(&built, &scores).await?;
                    }
                    all.push(built);
                }
                Err(Stop::Budget(limit)) => {
                    if all.len() == 1 {
                        self.study.warn_nothing_compared(first.len());
                    }
                    stopped = Some(limit);
                    break;
                }
                Err(stop) => return Err(stop),
            }
        }
        self.study.part("search", "race", all.len() * val.len());
        let contestants: Vec<_> =
            all.iter().map(|built| Contestant::new(built.evaluation(), built.made.program.clone())).collect();
        let raced = self.study.race(race, &contestants, val).await?;
        // The first one has no demonstrations.
        let winner = raced.winner_over(0, None, val.len());
        for (place, built) in all.into_iter().enumerate() {
            let trial = raced.scored(place, built.trial(), val.len());
            let trial = self.study.record(trial, built.made.program);
            if place == winner.unwrap_or_default() {
                self.study.choose(trial);
            }
        }
        Ok(stopped.or(raced.stopped).map_or(Stopped::Finished, Stopped::Budget))
    }

    /// Checks the headroom of the program without demonstrations. If the first block of rows leaves none, it runs on
    /// all rows.
    async fn check_headroom(&self, built: &Built<P>, first: &Scores) -> Result<(), Stop> {
        let (program, val) = (&built.made.program, self.study.val());
        if first.items.len() == val.len() {
            return self.study.check_headroom(first);
        }
        if !self.study.lacks_headroom(first) {
            self.study.warn_of_few(val.len());
            return Ok(());
        }
        let scores = self.study.evaluate(&built.evaluation(), program, val).await?;
        let checked = self.study.check_headroom(&scores);
        if checked.is_err() {
            self.study.record(built.trial().scored(&scores), program.clone());
        }
        checked
    }

    async fn build_and_start(&self, set: DemoSet, first: &Rows<'_, E>) -> Result<(Built<P>, Scores), Stop> {
        let built = self.build(set, first.len()).await?;
        self.study.part("search", &set.label(), first.len());
        let scores = self.study.evaluate(&built.evaluation(), &built.made.program, first).await?;
        Ok((built, scores))
    }

    /// Makes a candidate, if the budget pays for it and for this many runs that compare it.
    async fn build(&self, set: DemoSet, runs: usize) -> Result<Built<P>, Stop> {
        let study = self.study;
        let places: Vec<usize> = (0..study.train().len()).collect();
        let settings = match set {
            // Nothing is known of the cost before the first runs.
            DemoSet::ZeroShot => self.settings.clone(),
            DemoSet::Labelled => {
                study.covers(&set.scope(), Needs { calls: 0, runs })?;
                self.settings.clone()
            }
            DemoSet::Bootstrapped => self.settings.within_budget(study, &set.scope(), runs)?,
            // The number of its demonstrations is random.
            DemoSet::Shuffled(_) => {
                let most = self.settings.max_bootstrapped_demos;
                let fewest = Settings { max_bootstrapped_demos: most.min(1), ..self.settings.clone() };
                let limited = fewest.within_budget(study, &set.scope(), runs)?;
                Settings { most_rows: limited.most_rows, ..self.settings.clone() }
            }
        };
        Ok(Built { set, made: set.make(study, &self.roles, &settings, &places).await? })
    }
}
