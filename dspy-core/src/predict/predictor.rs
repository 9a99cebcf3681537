//! The type-erased heart of every strategy.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use super::prepared::Prepared;
use crate::adapter::{Adapter, NativeKey};
use crate::lm::{Capabilities, Lm, Params};
use crate::locks::MutexExt as _;
use crate::program::{HasPredictors, Recovery, Visitor, VisitorMut};
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

#[derive(Debug)]
struct State {
    /// As declared in code.
    declared: Arc<SignatureSpec>,
    /// As optimized: other instruction, other descriptions.
    spec: Arc<SignatureSpec>,
    demos: Arc<[Demo]>,
    lm: Option<Lm>,
    adapter: Option<Arc<dyn Adapter>>,
    params: Params,
    recovery: Option<Recovery>,
    prompts: PromptCache,
}

impl Clone for State {
    fn clone(&self) -> Self {
        State {
            declared: self.declared.clone(),
            spec: self.spec.clone(),
            demos: self.demos.clone(),
            lm: self.lm.clone(),
            adapter: self.adapter.clone(),
            params: self.params.clone(),
            recovery: self.recovery,
            // The copy is about to be changed, and with it its prompt.
            prompts: PromptCache::default(),
        }
    }
}

/// The static part of the prompt, once for each adapter and set of natively handled fields: usually one, two where
/// the JSON fallback was needed.
#[derive(Debug, Default)]
struct PromptCache(Mutex<Vec<CachedPrompt>>);

#[derive(Debug)]
struct CachedPrompt {
    adapter: Arc<dyn Adapter>,
    key: NativeKey,
    prepared: Arc<Prepared>,
}

/// More adapters than this in turn on one predictor are not worth caching for.
const MOST_CACHED: usize = 4;

impl PromptCache {
    fn get(
        &self,
        adapter: &Arc<dyn Adapter>,
        key: NativeKey,
        make: impl FnOnce() -> Prepared,
    ) -> Arc<Prepared> {
        let mut cached = self.0.lock_any();
        if let Some(hit) = cached.iter().find(|one| one.key == key && Arc::ptr_eq(&one.adapter, adapter)) {
            return hit.prepared.clone();
        }
        let prepared = Arc::new(make());
        if cached.len() >= MOST_CACHED {
            cached.remove(0);
        }
        cached.push(CachedPrompt { adapter: adapter.clone(), key, prepared: prepared.clone() });
        prepared
    }
}

impl Predictor {
    /// Creates a predictor of a signature that is known as data; for typed strategies see
    /// [`Predict::over`](super::Predict::over).
    pub fn new(spec: impl Into<Arc<SignatureSpec>>) -> Self {
        let spec = spec.into();
        let state = State {
            declared: spec.clone(),
            spec,
            demos: Arc::from([]),
            lm: None,
            adapter: None,
            params: Params::default(),
            recovery: None,
            prompts: PromptCache::default(),
        };
        Predictor { id: PredictorId::fresh(), state: Arc::new(state) }
    }

    pub(crate) fn id(&self) -> PredictorId {
        self.id
    }

    /// The signature, with the current instruction and descriptions.
    pub fn spec(&self) -> &Arc<SignatureSpec> {
        &self.state.spec
    }

    /// The signature as it was declared, before any optimizer changed its texts.
    pub fn declared(&self) -> &Arc<SignatureSpec> {
        &self.state.declared
    }

    /// What the model is told to do.
    pub fn instruction(&self) -> &str {
        self.state.spec.instruction()
    }

    /// Replaces the instruction.
    pub fn set_instruction(&mut self, instruction: impl Into<Arc<str>>) {
        self.change_spec(|spec| spec.with_instruction(instruction));
    }

    /// Replaces the description of a field; nothing happens if there is no such field.
    pub fn set_description(&mut self, field: &str, description: impl Into<Arc<str>>) {
        self.change_spec(|spec| spec.describe_field(field, description));
    }

    /// Adds a hard check to the words of the signature.
    pub(super) fn declare_check(&mut self, why: &str) {
        let state = self.state_mut();
        state.declared = Arc::new((*state.declared).clone().with_check(why));
        state.spec = Arc::new((*state.spec).clone().with_check(why));
    }

    fn change_spec(&mut self, change: impl FnOnce(SignatureSpec) -> SignatureSpec) {
        let state = self.state_mut();
        state.spec = Arc::new(change((*state.spec).clone()));
    }

    /// The demonstrations that are shown to the model.
    pub fn demos(&self) -> &[Demo] {
        &self.state.demos
    }

    /// Replaces the demonstrations.
    pub fn set_demos(&mut self, demos: impl Into<Arc<[Demo]>>) {
        self.state_mut().demos = demos.into();
    }

    /// The model that is bound to this predictor.
    pub fn lm(&self) -> Option<&Lm> {
        self.state.lm.as_ref()
    }

    /// Binds a model to this predictor, or unbinds it.
    pub fn set_lm(&mut self, lm: impl Into<Option<Lm>>) {
        self.state_mut().lm = lm.into();
    }

    /// Binds an adapter to this predictor.
    pub fn set_adapter(&mut self, adapter: impl Adapter) {
        self.state_mut().adapter = Some(Arc::new(adapter));
    }

    /// The sampling parameters of this predictor; what is unset is taken from the model's handle.
    pub fn params(&self) -> &Params {
        &self.state.params
    }

    /// Replaces the sampling parameters.
    pub fn set_params(&mut self, params: Params) {
        self.state_mut().params = params;
    }

    /// Sets what to do about replies that cannot be read.
    pub fn set_recovery(&mut self, recovery: Recovery) {
        self.state_mut().recovery = Some(recovery);
    }

    pub(super) fn adapter(&self) -> Option<&Arc<dyn Adapter>> {
        self.state.adapter.as_ref()
    }

    pub(super) fn recovery(&self) -> Option<Recovery> {
        self.state.recovery
    }

    pub(super) fn set_shared_adapter(&mut self, adapter: Arc<dyn Adapter>) {
        self.state_mut().adapter = Some(adapter);
    }

    /// The adapter applied to the signature, for models that are so able.
    pub(super) fn prepared(&self, adapter: &Arc<dyn Adapter>, able: Capabilities) -> Arc<Prepared> {
        let state = &self.state;
        let key = NativeKey::new(&state.spec, able);
        let make = || Prepared::new(adapter, &state.spec, &state.demos, state.recovery, key);
        state.prompts.get(adapter, key, make)
    }

    fn state_mut(&mut self) -> &mut State {
        let state = Arc::make_mut(&mut self.state);
        state.prompts = PromptCache::default();
        state
    }
}

impl HasPredictors for Predictor {
    fn visit<'a>(&'a self, visitor: &mut Visitor<'a, '_>) {
        visitor.predictor(self);
    }

    fn visit_mut(&mut self, visitor: &mut VisitorMut<'_>) {
        visitor.predictor(self);
    }
}
