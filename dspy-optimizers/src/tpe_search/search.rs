//! The search: one bootstrap, then trials with the demonstrations that the sampler suggests.

use dspy_core::signature::Demo;

use crate::bootstrap_few_shot::{Bootstrap, Roles, Settings};
use crate::engine::{Candidate, ExampleFor, Program, Stop, Study};
use crate::error::OptimizeError;
use crate::report::{ORIGINAL, Scores, Stopped, Trial};
use crate::samplers::{SamplerError, Tpe};

/// The parameters of one search.
pub(super) struct Search<'s, 'd, P: Program, E> {
    pub(super) study: &'s Study<'d, P, E>,
    pub(super) settings: &'s Settings,
    pub(super) trials: usize,
    /// The number of demonstrations that each predictor shows.
    pub(super) shown: usize,
    pub(super) stop_at_score: Option<f64>,
}

/// The demonstrations that a predictor can show.
struct Pool {
    path: String,
    demos: Vec<Demo>,
    /// The number of demonstrations in a trial, each of which is a variable of the search.
    shown: usize,
}

impl<P: Program, E: ExampleFor<P>> Search<'_, '_, P, E> {
    pub(super) async fn run(&self) -> Result<Stopped, Stop> {
        let study = self.study;
        let roles = Roles::of(study)?;
        let scores = self.scores(ORIGINAL, study.program()).await?;
        study.record(Trial::new(ORIGINAL, study.program()).scored(&scores), study.program().clone());
        if self.is_enough(&scores) {
            return Ok(Stopped::ScoreReached);
        }
        study.check_headroom(&scores)?;
        let pools = self.pools(&roles).await?;
        if pools.is_empty() {
            study.warn(
                "there are no demonstrations to choose from: no run of the teacher has succeeded, and no row has \
                 labels for a predictor",
            );
            return Ok(Stopped::Finished);
        }
        let variables = pools.iter().flat_map(|pool| std::iter::repeat_n(pool.demos.len(), pool.shown));
        // A second score on the whole valset would be the same.
        let mut tpe = Tpe::new(variables).and_then(|tpe| tpe.repeats(0.0)).map_err(refused)?;
        for number in 0..self.trials {
            if tpe.is_exhausted() {
                break;
            }
            let mut rng = study.seed().branch("suggest").index(number as u64).rng();
            let choice = tpe.suggest(&mut rng);
            let (candidate, note) = chosen(&pools, &choice);
            let program = candidate.applied_to(&roles.student).map_err(OptimizeError::from)?;
            let label = format!("trial {}", number + 1);
            let scores = self.scores(&label, &program).await?;
            let trial = Trial { notes: vec![note], ..Trial::new(label, &program).scored(&scores) };
            study.record(trial, program);
            tpe.observe_rows(&choice, scores.mean, study.val().len()).map_err(refused)?;
            if self.is_enough(&scores) {
                return Ok(Stopped::ScoreReached);
            }
        }
        Ok(Stopped::Finished)
    }

    async fn scores(&self, label: &str, program: &P) -> Result<Scores, Stop> {
        let val = self.study.val();
        self.study.part("search", label, val.len());
        self.study.evaluate(&self.study.scope_of(program), program, val).await
    }

    fn is_enough(&self, scores: &Scores) -> bool {
        self.stop_at_score.is_some_and(|enough| scores.mean >= enough)
    }

    /// Makes the pools of all predictors that have demonstrations.
    async fn pools(&self, roles: &Roles<P>) -> Result<Vec<Pool>, Stop> {
        let (settings, seed) = (self.settings, self.study.seed());
        let order: Vec<usize> = (0..self.study.train().len()).collect();
        let bootstrap = Bootstrap { scope: "bootstrap", order: &order, settings, seed };
        let made = bootstrap.run(self.study, roles).await?;
        if let Some(limit) = made.stopped {
            return Err(Stop::Budget(limit));
        }
        let pool = |(path, predictor): (String, &dspy_core::predict::Predictor)| {
            let mut demos: Vec<Demo> = Vec::new();
            for demo in predictor.demos() {
                if !demos.contains(demo) {
                    demos.push(demo.clone());
                }
            }
            let shown = self.shown.min(demos.len());
            (!demos.is_empty()).then_some(Pool { path, demos, shown })
        };
        Ok(made.program.named_predictors().into_iter().filter_map(pool).collect())
    }
}

/// Returns the demonstrations of a suggestion, with a note that says which they are.
fn chosen(pools: &[Pool], mut choice: &[usize]) -> (Candidate, String) {
    let (mut candidate, mut notes) = (Candidate::new(), Vec::new());
    for Pool { path, demos, shown } in pools {
        let (own, others) = choice.split_at(*shown);
        choice = others;
        let mut places: Vec<usize> = Vec::new();
        for &place in own {
            if !places.contains(&place) {
                places.push(place);
            }
        }
        let demos: Vec<Demo> = places.iter().filter_map(|place| demos.get(*place).cloned()).collect();
        candidate = candidate.demos(path, demos);
        let places: Vec<String> = places.iter().map(ToString::to_string).collect();
        notes.push(format!("`{path}`: demonstrations {}", places.join(", ")));
    }
    (candidate, notes.join("; "))
}

/// Returns the error of a space or a score that the sampler refuses.
fn refused(error: SamplerError) -> Stop {
    OptimizeError::other(error).into()
}
