//! Lessons of runs, and the changes of playbooks that follow from them.

use std::collections::BTreeMap;
use std::sync::Arc;

use dspy_core::lm::Usage;
use dspy_core::program::{HasPredictors, TraceStep};
use dspy_core::signature::{Playbook, SignatureSpec};

use super::settings::Settings;
use crate::component::{Candidate, Component};
use crate::counts;
use crate::engine::{Answer, ExampleFor, Program, Stop, Study};
use crate::fruitless::Fruitless;
use crate::playbook::{Delta, Effect, count};
use crate::proposer::{CurationRequest, Diagnosis, DiagnosisRequest, Record, SharedProposer, no_text};

/// Playbooks by the path of their predictor.
pub(super) type Playbooks = BTreeMap<String, Playbook>;

/// The largest number of remarks of an update.
const MOST_NOTES: usize = 10;

/// Returns the playbooks of these predictors.
pub(super) fn playbooks_of(program: &impl HasPredictors, paths: &[String]) -> Playbooks {
    let predictors = program.named_predictors().into_iter().filter(|(path, _)| paths.contains(path));
    predictors.map(|(path, predictor)| (path, predictor.playbook().clone())).collect()
}

/// Returns the program with other playbooks.
pub(super) fn with_playbooks<P: Program>(program: &P, playbooks: &Playbooks) -> Result<P, Stop> {
    let set = |candidate: Candidate, (path, playbook): (&String, &Playbook)| {
        candidate.playbook(path, playbook.clone())
    };
    Ok(playbooks.iter().fold(Candidate::new(), set).applied_to(program)?)
}

/// Returns the items that a run has used: those that a reply of the predictor cites by id, or else all of them.
pub(super) fn used<'s>(
    playbook: &Playbook,
    path: &str,
    steps: impl Iterator<Item = &'s TraceStep> + Clone,
) -> Playbook {
    let replies = steps.filter(|step| step.predictor == path).map(|step| step.reply.as_str());
    let is_cited = |id: &str| replies.clone().any(|reply| reply.contains(&format!("[{id}]")));
    let mut used = playbook.clone();
    playbook.items().iter().filter(|item| !is_cited(item.id())).for_each(|item| {
        used.remove(item.id());
    });
    if used.is_empty() { playbook.clone() } else { used }
}

/// The material of one run, by the path of the predictor.
#[derive(Debug, Clone, Default)]
pub(super) struct Lesson {
    /// Whether the run went right.
    pub(super) right: bool,
    pub(super) records: BTreeMap<String, Vec<Record>>,
    pub(super) diagnoses: BTreeMap<String, Diagnosis>,
    pub(super) usage: Usage,
    pub(super) problems: Vec<String>,
}

impl Lesson {
    /// Returns the use of the diagnoses.
    pub(super) fn answer(&self) -> Answer {
        let is_useful = |found: &Diagnosis| !found.lesson.trim().is_empty() || !found.effects.is_empty();
        if self.diagnoses.values().any(is_useful) {
            Answer::Useful
        } else if self.problems.is_empty() {
            Answer::Neutral
        } else {
            Answer::Useless(self.problems.len())
        }
    }

    /// Returns the lesson for another call of the curator: its cost, its problems and the effects of items are counted.
    pub(super) fn recalled(mut self) -> Self {
        self.usage = Usage::default();
        self.problems.clear();
        self.diagnoses.values_mut().for_each(|diagnosis| diagnosis.effects.clear());
        self
    }
}

/// New playbooks.
#[derive(Debug, Clone)]
pub(super) struct Update {
    /// The playbooks with the counters of the lessons and no other change.
    pub(super) counted: Playbooks,
    pub(super) merged: Playbooks,
    /// The number of changes in words.
    pub(super) summary: String,
    /// Changes that were dropped, and problems of the proposer.
    pub(super) notes: Vec<String>,
    pub(super) usage: Usage,
}

impl Update {
    /// Returns whether prompts would show the same as before.
    pub(super) fn is_empty(&self) -> bool {
        self.merged.iter().all(|(path, new)| self.counted.get(path).is_some_and(|old| old.reads_as(new)))
    }
}

/// The proposer at work in a study.
pub(super) struct Teacher<'t, 'd, P: Program, E> {
    pub(super) study: &'t Study<'d, P, E>,
    pub(super) settings: &'t Settings,
    pub(super) proposer: &'t SharedProposer,
    /// The signatures of the predictors that have a playbook, by path.
    specs: BTreeMap<String, Arc<SignatureSpec>>,
}

/// A run to find the lesson of.
pub(super) struct Question<'q> {
    /// A unique name.
    pub(super) name: String,
    pub(super) path: &'q str,
    /// The items that it has used.
    pub(super) playbook: Playbook,
    pub(super) records: Vec<Record>,
    pub(super) tried: Option<String>,
}

impl<'t, 'd, P: Program, E: ExampleFor<P>> Teacher<'t, 'd, P, E> {
    pub(super) fn new(
        study: &'t Study<'d, P, E>,
        settings: &'t Settings,
        proposer: &'t SharedProposer,
        paths: &[String],
    ) -> Self {
        let predictors = study.program().named_predictors().into_iter();
        let chosen = predictors.filter(|(path, _)| paths.contains(path));
        let specs = chosen.map(|(path, predictor)| (path, predictor.spec().clone())).collect();
        Teacher { study, settings, proposer, specs }
    }

    /// Finds the lesson of a run and adds its cost and problems to `lesson`; `None` if there is no diagnosis.
    pub(super) async fn diagnose(
        &self,
        question: Question<'_>,
        lesson: &mut Lesson,
    ) -> Result<Option<Diagnosis>, Stop> {
        let Question { name, path, playbook, records, tried } = question;
        let Some(spec) = self.specs.get(path) else { return Ok(None) };
        let mut request = DiagnosisRequest::new(Component::playbook(path), spec.clone(), playbook, records);
        request.tried = tried;
        request.sample = self.study.seed().branch("diagnose").branch(&name).branch(path).value();
        let name = format!("{name}/{path}");
        let effect = self.study.effect(&name, || self.proposer.diagnose(request.clone())).await?;
        lesson.usage += effect.usage;
        match effect.output {
            Ok(diagnosis) => {
                // A proposer that calls no model diagnoses nothing.
                let silent = !lesson.right && effect.usage.requests > 0 && diagnosis.lesson.trim().is_empty();
                self.study
                    .fruitless(path, Fruitless { lessons: usize::from(silent), ..Fruitless::default() });
                Ok(Some(diagnosis))
            }
            Err(error) => {
                lesson.problems.push(format!("no diagnosis: {}", no_text(error)?));
                Ok(None)
            }
        }
    }

    /// Asks the curator for changes after some runs, `group` of them at a time, and merges them in the order of the runs.
    pub(super) async fn curate(
        &self,
        name: &str,
        playbooks: &Playbooks,
        lessons: &[Lesson],
        group: usize,
    ) -> Result<Update, Stop> {
        let mut counted = playbooks.clone();
        let (mut notes, mut usage) = (Vec::new(), Usage::default());
        for lesson in lessons {
            usage += lesson.usage;
            notes.extend(lesson.problems.iter().cloned());
            for (path, Diagnosis { effects, .. }) in &lesson.diagnoses {
                // A run that went right was not misled.
                let plausible = |effect: &Effect| !lesson.right || *effect != Effect::Harmful;
                let effects: Vec<_> =
                    effects.iter().filter(|(_, effect)| plausible(effect)).cloned().collect();
                if let Some(playbook) = counted.get_mut(path) {
                    count(playbook, &effects);
                }
            }
        }
        let mut requests = Vec::new();
        for (path, spec) in &self.specs {
            let Some(playbook) = counted.get(path) else { continue };
            for (number, group) in lessons.chunks(group.max(1)).enumerate() {
                if !group.iter().any(|lesson| !lesson.right && lesson.records.contains_key(path)) {
                    continue;
                }
                let records = group.iter().filter_map(|lesson| lesson.records.get(path)).flatten().cloned();
                let (component, records) = (Component::playbook(path), records.collect());
                let mut request = CurationRequest::new(component, spec.clone(), playbook.clone(), records);
                request.diagnoses =
                    group.iter().filter_map(|lesson| lesson.diagnoses.get(path)).cloned().collect();
                request.max_chars = self.settings.rules.max_chars;
                let name = format!("curate-{name}-{number}/{path}");
                request.sample = self.study.seed().branch(&name).value();
                requests.push((path, name, request));
            }
        }
        let calls = requests.iter().map(|(path, name, request)| async move {
            let effect = self.study.effect(name, || self.proposer.curate(request.clone())).await?;
            let deltas = match effect.output {
                Ok(deltas) => Ok(deltas),
                Err(error) => Err(format!("no changes: {}", no_text(error)?)),
            };
            Ok::<_, Stop>((*path, deltas, effect.usage))
        });
        let answer = |(_, deltas, _): &(_, Result<Vec<Delta>, String>, _)| match deltas {
            Ok(deltas) if deltas.is_empty() => Answer::Neutral,
            Ok(_) => Answer::Useful,
            Err(_) => Answer::Useless(1),
        };
        let mut proposals: BTreeMap<&String, Vec<_>> = BTreeMap::new();
        for (path, deltas, cost) in self.study.ask(calls.collect(), 1, answer).await? {
            usage += cost;
            match deltas {
                Ok(deltas) => {
                    let (none, blank) = (usize::from(deltas.is_empty()), blank(&deltas));
                    self.study.fruitless(path, Fruitless { blank, none, ..Fruitless::default() });
                    proposals.entry(path).or_default().push(deltas);
                }
                Err(problem) => notes.push(problem),
            }
        }
        let (mut merged, mut parts) = (Playbooks::new(), Vec::new());
        for (path, playbook) in &counted {
            let own = proposals.get(path).map(Vec::as_slice).unwrap_or_default();
            let result = self.settings.rules.merge(playbook, own);
            notes.extend(result.dropped.iter().map(|reason| format!("dropped: {reason}")));
            let summary = result.summary();
            if !summary.is_empty() {
                parts.push(if counted.len() > 1 { format!("`{path}`: {summary}") } else { summary });
            }
            merged.insert(path.clone(), result.playbook);
        }
        if notes.len() > MOST_NOTES {
            let more = notes.len() - MOST_NOTES;
            notes.truncate(MOST_NOTES);
            notes.push(format!("and {}", counts::counted(more, "more remark")));
        }
        Ok(Update { counted, merged, summary: parts.join("; "), notes, usage })
    }
}

/// Returns the number of changes to blank text.
fn blank(deltas: &[Delta]) -> usize {
    let is_blank = |delta: &&Delta| match delta {
        Delta::Add { text, .. } | Delta::Update { text, .. } => text.trim().is_empty(),
        Delta::Remove { .. } => false,
    };
    deltas.iter().filter(is_blank).count()
}
