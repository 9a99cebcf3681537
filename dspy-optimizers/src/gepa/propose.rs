//! New values for components: texts by reflection, and demonstrations.

use std::collections::BTreeSet;
use std::sync::Arc;

use dspy_core::lm::Usage;
use dspy_core::signature::{Demo, FieldSpec, SignatureSpec};

use super::meter::{Halt, Use};
use super::pool::Draft;
use super::records::Lens;
use super::search::Search;
use super::settings::Evolve;
use crate::bootstrap_few_shot::demonstrations;
use crate::component::{Candidate, Component, ComponentKind, ComponentValue};
use crate::data::Rows;
use crate::demos;
use crate::engine::{ExampleFor, Program, Rollout};
use crate::proposer::{TextRequest, clean};
use crate::report::Stopped;

/// A run of a candidate on a minibatch, from which its components are improved.
pub(super) struct Material<'m, 'd, P, E> {
    /// A unique name.
    pub(super) name: &'m str,
    /// The number of the request, which distinguishes equal ones.
    pub(super) sample: u64,
    pub(super) base: &'m Candidate,
    pub(super) program: &'m P,
    pub(super) scope: &'m str,
    pub(super) rows: &'m Rows<'d, E>,
    pub(super) rollouts: &'m [Rollout],
}

impl<P: Program, E: ExampleFor<P>> Search<'_, '_, P, E> {
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
                    | (Evolve::Demos, ComponentKind::Demos) => true,
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

    /// Returns new values for the components of a candidate, with their cost.
    pub(super) async fn improve(
        &mut self,
        material: &Material<'_, '_, P, E>,
        components: &[Component],
    ) -> Result<(Vec<(Component, ComponentValue)>, Usage), Halt> {
        let (mut values, mut usage) = (Vec::new(), Usage::default());
        for component in components {
            let (value, cost) = if component.is_text() {
                if !self.meter.reflects() {
                    return Err(Halt::Done(Stopped::Finished));
                }
                let (text, cost) = self.reflect(material, component).await?;
                (text.map(ComponentValue::Text), cost)
            } else {
                let (demos, cost) = self.another_demo(material, component).await?;
                (demos.map(ComponentValue::Demos), cost)
            };
            usage += cost;
            values.extend(value.map(|value| (component.clone(), value)));
        }
        Ok((values, usage))
    }

    /// Returns the draft of a child with new values.
    pub(super) fn child(
        &self,
        parent: usize,
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
        Ok(Draft { label, candidate, program, scope, parents: vec![parent], notes: Vec::new(), usage })
    }

    async fn reflect(
        &self,
        material: &Material<'_, '_, P, E>,
        component: &Component,
    ) -> Result<(Option<String>, Usage), Halt> {
        let path = component.predictor();
        let Some(spec) = spec_of(material.program, path) else { return Ok((None, Usage::default())) };
        let lens = Lens { path, labels: &self.labels, trajectories: self.settings.trajectories };
        let runs = material.rows.iter().zip(material.rollouts);
        let value = material.base.get(component).or_else(|| self.given.get(component));
        let current = value.and_then(ComponentValue::as_text).unwrap_or_default();
        let mut request = TextRequest::new(component.clone(), spec, current);
        request.records = runs.flat_map(|(row, rollout)| lens.records(row, rollout)).collect();
        request.sample = material.sample;
        if request.records.is_empty() {
            return Ok((None, Usage::default()));
        }
        let name = format!("{}/{component}", material.name);
        let effect = self.study.effect(&name, || self.proposer.propose(request.clone())).await?;
        let texts = effect.output.unwrap_or_else(|error| {
            tracing::info!(name, error = %error, "no proposal");
            Vec::new()
        });
        let text = texts.iter().find_map(|text| clean(text, self.settings.max_chars));
        Ok((text.filter(|text| text != current), effect.usage))
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
        let mut demos = value.and_then(ComponentValue::as_demos).unwrap_or_default().to_vec();
        let train = self.study.train();
        let taken: BTreeSet<usize> = material.rows.iter().map(|row| row.position).collect();
        let shown =
            |row: crate::Row<'_, E>| demos.iter().any(|demo| demos::is_about(demo, row.values, &spec));
        let free = (0..train.len())
            .filter(|at| train.get(*at).is_some_and(|row| !taken.contains(&row.position) && !shown(row)));
        let free: Vec<usize> = free.collect();
        let seed = self.study.seed().branch("demo").branch(material.name).branch(path);
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
                    rollout.outcome.score().is_some_and(|score| score >= self.settings.perfect_score)
                };
                let steps = rollouts.into_iter().filter(good).flat_map(|rollout| rollout.steps).collect();
                demonstrations(steps, seed).remove(path)
            }
        };
        let Some(demo) = demo else { return Ok((None, usage)) };
        while demos.len() >= self.settings.max_demos.max(1) {
            demos.remove(rng.below(demos.len()));
        }
        demos.push(demo);
        Ok((Some(demos), usage))
    }
}

fn spec_of(program: &impl Program, path: &str) -> Option<Arc<SignatureSpec>> {
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

/// Returns the inputs that hold tools: path and field.
pub(super) fn tool_inputs_of(program: &impl Program) -> impl Iterator<Item = (String, String)> {
    let predictors = program.named_predictors().into_iter();
    let inputs = predictors.filter_map(|(path, predictor)| {
        let field = predictor.spec().inputs().find(|field| FieldSpec::holds_tools(field))?;
        Some((path, field.name().to_owned()))
    });
    inputs.collect::<Vec<_>>().into_iter()
}
