//! A session: an interpreter with its variables.

use std::sync::Arc;
use std::time::Duration;

use dspy_core::lm::BoxFuture;
use dspy_core::tools::Tool;
use dspy_strategies::{CodeError, Execution, InterpreterError, Session};
use serde_json::{Value, json};
use tokio::sync::OwnedSemaphorePermit;
use wasmtime::{Store, Trap, WasmBacktrace};
use wasmtime_wasi::I32Exit;

use crate::bindings::Sandbox as Guest;
use crate::host::Host;
use crate::limits::Limits;
use crate::pending::Pending;
use crate::runtime::{DEEP, Runtime};
use crate::strict;
use crate::timed::{Timed, has_timer};
use crate::tools::{Tools, is_name, is_special};

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
    /// Its place among the sessions of the sandbox, if they are limited.
    _place: Option<OwnedSemaphorePermit>,
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

/// The end of a run of code.
struct Ended {
    outcome: Result<Value, CodeError>,
    /// The reason why the value of the last line is not shown.
    note: Option<String>,
}

impl From<Result<Value, CodeError>> for Ended {
    fn from(outcome: Result<Value, CodeError>) -> Self {
        Ended { outcome, note: None }
    }
}

impl Plan {
    async fn start(&self) -> Result<Live, InterpreterError> {
        if !has_timer() {
            return Err(InterpreterError::new(
                "code needs a tokio runtime with a timer; build the runtime with `enable_time()` or `enable_all()`",
            ));
        }
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
        let instance = {
            let _running = self.runtime.running();
            Timed::new(START, Pending::default(), self.runtime.start(host, most)).await
        };
        let (store, guest) = match instance {
            Some(started) => started.map_err(|error| failed(&format_args!("{error:#}")))?,
            None => return Err(failed(&"it took too long")),
        };
        let mut live = Live { store, guest };
        let started = live.call("__dspy_init()", given.to_string().into_bytes(), START, &self.runtime).await;
        match started {
            Ok(answer) => {
                let answer = answer.get(1..).and_then(|json| serde_json::from_slice::<Value>(json).ok());
                if let Some(name) = answer.as_ref().and_then(|answer| answer["refused"].as_str()) {
                    return Err(InterpreterError::new(format!(
                        "the tool `{name}` has a name that Python spells differently; rename it to letters, digits \
                         and `_`"
                    )));
                }
            }
            Err(Broken::Timeout) => return Err(failed(&"it took too long")),
            Err(Broken::Failed(error)) => return Err(failed(&format_args!("{error:#}"))),
            Err(Broken::Answer) => return Err(failed(&"it did not take its tools")),
        }
        live.store.data_mut().limit_memory(limits.memory);
        Ok(live)
    }
}

impl Live {
    /// Calls a function of `guest/runner.py`. Returns its answer: a kind, and JSON.
    async fn call(
        &mut self,
        function: &str,
        input: Vec<u8>,
        limit: Duration,
        runtime: &Runtime,
    ) -> Result<Vec<u8>, Broken> {
        let Live { store, guest } = self;
        store.data_mut().begin(input);
        let pending = store.data().pending.clone();
        let _running = runtime.running();
        let function = function.to_owned();
        let call = store.run_concurrent(async |access| guest.call_execute(access, function).await);
        match Timed::new(limit, pending, call).await {
            None => return Err(Broken::Timeout),
            Some(Err(error) | Ok(Err(error))) => return Err(Broken::Failed(error)),
            Some(Ok(Ok(Err(message)))) => {
                tracing::debug!(message, "the interpreter is broken");
            }
            Some(Ok(Ok(Ok(_)))) => {}
        }
        store.data_mut().take_answer().ok_or(Broken::Answer)
    }
}

impl PythonSession {
    pub(crate) async fn open(
        plan: Plan,
        place: Option<OwnedSemaphorePermit>,
    ) -> Result<Self, InterpreterError> {
        let live = plan.start().await?;
        Ok(PythonSession { plan, live: Some(live), lost: false, _place: place })
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
                let reason = format!("a new one does not start: {error}");
                return Execution::failed("", CodeError::Crashed { reason }).losing_state();
            }
        };
        let Plan { runtime, limits, .. } = &self.plan;
        let answer = live.call("__dspy_run()", code.as_bytes().to_vec(), limits.wall_time, runtime).await;
        let host = live.store.data();
        self.lost = false;
        let (ended, sound) = match answer.and_then(|answer| ended(&answer, host).ok_or(Broken::Answer)) {
            Ok(ended) if host.stdout.overflowed() && ended.outcome.is_ok() => {
                (Err(CodeError::Output).into(), true)
            }
            Ok(ended) if host.tools.refused && ended.outcome.is_ok() => (Err(CodeError::Calls).into(), true),
            Ok(ended) => (ended, true),
            Err(broken) => (given_up(&broken, host).into(), false),
        };
        let stdout = host.stdout.take();
        // An interpreter that broke is replaced when it is needed.
        self.live = sound.then_some(live);
        let mut execution = match ended.outcome {
            Ok(value) => Execution::done(stdout, value),
            Err(error) => Execution::failed(stdout, error),
        };
        execution.note = ended.note;
        if lost_before || !sound { execution.losing_state() } else { execution }
    }

    async fn assign(&mut self, name: &str, value: Value) -> Result<(), InterpreterError> {
        if !is_name(name) {
            return Err(InterpreterError::new(format!("`{name}` is no name of a variable in Python")));
        }
        if is_special(name) {
            return Err(InterpreterError::new(format!("`{name}` belongs to Python; use another name")));
        }
        if self.plan.tools.iter().any(|tool| tool.name() == name) {
            return Err(InterpreterError::new(format!(
                "`{name}` is a tool of the session; rename one of them"
            )));
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
                let answer = answer.get(1..).and_then(|json| serde_json::from_slice::<Value>(json).ok());
                let answer = answer.unwrap_or_default();
                if answer["refused"].is_string() {
                    return Err(InterpreterError::new(format!(
                        "Python spells the name `{name}` differently; use letters, digits and `_`"
                    )));
                }
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

/// Reads the answer of the interpreter, which code can forge only into another outcome of its own. `None` if the
/// interpreter is broken.
fn ended(answer: &[u8], host: &Host) -> Option<Ended> {
    let note = |problem: &str| {
        let note = format!("the value of the last line has no form in JSON and is not shown: {problem}");
        Some(Ended { outcome: Ok(Value::Null), note: Some(note) })
    };
    let answer = match answer.split_first()? {
        (b'V', value) => {
            return match strict::read(value) {
                Ok(value) => Some(Ok(value).into()),
                Err(problem) => note(&problem),
            };
        }
        (_, json) => serde_json::from_slice::<Value>(json).ok()?,
    };
    let text = |name: &str| answer.get(name).and_then(Value::as_str);
    let line = || answer["line"].as_u64().and_then(|line| u32::try_from(line).ok());
    if let Some(stop) = text("stop") {
        return Some(Ended::from(Err(match stop {
            "output" => CodeError::Output,
            "calls" if host.tools.refused => CodeError::Calls,
            "memory" => CodeError::Memory,
            "nesting" if host.refused => CodeError::Memory,
            "nesting" => CodeError::Raised {
                kind: "SyntaxError".to_owned(),
                message: "the code is nested too deeply, such as in parentheses".to_owned(),
                line: line(),
            },
            "recursion" => CodeError::Recursion,
            _ => return None,
        })));
    }
    if let Some(kind) = text("kind") {
        let message = text("message").unwrap_or_default().to_owned();
        return Some(Err(CodeError::Raised { kind: kind.to_owned(), message, line: line() }).into());
    }
    match text("unshown") {
        Some(problem) => note(problem),
        None => Some(Ok(Value::Null).into()),
    }
}

/// Returns the outcome of code that took the interpreter with it.
fn given_up(broken: &Broken, host: &Host) -> Result<Value, CodeError> {
    let crashed = |reason: String| Err(CodeError::Crashed { reason });
    let error = match broken {
        Broken::Timeout => return Err(CodeError::Timeout),
        _ if host.stdout.overflowed() => return Err(CodeError::Output),
        Broken::Answer if host.refused => return Err(CodeError::Memory),
        Broken::Answer => {
            return crashed("the code has changed what the interpreter needs to answer".to_owned());
        }
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
    // Without the trace, which has up to a thousand lines.
    tracing::debug!(error = %error.root_cause(), "the interpreter broke down");
    match error.downcast_ref::<Trap>() {
        Some(Trap::StackOverflow) => Err(CodeError::Recursion),
        _ if host.refused => Err(CodeError::Memory),
        // C keeps part of its stack in memory, and has left it at the lower end.
        Some(Trap::MemoryOutOfBounds) if is_deep(error) => Err(CodeError::Recursion),
        Some(Trap::MemoryOutOfBounds) => {
            crashed("it has left its memory, as when code or data is nested too deeply".to_owned())
        }
        Some(Trap::UnreachableCodeReached) => crashed("it has aborted".to_owned()),
        Some(trap) => crashed(trap.to_string()),
        None => crashed("it has stopped".to_owned()),
    }
}

/// Returns whether the code that broke was called through very many others.
fn is_deep(error: &wasmtime::Error) -> bool {
    error.downcast_ref::<WasmBacktrace>().is_some_and(|trace| trace.frames().len() >= DEEP)
}

impl Session for PythonSession {
    fn set<'s>(&'s mut self, name: &'s str, value: Value) -> BoxFuture<'s, Result<(), InterpreterError>> {
        Box::pin(self.assign(name, value))
    }

    fn run<'s>(&'s mut self, code: &'s str) -> BoxFuture<'s, Execution> {
        Box::pin(self.execute(code))
    }
}
