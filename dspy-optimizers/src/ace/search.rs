//! The search: batches of rows, their lessons, and the snapshots of the playbooks.

use std::collections::BTreeSet;

use dspy_core::lm::Limit;
use dspy_core::signature::PlaybookItem;

use super::acceptance::{Blocks, Comparison};
use super::lesson::{Lesson, Playbooks, Question, Teacher, Update, playbooks_of, used, with_playbooks};
use super::settings::Settings;
use crate::data::{Row, Rows, label_names};
use crate::engine::{Afforded, Contestant, ExampleFor, Needs, Program, Rollout, Stop, Study, Task};
use crate::gepa::records_of;
use crate::playbook::item_text;
use crate::proposer::SharedProposer;
use crate::report::{ItemReport, ORIGINAL, Parameters, Stopped, Trial};

/// The section of a lesson that a row is run again with.
const THIS_CASE: &str = "this case";

/// A program with playbooks that was compared with the one before.
struct Snapshot<P> {
    trial: Trial,
    program: P,
    scope: String,
    adopted: bool,
    /// The playbooks that it was made with.
    playbooks: Playbooks,
}

/// The state of one search.
pub(super) struct Search<'s, 'd, P: Program, E> {
    teacher: Teacher<'s, 'd, P, E>,
    paths: Vec<String>,
    /// The names of all outputs, which may be labels in rows.
    labels: BTreeSet<String>,
    blocks: Blocks<'d, E>,
    /// The score of the original program on the valset, once it is known.
    baseline: Option<f64>,
    /// The number of comparisons so far.
    compared: usize,
    /// The original program and all later ones.
    snapshots: Vec<Snapshot<P>>,
    /// The index of the snapshot that was adopted last.
    current: usize,
    /// Its playbooks, with the counters so far.
    playbooks: Playbooks,
    /// The rows and lessons of batches since the last adopted playbook, which the curator sees again.
    kept: Vec<(usize, Lesson)>,
    /// The rows whose right runs with a program, given by its index, had their reflection.
    settled: BTreeSet<(usize, usize)>,
}

impl<'s, 'd, P: Program, E: ExampleFor<P>> Search<'s, 'd, P, E> {
    pub(super) fn new(
        study: &'s Study<'d, P, E>,
        settings: &'s Settings,
        proposer: &'s SharedProposer,
    ) -> Result<Self, Stop> {
        let program = study.program();
        let paths = settings.paths(program)?;
        let original = Snapshot {
            trial: Trial::new(ORIGINAL, program),
            program: program.clone(),
            scope: study.scope_of(program),
            adopted: true,
            playbooks: playbooks_of(program, &paths),
        };
        Ok(Search {
            teacher: Teacher::new(study, settings, proposer, &paths),
            labels: label_names(program),
            blocks: Blocks::new(study.val(), settings.acceptance_rows, &settings.race, study.seed()),
            baseline: None,
            compared: 0,
            snapshots: vec![original],
            current: 0,
            playbooks: playbooks_of(program, &paths),
            kept: Vec::new(),
            settled: BTreeSet::new(),
            paths,
        })
    }

    pub(super) async fn run(mut self) -> Result<Stopped, Stop> {
        let study = self.teacher.study;
        study.part("search", ORIGINAL, study.val().len());
        let Snapshot { trial, program, scope, .. } = &self.snapshots[0];
        let scores = if study.has_valset() {
            study.evaluate(scope, program, study.val()).await?
        } else {
            // The first batches are of the same rows, so these runs serve both.
            study.evaluate_traced(scope, program, study.val()).await?
        };
        study.choose(study.record(trial.clone().scored(&scores), program.clone()));
        self.baseline = Some(scores.mean);
        study.check_headroom(&scores)?;
        match self.epochs().await {
            Ok(()) => self.finals(None).await,
            Err(Stop::Budget(limit)) => {
                if self.compared == 0 {
                    study.warn_nothing_compared(self.least_compared());
                }
                self.finals(Some(limit)).await
            }
            Err(stop) => Err(stop),
        }
    }

    async fn epochs(&mut self) -> Result<(), Stop> {
        let (study, settings) = (self.teacher.study, self.teacher.settings);
        let mut number = 0;
        for epoch in 0..settings.epochs {
            let mut reflected = false;
            let order = study.train().shuffled(study.seed().branch("epoch").index(epoch as u64));
            for start in (0..order.len()).step_by(settings.batch) {
                let end = start.saturating_add(settings.batch).min(order.len());
                number += 1;
                let rows = order.select(start..end);
                self.check_budget(number, &rows)?;
                reflected |= self.batch(number, epoch, &rows).await?;
                if study.has_given_up() {
                    return Ok(());
                }
            }
            // All runs went right with known items, so another epoch would be the same.
            if !reflected {
                return Ok(());
            }
        }
        Ok(())
    }

    /// Ends the search before a batch if the budget does not cover its runs and the race at the end, without which no
    /// adopted playbook is known to be better than none.
    fn check_budget(&self, number: usize, rows: &Rows<'d, E>) -> Result<(), Stop> {
        let study = self.teacher.study;
        if self.current == 0 || !study.is_limited() {
            return Ok(());
        }
        let name = format!("batch-{number}/runs");
        let runs = study.as_before(&name, || vec![self.race_runs().saturating_add(rows.len())])?;
        study.covers(&name, Needs { calls: 0, runs: runs.into_iter().sum() })
    }

    /// Returns the runs that the race at the end needs at most.
    fn race_runs(&self) -> usize {
        let study = self.teacher.study;
        let missing =
            |at: usize| study.missing(&self.snapshots[at].scope, &self.snapshots[at].program, study.val());
        self.finalists().into_iter().map(missing).sum()
    }

    /// Returns the rows that a new program runs on at least: those of the comparison, or of the first block of the race.
    fn least_compared(&self) -> usize {
        let Teacher { study, settings, .. } = &self.teacher;
        self.blocks.size().max(settings.race.first_block(study.val().len()))
    }

    /// Returns the places of the original program and of the latest adopted ones.
    fn finalists(&self) -> Vec<usize> {
        let adopted = self.snapshots.iter().enumerate().skip(1).filter(|(_, known)| known.adopted);
        let adopted: Vec<usize> = adopted.map(|(at, _)| at).collect();
        let latest = adopted.len().saturating_sub(self.teacher.settings.finalists);
        std::iter::once(0).chain(adopted[latest..].iter().copied()).collect()
    }

    /// Learns from a batch of rows, and returns whether there was a reflection.
    async fn batch(&mut self, number: usize, epoch: usize, rows: &Rows<'d, E>) -> Result<bool, Stop> {
        let study = self.teacher.study;
        study.part("search", &format!("batch {number}: runs"), rows.len());
        let Snapshot { program, scope, .. } = &self.snapshots[self.current];
        let tasks = rows.iter().map(|row| Task::new(scope, program, row).traced()).collect();
        let rollouts = study.rollouts(tasks).await?;
        study.sync()?;
        study.part("reflection", &format!("batch {number}"), rows.len());
        let asked = self.affordable(number, rows, &rollouts)?;
        let has_reflected = asked.iter().any(|paths| !paths.is_empty());
        let lessons = rows
            .iter()
            .zip(&rollouts)
            .zip(&asked)
            .map(|((row, rollout), paths)| self.lesson(number, row, rollout, paths));
        let lessons = study.ask(lessons.collect(), self.paths.len(), Lesson::answer).await?;
        let right = rows.iter().zip(&lessons).filter(|(_, lesson)| lesson.right);
        self.settled.extend(right.map(|(row, _)| (row.position, self.current)));
        if study.has_given_up() {
            lessons.into_iter().flat_map(|lesson| lesson.problems).for_each(|problem| study.warn(problem));
            return Ok(has_reflected);
        }
        let kept = self.kept.iter().filter(|(known, _)| rows.iter().all(|row| row.position != *known));
        let all: Vec<Lesson> =
            kept.map(|(_, lesson)| lesson.clone()).chain(lessons.iter().cloned()).collect();
        let before = self.current;
        self.revise(&format!("epoch {}, batch {number}", epoch + 1), number, &lessons, all).await?;
        if self.current == before {
            self.keep(rows, lessons);
        } else {
            self.kept.clear();
        }
        Ok(has_reflected)
    }

    /// Returns for each run of a batch the paths of the predictors with a reflection on it: for as many of the runs that
    /// went wrong as the rest of the budget pays for, with the reflections on the others, the curator and the comparison
    /// of what it changes.
    ///
    /// # Errors
    /// If the search has to stop, also because the budget pays for none.
    fn affordable(
        &self,
        number: usize,
        rows: &Rows<'d, E>,
        rollouts: &[Rollout],
    ) -> Result<Vec<Vec<&str>>, Stop> {
        let (study, settings) = (self.teacher.study, self.teacher.settings);
        let is_wrong = |rollout: &Rollout| self.is_right(rollout) == Some(false);
        let mut asked: Vec<Vec<&str>> =
            rows.iter().zip(rollouts).map(|(row, rollout)| self.asked(row, rollout)).collect();
        let calls_of = |wrong: bool| -> usize {
            let runs = asked.iter().zip(rollouts).filter(|(_, rollout)| is_wrong(rollout) == wrong);
            runs.map(|(paths, _)| paths.len()).sum()
        };
        let (wanted, right) = (rollouts.iter().filter(|run| is_wrong(run)).count(), calls_of(false));
        // The curator is asked if a run went wrong, now or in a batch that it sees again.
        let is_again = |known: &usize| rows.iter().all(|row| row.position != *known);
        let curates = wanted > 0 || self.kept.iter().any(|(known, lesson)| !lesson.right && is_again(known));
        if right == 0 && !curates {
            return Ok(asked);
        }
        let (paths, val) = (self.paths.len(), study.val().len());
        // A new program runs on the rows of the comparison, and one of them on the first block of the race at the end;
        // the present one has run on them if it is the original one.
        let (compared, new) = (self.blocks.size(), self.least_compared());
        let alone = settings.rows_per_curation.is_none() && wanted > 0;
        let present = if self.current == 0 { 0 } else { compared };
        // Once there is another program, the race at the end is paid, too. Without it, only a clear gain would count.
        let (race, raced) = if self.current == 0 || !study.is_limited() {
            (0, 0)
        } else {
            (study.as_before(&format!("batch-{number}"), || vec![self.race_runs()])?.iter().sum(), val)
        };
        let curations = self.kept.len().saturating_add(rollouts.len()).div_ceil(settings.rows_per_curation());
        let needs = |new: usize| {
            move |count: usize| match count {
                0 => Needs { calls: 0, runs: 0 },
                _ if !curates => Needs { calls: right, runs: race },
                _ => {
                    let wrong = count.min(wanted);
                    let curations = curations + if alone { wrong } else { 0 };
                    let again = (paths * wrong).saturating_mul(settings.reflections - 1);
                    let second = if alone { compared } else { 0 };
                    Needs {
                        calls: paths * (wrong.saturating_mul(settings.reflections).saturating_add(curations))
                            + right,
                        runs: again + new + second + present + race + raced,
                    }
                }
            }
        };
        let (name, most) = (format!("batch-{number}"), wanted.max(1));
        let mut afforded = Afforded { count: 0, limit: None };
        if self.current == 0 && study.is_limited() {
            // The race of a first program is paid as a whole, if that leaves something to learn from.
            afforded = study.affordable(&format!("{name}/whole"), most, needs(new.max(val)))?;
        }
        if afforded.count == 0 {
            afforded = study.affordable(&name, most, needs(new))?;
        }
        if let Some(limit) = afforded.limit.filter(|_| afforded.count == 0) {
            return Err(Stop::Budget(limit));
        }
        let what = format!("reflections on the runs of batch {number} that went wrong");
        study.note_afforded(&what, wanted, afforded);
        let wrong = asked.iter_mut().zip(rollouts).filter(|(_, rollout)| is_wrong(rollout));
        wrong.skip(afforded.count).for_each(|(paths, _)| paths.clear());
        Ok(asked)
    }

    /// Returns whether a run went right; `None` if it has no score and so teaches nothing.
    fn is_right(&self, rollout: &Rollout) -> Option<bool> {
        rollout.outcome.score().map(|score| score >= self.teacher.settings.perfect_score)
    }

    /// Returns the paths of the predictors for which a run needs a reflection: all if it went wrong. If it went right,
    /// those with an item whose effect is unknown, unless the same run had its reflection in an earlier epoch.
    fn asked(&self, row: Row<'_, E>, rollout: &Rollout) -> Vec<&str> {
        let needs = |path: &str| {
            let Some(playbook) = self.playbooks.get(path) else { return false };
            match self.is_right(rollout) {
                None => false,
                Some(false) => true,
                Some(true) => {
                    let used = used(playbook, path, rollout.steps.iter());
                    let is_unknown = |item: &PlaybookItem| item.helpful() == 0 && item.harmful() == 0;
                    used.items().iter().any(is_unknown)
                        && !self.settled.contains(&(row.position, self.current))
                }
            }
        };
        self.paths.iter().map(String::as_str).filter(|path| needs(path)).collect()
    }

    /// Keeps the lessons of a batch that has led to no other playbook for the next call of the curator, because more
    /// rows may show what these alone do not. Of each row it keeps the last run, of all rows those of the last batches.
    fn keep(&mut self, rows: &Rows<'d, E>, lessons: Vec<Lesson>) {
        let settings = self.teacher.settings;
        for (row, lesson) in rows.iter().zip(lessons) {
            self.kept.retain(|(known, _)| *known != row.position);
            self.kept.push((row.position, lesson.recalled()));
        }
        let most = settings.kept_batches.saturating_mul(settings.batch);
        let old = self.kept.len().saturating_sub(most);
        self.kept.drain(..old);
    }

    /// Finds the lesson of a run on a row, by reflections for the predictors at these paths.
    async fn lesson(
        &self,
        number: usize,
        row: Row<'_, E>,
        rollout: &Rollout,
        asked: &[&str],
    ) -> Result<Lesson, Stop> {
        let Some(right) = self.is_right(rollout) else {
            return Ok(Lesson { right: true, ..Lesson::default() });
        };
        let mut lesson = Lesson { right, ..Lesson::default() };
        for path in &self.paths {
            let records = records_of(self.teacher.study.program(), path, &self.labels, row, rollout);
            let Some(playbook) = self.playbooks.get(path).filter(|_| !records.is_empty()) else { continue };
            lesson.records.insert(path.clone(), records);
            let used = used(playbook, path, rollout.steps.iter());
            if asked.contains(&path.as_str()) {
                self.reflect(number, row, path, used, &mut lesson).await?;
            }
        }
        Ok(lesson)
    }

    /// Reflects on a run; if it went wrong, the row is run again with the lesson, until it goes right or there are
    /// enough reflections.
    async fn reflect(
        &self,
        number: usize,
        row: Row<'_, E>,
        path: &str,
        used: dspy_core::signature::Playbook,
        lesson: &mut Lesson,
    ) -> Result<(), Stop> {
        let (study, settings) = (self.teacher.study, self.teacher.settings);
        let rounds = if lesson.right { 1 } else { settings.reflections };
        let mut records = lesson.records.get(path).cloned().unwrap_or_default();
        let mut tried = None;
        for round in 1..=rounds {
            let name = format!("diagnose-{number}-{}-{round}", row.position);
            let question = Question { name, path, playbook: used.clone(), records, tried };
            let Some(mut found) = self.teacher.diagnose(question, lesson).await? else { return Ok(()) };
            // The effects are those in the run with the playbook as it is.
            if let Some(first) = lesson.diagnoses.get(path) {
                found.effects.clone_from(&first.effects);
            }
            let text = item_text(&found.lesson);
            lesson.diagnoses.insert(path.to_owned(), found);
            let (Ok(text), true) = (text, round < rounds) else { return Ok(()) };
            let mut playbooks = self.playbooks.clone();
            if let Some(playbook) = playbooks.get_mut(path) {
                playbook.add(THIS_CASE, &text);
            }
            let program = with_playbooks(study.program(), &playbooks)?;
            let scope = study.scope_of(&program);
            let again = study.rollout(Task::new(&scope, &program, row).traced()).await?;
            lesson.usage += again.usage;
            if again.outcome.score().is_none_or(|score| score >= settings.perfect_score) {
                return Ok(());
            }
            records = records_of(study.program(), path, &self.labels, row, &again);
            if records.is_empty() {
                return Ok(());
            }
            tried = Some(text);
        }
        Ok(())
    }

    /// Changes the playbooks after a batch. By default, the first changes are those that single rows lead to, which are
    /// small; if they do not raise the score, there are others from all rows, and the better ones are adopted. `all` are
    /// the lessons of the batch, and those of earlier ones before them.
    async fn revise(
        &mut self,
        label: &str,
        number: usize,
        own: &[Lesson],
        mut all: Vec<Lesson>,
    ) -> Result<(), Stop> {
        let (study, settings) = (self.teacher.study, self.teacher.settings);
        let block = self.blocks.get(self.compared);
        let mut compared: Vec<(usize, Comparison)> = Vec::new();
        if settings.rows_per_curation.is_none() && all.len() > 1 && own.iter().any(|lesson| !lesson.right) {
            let update = self.teacher.curate(&format!("{number}-alone"), &self.playbooks, own, 1).await?;
            study.sync()?;
            // What these runs say of items is counted once.
            all = all.into_iter().map(Lesson::recalled).collect();
            let label = format!("{label}, rows alone: {}", update.summary);
            compared.extend(self.compare(label, update, &block).await?);
        }
        if !compared.iter().any(|(_, result)| result.is_gain()) {
            let group = settings.rows_per_curation();
            let update = self.teacher.curate(&number.to_string(), &self.playbooks, &all, group).await?;
            study.sync()?;
            compared.extend(self.compare(format!("{label}: {}", update.summary), update, &block).await?);
        }
        self.compared += usize::from(!compared.is_empty());
        let mut best: Option<&(usize, Comparison)> = None;
        for new in compared.iter().filter(|(_, result)| result.is_accepted()) {
            if best.is_none_or(|(_, best)| new.1.after > best.after) {
                best = Some(new);
            }
        }
        let adopted = best.map(|(at, _)| *at);
        for (at, result) in &compared {
            let known = &mut self.snapshots[*at];
            known.adopted = adopted == Some(*at);
            known.trial.notes.insert(0, result.note(known.adopted));
        }
        if let Some(at) = adopted {
            self.current = at;
            self.playbooks.clone_from(&self.snapshots[at].playbooks);
        }
        Ok(())
    }

    /// Compares the program with new playbooks with the present one, and returns the place of its snapshot; `None` if
    /// it is no new program.
    async fn compare(
        &mut self,
        label: String,
        update: Update,
        rows: &Rows<'d, E>,
    ) -> Result<Option<(usize, Comparison)>, Stop> {
        let study = self.teacher.study;
        self.recount(&update.counted)?;
        if update.is_empty() {
            update.notes.into_iter().for_each(|note| study.warn(note));
            return Ok(None);
        }
        let program = with_playbooks(study.program(), &update.merged)?;
        let scope = study.scope_of(&program);
        if self.snapshots.iter().any(|known| known.scope == scope) {
            return Ok(None);
        }
        study.part("search", "acceptance", 2 * rows.len());
        let now = &self.snapshots[self.current];
        let mut compared =
            Comparison::run(study, (&now.scope, &now.program), (&scope, &program), rows).await?;
        let mut trial = Trial::new(label, &program);
        trial.parents = vec![self.current];
        trial.notes.extend(update.notes);
        trial.usage = update.usage;
        trial.items = std::mem::take(&mut compared.items);
        self.snapshots.push(Snapshot { trial, program, scope, adopted: false, playbooks: update.merged });
        Ok(Some((self.snapshots.len() - 1, compared)))
    }

    /// Sets the counters of the present playbooks.
    fn recount(&mut self, counted: &Playbooks) -> Result<(), Stop> {
        self.playbooks.clone_from(counted);
        // The original program stays as it was given.
        if self.current > 0 {
            let Snapshot { program, trial, .. } = &mut self.snapshots[self.current];
            *program = with_playbooks(program, counted)?;
            trial.parameters = Parameters::of(program);
        }
        Ok(())
    }

    /// Compares the original program with the latest adopted ones on the valset, records all and chooses the result.
    async fn finals(self, stopped: Option<Limit>) -> Result<Stopped, Stop> {
        let (study, settings) = (self.teacher.study, self.teacher.settings);
        let finalists = self.finalists();
        let contestants: Vec<_> = finalists
            .iter()
            .map(|at| Contestant::new(&self.snapshots[*at].scope, self.snapshots[*at].program.clone()))
            .collect();
        study.phase("race", finalists.len() * study.val().len());
        let raced = study.race(&settings.race, &contestants, study.val()).await?;
        // The original program is the first one.
        let winner = raced.winner_over(0, self.baseline, study.val().len());
        let winner = winner.map_or(0, |winner| finalists[winner]);
        for (at, known) in self.snapshots.into_iter().enumerate().skip(1) {
            let mut trial = known.trial;
            let own = std::mem::take(&mut trial.items);
            let standing =
                finalists.iter().position(|other| *other == at).map(|place| &raced.standings[place]);
            match standing.filter(|standing| !standing.items.is_empty()) {
                Some(standing) => {
                    // Rows of the comparison that are in the race, too, are paid once.
                    let again =
                        |item: &&ItemReport| standing.items.iter().any(|other| other.index == item.index);
                    own.iter().filter(|item| !again(item)).for_each(|item| trial.usage += item.usage);
                    trial = trial.raced_on(standing, study.val().len());
                }
                None => {
                    own.iter().for_each(|item| trial.usage += item.usage);
                    trial.items = own;
                }
            }
            let trial = study.record(trial, known.program);
            if at == winner {
                study.choose(trial);
            }
        }
        Ok(stopped.or(raced.stopped).map_or(Stopped::Finished, Stopped::Budget))
    }
}
