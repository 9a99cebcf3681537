//! Settings of programs: a default for the process, overrides for a task.

use std::future::Future;
use std::sync::{Arc, LazyLock, RwLock};

use futures_util::FutureExt as _;
use futures_util::future::lazy;

use crate::adapter::{Adapter, ChatAdapter};
use crate::lm::{Lm, current_scope};
use crate::locks::RwLockExt as _;
use crate::observe::{Observer, Watched, bridged};
use crate::recovery::Recovery;
use dspy_base::Seed;
use dspy_lm::observe::{self, Observation};

/// Settings that predictors fall back to. Unset ones are taken from the enclosing scope, and then from the
/// process default.
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
    /// A sample of the outer rollout, until the settings are entered.
    sample: Option<u64>,
    /// The number of scopes of samples around the task.
    sample_depth: u64,
    temperature: Option<f64>,
    observation: Observation,
}

impl Settings {
    /// Creates settings that change nothing.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets the model.
    #[must_use]
    pub fn lm(mut self, lm: Lm /* `Lm::new("openai/gpt-4o-mini")?` */) -> Self {
        self.lm = Some(lm);
        self
    }

    /// Sets the adapter.
    #[must_use]
    pub fn adapter(mut self, adapter: impl Adapter) -> Self {
        self.adapter = Some(Arc::new(adapter));
        self
    }

    /// Sets the policy for replies that cannot be read.
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

    /// Sets the temperature of all requests, whatever their predictors and models say. Strategies use it to draw
    /// samples that differ.
    #[must_use]
    pub fn temperature(mut self, temperature: f64) -> Self {
        self.temperature = Some(temperature);
        self
    }

    /// Marks all requests as sample `index` of those that the enclosing scope would make; sample 0 is the request
    /// itself. Unlike [`rollout`](Self::rollout) it nests: samples within samples differ from one another, whatever the
    /// number of levels. Strategies that draw several samples use it.
    #[must_use]
    pub fn sample(mut self, index: u64) -> Self {
        self.sample = Some(index);
        self
    }

    /// Adds an observer, which receives the events of each call of a module, predictor, model or tool. In a
    /// scope it is added to the observers of the enclosing scopes and of the process; [`configure`] replaces
    /// those of the process.
    #[must_use]
    pub fn observe(mut self, observer: impl Observer) -> Self {
        self.observation.observers.push(bridged(Arc::new(observer)));
        self
    }

    /// Sets whether spans include content: prompts, replies, inputs and outputs, up to 64 KiB each. By
    /// default they do if the environment variable `OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT` is
    /// `true`, `SPAN_ONLY` or `SPAN_AND_EVENT`.
    #[must_use]
    pub fn capture_content(mut self, on: bool) -> Self {
        self.observation.content = Some(on);
        self
    }

    /// Runs `future` under these settings. Unset ones are those of the scope in which the future runs.
    pub fn scope<F: Future>(mut self, future: F) -> impl Future<Output = F::Output> {
        let made_in = Context::current();
        let future = observe::observing(std::mem::take(&mut self.observation), future);
        // Evaluated when the future runs, so that the scopes around it apply too.
        lazy(move |_| {
            let outer = Context::entered().unwrap_or(made_in);
            Arc::new(Context { settings: self.or(&outer.settings) }).enter(future)
        })
        .flatten()
    }

    fn or(mut self, outer: &Settings) -> Settings {
        self.lm = self.lm.or_else(|| outer.lm.clone());
        self.adapter = self.adapter.or_else(|| outer.adapter.clone());
        self.recovery = self.recovery.or(outer.recovery);
        self.rollout = self.rollout.or(outer.rollout);
        self.sample_depth = outer.sample_depth;
        if let Some(index) = self.sample.take() {
            self.rollout = match self.rollout {
                rollout if index == 0 => rollout,
                None if self.sample_depth == 0 => Some(index),
                // The depth distinguishes sample 1 of sample 0 from sample 0 of sample 1.
                rollout => {
                    let level = Seed::new(rollout.unwrap_or(0)).branch("sample").index(self.sample_depth);
                    Some(level.index(index).value())
                }
            };
            self.sample_depth += 1;
        }
        self.temperature = self.temperature.or(outer.temperature);
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

/// Sets the defaults of the process. Settings that are unset in `settings` keep their present default.
///
/// Accepts an [`Lm`] as well as [`Settings`]. May be called at any time, from any thread.
pub fn configure(settings: impl Into<Settings>) {
    let mut settings = settings.into();
    observe::configure(std::mem::take(&mut settings.observation));
    let mut default = DEFAULT.write_any();
    let settings = settings.or(&default.settings);
    *default = Arc::new(Context { settings });
}

/// Returns the model of the current task, which predictors without a bound model use.
pub fn current_lm() -> Option<Lm> {
    Context::current().lm().cloned()
}

/// Carries the settings, the trace, the observers, the span and the LM scope of the current task into
/// `future`, which may then be spawned.
///
/// `tokio::spawn` starts a task without any of these; `tokio::spawn(dspy::inherit(future))`, or [`spawn`],
/// keeps them.
pub fn inherit<F: Future>(future: F) -> impl Future<Output = F::Output> {
    let (context, scope, watched) = (Context::current(), current_scope(), Watched::current());
    context.enter(scope.enter(watched.enter(observe::inherit(future))))
}

/// Runs `future` with the settings, the trace, the observers, the span and the LM scope of the task that first polls it.
/// Those that this task lacks, as a spawned one does, are those of the current task. For methods that return futures,
/// which a caller can run in a scope as well as spawn.
#[doc(hidden)]
pub fn inherit_unless_given<F: Future>(future: F) -> impl Future<Output = F::Output> {
    let (context, scope, watched) = (Context::current(), current_scope(), Watched::current());
    let work = lazy(move |_| {
        let context = Context::entered().unwrap_or(context);
        context.enter(current_scope().or(scope).enter(Watched::current().or(watched).enter(future)))
    });
    observe::inherit_unless_given(work.flatten())
}

/// Spawns a part of a program with [`tokio::spawn`]: the settings of the current task apply in the new one,
/// and its LM calls count as calls of the program.
///
/// # Panics
/// If called outside a Tokio runtime, as `tokio::spawn` does.
pub fn spawn<F>(future: F) -> tokio::task::JoinHandle<F::Output>
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    tokio::spawn(inherit(future))
}

/// The settings that a task runs with.
#[derive(Debug, Default)]
pub(crate) struct Context {
    settings: Settings,
}

impl Context {
    pub(crate) fn current() -> Arc<Context> {
        Context::entered().unwrap_or_else(|| DEFAULT.read_any().clone())
    }

    /// Returns the settings of the current task, if it is in a scope.
    fn entered() -> Option<Arc<Context>> {
        CONTEXT.try_with(Arc::clone).ok()
    }

    fn enter<F: Future>(self: Arc<Self>, future: F) -> impl Future<Output = F::Output> {
        CONTEXT.scope(self, future)
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

    pub(crate) fn temperature(&self) -> Option<f64> {
        self.settings.temperature
    }
}
