//! What programs run with unless they say otherwise: a default for the process, overrides for a task.

use std::future::Future;
use std::sync::{Arc, LazyLock, RwLock};

use super::events::EventScope;
use super::paths::Find;
use super::trace::TraceScope;
use crate::adapter::{Adapter, ChatAdapter};
use crate::lm::{Lm, current_scope};
use crate::locks::RwLockExt as _;
use crate::observe::{self, Observation, Observer};

/// What to do about a reply that cannot be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Recovery {
    /// How often the model gets its own reply back with the problems, asked to mend it.
    pub reasks: u32,
    /// Whether a last attempt asks for a JSON object instead.
    pub json_fallback: bool,
    /// Up to how many tokens a completion may be asked for again when the limit has cut it off. The limit is doubled
    /// each time; where none was set, this is the first. `None` makes a reply that is cut off an error.
    pub longer: Option<u32>,
    /// Whether a stream is broken off as soon as a finished field breaks a check, to ask again at once. It saves the
    /// rest of a useless reply, and hides from the model what else is wrong with it.
    pub abort_early: bool,
}

impl Recovery {
    /// No recovery: the first unreadable reply is an error.
    pub const NONE: Recovery = Recovery { reasks: 0, json_fallback: false, longer: None, abort_early: false };

    /// The same, with another number of re-asks.
    #[must_use]
    pub const fn reasks(mut self, reasks: u32) -> Self {
        self.reasks = reasks;
        self
    }

    /// The same, with or without the JSON fallback.
    #[must_use]
    pub const fn json_fallback(mut self, on: bool) -> Self {
        self.json_fallback = on;
        self
    }

    /// The same, with replies that are cut off asked for again at up to `max_tokens` tokens.
    #[must_use]
    pub const fn longer(mut self, max_tokens: u32) -> Self {
        self.longer = Some(max_tokens);
        self
    }

    /// The same, with streams broken off by the first failed check, or not.
    #[must_use]
    pub const fn abort_early(mut self, on: bool) -> Self {
        self.abort_early = on;
        self
    }
}

impl Default for Recovery {
    /// One re-ask, then one JSON attempt.
    fn default() -> Self {
        Recovery { reasks: 1, json_fallback: true, ..Recovery::NONE }
    }
}

/// Settings that a predictor falls back to. What is not set here is taken from the enclosing scope and at last from
/// the process default.
///
/// ```
/// use dspy_core::lm::Lm;
/// use dspy_core::program::Settings;
/// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
/// let settings = Settings::new().lm(Lm::scripted(["[[ ## answer ## ]]\nblue"]));
/// let answer = settings
///     .scope(async {
///         // every predictor in here uses the scripted model
///     })
///     .await;
/// # });
/// ```
#[derive(Debug, Clone, Default)]
pub struct Settings {
    lm: Option<Lm>,
    adapter: Option<Arc<dyn Adapter>>,
    recovery: Option<Recovery>,
    rollout: Option<u64>,
    observation: Observation,
}

impl Settings {
    /// Settings that change nothing.
    pub fn new() -> Self {
        Self::default()
    }

    /// The model to use.
    #[must_use]
    pub fn lm(mut self, lm: Lm /* `Lm::new("openai/gpt-4o-mini")?` */) -> Self {
        self.lm = Some(lm);
        self
    }

    /// The adapter to use.
    #[must_use]
    pub fn adapter(mut self, adapter: impl Adapter) -> Self {
        self.adapter = Some(Arc::new(adapter));
        self
    }

    /// What to do about replies that cannot be read.
    #[must_use]
    pub fn recovery(mut self, recovery: Recovery) -> Self {
        self.recovery = Some(recovery);
        self
    }

    /// Marks all requests as another sample; see [`Request::rollout`](crate::lm::Request::rollout).
    #[must_use]
    pub fn rollout(mut self, rollout: u64) -> Self {
        self.rollout = Some(rollout);
        self
    }

    /// Adds an observer, which is told of each call of a module, predictor, model or tool. In a scope it is told
    /// besides those of the enclosing scopes and of the process; [`configure`] replaces those of the process.
    #[must_use]
    pub fn observe(mut self, observer: impl Observer) -> Self {
        self.observation.observers.push(Arc::new(observer));
        self
    }

    /// Whether spans hold what is said: prompts, replies, inputs and outputs, up to 64 KiB each. Without this setting
    /// they do if the environment variable `OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT` says `true`,
    /// `SPAN_ONLY` or `SPAN_AND_EVENT`.
    #[must_use]
    pub fn capture_content(mut self, on: bool) -> Self {
        self.observation.content = Some(on);
        self
    }

    /// Runs `future` under these settings.
    pub fn scope<F: Future>(mut self, future: F) -> impl Future<Output = F::Output> {
        let outer = Context::current();
        let future = observe::observing(std::mem::take(&mut self.observation), future);
        let context = Context { settings: self.or(&outer.settings), ..(*outer).clone() };
        Arc::new(context).enter(future)
    }

    fn or(mut self, outer: &Settings) -> Settings {
        self.lm = self.lm.or_else(|| outer.lm.clone());
        self.adapter = self.adapter.or_else(|| outer.adapter.clone());
        self.recovery = self.recovery.or(outer.recovery);
        self.rollout = self.rollout.or(outer.rollout);
        self
    }
}

impl From<Lm> for Settings {
    fn from(lm: Lm) -> Self {
        Settings::new().lm(lm)
    }
}

static DEFAULT: LazyLock<RwLock<Arc<Context>>> = LazyLock::new(RwLock::default);
static CHAT: LazyLock<Arc<dyn Adapter>> = LazyLock::new(|| Arc::new(ChatAdapter));

tokio::task_local! {
    static CONTEXT: Arc<Context>;
}

/// Sets the defaults of the process. What `settings` leaves open keeps its present default.
///
/// Takes an [`Lm`] as well as [`Settings`]. May be called at any time, from any thread.
pub fn configure(settings: impl Into<Settings>) {
    let mut settings = settings.into();
    observe::configure(std::mem::take(&mut settings.observation));
    let mut default = DEFAULT.write_any();
    let settings = settings.or(&default.settings);
    *default = Arc::new(Context { settings, ..Context::default() });
}

/// The model that predictors without one of their own use in the current task.
pub fn current_lm() -> Option<Lm> {
    Context::current().lm().cloned()
}

/// Carries the settings, the trace, the observers, the span and the LM scope of the current task into `future`, which may then be spawned.
///
/// `tokio::spawn` starts a task with nothing of its parent; `tokio::spawn(dspy::inherit(future))`, or
/// [`spawn`], keeps what was set.
pub fn inherit<F: Future>(future: F) -> impl Future<Output = F::Output> {
    let (context, scope) = (Context::current(), current_scope());
    context.enter(scope.enter(observe::inherit(future)))
}

/// [`tokio::spawn`] for a part of a program: what was set for the current task holds in the new one, and its LM
/// calls count as those of the program.
///
/// # Panics
/// If called from outside of a Tokio runtime, as `tokio::spawn` does.
pub fn spawn<F>(future: F) -> tokio::task::JoinHandle<F::Output>
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    tokio::spawn(inherit(future))
}

/// What a task runs with.
#[derive(Debug, Clone, Default)]
pub(crate) struct Context {
    settings: Settings,
    pub(crate) trace: Option<Arc<TraceScope>>,
    pub(crate) events: Option<Arc<EventScope>>,
}

impl Context {
    pub(crate) fn current() -> Arc<Context> {
        CONTEXT.try_with(Arc::clone).unwrap_or_else(|_| DEFAULT.read_any().clone())
    }

    pub(crate) fn enter<F: Future>(self: Arc<Self>, future: F) -> impl Future<Output = F::Output> {
        CONTEXT.scope(self, future)
    }

    pub(crate) fn traced(&self, trace: Arc<TraceScope>) -> Arc<Context> {
        Arc::new(Context { trace: Some(trace), ..self.clone() })
    }

    pub(super) fn watched(&self, events: Arc<EventScope>) -> Arc<Context> {
        Arc::new(Context { events: Some(events), ..self.clone() })
    }

    /// Learns the paths of a program that is about to run, where someone wants to know them.
    pub(super) fn register(&self, find: Find<'_, '_>) {
        if let Some(trace) = &self.trace {
            trace.paths.register(find);
        }
        if let Some(events) = &self.events {
            events.register(find);
        }
    }

    pub(crate) fn lm(&self) -> Option<&Lm> {
        self.settings.lm.as_ref()
    }

    pub(crate) fn adapter(&self) -> &Arc<dyn Adapter> {
        self.settings.adapter.as_ref().unwrap_or(&CHAT)
    }

    pub(crate) fn recovery(&self) -> Recovery {
        self.settings.recovery.unwrap_or_default()
    }

    pub(crate) fn rollout(&self) -> Option<u64> {
        self.settings.rollout
    }
}
