//! `Rlm`: a model that works on inputs too large for its prompt, by code.

mod budget;
mod queries;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use dspy_core::lm::{BoxFuture, Lm, with_layer};
use dspy_core::predict::{Predict, Prediction, Predictor};
use dspy_core::program::{Module, ProgramShape, current_lm};
use dspy_core::signature::shape::Depth as DepthOf;
use dspy_core::signature::{FieldSpec, Fields as _, Role, Signature, SignatureSpec, Values};
use dspy_core::tools::{Tool, ToolSpec};
use dspy_core::{Error, Result};
use serde_json::{Value, json};

use self::budget::{Budget, Limits};
use self::queries::{BATCH, QUERY, Queries};
use super::code_act::check_tools;
use super::program_of_thought::set_all;
use super::repl::{self, CODE, HISTORY, REASONING, Repl, STATE, SUBMIT, Submitted, Transcript, turn_fields};
use super::{Interpreter, check_fields, described};
use crate::account::Allowance;
use crate::visit::visits_fields;

const VARIABLES: &str = "variables";
const BUDGET: &str = "budget";
/// The function that works on a part of the task in a session of its own.
const RECURSE: &str = "rlm_query";

/// The largest number of levels of parts.
const DEEPEST: usize = 8;

/// The number of characters of a variable that the model sees.
const PREVIEW: usize = 1_000;

/// A strategy for inputs that are too large for a prompt: they are variables of a session, and the model sees only their
/// types, sizes and beginnings. Turn by turn it writes code that looks into them and asks models about parts of them.
///
/// The code can call
/// - `llm_query(prompt)` and `llm_query_batched(prompts)`, with `model` for one of the [named models](Self::sub_lm),
/// - `rlm_query(task, context)`, which works on a part of the task like this strategy itself, if
///   [`max_depth`](Self::max_depth) allows it,
/// - the tools,
/// - `submit` with the outputs by name, which are checked against the signature like a reply and end the run.
///
/// All depths share one budget of calls, tokens, money and time, which the model sees in every turn. If turns or budget
/// are used up first, the predictor `extract` reads the outputs from the turns.
///
/// ```
/// # use dspy_core as dspy;
/// use dspy::program::Module;
/// use dspy::signature::Signature;
/// use dspy_strategies::{Interpreter, Rlm};
///
/// async fn search<S: Signature>(input: S::Input, python: impl Interpreter) -> dspy::Result<S::Output> {
///     let rlm = Rlm::<S>::new([], python)?.max_calls(20);
///     Ok(rlm.call(input).await?.into_output())
/// }
/// ```
///
/// [`Prediction::added`] has the `trajectory`, a list of [`CodeTurn`](super::CodeTurn)s.
///
/// Source: Zhang and Khattab, "Recursive Language Models" (2025).
pub struct Rlm<S> {
    generate_action: Predictor,
    extract: Predictor,
    core: Core,
    signature: std::marker::PhantomData<fn() -> S>,
}

/// The parts of a run that all depths share.
#[derive(Clone)]
struct Core {
    tools: Arc<[Tool]>,
    interpreter: Arc<dyn Interpreter>,
    named: BTreeMap<String, Lm>,
    default: Option<Lm>,
    turns: usize,
    output_bytes: usize,
    depth: usize,
    limits: Limits,
}

impl<S: Signature> Rlm<S> {
    /// Creates the strategy. The tools are functions of the code.
    ///
    /// # Errors
    /// If two tools have the same name or one has that of a function above, one needs an approval for every call, or the
    /// signature has a field named `variables`, `repl_history`, `budget`, `reasoning` or `code` or like a keyword of Python,
    /// or an input with the name of a tool.
    pub fn new(tools: impl IntoIterator<Item = Tool>, interpreter: impl Interpreter) -> Result<Self> {
        let tools: Arc<[Tool]> = tools.into_iter().collect();
        let spec = S::spec();
        check_tools(&tools, &[SUBMIT, QUERY, BATCH, RECURSE], spec)?;
        check_fields(spec, &[VARIABLES, HISTORY, BUDGET, REASONING, CODE])?;
        let core = Core {
            tools,
            interpreter: Arc::new(interpreter),
            named: BTreeMap::new(),
            default: None,
            turns: 20,
            output_bytes: 10_000,
            depth: 0,
            limits: Limits { calls: 50, spending: Allowance::default(), time: None },
        };
        let (generate_action, extract) = (core.action(spec), Predictor::new(extract_spec(spec)));
        Ok(Rlm { generate_action, extract, core, signature: std::marker::PhantomData })
    }
}

impl<S> Rlm<S> {
    /// Sets the maximum number of turns. Default: 20.
    #[must_use]
    pub fn max_turns(mut self, turns: usize) -> Self {
        self.core.turns = turns;
        self
    }

    /// Sets the maximum number of model calls that the code makes, at all depths together: its queries, and the turns of
    /// `rlm_query`. Replies from a cache count as well. Default: 50.
    #[must_use]
    pub fn max_calls(mut self, calls: u64) -> Self {
        self.core.limits.calls = calls;
        self
    }

    /// Sets the number of tokens of all calls of the run after which no turn and no query begins. Those in flight may exceed
    /// it, and `extract` does. Programs inside the tools count and are bound, too. Default: none.
    #[must_use]
    pub fn max_tokens(mut self, tokens: u64) -> Self {
        self.core.limits.spending.tokens = Some(tokens);
        self
    }

    /// Sets the cost of all calls of the run in US dollars after which no turn and no query begins. Those in flight may
    /// exceed it, and `extract` does; calls at unknown prices do not count. Programs inside the tools count and are bound,
    /// too. Default: none.
    #[must_use]
    pub fn max_cost(mut self, cost_usd: f64) -> Self {
        self.core.limits.spending.cost_usd = Some(cost_usd);
        self
    }

    /// Sets the time after which the turns end; the call or the code in flight is stopped, and `extract` reads the outputs.
    /// The model sees the seconds that are left, so that prompts differ from run to run and are found in no cache.
    /// Default: none.
    #[must_use]
    pub fn max_time(mut self, time: Duration) -> Self {
        self.core.limits.time = Some(time);
        self
    }

    /// Sets the number of levels of `rlm_query`, at most 8. Default: 0, without that function.
    #[must_use]
    pub fn max_depth(mut self, depth: usize) -> Self
    where
        S: Signature,
    {
        self.core.depth = depth;
        let action = self.core.action(S::spec());
        // Only the description of the functions differs, so that the rest of the predictor stays.
        if self.generate_action.instruction() == self.generate_action.declared().instruction().as_ref() {
            self.generate_action.set_instruction(action.instruction());
        }
        self
    }

    /// Sets the size in bytes beyond which the output of a turn loses its middle. Default: 10,000.
    #[must_use]
    pub fn max_output_bytes(mut self, bytes: usize) -> Self {
        self.core.output_bytes = bytes;
        self
    }

    /// Sets the model that the code asks. Default: that of the strategy.
    #[must_use]
    pub fn query_lm(mut self, lm: Lm) -> Self {
        self.core.default = Some(lm);
        self
    }

    /// Adds a model that the code can ask by name.
    #[must_use]
    pub fn sub_lm(mut self, name: impl Into<String>, lm: Lm) -> Self {
        self.core.named.insert(name.into(), lm);
        self
    }
}

impl Core {
    /// Returns the predictor that writes code for a signature.
    fn action(&self, spec: &SignatureSpec) -> Predictor {
        let outputs: Vec<_> = spec.outputs().map(|field| format!("`{}`", field.name())).collect();
        let recurse = if self.depth > 0 {
            format!(
                "`{RECURSE}(task=…, context=…)` works on a part of the task by code of its own and returns the answer as text. "
            )
        } else {
            String::new()
        };
        let instruction = format!(
            "{}\n\nWork on this task by Python code, turn by turn: each turn runs code and shows what it prints. The inputs may \
             be too large to be shown; they are variables, described below. {STATE} Look into them by code, and ask a model about \
             parts of them: `{QUERY}(prompt=…)` returns its answer as text, `{BATCH}(prompts=[…])` a list of answers. \
             {recurse}Once everything is known, call `{SUBMIT}(…)` in the code, with {} as arguments by name.\n{}\n{}",
            spec.instruction(),
            outputs.join(", "),
            described(&self.tools),
            self.interpreter.guide()
        );
        let own = [
            FieldSpec::text(Role::Input, VARIABLES, "The variables: name, type, size, beginning."),
            FieldSpec::text(Role::Input, BUDGET, "What is left for further turns and queries."),
        ];
        Predictor::new(SignatureSpec::new(spec.name(), instruction, own.into_iter().chain(turn_fields())))
    }

    /// Runs turns at one depth. Boxed, because depths nest.
    fn run<'a>(
        &'a self,
        step: &'a Predictor,
        variables: &'a Values,
        submit: Tool,
        submitted: Submitted,
        queries: Arc<Queries>,
        is_part: bool,
    ) -> BoxFuture<'a, Result<Transcript>> {
        Box::pin(async move {
            let mut tools: Vec<Tool> = self.tools.to_vec();
            tools.extend(queries.tools());
            if self.depth > 0 {
                tools.push(self.recursion(queries.clone(), step.lm().cloned()));
            }
            tools.push(submit);
            let mut session = self.interpreter.open(tools).await?;
            set_all(&mut *session, variables).await?;
            let inputs = Values::from_iter([(VARIABLES.to_owned(), Value::String(previews(variables)))]);
            let (turns, output_bytes) = (self.turns, self.output_bytes);
            let budget = queries.budget.clone();
            let (guard, deadline) = (budget.account.guard(), budget.deadline);
            let repl =
                Repl { step, session, submitted, variables, inputs, turns, output_bytes, guard, deadline };
            repl.run(|turn| {
                // A turn of a part is a call that the code makes.
                let may = if is_part { budget.take(1) } else { budget.check() };
                may.ok().map(|()| vec![(BUDGET, budget.left(turn, turns).into())])
            })
            .await
        })
    }

    /// Returns the function that works on a part of the task, one level deeper.
    fn recursion(&self, queries: Arc<Queries>, lm: Option<Lm>) -> Tool {
        let mut deeper = self.clone();
        deeper.depth -= 1;
        let parameters = json!({
            "type": "object",
            "properties": {"task": {"type": "string"}, "context": {}},
            "required": ["task", "context"],
        });
        let spec = ToolSpec::new(RECURSE, "Works on a part of the task and returns the answer.", parameters);
        let deeper = Arc::new(deeper);
        Tool::from_spec(spec, move |arguments: Value| {
            let (core, queries, lm) = (deeper.clone(), queries.clone(), lm.clone());
            async move {
                let task = arguments["task"].as_str().unwrap_or_default();
                let answer = FieldSpec::text(Role::Output, "answer", "The answer to the task.");
                let context = FieldSpec::new(Role::Input, "context", "What the task is about.", json!({}));
                let spec = SignatureSpec::new("Part", task, [context, answer]);
                let mut step = core.action(&spec);
                step.set_lm(lm);
                let variables = Values::from_iter([("context".to_owned(), arguments["context"].clone())]);
                let submitted = Submitted::default();
                let submit = submitted.tool(&spec, Ok);
                let transcript = core.run(&step, &variables, submit, submitted, queries, true).await?;
                match transcript.outputs {
                    Some(mut outputs) => Ok(outputs.shift_remove("answer").unwrap_or_default()),
                    None => Err("the part was not answered within its turns and the budget".into()),
                }
            }
        })
        .without_replay()
    }
}

fn extract_spec(spec: &SignatureSpec) -> SignatureSpec {
    let own = [
        FieldSpec::text(Role::Input, VARIABLES, "The inputs: name, type, size, beginning."),
        FieldSpec::text(Role::Input, HISTORY, "The code that ran for the task, and what it printed."),
        FieldSpec::text(Role::Output, REASONING, "The steps from the turns to the outputs."),
    ];
    SignatureSpec::new(
        spec.name(),
        spec.instruction().clone(),
        own.into_iter().chain(spec.outputs().cloned()),
    )
}

/// Describes variables by type, size and beginning.
fn previews(variables: &Values) -> String {
    let mut text = String::new();
    for (name, value) in variables {
        let (kind, size) = match value {
            Value::Null => ("None", String::new()),
            Value::Bool(_) => ("bool", String::new()),
            Value::Number(_) => ("number", String::new()),
            Value::String(value) => ("str", format!(", {} characters", value.chars().count())),
            Value::Array(items) => ("list", format!(", {} items", items.len())),
            Value::Object(members) => ("dict", format!(", {} keys", members.len())),
        };
        let whole = match value {
            Value::String(value) => value.clone(),
            value => value.to_string(),
        };
        let shown: String = whole.chars().take(PREVIEW).collect();
        let more = if shown.len() < whole.len() { " …" } else { "" };
        text.push_str(&format!("{name} ({kind}{size}): {shown}{more}\n"));
    }
    text
}

impl<S: Signature> Module for Rlm<S> {
    type Input = S::Input;
    type Output = S::Output;

    async fn forward(&self, input: S::Input) -> Result<Prediction<S::Output>> {
        if self.core.depth > DEEPEST {
            let depth = self.core.depth;
            return Err(Error::other(format!("`max_depth` is {depth}; parts nest {DEEPEST} deep at most")));
        }
        let variables = input.to_values()?;
        let lm = self.generate_action.lm().cloned();
        let asked =
            self.core.default.clone().or_else(|| lm.clone()).or_else(current_lm).ok_or(Error::NoLm)?;
        let budget = Budget::new(self.core.limits);
        let counter = budget.account.counter();
        let queries = Queries::new(asked, self.core.named.clone(), budget);
        let submitted = Submitted::default();
        let submit = submitted.tool(S::spec(), |values| Ok(Predict::<S>::accept(values)?.to_values()?));
        let turns = self.core.run(&self.generate_action, &variables, submit, submitted, queries, false);
        let transcript = with_layer(counter, turns).await?;
        let turns = serde_json::to_value(&transcript.turns).map_err(Error::other)?;
        let prediction = match transcript.outputs {
            Some(outputs) => Predict::<S>::accept(outputs)?,
            None => {
                let inputs = [(VARIABLES, previews(&variables)), (HISTORY, repl::told(&transcript.turns))];
                let inputs = inputs.into_iter().map(|(name, text)| (name.to_owned(), Value::String(text)));
                let mut outputs = self.extract.call(inputs.collect()).await?.into_output();
                outputs.shift_remove(REASONING);
                Predict::<S>::accept(outputs)?
            }
        };
        Ok(prediction.with_added("trajectory", turns))
    }
}

visits_fields! {
    [S: Signature] Rlm<S>,
    [Depth: DepthOf, S: Signature] {
        generate_action: Predictor => &ProgramShape::Predictor(None),
        extract: Predictor => &ProgramShape::Predictor(None),
    }
}

impl<S> Clone for Rlm<S> {
    fn clone(&self) -> Self {
        let Rlm { generate_action, extract, core, signature } = self;
        Rlm {
            generate_action: generate_action.clone(),
            extract: extract.clone(),
            core: core.clone(),
            signature: *signature,
        }
    }
}

impl<S> fmt::Debug for Rlm<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Core { turns, depth, limits, .. } = &self.core;
        f.debug_struct("Rlm")
            .field("turns", turns)
            .field("depth", depth)
            .field("limits", limits)
            .finish_non_exhaustive()
    }
}
