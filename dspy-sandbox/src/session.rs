//! A session: an interpreter with its variables.

use std::sync::Arc;
use std::time::Duration;

use dspy_core::lm::BoxFuture;
use dspy_core::tools::Tool;
use dspy_strategies::{CodeError, Execution, InterpreterError, Session};
use serde_json::{Value, json};
use wasmtime::{Store, Trap};
use wasmtime_wasi::I32Exit;

use crate::bindings::Sandbox as Guest;
use crate::host::Host;
use crate::limits::Limits;
use crate::runtime::Runtime;
use crate::tools::{Tools, is_name};

/// The time that an interpreter may take to start. It takes milliseconds.
const START: Duration = Duration::from_mins(1);
/// The bytes that a call of the host may carry beyond the limits: names, chunks, messages of errors.
const SLACK: usize = 1 << 20;

/// The parts of a session, from which a broken one is replaced.
#[derive(Debug, Clone)]
pub(crate) struct Plan {
    pub(crate) runtime: Arc<Runtime>,
    pub(crate) limits: Limits,
    pub(crate) tools: Arc<[Tool]>,
}

/// A session of the sandbox.
pub(crate) struct PythonSession {
    plan: Plan,
    /// `None` once the interpreter was given up.
    live: Option<Live>,
    /// Whether variables were lost without a run that said so.
    lost: bool,
}

struct Live {
    store: Store<Host>,
    guest: Guest,
}

/// The reason to give up an interpreter.
enum Broken {
    Timeout,
    Failed(wasmtime::Error),
    /// It did not answer as it should.
    Answer,
}

impl Plan {
    async fn start(&self) -> Result<Live, InterpreterError> {
        let limits = &self.limits;
        let tools = Tools::new(self.tools.to_vec(), limits.tool_calls, limits.tool_bytes)?;
        let given = json!({
            "tools": tools.described(),
            "seed": limits.seed,
            "limits": {"stdout": limits.stdout, "bytes": limits.tool_bytes},
        });
        let host = Host::new(tools, limits.stdout, limits.seed, limits.clock);
        let most = limits.tool_bytes.max(limits.stdout).saturating_mul(2).saturating_add(SLACK);
        let failed = |error: &dyn std::fmt::Display| {
            InterpreterError::new(format!("cannot start Python: {error}; is there enough memory?"))
        };
        let (store, guest) =
            self.runtime.start(host, most).await.map_err(|error| failed(&format_args!("{error:#}")))?;
        let mut live = Live { store, guest };
        let started = live.call("__dspy_init()", given.to_string().into_bytes(), START, &self.runtime).await;
        match started {
            Ok(_) => {}
            Err(Broken::Timeout) => return Err(failed(&"it took too long")),
            Err(Broken::Failed(error)) => return Err(failed(&format_args!("{error:#}"))),
            Err(Broken::Answer) => return Err(failed(&"it refused its tools")),
        }
        live.store.data_mut().limit_memory(limits.memory);
        Ok(live)
    }
}

impl Live {
    /// Calls a function of `guest/runner.py`.
    async fn call(
        &mut self,
        function: &str,
        input: Vec<u8>,
        limit: Duration,
        runtime: &Runtime,
    ) -> Result<Value, Broken> {
        let Live { store, guest } = self;
        store.data_mut().begin(input);
        let _running = runtime.running();
        let code = format!("result = {function}");
        let call = store.run_concurrent(async |access| guest.call_execute(access, code).await);
        match tokio::time::timeout(limit, call).await {
            Err(_) => Err(Broken::Timeout),
            Ok(Err(error) | Ok(Err(error))) => Err(Broken::Failed(error)),
            Ok(Ok(Ok(Err(message)))) => {
                tracing::debug!(message, "the interpreter is broken");
                Err(Broken::Answer)
            }
            Ok(Ok(Ok(Ok(output)))) => serde_json::from_str(&output.result_json).map_err(|_| Broken::Answer),
        }
    }
}

impl PythonSession {
    pub(crate) async fn open(plan: Plan) -> Result<Self, InterpreterError> {
        let live = plan.start().await?;
        Ok(PythonSession { plan, live: Some(live), lost: false })
    }

    /// Takes the interpreter for a call. If the future of the call is dropped, the interpreter goes with it.
    async fn take(&mut self) -> Result<Live, InterpreterError> {
        let live = match self.live.take() {
            Some(live) => live,
            None => self.plan.start().await?,
        };
        self.lost = true;
        Ok(live)
    }

    async fn execute(&mut self, code: &str) -> Execution {
        let lost_before = self.lost;
        let mut live = match self.take().await {
            Ok(live) => live,
            Err(error) => {
                tracing::warn!(%error, "a broken interpreter could not be replaced");
                return Execution::failed("", CodeError::Crashed).losing_state();
            }
        };
        let Plan { runtime, limits, .. } = &self.plan;
        let answer = live.call("__dspy_run()", code.as_bytes().to_vec(), limits.wall_time, runtime).await;
        let host = live.store.data_mut();
        let stdout = host.take_stdout();
        self.lost = false;
        let outcome = match answer.and_then(|answer| outcome(&answer).ok_or(Broken::Answer)) {
            Ok(outcome) => {
                let outcome =
                    if host.overflowed && outcome.is_ok() { Err(CodeError::Output) } else { outcome };
                self.live = Some(live);
                let execution = match outcome {
                    Ok(value) => Execution::done(stdout, value),
                    Err(error) => Execution::failed(stdout, error),
                };
                return if lost_before { execution.losing_state() } else { execution };
            }
            Err(broken) => given_up(&broken, host),
        };
        // Freeing the memory of the interpreter is for later.
        drop(live);
        match outcome {
            Ok(value) => Execution::done(stdout, value),
            Err(error) => Execution::failed(stdout, error),
        }
        .losing_state()
    }

    async fn assign(&mut self, name: &str, value: Value) -> Result<(), InterpreterError> {
        if !is_name(name) {
            return Err(InterpreterError::new(format!("`{name}` is no name of a variable in Python")));
        }
        let input = json!([name, value]).to_string().into_bytes();
        let bytes = input.len();
        let lost = self.lost;
        let mut live = self.take().await?;
        let Plan { runtime, limits, .. } = &self.plan;
        let answer = live.call("__dspy_set()", input, limits.wall_time, runtime).await;
        let refused = live.store.data().refused;
        let memory = || {
            InterpreterError::new(format!(
                "the value of `{name}`, {bytes} bytes of JSON, exceeds the memory of the session; raise \
                 `Sandbox::builder().memory(…)`"
            ))
        };
        match answer {
            Ok(answer) => {
                self.live = Some(live);
                self.lost = lost;
                if answer["stop"] == "memory" { Err(memory()) } else { Ok(()) }
            }
            Err(_) if refused => Err(memory()),
            Err(Broken::Timeout) => Err(InterpreterError::new(format!(
                "setting `{name}` took longer than {:?}; raise `Sandbox::builder().wall_time(…)`",
                limits.wall_time
            ))),
            Err(_) => {
                Err(InterpreterError::new(format!("the interpreter broke down while `{name}` was set")))
            }
        }
    }
}

/// Reads the answer of the interpreter, which code can forge only into another outcome of its own.
fn outcome(answer: &Value) -> Option<Result<Value, CodeError>> {
    let text = |name: &str| answer.get(name).and_then(Value::as_str);
    if let Some(stop) = text("stop") {
        return Some(Err(match stop {
            "output" => CodeError::Output,
            "calls" => CodeError::Calls,
            "memory" => CodeError::Memory,
            "recursion" => CodeError::Recursion,
            _ => CodeError::Crashed,
        }));
    }
    if let Some(kind) = text("kind") {
        let line = answer["line"].as_u64().and_then(|line| u32::try_from(line).ok());
        let message = text("message").unwrap_or_default().to_owned();
        return Some(Err(CodeError::Raised { kind: kind.to_owned(), message, line }));
    }
    match answer.get("value")? {
        Value::String(value) => Some(Ok(serde_json::from_str(value).unwrap_or(Value::Null))),
        _ => Some(Ok(Value::Null)),
    }
}

/// Returns the outcome of code that took the interpreter with it.
fn given_up(broken: &Broken, host: &Host) -> Result<Value, CodeError> {
    let error = match broken {
        Broken::Timeout => return Err(CodeError::Timeout),
        Broken::Answer if host.refused => return Err(CodeError::Memory),
        Broken::Answer => return Err(CodeError::Crashed),
        Broken::Failed(error) => error,
    };
    if let Some(I32Exit(code)) = error.downcast_ref::<I32Exit>() {
        return match code {
            0 => Ok(Value::Null),
            code => Err(CodeError::Raised {
                kind: "SystemExit".to_owned(),
                message: code.to_string(),
                line: None,
            }),
        };
    }
    tracing::debug!(error = %format_args!("{error:#}"), "the interpreter broke down");
    Err(match error.downcast_ref::<Trap>() {
        Some(Trap::StackOverflow) => CodeError::Recursion,
        _ if host.refused => CodeError::Memory,
        _ => CodeError::Crashed,
    })
}

impl Session for PythonSession {
    fn set<'s>(&'s mut self, name: &'s str, value: Value) -> BoxFuture<'s, Result<(), InterpreterError>> {
        Box::pin(self.assign(name, value))
    }

    fn run<'s>(&'s mut self, code: &'s str) -> BoxFuture<'s, Execution> {
        Box::pin(self.execute(code))
    }
}
