//! The parameters of a program, shared between the trials that have the same ones.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fmt;
use std::ops::Index;
use std::sync::Arc;

use dspy_base::digest::Digest;
use dspy_core::program::HasPredictors;
use dspy_core::state::{PredictorState, ProgramState};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// The parameters of a program by predictor path: instruction, descriptions, demonstrations. Clones, and trials of
/// one report, share equal states.
#[derive(Clone, PartialEq, Default)]
pub struct Parameters(Arc<BTreeMap<Arc<str>, Arc<PredictorState>>>);

impl Parameters {
    pub(crate) fn of(program: &impl HasPredictors) -> Self {
        ProgramState::of(program).predictors.into()
    }

    /// Returns the state of a predictor.
    pub fn get(&self, path: &str) -> Option<&PredictorState> {
        self.0.get(path).map(|state| &**state)
    }

    /// Returns the paths and states, sorted by path.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &PredictorState)> {
        self.0.iter().map(|(path, state)| (&**path, &**state))
    }

    /// Returns the number of predictors.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Returns whether there are no predictors.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn shared(&self) -> impl Iterator<Item = (&Arc<str>, &Arc<PredictorState>)> {
        self.0.iter()
    }
}

impl<P: Into<Arc<str>>> FromIterator<(P, Arc<PredictorState>)> for Parameters {
    fn from_iter<T: IntoIterator<Item = (P, Arc<PredictorState>)>>(states: T) -> Self {
        Parameters(Arc::new(states.into_iter().map(|(path, state)| (path.into(), state)).collect()))
    }
}

impl From<BTreeMap<String, PredictorState>> for Parameters {
    fn from(states: BTreeMap<String, PredictorState>) -> Self {
        states.into_iter().map(|(path, state)| (path, Arc::new(state))).collect()
    }
}

impl From<&Parameters> for BTreeMap<String, PredictorState> {
    fn from(parameters: &Parameters) -> Self {
        parameters.iter().map(|(path, state)| (path.to_owned(), state.clone())).collect()
    }
}

impl Index<&str> for Parameters {
    type Output = PredictorState;

    /// Returns the state of a predictor.
    ///
    /// # Panics
    /// If the program has no predictor at this path.
    fn index(&self, path: &str) -> &PredictorState {
        &self.0[path]
    }
}

impl PartialEq<BTreeMap<String, PredictorState>> for Parameters {
    fn eq(&self, other: &BTreeMap<String, PredictorState>) -> bool {
        self.len() == other.len() && self.iter().all(|(path, state)| other.get(path) == Some(state))
    }
}

impl PartialEq<Parameters> for BTreeMap<String, PredictorState> {
    fn eq(&self, other: &Parameters) -> bool {
        other == self
    }
}

impl fmt::Debug for Parameters {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.iter()).finish()
    }
}

impl Serialize for Parameters {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.iter())
    }
}

impl<'de> Deserialize<'de> for Parameters {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        BTreeMap::<String, PredictorState>::deserialize(deserializer).map(Into::into)
    }
}

/// The states that trials have in common.
#[derive(Default)]
pub(crate) struct SharedStates {
    /// The states by the digest of their JSON.
    states: HashMap<[u8; 16], Arc<PredictorState>>,
    paths: HashSet<Arc<str>>,
    /// The last parameters, which later ones often share completely.
    last: Parameters,
}

impl SharedStates {
    /// Returns equal parameters, whose states are shared with all earlier ones.
    pub(crate) fn share(&mut self, parameters: &Parameters) -> Parameters {
        let shared: Vec<(Arc<str>, Arc<PredictorState>)> =
            parameters.shared().map(|(path, state)| (self.path(path), self.state(state))).collect();
        let same = self
            .last
            .shared()
            .zip(&shared)
            .all(|((path, state), (other, last))| Arc::ptr_eq(state, last) && path == other);
        if self.last.len() != shared.len() || !same {
            self.last = shared.into_iter().collect();
        }
        self.last.clone()
    }

    fn path(&mut self, path: &Arc<str>) -> Arc<str> {
        if let Some(known) = self.paths.get(path) {
            return known.clone();
        }
        self.paths.insert(path.clone());
        path.clone()
    }

    fn state(&mut self, state: &Arc<PredictorState>) -> Arc<PredictorState> {
        let Ok(json) = serde_json::to_string(&**state) else { return state.clone() };
        self.states.entry(Digest::new().add_text(&json).bytes()).or_insert_with(|| state.clone()).clone()
    }
}

#[cfg(test)]
mod tests {
    use dspy_core::predict::DynPredict;

    use super::*;

    #[test]
    fn equal_states_are_shared() {
        let mut program = DynPredict::new("question -> answer".parse().unwrap());
        let before = Parameters::of(&program);
        program.for_each_predictor(|_, predictor| predictor.set_instruction("Think."));
        let (after, again) = (Parameters::of(&program), Parameters::of(&program));
        let mut shared = SharedStates::default();
        let all = [&before, &after, &again, &before].map(|parameters| shared.share(parameters));
        assert_eq!(all, [before.clone(), after, again, before]);
        let state = |at: usize| all[at].0.values().next().unwrap();
        assert!(Arc::ptr_eq(state(1), state(2)) && Arc::ptr_eq(state(0), state(3)));
        assert!(Arc::ptr_eq(&all[1].0, &all[2].0), "the whole map is");
        assert_eq!(BTreeMap::from(&all[1]), all[1]);
    }
}
