//! The type-erased heart of every strategy.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::lm::{Lm, Params};
use crate::signature::{Demo, SignatureSpec};

/// One LM task of a program, without types: its signature as data and what optimizers may change.
///
/// A clone shares its state until one of the two is changed.
#[derive(Debug, Clone)]
pub struct Predictor {
    id: PredictorId,
    state: Arc<State>,
}

/// Identity of a predictor across the clones of its program.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct PredictorId(u64);

impl PredictorId {
    fn fresh() -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        PredictorId(NEXT.fetch_add(1, Ordering::Relaxed))
    }
}

#[derive(Debug, Clone)]
struct State {
    /// As declared in code.
    declared: Arc<SignatureSpec>,
    /// As optimized: other instruction, other descriptions.
    spec: Arc<SignatureSpec>,
    demos: Arc<[Demo]>,
    lm: Option<Lm>,
    params: Params,
}

impl Predictor {
    /// A predictor of a signature.
    pub fn new(spec: impl Into<Arc<SignatureSpec>>) -> Self {
        let spec = spec.into();
        let state =
            State { declared: spec.clone(), spec, demos: Arc::from([]), lm: None, params: Params::default() };
        Predictor { id: PredictorId::fresh(), state: Arc::new(state) }
    }

    /// The signature, with the current instruction and descriptions.
    pub fn spec(&self) -> &Arc<SignatureSpec> {
        &self.state.spec
    }

    /// The demonstrations that are shown to the model.
    pub fn demos(&self) -> &[Demo] {
        &self.state.demos
    }
}
