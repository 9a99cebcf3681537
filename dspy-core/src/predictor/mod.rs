//! The untyped core of every strategy: one LM task as data, and its calls.

mod attempt;
mod call;
mod extract;
mod prediction;
mod prepared;
mod refusal;
mod watch;

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use serde_json::Value;

use crate::adapter::{Adapter, NativeKey};
use crate::lm::{Capabilities, Lm, Params};
use crate::locks::MutexExt as _;
use crate::observe::PredictorRef;
use crate::recovery::Recovery;
use crate::signature::{Demo, Playbook, SignatureSpec, Values};

pub use attempt::Attempt;
pub(crate) use call::split_outputs;
pub(crate) use prediction::AnyPrediction;
pub use prediction::Prediction;
pub(crate) use prepared::{OfferedTools, Prepared};
pub(crate) use refusal::{Checked, Refusal, accepted, checked, converted, enforced};
pub(crate) use watch::CheckField;

static NEXT_ID: AtomicU64 = AtomicU64::new(0);

/// One LM task of a program, without types: its signature as data and the parts that optimizers may change.
///
/// A clone shares its state until one of the two is changed.
#[derive(Debug, Clone)]
pub struct Predictor {
    /// An id that all clones share, whatever program they are in.
    id: u64,
    state: Arc<State>,
}

#[derive(Debug)]
struct State {
    /// The signature as declared in code.
    declared: Arc<SignatureSpec>,
    /// The signature as optimized, with another instruction, a playbook below it, or other descriptions.
    spec: Arc<SignatureSpec>,
    /// The instruction without the playbook.
    instruction: Arc<str>,
    playbook: Arc<Playbook>,
    /// The descriptions of tools by name, which replace those of the tools that are passed in.
    tools: Arc<BTreeMap<String, String>>,
    demos: Arc<[Demo]>,
    /// The demonstrations of a training row of a call, if they were selected for its input.
    lesson: Option<Arc<[Demo]>>,
    lm: Option<Lm>,
    /// The name of the model in the state that was loaded, until a model is bound.
    saved_lm: Option<Value>,
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
            instruction: self.instruction.clone(),
            playbook: self.playbook.clone(),
            tools: self.tools.clone(),
            demos: self.demos.clone(),
            lesson: self.lesson.clone(),
            lm: self.lm.clone(),
            saved_lm: self.saved_lm.clone(),
            adapter: self.adapter.clone(),
            params: self.params.clone(),
            recovery: self.recovery,
            // The copy is about to be changed, and with it its prompt.
            prompts: PromptCache::default(),
        }
    }
}

/// The static part of the prompt, once for each adapter and set of natively handled fields: usually one, two
/// if the JSON fallback was needed.
#[derive(Debug, Default)]
struct PromptCache(Mutex<Vec<CachedPrompt>>);

#[derive(Debug)]
struct CachedPrompt {
    adapter: Arc<dyn Adapter>,
    key: NativeKey,
    prepared: Arc<Prepared>,
}

/// The largest number of adapters of one predictor to cache prompts for.
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
    /// Creates a predictor of a signature that is known only at run time; for typed strategies see
    /// [`Predict::over`](crate::predict::Predict::over).
    pub fn new(spec: impl Into<Arc<SignatureSpec>>) -> Self {
        let spec = spec.into();
        let state = State {
            declared: spec.clone(),
            instruction: spec.instruction().clone(),
            spec,
            playbook: Arc::default(),
            tools: Arc::default(),
            demos: Arc::from([]),
            lesson: None,
            lm: None,
            saved_lm: None,
            adapter: None,
            params: Params::default(),
            recovery: None,
            prompts: PromptCache::default(),
        };
        Predictor { id: NEXT_ID.fetch_add(1, Ordering::Relaxed), state: Arc::new(state) }
    }

    /// Returns a reference that identifies the predictor while its program runs.
    pub(crate) fn reference(&self) -> PredictorRef {
        PredictorRef { address: std::ptr::from_ref(self).addr(), id: self.id }
    }

    /// Returns the signature as prompts show it: with the current instruction, the [playbook](Self::playbook) below
    /// it, and the current descriptions.
    pub fn spec(&self) -> &Arc<SignatureSpec> {
        &self.state.spec
    }

    /// Returns the signature as it was declared, before any optimizer changed its instruction and
    /// descriptions.
    pub fn declared(&self) -> &Arc<SignatureSpec> {
        &self.state.declared
    }

    /// Returns the current instruction, without the playbook.
    pub fn instruction(&self) -> &str {
        &self.state.instruction
    }

    /// Replaces the instruction. The playbook stays.
    pub fn set_instruction(&mut self, instruction: impl Into<Arc<str>>) {
        self.state_mut().instruction = instruction.into();
        self.show_instruction();
    }

    /// Returns the lessons of earlier runs, which prompts show below the instruction. Empty by default.
    pub fn playbook(&self) -> &Playbook {
        &self.state.playbook
    }

    /// Replaces the playbook.
    pub fn set_playbook(&mut self, playbook: impl Into<Arc<Playbook>>) {
        self.state_mut().playbook = playbook.into();
        self.show_instruction();
    }

    fn show_instruction(&mut self) {
        let State { instruction, playbook, .. } = &*self.state;
        let shown: Arc<str> =
            if playbook.is_empty() { instruction.clone() } else { playbook.below(instruction).into() };
        self.change_spec(|spec| spec.with_instruction(shown));
    }

    /// Replaces the description of a field; does nothing if there is no such field.
    pub fn set_description(&mut self, field: &str, description: impl Into<Arc<str>>) {
        self.change_spec(|spec| spec.describe_field(field, description));
    }

    /// Replaces the description of a choice of a field that is an enum; does nothing if there is no such choice.
    pub fn set_choice_description(&mut self, field: &str, choice: &str, description: &str) {
        self.change_spec(|spec| spec.describe_choice(field, choice, description));
    }

    /// Returns the descriptions that replace those of tools, by the name of the tool.
    pub fn tool_descriptions(&self) -> &BTreeMap<String, String> {
        &self.state.tools
    }

    /// Replaces the descriptions of tools by name. Tools are inputs, so they are described anew in each call; other
    /// tools keep their descriptions.
    pub fn set_tool_descriptions(&mut self, descriptions: BTreeMap<String, String>) {
        self.state_mut().tools = Arc::new(descriptions);
    }

    /// Returns the inputs with the current descriptions of tools.
    fn with_tool_descriptions<'v>(&self, inputs: Cow<'v, Values>) -> Cow<'v, Values> {
        if self.state.tools.is_empty() {
            return inputs;
        }
        let Some(field) = self.spec().inputs().find(|field| field.holds_tools()) else { return inputs };
        let mut inputs = inputs.into_owned();
        let tools = match inputs.get_mut(field.name()) {
            Some(Value::Array(tools)) => tools.as_mut_slice(),
            Some(one) => std::slice::from_mut(one),
            None => &mut [],
        };
        for tool in tools.iter_mut().filter_map(Value::as_object_mut) {
            let text = tool.get("name").and_then(Value::as_str).and_then(|name| self.state.tools.get(name));
            if let Some(text) = text {
                tool.insert("description".into(), text.as_str().into());
            }
        }
        Cow::Owned(inputs)
    }

    /// Adds a hard check to the text of the signature.
    pub(crate) fn declare_check(&mut self, why: &str) {
        let state = self.state_mut();
        state.declared = Arc::new((*state.declared).clone().with_check(why));
        state.spec = Arc::new((*state.spec).clone().with_check(why));
    }

    fn change_spec(&mut self, change: impl FnOnce(SignatureSpec) -> SignatureSpec) {
        let state = self.state_mut();
        state.spec = Arc::new(change((*state.spec).clone()));
    }

    /// Returns the demonstrations that are shown to the model.
    pub fn demos(&self) -> &[Demo] {
        &self.state.demos
    }

    /// Replaces the demonstrations.
    pub fn set_demos(&mut self, demos: impl Into<Arc<[Demo]>>) {
        let state = self.state_mut();
        state.demos = demos.into();
        state.lesson = None;
    }

    /// Replaces the demonstrations of a copy of the predictor by those that were selected for one input. Traces of its
    /// calls have `lesson`, the ones of a [training row](crate::finetune::TrainingSet::add_trace): the same, unless
    /// some of `demos` are about the input itself and thereby show the answer.
    pub fn select_demos(&mut self, demos: impl Into<Arc<[Demo]>>, lesson: impl Into<Arc<[Demo]>>) {
        let state = self.state_mut();
        state.demos = demos.into();
        state.lesson = Some(lesson.into());
    }

    /// Returns the demonstrations of a training row of a call, if they were selected for its input.
    pub(crate) fn lesson_demos(&self) -> Option<&[Demo]> {
        self.state.lesson.as_deref()
    }

    /// Returns the model that is bound to this predictor.
    pub fn lm(&self) -> Option<&Lm> {
        self.state.lm.as_ref()
    }

    /// Binds a model to this predictor, or unbinds it with `None`.
    pub fn set_lm(&mut self, lm: impl Into<Option<Lm>>) {
        let state = self.state_mut();
        state.lm = lm.into();
        state.saved_lm = None;
    }

    /// Returns the name of the model that the predictor was bound to when its [loaded](crate::program::HasPredictors::load)
    /// state was saved, such as a tuned one. Loading binds no model; the name is kept, and saved again, until one is
    /// bound.
    pub fn saved_lm(&self) -> Option<&Value> {
        self.state.saved_lm.as_ref()
    }

    /// Sets the name of the model in a loaded state. A bound model stays, and has its own name.
    pub(crate) fn set_saved_lm(&mut self, name: Option<&Value>) {
        let name = name.filter(|_| self.state.lm.is_none());
        if self.state.saved_lm.as_ref() != name {
            self.state_mut().saved_lm = name.cloned();
        }
    }

    /// Binds an adapter to this predictor.
    pub fn set_adapter(&mut self, adapter: impl Adapter) {
        self.state_mut().adapter = Some(Arc::new(adapter));
    }

    /// Returns the sampling parameters of this predictor; unset ones are taken from the model's handle.
    pub fn params(&self) -> &Params {
        &self.state.params
    }

    /// Replaces the sampling parameters.
    pub fn set_params(&mut self, params: Params) {
        self.state_mut().params = params;
    }

    /// Sets the policy for replies that cannot be read.
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

    /// Returns the adapter applied to the signature, for models with these capabilities.
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
