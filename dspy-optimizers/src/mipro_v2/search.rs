//! The search over combinations of instructions and demonstrations.

use std::collections::BTreeSet;

use super::candidates::{Making, Module};
use super::plan::{MiproSettings, Plan};
use crate::OptimizeError;
use crate::bootstrap_few_shot::{Roles, Settings};
use crate::counts::counted;
use crate::data::Rows;
use crate::engine::{Candidate, ExampleFor, Needs, Program, Stop, Study};
use crate::report::{ORIGINAL, Stopped, Trial, percent};
use crate::samplers::{SamplerError, Tpe};

/// The number of suggestions for a trial before it is left out.
const SUGGESTIONS: usize = 16;

/// The state of a search.
pub(super) struct Search<'s, 'd, P: Program, E> {
    study: &'s Study<'d, P, E>,
    settings: &'s MiproSettings,
    val: Rows<'d, E>,
    /// The number of rows of a minibatch; `None` for the whole valset.
    minibatch: Option<usize>,
    trials: usize,
    modules: Vec<Module>,
    tpe: Tpe,
    best: f64,
    /// The combinations that have run on the whole valset.
    full: BTreeSet<Vec<usize>>,
    /// The combinations that have run on minibatches with their scores, in the order of their first trial.
    sampled: Vec<(Vec<usize>, Vec<f64>)>,
}

impl<'s, 'd, P: Program, E: ExampleFor<P>> Search<'s, 'd, P, E> {
    /// Scores the original program and makes the candidates.
    pub(super) async fn start(
        study: &'s Study<'d, P, E>,
        settings: &'s MiproSettings,
        bootstrap: &'s Settings,
    ) -> Result<Self, Stop> {
        let program = study.program();
        let plan = Plan::new(settings, program.named_predictors().len());
        let (learn, val) = plan.rows(study)?;
        let minibatch = settings.minibatch.of(val.len())?;
        // Before anything is paid: the teacher may not fit the program.
        let roles = (plan.sets > 0).then(|| Roles::of(study));
        study.part("search", ORIGINAL, val.len());
        let scores = study.evaluate(&study.scope_of(program), program, &val).await?;
        study.choose(study.record(Trial::new(ORIGINAL, program).scored(&scores), program.clone()));
        study.check_headroom(&scores)?;

        let trial = minibatch.unwrap_or(val.len());
        let whole = if minibatch.is_some() { val.len() } else { 0 };
        // No candidate is made that could not be compared.
        study.check_affordable("candidates", Needs { calls: 0, runs: trial + whole }, val.len())?;
        let making = Making { settings, bootstrap, plan: &plan, learn, trial, whole };
        let modules = making.run(study, roles.as_ref()).await?;
        let choices = modules.iter().flat_map(|module| [module.instructions.len(), module.demos.len()]);
        let tpe = Tpe::new(choices).map_err(refused)?;
        let tpe = match minibatch {
            _ if settings.published => tpe.published(),
            Some(_) => tpe,
            // A second score on the whole valset would be the same.
            None => tpe.repeats(0.0).map_err(refused)?,
        };
        let (full, sampled) = (BTreeSet::new(), Vec::new());
        let (trials, best) = (plan.trials, scores.mean);
        let mut search =
            Search { study, settings, val, minibatch, trials, modules, tpe, best, full, sampled };
        search.observe_full(vec![0; 2 * search.modules.len()], scores.mean)?;
        Ok(search)
    }

    pub(super) async fn run(mut self) -> Result<Stopped, Stop> {
        let whole = self.val.len();
        let per_trial = self.minibatch.unwrap_or(whole);
        let whole_trials =
            self.minibatch.map_or(0, |_| self.trials.div_ceil(self.settings.full_eval_steps.max(1)));
        self.study.plan(self.trials * per_trial + whole_trials * whole);
        for number in 0..self.trials {
            if self.is_exhausted() {
                break;
            }
            // The best combination on minibatches runs on the whole valset at the end.
            let runs = per_trial + if self.minibatch.is_some() { whole } else { 0 };
            match self.study.check_affordable(&format!("trial-{number}"), Needs { calls: 0, runs }, whole) {
                Err(Stop::Budget(limit)) => {
                    if self.minibatch.is_some() && number > 0 {
                        self.evaluate_best(number - 1).await?;
                    }
                    return Ok(Stopped::Budget(limit));
                }
                checked => checked?,
            }
            self.try_next(number).await?;
            let last = number + 1 == self.trials;
            if self.minibatch.is_some() && ((number + 1) % self.settings.full_eval_steps == 0 || last) {
                self.evaluate_best(number).await?;
            }
        }
        Ok(Stopped::Finished)
    }

    /// Returns whether every combination has run on the whole valset.
    fn is_exhausted(&self) -> bool {
        let choices = self.modules.iter().flat_map(|module| [module.instructions.len(), module.demos.len()]);
        choices.fold(1_usize, usize::saturating_mul) == self.full.len()
    }

    /// Scores the combination that the sampler suggests. One that has run on the whole valset is not scored again.
    async fn try_next(&mut self, number: usize) -> Result<(), Stop> {
        let (study, seed) = (self.study, self.study.seed());
        let mut rng = seed.branch("suggest").index(number as u64).rng();
        let mut suggestions = (0..SUGGESTIONS).map(|_| self.tpe.suggest(&mut rng));
        let Some(choice) = suggestions.find(|choice| !self.full.contains(choice)) else { return Ok(()) };
        let label = format!("trial {}", number + 1);
        let Some(rows) = self.minibatch else { return self.evaluate(choice, label).await };

        let program = self.program(&choice)?;
        let batch = self.val.shuffled(seed.branch("minibatch").index(number as u64)).select(0..rows);
        study.part("search", &label, rows);
        let (score, items) = study.sample(&study.scope_of(&program), &program, &batch).await?;
        // Scores on different rows are not comparable, so it is in a note.
        let mut trial = Trial::new(label, &program);
        items.iter().for_each(|item| trial.usage += item.usage);
        let shown = score.map_or("no score".to_owned(), percent);
        trial.notes =
            vec![self.describe(&choice), format!("{shown} on a minibatch of {}", counted(rows, "row"))];
        let scored = items.iter().filter(|item| item.score.is_some()).count();
        trial.items = items;
        study.record(trial, program);
        let Some(score) = score else { return Ok(()) };
        self.tpe.observe_rows(&choice, score, scored).map_err(refused)?;
        match self.sampled.iter_mut().find(|(known, _)| *known == choice) {
            Some((_, all)) => all.push(score),
            None => self.sampled.push((choice, vec![score])),
        }
        Ok(())
    }

    /// Runs the combination with the highest mean on minibatches on the whole valset, if the rest of the budget covers
    /// the rows on which it has not run.
    async fn evaluate_best(&mut self, number: usize) -> Result<(), Stop> {
        let Some(choice) = self.most_promising() else { return Ok(()) };
        let program = self.program(&choice)?;
        let missing = self.study.missing(&self.study.scope_of(&program), &program, &self.val);
        let needs = Needs { calls: 0, runs: missing };
        let name = format!("full-{}", self.full.len());
        self.study.check_affordable(&name, needs, self.val.len())?;
        self.evaluate(choice, format!("full evaluation after trial {}", number + 1)).await
    }

    /// Returns the combination with the highest mean on minibatches of those that have not run on the whole valset.
    fn most_promising(&self) -> Option<Vec<usize>> {
        let mut best: Option<(f64, &Vec<usize>)> = None;
        for (choice, scores) in self.sampled.iter().filter(|(choice, _)| !self.full.contains(choice)) {
            let mean = scores.iter().sum::<f64>() / scores.len() as f64;
            if best.is_none_or(|(most, _)| mean > most) {
                best = Some((mean, choice));
            }
        }
        best.map(|(_, choice)| choice.clone())
    }

    /// Runs a combination on the whole valset, and makes it the best one if it is.
    async fn evaluate(&mut self, choice: Vec<usize>, label: String) -> Result<(), Stop> {
        let (study, program) = (self.study, self.program(&choice)?);
        study.part("search", &label, self.val.len());
        let scores = study.evaluate(&study.scope_of(&program), &program, &self.val).await?;
        let notes = vec![self.describe(&choice)];
        let trial = Trial { notes, ..Trial::new(label, &program).scored(&scores) };
        let trial = study.record(trial, program);
        if scores.mean > self.best {
            self.best = scores.mean;
            study.choose(trial);
        }
        self.observe_full(choice, scores.mean)
    }

    fn observe_full(&mut self, choice: Vec<usize>, score: f64) -> Result<(), Stop> {
        self.tpe.observe_rows(&choice, score, self.val.len()).map_err(refused)?;
        self.full.insert(choice);
        Ok(())
    }

    fn program(&self, choice: &[usize]) -> Result<P, Stop> {
        let choose =
            |candidate, (module, choice): (&Module, &[usize])| module.choose(candidate, choice[0], choice[1]);
        let candidate = self.modules.iter().zip(choice.chunks_exact(2)).fold(Candidate::new(), choose);
        Ok(candidate.applied_to(self.study.program()).map_err(OptimizeError::from)?)
    }

    fn describe(&self, choice: &[usize]) -> String {
        let of = |(module, choice): (&Module, &[usize])| {
            format!("`{}`: instruction {}, demonstrations {}", module.path, choice[0], choice[1])
        };
        self.modules.iter().zip(choice.chunks_exact(2)).map(of).collect::<Vec<_>>().join("; ")
    }
}

/// Returns the error of a score that the sampler refuses.
fn refused(error: SamplerError) -> Stop {
    OptimizeError::other(error).into()
}
