//! The compiled interpreter, shared by all sessions of a process.

use std::collections::HashMap;
use std::hash::{Hash as _, Hasher};
use std::sync::{Arc, Condvar, LazyLock, Mutex, PoisonError};
use std::time::Duration;

use dspy_strategies::InterpreterError;
use wasmtime::component::{Component, HasSelf, Linker};
use wasmtime::{Cache, CacheConfig, Config, Engine, EngineWeak, Result, Store, format_err};

use crate::bindings::{Sandbox as Guest, SandboxPre};
use crate::folder::Folder;
use crate::gate;
use crate::host::Host;
use crate::prepare;

/// The time that code computes before other tasks of its thread have a turn.
const TURN: Duration = Duration::from_millis(5);

/// The stack of the interpreter. Deep recursion in C, such as of the parser, ends as an error of Python long before; freeing
/// a chain of objects does not, and takes up to 900 bytes for each. Pages that are not used are no memory.
const STACK: usize = 64 << 20;
/// The calls within each other from which a broken interpreter counts as one that recursed. Functions of Python that call
/// each other are one call here.
pub(crate) const DEEP: usize = 1_000;
/// The stack beyond it for functions of the host, such as tools.
const HOST_STACK: usize = 16 << 20;

/// A compiled interpreter.
pub(crate) struct Runtime {
    engine: Engine,
    guest: SandboxPre<Host>,
    ticker: Arc<Ticker>,
}

impl std::fmt::Debug for Runtime {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Runtime").finish_non_exhaustive()
    }
}

type Slot = Arc<tokio::sync::Mutex<Option<Arc<Runtime>>>>;

static RUNTIMES: LazyLock<Mutex<HashMap<Folder, Slot>>> = LazyLock::new(Mutex::default);

impl Runtime {
    /// Returns the interpreter, prepared on first use.
    pub(crate) async fn get(folder: Folder) -> Result<Arc<Self>, InterpreterError> {
        let slot = {
            let mut runtimes = RUNTIMES.lock().unwrap_or_else(PoisonError::into_inner);
            runtimes.entry(folder.clone()).or_default().clone()
        };
        let mut slot = slot.lock().await;
        if let Some(runtime) = &*slot {
            return Ok(runtime.clone());
        }
        let path = folder.path().display().to_string();
        let loaded = tokio::task::spawn_blocking(move || Runtime::load(&folder)).await;
        let runtime = match loaded {
            Ok(Ok(runtime)) => Arc::new(runtime),
            Ok(Err(error)) => {
                return Err(InterpreterError::new(format!("cannot prepare Python in {path}: {error:#}")));
            }
            Err(_) => return Err(InterpreterError::new("preparing Python was stopped")),
        };
        *slot = Some(runtime.clone());
        Ok(runtime)
    }

    fn load(folder: &Folder) -> Result<Self> {
        let name = prepare::file_name();
        let native = Native::new(folder)?;
        {
            let _together = folder.lock_shared()?;
            if native.is_sound()
                && let Some(component) = folder.read(&name)
            {
                let (runtime, compiled) = Runtime::compile(&component, &native)?;
                if !compiled || folder.check_writable().is_err() {
                    return Ok(runtime);
                }
            }
        }
        folder.check_writable().map_err(|error| {
            format_err!(
                "it is not prepared for this version and this processor, and it cannot be written to ({error}); call \
                 `Sandbox::prepare` of the same build where it can, or name another folder with \
                 `Sandbox::builder().folder(…)`"
            )
        })?;
        let alone = folder.lock_alone()?;
        let component = match folder.read(&name) {
            Some(component) => component,
            None => {
                tracing::info!(folder = %folder.path().display(), "preparing Python, once per machine (about 40 s)");
                let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
                let component = runtime.block_on(prepare::prepare(folder, &alone))?;
                folder.write(&name, &component)?;
                component
            }
        };
        if !native.is_sound() {
            native.discard()?;
        }
        let (runtime, compiled) = Runtime::compile(&component, &native)?;
        if compiled {
            native.record()?;
        }
        Ok(runtime)
    }

    /// Returns the interpreter, and whether its native code was compiled rather than loaded.
    fn compile(component: &[u8], native: &Native<'_>) -> Result<(Self, bool)> {
        let cache = native.cache()?;
        let mut config = config();
        config.cache(Some(cache.clone()));
        let engine = Engine::new(&config)?;
        let component = Component::new(&engine, component)?;
        let mut linker = Linker::<Host>::new(&engine);
        wasmtime_wasi::p2::add_to_linker_async(&mut linker)?;
        Guest::add_to_linker::<_, HasSelf<Host>>(&mut linker, |host| host)?;
        let guest = SandboxPre::new(linker.instantiate_pre(&component)?)?;
        let ticker = Ticker::start(engine.weak())?;
        Ok((Runtime { engine, guest, ticker }, cache.cache_hits() == 0))
    }

    /// Starts an interpreter for a session.
    pub(crate) async fn start(&self, host: Host, call_bytes: usize) -> Result<(Store<Host>, Guest)> {
        let mut store = Store::new(&self.engine, host);
        store.limiter(|host| host);
        store.set_hostcall_fuel(call_bytes);
        store.set_epoch_deadline(1);
        store.epoch_deadline_async_yield_and_update(1);
        let guest = self.guest.instantiate_async(&mut store).await?;
        Ok((store, guest))
    }

    /// Lets code yield while the guard lives.
    pub(crate) fn running(&self) -> Running {
        *self.ticker.running.lock().unwrap_or_else(PoisonError::into_inner) += 1;
        self.ticker.woken.notify_one();
        Running(self.ticker.clone())
    }
}

fn config() -> Config {
    let mut config = Config::new();
    config.wasm_component_model(true).wasm_component_model_async(true);
    config.epoch_interruption(true);
    config.max_wasm_stack(STACK).async_stack_size(STACK + HOST_STACK);
    config.wasm_backtrace_max_frames(std::num::NonZeroUsize::new(DEEP));
    config
}

/// The native code of the interpreter for this compiler and this processor, kept by the cache of the compiler. A list of
/// digests beside it says what the compiler has put there.
struct Native<'f> {
    folder: &'f Folder,
    name: String,
    list: String,
}

impl<'f> Native<'f> {
    fn new(folder: &'f Folder) -> Result<Self> {
        let mut hasher = Hashed(blake3::Hasher::new());
        Engine::new(&config())?.precompile_compatibility_hash().hash(&mut hasher);
        let name = format!("native-{}", &hasher.0.finalize().to_hex()[..16]);
        Ok(Native { folder, list: format!("{name}.list"), name })
    }

    /// Returns whether there is what the compiler has put there, and no other user could write to it.
    fn is_sound(&self) -> bool {
        let listed = self.folder.read(&self.list);
        listed.is_some() && listed == self.folder.contents(&self.name).map(String::into_bytes)
    }

    fn discard(&self) -> std::io::Result<()> {
        self.folder.remove(&self.list)?;
        self.folder.remove(&self.name)
    }

    /// Lists what the compiler has put there.
    fn record(&self) -> Result<()> {
        self.folder.close_off(&self.name)?;
        let contents = self.folder.contents(&self.name);
        // Without a list, the next process compiles anew.
        self.folder.write(&self.list, contents.unwrap_or_default().as_bytes())?;
        Ok(())
    }

    fn cache(&self) -> Result<Cache> {
        let mut cache = CacheConfig::new();
        cache.with_directory(self.folder.create(&self.name)?);
        // Recompressing the file in the background costs minutes of a core and saves 3 MB.
        cache.with_optimized_compression_usage_counter_threshold(u64::MAX);
        Cache::new(cache)
    }
}

struct Hashed(blake3::Hasher);

impl Hasher for Hashed {
    fn write(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    fn finish(&self) -> u64 {
        0
    }
}

/// A thread that lets running code yield at regular times. It sleeps while no code runs.
#[derive(Debug, Default)]
struct Ticker {
    running: Mutex<usize>,
    woken: Condvar,
}

impl Ticker {
    fn start(engine: EngineWeak) -> std::io::Result<Arc<Self>> {
        let ticker = Arc::new(Ticker::default());
        let own = Arc::downgrade(&ticker);
        std::thread::Builder::new().name("dspy-sandbox".to_owned()).spawn(move || {
            loop {
                let Some(ticker) = own.upgrade() else { return };
                let running = ticker.running.lock().unwrap_or_else(PoisonError::into_inner);
                if *running == 0 {
                    // Woken by the next run, and now and then to see whether the engine is gone.
                    drop(ticker.woken.wait_timeout(running, Duration::from_secs(5)));
                    continue;
                }
                drop(running);
                drop(ticker);
                std::thread::sleep(TURN);
                let Some(engine) = engine.upgrade() else { return };
                engine.increment_epoch();
                gate::revoke_idle();
            }
        })?;
        Ok(ticker)
    }
}

/// Code that runs.
#[derive(Debug)]
pub(crate) struct Running(Arc<Ticker>);

impl Drop for Running {
    fn drop(&mut self) {
        *self.0.running.lock().unwrap_or_else(PoisonError::into_inner) -= 1;
    }
}
