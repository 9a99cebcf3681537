//! The candidates of each predictor: sets of demonstrations and instructions.

use dspy_core::predict::Predictor;
use dspy_core::signature::{Demo, Values};

use super::plan::{MOST_SHOWN, MiproSettings, Plan, Searched};
use super::prompts;
use crate::bootstrap_few_shot::{DemoSet, Roles, Settings};
use crate::engine::{Candidate, Component, ExampleFor, Needs, Program, Stop, Study};
use crate::proposer::{GroundingRequest, TextRequest, grounding_calls};

/// The largest number of batches of rows that the summary of the data is made from.
const BATCHES: usize = 10;

/// A predictor with its candidates. The first ones are those of the original program.
pub(super) struct Module {
    pub(super) path: String,
    pub(super) instructions: Vec<String>,
    pub(super) demos: Vec<Vec<Demo>>,
}

/// The parameters of the making of candidates.
pub(super) struct Making<'s> {
    pub(super) settings: &'s MiproSettings,
    pub(super) bootstrap: &'s Settings,
    pub(super) plan: &'s Plan,
    /// The number of rows at the start of the trainset to learn from.
    pub(super) learn: usize,
    /// The number of rows of a trial, and of a run on the whole valset after it; 0 if that is the trial.
    pub(super) trial: usize,
    pub(super) whole: usize,
}

impl Module {
    fn of((path, predictor): (String, &Predictor)) -> Self {
        let instructions = vec![predictor.instruction().to_owned()];
        Module { path, instructions, demos: vec![predictor.demos().to_vec()] }
    }

    /// Adds the candidates with these indices to a candidate for the whole program.
    pub(super) fn choose(&self, candidate: Candidate, instruction: usize, demos: usize) -> Candidate {
        let candidate = match self.instructions.get(instruction) {
            Some(text) if instruction > 0 => candidate.instruction(&*self.path, text.as_str()),
            _ => candidate,
        };
        match self.demos.get(demos) {
            Some(demos) if &self.demos[0] != demos => candidate.demos(&*self.path, demos.clone()),
            _ => candidate,
        }
    }
}

impl Making<'_> {
    /// Makes the candidates of all predictors. Without roles, there are no sets of demonstrations to make.
    pub(super) async fn run<P: Program, E: ExampleFor<P>>(
        &self,
        study: &Study<'_, P, E>,
        roles: Option<&Roles<P>>,
    ) -> Result<Vec<Module>, Stop> {
        let mut modules: Vec<Module> =
            study.program().named_predictors().into_iter().map(Module::of).collect();
        let sets = match roles {
            Some(roles) => self.sets(study, roles).await?,
            None => Vec::new(),
        };
        if self.settings.searched != Searched::Instructions {
            for set in &sets {
                for (module, (_, predictor)) in modules.iter_mut().zip(set.named_predictors()) {
                    add(&mut module.demos, predictor.demos().to_vec());
                }
            }
        }
        if self.plan.instructions > 1 {
            let count = self.affordable(study)?;
            if count > 0 {
                self.propose(study, &sets, &mut modules, count).await?;
            }
        }
        Ok(modules)
    }

    /// Returns the number of new instructions for each predictor: those that the budget pays for, with the grounding,
    /// and runs in one trial each.
    fn affordable<P: Program, E: ExampleFor<P>>(&self, study: &Study<'_, P, E>) -> Result<usize, Stop> {
        let wanted = self.plan.instructions - 1;
        let predictors = study.program().named_predictors().len();
        let rows = if self.settings.dataset { self.learn } else { 0 };
        let program = self.settings.program.then_some(predictors);
        let grounding = grounding_calls(rows, self.settings.batch, program).most;
        let grounding = grounding.map_or(usize::MAX, |most| most as usize);
        let needs = |count: usize| match count {
            0 => Needs { calls: 0, runs: 0 },
            _ => Needs {
                calls: grounding.saturating_add(count.saturating_mul(predictors)),
                runs: count.saturating_mul(self.trial).saturating_add(self.whole),
            },
        };
        let afforded = study.affordable("instructions", wanted, needs)?;
        study.note_afforded("new instructions of each predictor", wanted, afforded);
        Ok(afforded.count)
    }

    /// Makes the sets of demonstrations, each as a program.
    async fn sets<P: Program, E: ExampleFor<P>>(
        &self,
        study: &Study<'_, P, E>,
        roles: &Roles<P>,
    ) -> Result<Vec<P>, Stop> {
        let mut settings = self.settings.bootstrap(self.bootstrap);
        let labelled = (settings.max_labeled_demos > 0).then_some(DemoSet::Labelled);
        let first = [DemoSet::ZeroShot].into_iter().chain(labelled).chain([DemoSet::Bootstrapped]);
        let places: Vec<usize> = (0..self.learn).collect();
        let mut sets = Vec::new();
        // Usually a few rows are enough. A teacher that hardly ever succeeds may spend half of what one comparison leaves.
        let least = settings.runs(self.learn, settings.max_bootstrapped_demos).least as usize;
        let of_row = if least == 0 { 0 } else { settings.max_rounds.saturating_mul(2) };
        let needs = |rows: usize| {
            let runs = rows.saturating_mul(of_row);
            Needs { calls: 0, runs: runs.saturating_add(self.trial).saturating_add(self.whole) }
        };
        for (number, set) in first.chain((0..).map(DemoSet::Shuffled)).take(self.plan.sets).enumerate() {
            if !matches!(set, DemoSet::ZeroShot | DemoSet::Labelled) {
                let rows = study.affordable(&format!("set-{number}"), self.learn, needs)?.count;
                if rows < least.max(1) {
                    let wanted = self.plan.sets;
                    study.decide(format!(
                        "made {number} of {wanted} sets of demonstrations: the rest of the budget cannot compare more"
                    ));
                    break;
                }
                settings.most_rows = rows;
            }
            sets.push(set.make(study, roles, &settings, &places).await?.program);
        }
        Ok(sets)
    }

    async fn propose<P: Program, E: ExampleFor<P>>(
        &self,
        study: &Study<'_, P, E>,
        sets: &[P],
        modules: &mut [Module],
        count: usize,
    ) -> Result<(), Stop> {
        let settings = self.settings;
        let grounding = study.ground("ground", &settings.proposer, &self.material(study)).await?;
        let mut requests = Vec::new();
        for (path, predictor) in study.program().named_predictors() {
            for number in 1..=count {
                let seed = study.seed().branch("propose").index(number as u64).branch(&path);
                let component = Component::instruction(&*path);
                let mut request =
                    TextRequest::new(component, predictor.spec().clone(), predictor.instruction());
                request.grounding = grounding.clone();
                request.temperature = Some(settings.temperature);
                request.sample = seed.branch("sample").value();
                if settings.demos {
                    request.demos = shown(sets, &path, number);
                }
                if settings.tips {
                    request.tip = prompts::tip(seed.branch("tip"));
                }
                requests.push((format!("propose-{number}/{path}"), request));
            }
        }
        study.part("propose", "instructions", requests.len());
        let proposed =
            requests.iter().map(|(name, request)| study.propose(name, &settings.proposer, request));
        let proposed = study.ask(proposed.collect(), 1, |proposed| proposed.answer).await?;
        study.sync()?;
        for ((_, request), proposed) in requests.iter().zip(proposed) {
            let path = request.component.predictor();
            if let Some(problem) = proposed.problem {
                study.warn(format!("no instruction for `{path}`: {problem}"));
            }
            if let Some(module) = modules.iter_mut().find(|module| module.path == path) {
                proposed.texts.into_iter().for_each(|text| add(&mut module.instructions, text));
            }
        }
        Ok(())
    }

    /// Returns the request for the descriptions of data and program.
    fn material<P: Program, E: ExampleFor<P>>(&self, study: &Study<'_, P, E>) -> GroundingRequest {
        let mut request = GroundingRequest::new();
        request.batch = self.settings.batch;
        if self.settings.dataset {
            let rows = study.train().select(0..self.learn).shuffled(study.seed().branch("ground"));
            let most = BATCHES.saturating_mul(request.batch);
            request.examples = rows.iter().take(most).map(|row| row.values.clone()).collect();
        }
        if self.settings.program {
            request = request.describing(study.program());
            request.source.clone_from(&self.settings.source);
        }
        request
    }
}

/// Adds a candidate unless there is an equal one.
fn add<T: PartialEq>(candidates: &mut Vec<T>, candidate: T) {
    if !candidates.contains(&candidate) {
        candidates.push(candidate);
    }
}

/// Returns bootstrapped demonstrations of a predictor: those of one set, then those of the sets after it.
fn shown<P: Program>(sets: &[P], path: &str, first: usize) -> Vec<Values> {
    let mut all = Vec::new();
    for place in 0..sets.len() {
        let predictors = sets[(first + place) % sets.len()].named_predictors();
        let demos = predictors.iter().filter(|(other, _)| other == path);
        let bootstrapped = demos.flat_map(|(_, predictor)| predictor.demos()).filter(|demo| demo.augmented);
        bootstrapped.for_each(|demo| add(&mut all, demo.values.clone()));
    }
    all.truncate(MOST_SHOWN);
    all
}
