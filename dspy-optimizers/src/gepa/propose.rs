//! New values for components: texts by reflection, and demonstrations.

use std::collections::BTreeSet;
use std::sync::Arc;

use dspy_core::lm::Usage;
use dspy_core::signature::{Demo, FieldSpec, Playbook, SignatureSpec};

use super::meter::{Halt, Use};
use super::pool::Draft;
use super::records::Lens;
use super::search::Search;
use super::settings::Evolve;
use crate::bootstrap_few_shot::demonstrations;
use crate::component::{Candidate, Component, ComponentKind, ComponentValue};
use crate::counts::counted;
use crate::data::Rows;
use crate::demos;
use crate::engine::{Answer, ExampleFor, Program, Rollout, Stop, Study};
use crate::proposer::{TextRequest, no_text, sift};
use crate::report::Stopped;

/// A run of a candidate on a minibatch, from which its components are improved.
pub(super) struct Material<'m, 'd, P, E> {
    /// A unique name.
    pub(super) name: String,
    /// The number of the request, which distinguishes equal ones.
    pub(super) sample: u64,
    /// Whether there is an earlier request with the same runs.
    pub(super) another: bool,
    /// Findings from runs of many candidates.
    pub(super) advice: Option<&'m str>,
    /// The place of the candidate.
    pub(super) parent: usize,
    pub(super) base: &'m Candidate,
    pub(super) program: &'m P,
    pub(super) scope: &'m str,
    pub(super) rows: &'m Rows<'d, E>,
    pub(super) rollouts: &'m [Rollout],
}

/// New values for components, with their cost.
type Improved = (Vec<(Component, ComponentValue)>, Usage);

/// The proposals that were none.
#[derive(Debug, Default)]
pub(super) struct Failures {
    asked: usize,
    failed: usize,
    last: String,
}

impl Failures {
    pub(super) fn add(&mut self, problem: Option<String>) {
        self.asked += 1;
        if let Some(problem) = problem {
            self.failed += 1;
            self.last = problem;
        }
    }

    /// Adds a warning to the report, if there is a reason.
    pub(super) fn warn<P: Program, E>(&self, study: &Study<'_, P, E>) {
        let Failures { asked, failed, last } = self;
        if *failed > 0 {
            study.warn(format!(
                "{failed} of {} could not be used; the last one: {last}",
                counted(*asked, "proposal")
            ));
        }
    }
}

impl<P: Program, E: ExampleFor<P>> Search<'_, '_, P, E> {
    /// Adds the tools that were passed to predictors to the components.
    pub(super) fn find_tools(&mut self, rollouts: &[Rollout]) {
        if !self.settings.components.contains(&Evolve::Tools) {
            return;
        }
        for step in rollouts.iter().flat_map(|rollout| &rollout.steps) {
            let Some(field) = self.tool_inputs.get(&step.predictor) else { continue };
            let tools = match step.inputs.get(field) {
                Some(serde_json::Value::Array(tools)) => tools.as_slice(),
                Some(one) => std::slice::from_ref(one),
                None => &[],
            };
            for tool in tools {
                let Some(name) = tool.get("name").and_then(serde_json::Value::as_str) else { continue };
                let component = Component::tool(&step.predictor, name);
                if !self.components.contains(&component) {
                    let text =
                        tool.get("description").and_then(serde_json::Value::as_str).unwrap_or_default();
                    self.given.set(component.clone(), text);
                    self.components.push(component);
                }
            }
        }
    }

    /// Returns new values for the wanted components of each candidate. The texts are requested several at a time.
    pub(super) async fn improve(
        &mut self,
        materials: &[Material<'_, '_, P, E>],
        wanted: &[Vec<Component>],
    ) -> Result<Vec<Improved>, Halt> {
        let requests = materials.iter().zip(wanted).flat_map(|(material, components)| {
            let texts = components.iter().filter(|component| *component.kind() != ComponentKind::Demos);
            texts.map(|component| self.request(material, component))
        });
        let requests: Vec<Option<(String, TextRequest)>> = requests.collect();
        for _ in requests.iter().flatten() {
            if !self.meter.reflects() {
                return Err(Halt::Done(Stopped::Finished));
            }
        }
        let (study, proposer) = (self.study, self.proposer);
        let most = self.settings.max_chars;
        let proposals = requests.iter().flatten().map(|(name, request)| async move {
            let effect = study.effect(name, || proposer.propose(request.clone())).await?;
            let answer = match &effect.output {
                Ok(texts) => {
                    let (usable, fruitless) = sift(texts, &request.current, most);
                    // The present text again is a sign of contentment.
                    let content = usable.is_empty() && fruitless.unchanged > 0;
                    let answer = Answer::of(!usable.is_empty(), false, effect.usage);
                    if content { Answer::Neutral } else { answer }
                }
                Err(_) => Answer::Useless(1),
            };
            Ok::<_, Stop>((effect, answer))
        });
        let proposals = study.ask(proposals.collect(), 1, |(_, answer)| *answer).await?;
        let mut proposals = proposals.into_iter().map(|(effect, _)| effect);
        let mut requests = requests.into_iter();

        let mut improved = Vec::new();
        for (material, components) in materials.iter().zip(wanted) {
            let (mut values, mut usage) = (Vec::new(), Usage::default());
            for component in components {
                let value = if *component.kind() == ComponentKind::Demos {
                    let (demos, cost) = self.another_demo(material, component).await?;
                    usage += cost;
                    demos.map(ComponentValue::Demos)
                } else {
                    let request = requests.next().flatten();
                    let Some(((name, request), effect)) =
                        request.and_then(|request| Some((request, proposals.next()?)))
                    else {
                        continue;
                    };
                    usage += effect.usage;
                    let text = self.text(&request, effect.output)?;
                    self.study.proposed(&name, usize::from(text.is_some()));
                    text.and_then(|text| match self.playbook(material, component) {
                        // An edited playbook may have become an equal one.
                        Some(playbook) => Some(playbook.revised(&text))
                            .filter(|new| !new.reads_as(playbook))
                            .map(Into::into),
                        None => Some(text.into()),
                    })
                };
                values.extend(value.map(|value| (component.clone(), value)));
            }
            improved.push((values, usage));
        }
        Ok(improved)
    }

    /// Returns a usable text of a proposer's answer, if there is one.
    ///
    /// # Errors
    /// If the proposer cannot work until its configuration changes.
    fn text(
        &mut self,
        request: &TextRequest,
        answer: dspy_core::Result<Vec<String>>,
    ) -> Result<Option<String>, Stop> {
        let texts = match answer {
            Ok(texts) => texts,
            Err(error) => {
                self.failures.add(Some(no_text(error)?));
                return Ok(None);
            }
        };
        let most = self.settings.max_chars;
        let (usable, fruitless) = sift(&texts, &request.current, most);
        let longest = texts.iter().map(|text| text.chars().count()).max().filter(|length| *length > most);
        self.failures.add(
            longest
                .filter(|_| fruitless.endless > 0 && usable.is_empty())
                .map(|length| format!("{}, more than `max_chars`", counted(length, "character"))),
        );
        self.study.fruitless(request.component.predictor(), fruitless);
        Ok(usable.into_iter().next())
    }

    /// Returns the draft of a child with new values.
    pub(super) fn child(
        &self,
        material: &Material<'_, '_, P, E>,
        values: Vec<(Component, ComponentValue)>,
        usage: Usage,
    ) -> Result<Draft<P>, Halt> {
        let names: Vec<String> = values.iter().map(|(component, _)| component.to_string()).collect();
        let mut candidate = material.base.clone();
        values.into_iter().for_each(|(component, value)| candidate.set(component, value));
        let program = candidate.applied_to(self.study.program())?;
        let scope = self.study.scope_of(&program);
        let label = format!("another {}", names.join(", "));
        Ok(Draft {
            label,
            candidate,
            program,
            scope,
            parents: vec![material.parent],
            notes: Vec::new(),
            usage,
        })
    }

    /// Returns the playbook that a component has as its value, if it is one.
    fn playbook<'m>(
        &'m self,
        material: &'m Material<'_, '_, P, E>,
        component: &Component,
    ) -> Option<&'m Playbook> {
        let value = material.base.get(component).or_else(|| self.given.get(component));
        value.and_then(ComponentValue::as_playbook)
    }

    /// Returns the request for a new text, with its name; `None` if there is no call to learn from.
    fn request(
        &self,
        material: &Material<'_, '_, P, E>,
        component: &Component,
    ) -> Option<(String, TextRequest)> {
        let path = component.predictor();
        let spec = spec_of(material.program, path)?;
        let trajectories = self.settings.trajectories;
        let lens = Lens { path, spec: &spec, labels: &self.labels, trajectories };
        let runs = material.rows.iter().zip(material.rollouts);
        let value = material.base.get(component).or_else(|| self.given.get(component));
        let current = match self.playbook(material, component) {
            Some(playbook) => playbook.to_string(),
            None => value.and_then(ComponentValue::as_text).unwrap_or_default().to_owned(),
        };
        let mut request = TextRequest::new(component.clone(), spec.clone(), &*current);
        request.records = runs.flat_map(|(row, rollout)| lens.records(row, rollout)).collect();
        request.sample = material.sample;
        request.advice = material.advice.map(str::to_owned);
        request.temperature = material.another.then_some(1.0);
        (!request.records.is_empty()).then(|| (format!("{}/{component}", material.name), request))
    }

    /// Returns the demonstrations of a predictor with another one: a row outside of the minibatch, so that the child
    /// is not compared with its parent on a row that it knows.
    async fn another_demo(
        &mut self,
        material: &Material<'_, '_, P, E>,
        component: &Component,
    ) -> Result<(Option<Vec<Demo>>, Usage), Halt> {
        let (path, mut usage) = (component.predictor(), Usage::default());
        let Some(spec) = spec_of(material.program, path) else { return Ok((None, usage)) };
        let value = material.base.get(component).or_else(|| self.given.get(component));
        let mut shown = value.and_then(ComponentValue::as_demos).unwrap_or_default().to_vec();
        let train = self.study.train();
        let taken: BTreeSet<usize> = material.rows.iter().map(|row| row.position).collect();
        let is_shown =
            |row: crate::Row<'_, E>| shown.iter().any(|demo| demos::is_about(demo, row.values, &spec));
        let free = (0..train.len())
            .filter(|at| train.get(*at).is_some_and(|row| !taken.contains(&row.position) && !is_shown(row)));
        let free: Vec<usize> = free.collect();
        let seed = self.study.seed().branch("demo").branch(&material.name).branch(path);
        let mut rng = seed.rng();
        let Some(at) = free.get(rng.below(free.len())).copied() else { return Ok((None, usage)) };
        let row = train.select([at]);
        let labelled = row.get(0).and_then(|row| demos::labelled(row.values, &spec));
        let demo = match labelled {
            Some(demo) => Some(demo),
            None => {
                let used = Use { scope: material.scope, rows: &row, sample: None, traced: true };
                let rollouts = self.run(material.program, used).await?;
                rollouts.iter().for_each(|rollout| usage += rollout.usage);
                let good = |rollout: &Rollout| {
                    rollout.outcome.score().is_some_and(|score| self.scale.is_good(score))
                };
                let steps = rollouts.into_iter().filter(good).flat_map(|rollout| rollout.steps).collect();
                demonstrations(steps, seed).remove(path)
            }
        };
        let Some(demo) = demo else { return Ok((None, usage)) };
        // One about a row of the minibatch stays, so that parent and child know the same of its rows.
        let is_known = |demo: &Demo| material.rows.iter().any(|row| demos::is_about(demo, row.values, &spec));
        while shown.len() >= self.settings.max_demos.max(1) {
            let others: Vec<usize> = (0..shown.len()).filter(|at| !is_known(&shown[*at])).collect();
            let Some(at) = others.get(rng.below(others.len())) else { return Ok((None, usage)) };
            shown.remove(*at);
        }
        shown.push(demo);
        Ok((Some(shown), usage))
    }
}

pub(super) fn spec_of(program: &impl Program, path: &str) -> Option<Arc<SignatureSpec>> {
    let predictors = program.named_predictors();
    predictors.into_iter().find(|(known, _)| known == path).map(|(_, predictor)| predictor.spec().clone())
}

/// Returns the outputs of a program: path and field.
pub(super) fn outputs_of(program: &impl Program) -> Vec<(String, String)> {
    let predictors = program.named_predictors().into_iter();
    let outputs = predictors.flat_map(|(path, predictor)| {
        let fields: Vec<String> = predictor.spec().outputs().map(|field| field.name().to_owned()).collect();
        fields.into_iter().map(move |field| (path.clone(), field))
    });
    outputs.collect()
}

/// Returns the components of a program that the settings name, tools excluded.
pub(super) fn chosen_components(
    given: &Candidate,
    evolve: &[Evolve],
    outputs: &[(String, String)],
) -> Vec<Component> {
    let is_output = |path: &str, field: &str| outputs.iter().any(|(p, f)| p == path && f == field);
    let mut found: Vec<Component> = Vec::new();
    let mut add = |component: &Component| {
        if !found.contains(component) {
            found.push(component.clone());
        }
    };
    for evolve in evolve {
        if let Evolve::Only(component) = evolve {
            add(component);
        }
        given
            .components()
            .filter(|component| match (evolve, component.kind()) {
                (Evolve::Instructions, ComponentKind::Instruction)
                | (Evolve::Demos, ComponentKind::Demos)
                | (Evolve::Playbooks, ComponentKind::Playbook) => true,
                (Evolve::Descriptions, ComponentKind::Description { field })
                | (Evolve::Variants, ComponentKind::Variant { field, .. }) => {
                    is_output(component.predictor(), field)
                }
                _ => false,
            })
            .for_each(&mut add);
    }
    found
}

/// Returns the inputs that hold tools: path and field.
pub(super) fn tool_inputs_of(program: &impl Program) -> impl Iterator<Item = (String, String)> {
    let predictors = program.named_predictors().into_iter();
    let inputs = predictors.filter_map(|(path, predictor)| {
        let field = predictor.spec().inputs().find(|field| FieldSpec::holds_tools(field))?;
        Some((path, field.name().to_owned()))
    });
    inputs.collect::<Vec<_>>().into_iter()
}
