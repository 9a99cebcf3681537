//! The sandbox and its builder.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use dspy_core::lm::BoxFuture;
use dspy_core::tools::Tool;
use dspy_strategies::{Interpreter, InterpreterError, Session};
use tokio::sync::Semaphore;

use crate::folder::Folder;
use crate::limits::Limits;
use crate::runtime::Runtime;
use crate::session::{Plan, PythonSession};
use crate::tools::Tools;

const GUIDE: &str = "\
Python 3.14 with its standard library. There is no numpy, pandas, requests or other package, no file, no network, no \
process and no real thread. Print what you want to \
see: the value of a last line that is an expression is returned, but nothing else is shown. Functions that you are \
given are plain functions: call them without await, from anywhere. `asyncio.run` and top-level `await` work, pools and \
threads run their work one after the other.";

/// An interpreter for the Python that models write: CPython 3.14 in WebAssembly, with limits on everything.
///
/// Code reaches nothing but the tools of its session: no file, network or process, and no clock unless
/// [granted](SandboxBuilder::clock). Cloning is cheap.
///
/// The first session on a machine prepares the interpreter, which takes about 40 seconds and writes 80 MB to a folder of
/// the user. [`prepare`](Self::prepare) does it ahead of time.
///
/// ```no_run
/// use dspy_sandbox::Sandbox;
/// use dspy_strategies::Interpreter as _;
///
/// # async fn shown() -> Result<(), dspy_strategies::InterpreterError> {
/// let mut session = Sandbox::new().open(Vec::new()).await?;
/// let ran = session.run("numbers = [1, 2, 3]\nsum(numbers)").await;
/// assert_eq!(ran.outcome, Ok(serde_json::json!(6)));
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, Default)]
pub struct Sandbox {
    limits: Limits,
    folder: Option<PathBuf>,
    /// The sessions that may still be opened, shared by clones.
    sessions: Option<Arc<Semaphore>>,
}

impl Sandbox {
    /// Creates a sandbox with the default limits.
    pub fn new() -> Self {
        Self::default()
    }

    /// Returns a builder, to set limits.
    pub fn builder() -> SandboxBuilder {
        SandboxBuilder { sandbox: Sandbox::default() }
    }

    /// Prepares the interpreter, unless this machine has it already, and loads it.
    ///
    /// # Errors
    /// If the folder is not one that only the user can write to, or the interpreter cannot be prepared in it.
    pub async fn prepare(&self) -> Result<(), InterpreterError> {
        self.runtime().await.map(drop)
    }

    async fn runtime(&self) -> Result<Arc<Runtime>, InterpreterError> {
        Runtime::get(Folder::open(self.folder.as_deref())?).await
    }
}

impl Interpreter for Sandbox {
    fn open(&self, tools: Vec<Tool>) -> BoxFuture<'_, Result<Box<dyn Session>, InterpreterError>> {
        Box::pin(async move {
            // Wrong tools are reported before anything is prepared.
            Tools::new(tools.clone(), 0, 0)?;
            let runtime = self.runtime().await?;
            // The semaphore is never closed.
            let place = match &self.sessions {
                Some(sessions) => sessions.clone().acquire_owned().await.ok(),
                None => None,
            };
            let plan = Plan { runtime, limits: self.limits.clone(), tools: tools.into() };
            let session: Box<dyn Session> = Box::new(PythonSession::open(plan, place).await?);
            Ok(session)
        })
    }

    fn guide(&self) -> &str {
        GUIDE
    }
}

/// A builder of a [`Sandbox`].
#[derive(Debug, Clone)]
#[must_use]
pub struct SandboxBuilder {
    sandbox: Sandbox,
}

impl SandboxBuilder {
    /// Sets the time that one run may take, tools included: 30 seconds by default. The wait for a core does not count, up
    /// to ten times the limit in real time.
    pub fn wall_time(mut self, limit: Duration) -> Self {
        self.sandbox.limits.wall_time = limit;
        self
    }

    /// Sets the bytes of memory of a session beyond those of the interpreter itself: 128 MiB by default.
    pub fn memory(mut self, bytes: usize) -> Self {
        self.sandbox.limits.memory = bytes;
        self
    }

    /// Sets how many sessions of this sandbox and its clones exist at the same time, at least one. `open` waits for one to
    /// be dropped. Without this limit, which is the default, memory is bounded for each session only.
    ///
    /// A session that waits for another one of the same sandbox, as `rlm_query` of `Rlm` does, counts as well: leave room for
    /// both, or it ends by its time limit.
    pub fn sessions(mut self, most: usize) -> Self {
        self.sandbox.sessions = Some(Arc::new(Semaphore::new(most.clamp(1, Semaphore::MAX_PERMITS))));
        self
    }

    /// Sets the bytes that one run may print: 1 MB by default.
    pub fn stdout(mut self, bytes: usize) -> Self {
        self.sandbox.limits.stdout = bytes;
        self
    }

    /// Sets how often one run may call tools: 1,000 times by default.
    pub fn tool_calls(mut self, calls: usize) -> Self {
        self.sandbox.limits.tool_calls = calls;
        self
    }

    /// Sets the bytes of JSON of the arguments and of the result of one tool call, and of the value of a run: 1 MB by
    /// default.
    pub fn tool_bytes(mut self, bytes: usize) -> Self {
        self.sandbox.limits.tool_bytes = bytes;
        self
    }

    /// Sets the seed of `random` and of everything else that is random in a session. The same code with the same seed and
    /// the same replies of tools does the same.
    pub fn seed(mut self, seed: u64) -> Self {
        self.sandbox.limits.seed = seed;
        self
    }

    /// Sets whether sessions see the date and time. By default, their clock starts on 1 January 2000.
    pub fn clock(mut self, granted: bool) -> Self {
        self.sandbox.limits.clock = granted;
        self
    }

    /// Sets the folder that the prepared interpreter is kept in. Only the user may write to it, because it becomes code of
    /// this process, and no folder above it may let others replace it. The default is `dspy/sandbox` in the cache folder of the user.
    pub fn folder(mut self, folder: impl Into<PathBuf>) -> Self {
        self.sandbox.folder = Some(folder.into());
        self
    }

    /// Returns the sandbox.
    pub fn build(self) -> Sandbox {
        self.sandbox
    }
}
