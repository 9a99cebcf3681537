//! Which predictor is which, while a program runs.

use std::collections::HashMap;
use std::sync::{Arc, LazyLock, Mutex};

use crate::locks::MutexExt as _;
use crate::predict::{Predictor, PredictorId};

/// The path of a predictor that is called outside of any program.
static ALONE: LazyLock<Arc<str>> = LazyLock::new(|| "self".into());

/// The paths of the predictors of a running program.
#[derive(Debug, Default)]
pub(crate) struct Paths(Mutex<Known>);

#[derive(Debug, Default)]
struct Known {
    by_place: HashMap<(usize, PredictorId), Arc<str>>,
    by_id: HashMap<PredictorId, Arc<str>>,
}

/// Lists the predictors of a module; a function, because few want to know them, and without the type of the module.
pub(crate) type Find<'f, 'p> = &'f (dyn Fn() -> Vec<(String, &'p Predictor)> + Sync + 'f);

/// Where a predictor is: an address alone may be that of another one that was dropped meanwhile.
fn place(predictor: &Predictor) -> (usize, PredictorId) {
    (std::ptr::from_ref(predictor).addr(), predictor.id())
}

impl Paths {
    /// Learns the paths of a program's predictors. What is known already, from an enclosing module, stays.
    ///
    /// A predictor is known by its address while its program is borrowed, which tells two clones in one program
    /// apart, and by its id, which it shares with the clones that are made during the run.
    pub(crate) fn register(&self, find: Find<'_, '_>) {
        let mut known = self.0.lock_any();
        let mut new = HashMap::new();
        for (path, predictor) in find() {
            if !known.by_id.contains_key(&predictor.id()) {
                let path: Arc<str> = path.into();
                known.by_place.entry(place(predictor)).or_insert_with(|| path.clone());
                new.entry(predictor.id()).or_insert(path);
            }
        }
        known.by_id.extend(new);
    }

    pub(crate) fn of(&self, predictor: &Predictor) -> Arc<str> {
        let known = self.0.lock_any();
        let path = known.by_place.get(&place(predictor)).or_else(|| known.by_id.get(&predictor.id()));
        path.unwrap_or(&ALONE).clone()
    }
}
