//! The paths of predictors while a program runs.

use std::collections::HashMap;
use std::sync::{Arc, LazyLock, Mutex};

use crate::locks::MutexExt as _;

/// The path of a predictor that is called outside any program.
static ALONE: LazyLock<Arc<str>> = LazyLock::new(|| "self".into());

/// A reference to a predictor while its program runs: its address, which distinguishes two clones in one
/// borrowed program, and its id, which it shares with clones made during the run. An address alone may be
/// reused after a predictor is dropped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct PredictorRef {
    pub(crate) address: usize,
    pub(crate) id: u64,
}

/// A function that lists the predictors of a program with their paths. It walks through the program, so it is
/// called only if the paths are needed.
pub(crate) type Named<'a> = &'a (dyn Fn() -> Vec<(String, PredictorRef)> + Sync + 'a);

/// The paths of the predictors of a running program.
#[derive(Debug, Default)]
pub(crate) struct Paths(Mutex<Known>);

#[derive(Debug, Default)]
struct Known {
    by_place: HashMap<PredictorRef, Arc<str>>,
    by_id: HashMap<u64, Arc<str>>,
}

impl Paths {
    /// Adds the paths of a program's predictors. Paths that an enclosing module added stay.
    pub(crate) fn register(&self, named: Named<'_>) {
        let named = named();
        let mut known = self.0.lock_any();
        let mut new = HashMap::new();
        for (path, predictor) in named {
            if !known.by_id.contains_key(&predictor.id) {
                let path: Arc<str> = path.into();
                known.by_place.entry(predictor).or_insert_with(|| path.clone());
                new.entry(predictor.id).or_insert(path);
            }
        }
        known.by_id.extend(new);
    }

    /// Gives copies of predictors, made during the run, the paths of their originals. Each pair is an original and
    /// its copy.
    pub(crate) fn register_copies(&self, pairs: &[(PredictorRef, PredictorRef)]) {
        let mut known = self.0.lock_any();
        for (original, copy) in pairs {
            let Some(path) = known.by_place.get(original).cloned() else { continue };
            // Most copies are known by their id. One that is not replaces an earlier copy at its address.
            if known.by_id.get(&copy.id) != Some(&path) || known.by_place.contains_key(copy) {
                known.by_place.insert(*copy, path);
            }
        }
    }

    pub(crate) fn of(&self, predictor: PredictorRef) -> Arc<str> {
        let known = self.0.lock_any();
        let path = known.by_place.get(&predictor).or_else(|| known.by_id.get(&predictor.id));
        path.unwrap_or(&ALONE).clone()
    }
}
