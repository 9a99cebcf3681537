//! The JSON form of a report. Trials refer to states of predictors by number, as most of them have many in common.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use dspy_core::lm::Usage;
use dspy_core::state::PredictorState;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::{ItemReport, Parameters, PartialScore, Report, RunFacts, Spend, Stopped, Trial, Verification};
use crate::headroom::Headroom;

#[derive(Serialize)]
struct Written<'a> {
    optimizer: &'a str,
    seed: u64,
    best: usize,
    baseline: Option<f64>,
    stopped: Stopped,
    verification: &'a Verification,
    headroom: Option<&'a Headroom>,
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    decisions: &'a [String],
    warnings: &'a [String],
    usage: Usage,
    spend: &'a Spend,
    run: &'a RunFacts,
    initial: &'a Parameters,
    /// The states that trials refer to.
    states: Vec<&'a PredictorState>,
    trials: Vec<WrittenTrial<'a>>,
}

#[derive(Serialize)]
struct WrittenTrial<'a> {
    label: &'a str,
    score: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    partial: Option<PartialScore>,
    #[serde(skip_serializing_if = "<[usize]>::is_empty")]
    parents: &'a [usize],
    notes: &'a [String],
    usage: Usage,
    /// The index in `states` by path, `null` for the initial state.
    parameters: BTreeMap<&'a str, Option<usize>>,
    items: &'a [ItemReport],
}

#[derive(Deserialize)]
struct Read {
    optimizer: String,
    seed: u64,
    best: usize,
    baseline: Option<f64>,
    stopped: Stopped,
    #[serde(default)]
    verification: Verification,
    #[serde(default)]
    headroom: Option<Headroom>,
    #[serde(default)]
    decisions: Vec<String>,
    warnings: Vec<String>,
    usage: Usage,
    #[serde(default)]
    spend: Spend,
    #[serde(default)]
    run: RunFacts,
    initial: Parameters,
    #[serde(default)]
    states: Vec<PredictorState>,
    trials: Vec<ReadTrial>,
}

#[derive(Deserialize)]
struct ReadTrial {
    label: String,
    score: Option<f64>,
    #[serde(default)]
    partial: Option<PartialScore>,
    #[serde(default)]
    parents: Vec<usize>,
    notes: Vec<String>,
    usage: Usage,
    parameters: BTreeMap<String, ReadState>,
    items: Vec<ItemReport>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum ReadState {
    Initial(()),
    Number(usize),
    /// The form of earlier versions.
    Whole(Box<PredictorState>),
}

impl Serialize for Report {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut states = States::of(&self.initial);
        let trials = self.trials.iter().map(|trial| WrittenTrial {
            label: &trial.label,
            score: trial.score,
            partial: trial.partial,
            parents: &trial.parents,
            notes: &trial.notes,
            usage: trial.usage,
            parameters: states.numbers(&trial.parameters),
            items: &trial.items,
        });
        let trials = trials.collect();
        let written = Written {
            optimizer: &self.optimizer,
            seed: self.seed,
            best: self.best,
            baseline: self.baseline,
            stopped: self.stopped,
            verification: &self.verification,
            headroom: self.headroom.as_ref(),
            decisions: &self.decisions,
            warnings: &self.warnings,
            usage: self.usage,
            spend: &self.spend,
            run: &self.run,
            initial: &self.initial,
            states: states.all,
            trials,
        };
        written.serialize(serializer)
    }
}

/// The states of trials, each once.
struct States<'a> {
    initial: BTreeMap<&'a str, &'a PredictorState>,
    all: Vec<&'a PredictorState>,
    /// The numbers of states by address and, for those that are not shared, by JSON.
    by_address: HashMap<*const PredictorState, usize>,
    by_text: HashMap<String, usize>,
}

impl<'a> States<'a> {
    fn of(initial: &'a Parameters) -> Self {
        let (by_address, by_text) = (HashMap::new(), HashMap::new());
        States { initial: initial.iter().collect(), all: Vec::new(), by_address, by_text }
    }

    fn numbers(&mut self, parameters: &'a Parameters) -> BTreeMap<&'a str, Option<usize>> {
        parameters.iter().map(|(path, state)| (path, self.number(path, state))).collect()
    }

    fn number(&mut self, path: &str, state: &'a PredictorState) -> Option<usize> {
        let is_initial = |initial: &&PredictorState| std::ptr::eq(*initial, state) || **initial == *state;
        if self.initial.get(path).is_some_and(is_initial) {
            return None;
        }
        let address = std::ptr::from_ref(state);
        if let Some(known) = self.by_address.get(&address) {
            return Some(*known);
        }
        let text = serde_json::to_string(state).unwrap_or_default();
        let all = &mut self.all;
        let number = *self.by_text.entry(text).or_insert_with(|| {
            all.push(state);
            all.len() - 1
        });
        self.by_address.insert(address, number);
        Some(number)
    }
}

impl<'de> Deserialize<'de> for Report {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let Read {
            optimizer,
            seed,
            best,
            baseline,
            stopped,
            verification,
            headroom,
            decisions,
            warnings,
            usage,
            spend,
            run,
            initial,
            states,
            trials,
        } = Read::deserialize(deserializer)?;
        let states: Vec<Arc<PredictorState>> = states.into_iter().map(Arc::new).collect();
        let unknown = |what: &str| serde::de::Error::custom(format!("a trial refers to an unknown {what}"));
        let state = |path: &str, read: ReadState| match read {
            ReadState::Initial(()) => {
                let known = initial.shared().find(|(known, _)| &***known == path);
                known.map(|(_, state)| state.clone()).ok_or_else(|| unknown("predictor"))
            }
            ReadState::Number(number) => states.get(number).cloned().ok_or_else(|| unknown("state")),
            ReadState::Whole(state) => Ok(Arc::from(state)),
        };
        let trial = |read: ReadTrial| {
            let ReadTrial { label, score, partial, parents, notes, usage, parameters, items } = read;
            let parameters = parameters.into_iter().map(|(path, read)| {
                let state = state(&path, read)?;
                Ok((path, state))
            });
            let parameters = parameters.collect::<Result<_, D::Error>>()?;
            Ok(Trial { label, score, partial, items, parents, parameters, notes, usage })
        };
        let trials = trials.into_iter().map(trial).collect::<Result<_, D::Error>>()?;
        Ok(Report {
            optimizer,
            seed,
            trials,
            best,
            baseline,
            initial,
            usage,
            spend,
            stopped,
            verification,
            headroom,
            decisions,
            warnings,
            run,
        })
    }
}
