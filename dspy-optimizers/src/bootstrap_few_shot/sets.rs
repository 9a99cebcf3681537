//! Sets of demonstrations, as several optimizers search over.

use dspy_core::lm::Usage;

use super::{Bootstrap, Roles, Settings};
use crate::demos;
use crate::engine::{ExampleFor, Program, Stop, Study};
use crate::labeled_few_shot::sampling;

/// The way in which a set of demonstrations is made.
#[derive(Debug, Clone, Copy)]
pub(crate) enum DemoSet {
    ZeroShot,
    Labelled,
    Bootstrapped,
    Shuffled(usize),
}

/// A program with a set of demonstrations.
pub(crate) struct WithDemos<P> {
    pub(crate) program: P,
    pub(crate) notes: Vec<String>,
    pub(crate) usage: Usage,
}

impl DemoSet {
    /// Returns the name of the set in the journal.
    pub(crate) fn scope(self) -> String {
        match self {
            DemoSet::ZeroShot => "zero-shot".into(),
            DemoSet::Labelled => "labelled".into(),
            DemoSet::Bootstrapped => "bootstrapped".into(),
            DemoSet::Shuffled(index) => format!("shuffled-{index}"),
        }
    }

    pub(crate) fn label(self) -> String {
        match self {
            DemoSet::ZeroShot => "no demonstrations".into(),
            DemoSet::Labelled => "labelled demonstrations".into(),
            DemoSet::Bootstrapped => "bootstrapped demonstrations".into(),
            DemoSet::Shuffled(index) => format!("bootstrapped demonstrations, shuffle {index}"),
        }
    }

    /// Makes the set from the rows of the trainset at `places`.
    ///
    /// # Errors
    /// If the search has to stop, also if the budget was exhausted before the set was complete.
    pub(crate) async fn make<P: Program, E: ExampleFor<P>>(
        self,
        study: &Study<'_, P, E>,
        roles: &Roles<P>,
        settings: &Settings,
        places: &[usize],
    ) -> Result<WithDemos<P>, Stop> {
        let mut order = places.to_vec();
        let mut settings = settings.clone();
        let mut seed = study.seed();
        match self {
            DemoSet::ZeroShot | DemoSet::Labelled => {
                let mut program = roles.student.clone();
                if matches!(self, DemoSet::Labelled) {
                    let (count, sample) = (settings.max_labeled_demos, Some(sampling(seed)));
                    demos::attach(&mut program, study.train(), &order, count, sample);
                }
                return Ok(WithDemos { program, notes: Vec::new(), usage: Usage::default() });
            }
            DemoSet::Bootstrapped => {}
            DemoSet::Shuffled(index) => {
                seed = seed.branch("candidate").index(index as u64);
                seed.branch("order").rng().shuffle(&mut order);
                let most = settings.max_bootstrapped_demos;
                settings.max_bootstrapped_demos = seed.branch("size").rng().between(1, most).min(most);
            }
        }
        let scope = format!("{}/bootstrap", self.scope());
        let bootstrap = Bootstrap { scope: &scope, order: &order, settings: &settings, seed };
        let made = bootstrap.run(study, roles).await?;
        match made.stopped {
            Some(limit) => Err(Stop::Budget(limit)),
            None => Ok(WithDemos { program: made.program, notes: made.notes, usage: made.usage }),
        }
    }
}
