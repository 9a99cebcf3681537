//! `ReAct`: an agent that calls tools until it knows the outputs.

mod agent;
mod compaction;
mod errors;
mod flight;
mod inside;
mod limits;
mod saved;
mod settings;
mod state;

use std::fmt;
use std::sync::Arc;

use dspy_base::digest::Digest;
use dspy_base::keyword;
use dspy_core::lm::{LmErrorKind, with_layer};
use dspy_core::predict::{Predict, Prediction, Predictor};
use dspy_core::program::{Module, ProgramShape};
use dspy_core::signature::shape::Depth as DepthOf;
use dspy_core::signature::{FieldSpec, Fields as _, IntoInput, Role, Signature, SignatureSpec, Values};
use dspy_core::tools::{Tool, ToolCalls, ToolSpec, check_names};
use dspy_core::types::{Thought, Trajectory};
use dspy_core::{Error, Result};
use serde_json::Value;

use self::agent::{Agent, End};
use self::compaction::with_short_results;
pub(crate) use self::errors::lacks_approval;
pub use self::errors::{ApprovalNeeded, ApprovalUnavailable, ResumeError, RunError};
use self::flight::{Checkpoint, Keeper, Places};
pub(crate) use self::inside::repeated;
use self::inside::{Held, Kept, Resumed, Standing};
use self::limits::Limits;
pub use self::limits::Termination;
pub use self::state::{AgentState, Decision, Outcome, WaitingCall};
use crate::account::Account;
use crate::advice::with_lm_of;
use crate::visit::{InPredict, visits_fields};

/// The tool by which the model ends a run.
const FINISH: &str = "finish";
/// The fields of a turn beside those of the signature.
const TRAJECTORY: &str = "trajectory";
const TOOLS: &str = "tools";
const THOUGHT: &str = "next_thought";
const CALLS: &str = "tool_calls";

/// The depth to which agents may call agents.
const DEEPEST: usize = 8;

tokio::task_local! {
    /// The number of agents around the current task.
    static DEPTH: usize;
}

/// A strategy that lets the model call tools, turn by turn, until it calls `finish` with the outputs of the signature.
///
/// - *Turns.* The model sees the inputs, the tools and the turns so far. It may call several tools at once, which run
///   concurrently. A model with native tool calls uses them, any other writes the calls as text. The error of a tool
///   is a result that the model reads.
/// - *Typed finish.* The arguments of `finish` are the outputs, with the types and checks of the signature; outputs
///   that do not fit are refused and the model reads why. If a limit ends the run first, the predictor
///   `extract.predict` reads the outputs from the turns, which costs one more call.
/// - *Approval.* A call of a tool [with approval](Tool::with_approval) does not run: [`run`](Self::run) returns the state,
///   which [`resume`](Self::resume) continues with decisions, in this process or another. The same holds for the calls of
///   an agent that is a tool of this one.
/// - *Limits.* Turns, tokens and money are checked before each turn, the latter two also before each call of a model
///   inside the tools; time and size of a result for each tool. A
///   [`Budget`](dspy_core::lm::Budget) around the call applies, too.
/// - *Long runs.* Near the [context window](Self::context_tokens), or after an error because of it, the results of old
///   tools are no longer shown, then old turns are replaced by a summary. [`AgentState::trajectory`] keeps everything.
///
/// ```
/// # use dspy_core as dspy;
/// use dspy::program::Module;
/// use dspy::signature::Signature;
/// use dspy::tools::Tool;
/// use dspy_strategies::ReAct;
///
/// #[derive(serde::Deserialize, schemars::JsonSchema)]
/// struct Weather { city: String }
///
/// async fn answer<S: Signature>(input: S::Input) -> dspy::Result<S::Output> {
///     let weather = Tool::new("weather", "The rain of today.", async |Weather { city }: Weather| format!("{city}: 12 mm"));
///     let agent = ReAct::<S>::new([weather])?.max_turns(5);
///     let output = agent.call(input).await?;
///     println!("ended by {}", output.added_as::<String>("termination")?);
///     Ok(output.into_output())
/// }
/// ```
///
/// [`Prediction::added`] has the `trajectory` (a [`Trajectory`]) and the `termination` (a [`Termination`] as text).
///
/// Source: Yao et al., "ReAct: Synergizing Reasoning and Acting in Language Models" (2022).
pub struct ReAct<S> {
    react: Predictor,
    /// Reads the outputs from the turns of a run that did not finish.
    extract: InPredict<Predict<S>>,
    summarizer: Predictor,
    tools: Arc<[Tool]>,
    /// The tools and `finish`, as the model sees them.
    specs: Arc<Value>,
    digest: Arc<str>,
    limits: Limits,
    context_tokens: Option<u64>,
    checkpoint: Option<Arc<Checkpoint>>,
}

impl<S: Signature> ReAct<S> {
    /// Creates the agent.
    ///
    /// # Errors
    /// A [`ToolNameError`](dspy_core::tools::ToolNameError) if the name of a tool is not one that endpoints accept, or
    /// differs at most in case from that of another tool or from `finish`. An error if the signature has a field named `trajectory`,
    /// `tools`, `next_thought`, `tool_calls` or, as an input, `reasoning`.
    pub fn new(tools: impl IntoIterator<Item = Tool>) -> Result<Self> {
        let tools: Arc<[Tool]> = tools.into_iter().collect();
        check_names(tools.iter().map(Tool::name), &[FINISH]).map_err(Error::other)?;
        let spec = S::spec();
        if let Some(field) =
            [TRAJECTORY, TOOLS, THOUGHT, CALLS].into_iter().find(|name| spec.field(name).is_some())
        {
            let message = format!(
                "the agent needs the name `{field}` for a field of its own; rename the field of `{}`",
                spec.name()
            );
            return Err(Error::other(message));
        }
        let mut outputs = (**spec.reply_schema()).clone();
        outputs[keyword::OUTPUTS] = true.into();
        let finish = ToolSpec::new(FINISH, "Ends the task with its outputs.", outputs);
        let specs: Vec<ToolSpec> = Tool::specs(&*tools).into_iter().chain([finish]).collect();
        let specs = serde_json::to_value(&specs).map_err(Error::other)?;
        Ok(ReAct {
            react: Predictor::new(turn_spec(spec)),
            extract: InPredict { predict: Predict::over(extract_spec(spec))? },
            summarizer: compaction::summarizer(),
            digest: digest(spec, &tools).into(),
            specs: Arc::new(specs),
            tools,
            limits: Limits::default(),
            context_tokens: None,
            checkpoint: None,
        })
    }

    /// Runs the agent until it is done or calls wait for a decision. Like
    /// [`call`](Module::call), but approval is an outcome and not an error.
    ///
    /// ```
    /// # use dspy_core as dspy;
    /// use dspy::signature::Signature;
    /// use dspy_strategies::{Outcome, ReAct};
    ///
    /// async fn supervised<S: Signature>(agent: &ReAct<S>, input: S::Input) -> dspy::Result<S::Output> {
    ///     let mut outcome = agent.run(input).await?;
    ///     loop {
    ///         match outcome {
    ///             Outcome::Done(output) => return Ok(output.into_output()),
    ///             Outcome::Waiting(state) => {
    ///                 // The state may be stored as JSON here, and read by another process.
    ///                 let decisions: Vec<_> = state.waiting().iter().map(|call| call.deny("not today")).collect();
    ///                 outcome = agent.resume(*state, decisions).await?;
    ///             }
    ///             _ => return Err(dspy::Error::other("another outcome")),
    ///         }
    ///     }
    /// }
    /// ```
    ///
    /// # Errors
    /// If the model fails, or the outputs cannot be read. The error holds the state, so that nothing is lost.
    pub async fn run(&self, input: impl IntoInput<S::Input>) -> Result<Outcome<S::Output>, RunError> {
        let values = input.into_input().to_values();
        match values {
            Ok(values) => self.part(self.begin(values), Vec::new()).await,
            Err(error) => Err(RunError { state: self.begin(Values::new()), source: error.into() }),
        }
    }

    /// Continues a run with decisions about the calls that wait. Those that are approved run now; the others are
    /// answered by the decision. If some are still undecided, the run waits again.
    ///
    /// A state is to be resumed once: the tools of a second resumption run a second time.
    ///
    /// # Errors
    /// The same as for [`run`](Self::run), and a [`ResumeError`] if the state is of another agent or a decision is not
    /// about a call that waits; nothing has run then.
    pub async fn resume(
        &self,
        state: AgentState,
        decisions: impl IntoIterator<Item = Decision>,
    ) -> Result<Outcome<S::Output>, RunError> {
        let (state, decisions) = (Box::new(state), decisions.into_iter().collect::<Vec<_>>());
        match state.check(&self.digest, &decisions) {
            Ok(()) => self.part(state, decisions).await,
            Err(error) => Err(RunError { state, source: error.into() }),
        }
    }

    /// Returns the state of a new run.
    fn begin(&self, inputs: Values) -> Box<AgentState> {
        Box::new(AgentState::new(inside::run_id(), self.digest.to_string(), inputs))
    }

    /// Runs a part of a run as the call of a module, which names its predictors and counts its usage.
    async fn part(
        &self,
        state: Box<AgentState>,
        decisions: Vec<Decision>,
    ) -> Result<Outcome<S::Output>, RunError> {
        let ended = match (Part { agent: self }).call(Started { state, decisions }).await {
            Ok(ended) => ended.try_map(|ended| ended),
            // The module reports its errors in its output, with the state.
            Err(source) => {
                return Err(RunError { state: self.begin(Values::new()), source });
            }
        };
        match ended {
            Ok(prediction) => Ok(Outcome::Done(prediction)),
            Err(Paused { state, error: None }) => Ok(Outcome::Waiting(state)),
            Err(Paused { state, error: Some(source) }) => Err(RunError { state, source }),
        }
    }

    /// Reads the outputs from the turns of a run that did not finish.
    async fn extract(&self, state: &AgentState, shown: &Trajectory) -> Result<Prediction<S::Output>> {
        let shown = serde_json::to_value(shown).map_err(Error::other)?;
        let input = S::Input::from_values(state.inputs.clone())?;
        self.extract.predict.call_with(input, [(TRAJECTORY, shown)]).await
    }

    /// Continues a run to its end, or until it has to wait.
    async fn advance(
        &self,
        state: &mut AgentState,
        decisions: Vec<Decision>,
        can_wait: bool,
        keeper: Option<Keeper>,
    ) -> Result<Option<Prediction<S::Output>>> {
        let account = Account::new(state.spent, self.limits.spending);
        let places = Places { own: self.checkpoint.clone(), outer: keeper };
        let work = self.advance_on(&account, state, decisions, can_wait, places);
        let result = with_layer(account.counter(), work).await;
        state.spent = account.spent();
        result
    }

    async fn advance_on(
        &self,
        account: &Arc<Account>,
        state: &mut AgentState,
        decisions: Vec<Decision>,
        can_wait: bool,
        places: Places,
    ) -> Result<Option<Prediction<S::Output>>> {
        let depth = DEPTH.try_with(|depth| *depth).unwrap_or(0);
        if depth >= DEEPEST {
            return Err(Error::other(format!(
                "agents call one another {DEEPEST} deep; the innermost does not run"
            )));
        }
        let accept = |values: Values| Predict::<S>::accept(values).map(drop);
        let summarizer = with_lm_of(&self.summarizer, self);
        let agent = Agent {
            react: &self.react,
            summarizer: &summarizer,
            tools: &self.tools,
            specs: &self.specs,
            limits: self.limits,
            context_tokens: self.context_tokens,
            accept: &accept,
            account,
            can_wait,
            places,
        };
        let (prediction, termination) = match DEPTH.scope(depth + 1, agent.advance(state, decisions)).await? {
            End::Waiting => return Ok(None),
            End::Finished(values) => (Predict::<S>::accept(values)?, Termination::Finish),
            End::Stopped(termination) => {
                let shown = state.view.of(&state.log);
                let mut extracted = self.extract(state, &shown).await;
                for most in SHORTENED {
                    if !extracted.as_ref().is_err_and(exceeds_window) {
                        break;
                    }
                    extracted = self.extract(state, &with_short_results(shown.clone(), most)).await;
                }
                (extracted?, termination)
            }
        };
        let log = serde_json::to_value(&state.log).map_err(Error::other)?;
        Ok(Some(prediction.with_added(TRAJECTORY, log).with_added("termination", termination.as_str())))
    }
}

/// Returns whether a prompt exceeds the context window.
fn exceeds_window(error: &Error) -> bool {
    error.as_lm().is_some_and(|error| error.kind == LmErrorKind::ContextWindow)
}

fn turn_spec(spec: &SignatureSpec) -> SignatureSpec {
    let outputs: Vec<_> = spec.outputs().map(|field| format!("`{}`", field.name())).collect();
    let instruction = format!(
        "{}\n\nWork on this task in turns. In each turn say what is still missing, then call the tools that help: several \
         at once if none needs the result of another. Once everything is known, call `{FINISH}` with {}.",
        spec.instruction(),
        outputs.join(", ")
    );
    let of = |role, name, about: &str| match name {
        TRAJECTORY => FieldSpec::of::<Trajectory>(role, name, about),
        TOOLS => FieldSpec::of::<Vec<ToolSpec>>(role, name, about),
        THOUGHT => FieldSpec::of::<Thought>(role, name, about),
        _ => FieldSpec::of::<ToolCalls>(role, name, about),
    };
    let own = [
        of(Role::Input, TRAJECTORY, "The turns so far."),
        of(Role::Input, TOOLS, "The tools that can be called."),
        of(Role::Output, THOUGHT, "What is known, what is missing, and what to do about it."),
        of(Role::Output, CALLS, "The calls of this turn, at least one."),
    ];
    SignatureSpec::new(spec.name(), instruction, spec.inputs().cloned().chain(own)).with_turns_of(spec)
}

fn extract_spec(spec: &SignatureSpec) -> SignatureSpec {
    let about = "What was done about the task so far, and what it showed.";
    let spec = spec.clone().append(FieldSpec::of::<Trajectory>(Role::Input, TRAJECTORY, about));
    if spec.field("reasoning").is_some() {
        return spec;
    }
    spec.prepend(FieldSpec::text(Role::Output, "reasoning", "The steps from the trajectory to the outputs."))
}

/// Returns a digest of what a saved state depends on: the signature with its prose, and the tools with theirs.
fn digest(spec: &SignatureSpec, tools: &[Tool]) -> String {
    let mut digest = Digest::new();
    digest.add_text(&spec.fingerprint()).add_text(spec.instruction());
    for field in spec.fields() {
        digest.add_text(field.name()).add_text(field.description());
    }
    digest.add_value(spec.reply_schema());
    let mut named: Vec<_> = tools.iter().map(Tool::spec).collect();
    named.sort_by(|a, b| a.name.cmp(&b.name));
    for tool in named {
        digest.add_text(&tool.name).add_text(&tool.description).add_value(&tool.parameters);
    }
    digest.short()
}

impl<S: Signature> Module for ReAct<S> {
    type Input = S::Input;
    type Output = S::Output;

    async fn forward(&self, input: S::Input) -> Result<Prediction<S::Output>> {
        let (state, decisions, slot) = match Standing::current() {
            Standing::Alone => (self.begin(input.to_values()?), Vec::new(), None),
            Standing::Held(slot) => match slot.resumed() {
                None => (self.begin(input.to_values()?), Vec::new(), Some(slot)),
                Some(Resumed { state, decisions }) => {
                    if let Err(error) = state.check(&self.digest, &decisions) {
                        slot.hold(Held::Refused(state, error.clone()));
                        return Err(error.into());
                    }
                    (state, decisions, Some(slot))
                }
            },
            Standing::Unheld(place) => {
                let tools = self.tools.iter().filter(|tool| tool.may_need_approval());
                let tools: Vec<_> = tools.map(|tool| tool.name().to_owned()).collect();
                if !tools.is_empty() {
                    return Err(Error::other(ApprovalUnavailable::new(place, tools)));
                }
                let mut state = self.begin(input.to_values()?);
                let ended = self.advance(&mut state, Vec::new(), false, None).await?;
                return ended.ok_or_else(|| Error::other(ApprovalNeeded { state }));
            }
        };
        let keeper = slot.as_ref().and_then(|slot| slot.keeper.clone());
        let mut kept = Kept::new(state, slot);
        match self.advance(&mut kept.state, decisions, true, keeper).await? {
            Some(prediction) => {
                kept.end();
                Ok(prediction)
            }
            None => Err(Error::other(ApprovalNeeded { state: kept.wait() })),
        }
    }

    fn pauses(&self) -> bool {
        true
    }
}

/// The sizes in bytes that results have in turn where the outputs are read from turns that exceed the context window.
const SHORTENED: [usize; 2] = [2_000, 200];

/// A part of a run, as a module.
struct Part<'a, S> {
    agent: &'a ReAct<S>,
}

struct Started {
    state: Box<AgentState>,
    decisions: Vec<Decision>,
}

/// A part of a run that ended without outputs: it waits, or it failed.
struct Paused {
    state: Box<AgentState>,
    error: Option<Error>,
}

impl<S: Signature> Module for Part<'_, S> {
    type Input = Started;
    type Output = Result<S::Output, Paused>;

    async fn forward(&self, Started { mut state, decisions }: Started) -> Result<Prediction<Self::Output>> {
        Ok(match self.agent.advance(&mut state, decisions, true, None).await {
            Ok(Some(prediction)) => prediction.map(Ok),
            Ok(None) => Prediction::new(Err(Paused { state, error: None })),
            Err(error) => Prediction::new(Err(Paused { state, error: Some(error) })),
        })
    }
}

impl<S: Signature> dspy_core::program::HasPredictors for Part<'_, S> {
    fn visit<'a>(&'a self, visitor: &mut dspy_core::program::Visitor<'a, '_>) {
        self.agent.visit(visitor);
    }

    fn visit_mut(&mut self, _: &mut dspy_core::program::VisitorMut<'_>) {}
}

visits_fields! {
    [S: Signature] ReAct<S>,
    [Depth: DepthOf, S: Signature] {
        react: Predictor => &ProgramShape::Predictor(None),
        extract: InPredict<Predict<S>> => InPredict::<Predict<S>>::TYPED,
    }
}

impl<S> Clone for ReAct<S> {
    fn clone(&self) -> Self {
        let ReAct { react, extract, summarizer, tools, specs, digest, limits, context_tokens, checkpoint } =
            self;
        ReAct {
            react: react.clone(),
            extract: extract.clone(),
            summarizer: summarizer.clone(),
            tools: tools.clone(),
            specs: specs.clone(),
            digest: digest.clone(),
            limits: *limits,
            context_tokens: *context_tokens,
            checkpoint: checkpoint.clone(),
        }
    }
}

impl<S> fmt::Debug for ReAct<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let tools: Vec<_> = self.tools.iter().map(Tool::name).collect();
        f.debug_struct("ReAct").field("tools", &tools).field("limits", &self.limits).finish_non_exhaustive()
    }
}
