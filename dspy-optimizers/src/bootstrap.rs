//! `BootstrapFewShot`: demonstrations from successful runs of the program itself.

use std::collections::{BTreeMap, BTreeSet};

use dspy_core::Seed;
use dspy_core::evaluate::Metric;
use dspy_core::lm::Lm;
use dspy_core::program::{Module, Settings, TraceStep};
use dspy_core::signature::{Demo, Example, Values};
use dspy_core::state::ProgramState;

use crate::engine::{Common, Engine, Stop, values_of};
use crate::labeled::{label, labelled_demo};
use crate::options::{MetricMissing, WithMetric, bootstrap_setters, common_setters};
use crate::report::StopReason;
use crate::{OptimizeError, Optimized, Report};

/// How demonstrations are bootstrapped.
#[derive(Debug, Clone)]
pub(crate) struct Options {
    pub(crate) metric_threshold: Option<f64>,
    pub(crate) max_bootstrapped_demos: usize,
    pub(crate) max_labeled_demos: usize,
    pub(crate) max_rounds: usize,
}

impl Default for Options {
    fn default() -> Self {
        Options { metric_threshold: None, max_bootstrapped_demos: 4, max_labeled_demos: 16, max_rounds: 1 }
    }
}

/// Runs a teacher (the program itself, shown labelled examples) on training examples; what its predictors did in runs
/// that the metric approves become demonstrations, filled up with labelled examples.
///
/// Examples are tried in order, one at a time, until enough runs have succeeded, so that none is paid for in vain.
/// The example at hand is never among the teacher's own demonstrations. A predictor that was called several times in
/// a run contributes one of its calls: the last with probability ½, else one of the earlier.
///
/// ```
/// use dspy_optimizers::{BootstrapFewShot, Budget};
/// # use dspy_core::signature::Values;
/// let optimizer = BootstrapFewShot::builder()
///     .metric(|example: &Values, output: &Values| example["answer"] == output["answer"])
///     .max_bootstrapped_demos(4)
///     .budget(Budget::calls(200))
///     .build();
/// // let optimized = optimizer.compile(program, &trainset).await?;
/// ```
///
/// Source: Khattab et al., "DSPy: Compiling Declarative Language Model Calls into Self-Improving Pipelines" (2023).
#[derive(Debug, Clone)]
pub struct BootstrapFewShot<M> {
    metric: M,
    options: Options,
    teacher_lm: Option<Lm>,
    common: Common,
}

/// The options of a [`BootstrapFewShot`].
#[derive(Debug, Clone)]
pub struct BootstrapFewShotBuilder<M> {
    metric: M,
    options: Options,
    teacher_lm: Option<Lm>,
    common: Common,
}

impl BootstrapFewShot<MetricMissing> {
    /// The default options; a metric has to be added.
    pub fn builder() -> BootstrapFewShotBuilder<MetricMissing> {
        BootstrapFewShotBuilder {
            metric: MetricMissing,
            options: Options::default(),
            teacher_lm: None,
            common: Common::default(),
        }
    }
}

impl<M> BootstrapFewShotBuilder<M> {
    common_setters!();
    bootstrap_setters!();

    /// The measure of a run: a closure of example and output, or a [`Metric`].
    #[must_use]
    pub fn metric<N>(self, metric: N) -> BootstrapFewShotBuilder<WithMetric<N>> {
        let BootstrapFewShotBuilder { options, teacher_lm, common, .. } = self;
        BootstrapFewShotBuilder { metric: WithMetric(metric), options, teacher_lm, common }
    }
}

impl<M> BootstrapFewShotBuilder<WithMetric<M>> {
    /// The optimizer.
    pub fn build(self) -> BootstrapFewShot<M> {
        let BootstrapFewShotBuilder { metric: WithMetric(metric), options, teacher_lm, common } = self;
        BootstrapFewShot { metric, options, teacher_lm, common }
    }
}

impl<M> BootstrapFewShot<M> {
    /// A copy of `program` with demonstrations; the program is its own teacher.
    ///
    /// # Errors
    /// If the training set is empty, the model cannot be reached, the metric fails too often, or the run directory
    /// cannot be used. A spent budget is no error: what was bootstrapped until then is kept.
    pub async fn compile<P, E>(&self, program: P, trainset: &[E]) -> Result<Optimized<P>, OptimizeError>
    where
        P: Module<Output: Sync> + Clone,
        E: Example<Input: Into<P::Input>>,
        M: Metric<E, P::Output>,
    {
        self.compile_with(program, None, trainset).await
    }

    /// As [`compile`](Self::compile) with a teacher of its own, a program with the same predictors.
    ///
    /// # Errors
    /// As `compile`, and if the teacher has other predictors.
    pub async fn compile_with_teacher<P, E>(
        &self,
        program: P,
        teacher: P,
        trainset: &[E],
    ) -> Result<Optimized<P>, OptimizeError>
    where
        P: Module<Output: Sync> + Clone,
        E: Example<Input: Into<P::Input>>,
        M: Metric<E, P::Output>,
    {
        self.compile_with(program, Some(teacher), trainset).await
    }

    async fn compile_with<P, E>(
        &self,
        program: P,
        teacher: Option<P>,
        trainset: &[E],
    ) -> Result<Optimized<P>, OptimizeError>
    where
        P: Module<Output: Sync> + Clone,
        E: Example<Input: Into<P::Input>>,
        M: Metric<E, P::Output>,
    {
        if trainset.is_empty() {
            return Err(OptimizeError::Empty("training set"));
        }
        let before = ProgramState::of(&program).predictors;
        let engine = Engine::start(
            &self.metric,
            &self.common,
            "BootstrapFewShot",
            &self.options,
            &program,
            &[trainset],
        )?;
        engine.phase("bootstrap", trainset.len(), String::new());
        let bootstrap = Bootstrap {
            engine: &engine,
            options: &self.options,
            teacher,
            teacher_lm: self.teacher_lm.as_ref(),
            rows: values_of(trainset)?,
            trainset,
        };
        let order: Vec<usize> = (0..trainset.len()).collect();
        let scope = "bootstrap";
        let demos = self.options.max_bootstrapped_demos;
        let (program, stopped) = match bootstrap.run(&program, &order, demos, scope, engine.seed()).await? {
            (program, None) => (program, StopReason::Finished),
            (program, Some(limit)) => (program, StopReason::Budget(limit)),
        };
        engine.finish();
        let report = Report {
            optimizer: "BootstrapFewShot".into(),
            seed: self.common.seed,
            candidates: Vec::new(),
            usage: engine.usage(),
            stopped,
            before,
            after: ProgramState::of(&program).predictors,
        };
        Ok(Optimized::new(program, report))
    }
}

/// One way of bootstrapping, shared by the optimizers that do.
pub(crate) struct Bootstrap<'a, P, E, M> {
    pub(crate) engine: &'a Engine<'a, M>,
    pub(crate) options: &'a Options,
    pub(crate) teacher: Option<P>,
    pub(crate) teacher_lm: Option<&'a Lm>,
    pub(crate) trainset: &'a [E],
    /// The values of the training set.
    pub(crate) rows: Vec<Values>,
}

impl<P, E, M> Bootstrap<'_, P, E, M>
where
    P: Module<Output: Sync> + Clone,
    E: Example<Input: Into<P::Input>>,
    M: Metric<E, P::Output>,
{
    /// A copy of `program` with demonstrations from up to `wanted` successful runs on the training examples in
    /// `order`. If the budget ends before, the copy has what there was until then, and the limit is returned.
    pub(crate) async fn run(
        &self,
        program: &P,
        order: &[usize],
        wanted: usize,
        scope: &str,
        seed: Seed,
    ) -> Result<(P, Option<String>), OptimizeError> {
        let teacher = self.teacher(program, seed.branch("teacher"))?;
        let mut successes: Vec<(usize, BTreeMap<String, Demo>)> = Vec::new();
        let mut limit = None;
        'examples: for &index in order {
            if successes.len() >= wanted {
                break;
            }
            for round in 0..self.options.max_rounds {
                match self.attempt(&teacher, index, round, scope, seed).await {
                    Ok(Some(demos)) => {
                        successes.push((index, demos));
                        break;
                    }
                    Ok(None) => {}
                    Err(Stop::Budget(spent)) => {
                        limit = Some(spent);
                        break 'examples;
                    }
                    Err(Stop::Failed(error)) => return Err(error),
                }
            }
            self.engine.step();
        }
        Ok((self.student(program, &successes, seed), limit))
    }

    fn teacher(&self, program: &P, seed: Seed) -> Result<P, OptimizeError> {
        let given = self.teacher.is_some();
        let mut teacher = self.teacher.clone().unwrap_or_else(|| program.clone());
        let paths = |program: &P| -> BTreeSet<String> {
            program.named_predictors().into_iter().map(|(path, _)| path).collect()
        };
        let (own, taught) = (paths(program), paths(&teacher));
        if own != taught {
            let odd: Vec<_> = own.symmetric_difference(&taught).map(|path| format!("`{path}`")).collect();
            return Err(OptimizeError::Teacher(odd.join(", ")));
        }
        let shows_demos =
            teacher.named_predictors().iter().any(|(_, predictor)| !predictor.demos().is_empty());
        if self.options.max_labeled_demos > 0 && !(given && shows_demos) {
            label(&mut teacher, &self.rows, self.options.max_labeled_demos, true, seed);
        }
        if let Some(lm) = self.teacher_lm {
            teacher.set_lm(lm.clone());
        }
        Ok(teacher)
    }

    /// Lets the teacher try an example; its steps as demonstrations, if the metric approves.
    async fn attempt(
        &self,
        teacher: &P,
        index: usize,
        round: usize,
        scope: &str,
        seed: Seed,
    ) -> Result<Option<BTreeMap<String, Demo>>, Stop> {
        let scope = format!("{scope}/example-{index}/round-{round}");
        let mut teacher = teacher.clone();
        let row = &self.rows[index];
        teacher.for_each_predictor(|_, predictor| {
            if let Some(own) = labelled_demo(predictor, row)
                && predictor.demos().iter().any(|demo| demo.values == own.values)
            {
                let others: Vec<Demo> =
                    predictor.demos().iter().filter(|demo| demo.values != own.values).cloned().collect();
                predictor.set_demos(others);
            }
            if round > 0 {
                let mut params = predictor.params().clone();
                params.temperature = Some(1.0);
                predictor.set_params(params);
            }
        });
        let run = self.engine.rollout(&teacher, &scope, index, &self.trainset[index], true);
        let rollout =
            if round > 0 { Settings::new().rollout(round as u64).scope(run).await? } else { run.await? };
        let success = rollout.error.is_none()
            && rollout.score.is_some_and(|score| match self.options.metric_threshold {
                Some(threshold) => score >= threshold,
                None => score > 0.0,
            });
        Ok(success.then(|| steps_to_demos(&rollout.steps, seed.branch("calls").index(index as u64))))
    }

    /// The program with its demonstrations: those of the successful runs, then labelled examples of other rows.
    fn student(&self, program: &P, successes: &[(usize, BTreeMap<String, Demo>)], seed: Seed) -> P {
        let used: BTreeSet<usize> = successes.iter().map(|(index, _)| *index).collect();
        let others: Vec<&Values> = self
            .rows
            .iter()
            .enumerate()
            .filter(|(index, _)| !used.contains(index))
            .map(|(_, row)| row)
            .collect();
        let mut student = program.clone();
        student.for_each_predictor(|path, predictor| {
            let mut demos: Vec<Demo> =
                successes.iter().filter_map(|(_, demos)| demos.get(path).cloned()).collect();
            let usable: Vec<Demo> = others.iter().filter_map(|row| labelled_demo(predictor, row)).collect();
            let room = self.options.max_labeled_demos.saturating_sub(demos.len());
            let chosen = seed.branch("labelled").branch(path).rng().sample(usable.len(), room);
            demos.extend(chosen.into_iter().map(|index| usable[index].clone()));
            predictor.set_demos(demos);
        });
        student
    }
}

/// One demonstration for each predictor that a run has called.
fn steps_to_demos(steps: &[TraceStep], seed: Seed) -> BTreeMap<String, Demo> {
    let mut calls: BTreeMap<&str, Vec<&TraceStep>> = BTreeMap::new();
    for step in steps.iter().filter(|step| step.error.is_none()) {
        calls.entry(&step.predictor).or_default().push(step);
    }
    let choose = |(path, calls): (&str, Vec<&TraceStep>)| {
        let mut rng = seed.branch(path).rng();
        let earlier = calls.len() - 1;
        let at = if earlier == 0 || rng.unit() < 0.5 { earlier } else { rng.below(earlier) };
        let step = calls[at];
        let mut values = step.inputs.clone();
        values.extend(step.outputs.iter().map(|(name, value)| (name.clone(), value.clone())));
        (path.to_owned(), Demo::augmented(values))
    };
    calls.into_iter().map(choose).collect()
}
