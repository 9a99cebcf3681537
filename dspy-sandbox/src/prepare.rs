//! Preparing the interpreter, once per machine: linking it, starting it, importing the standard library, and saving its
//! memory as a component that starts in milliseconds.

use wasmtime::component::{Component, HasSelf, Linker};
use wasmtime::{Config, Engine, Result, Store, error::Context as _, format_err};
use wasmtime_wasi::{DirPerms, FilePerms, WasiCtxBuilder};
use wasmtime_wizer::{WasmtimeWizerComponent, Wizer};

use crate::archive;
use crate::bindings::Sandbox as Guest;
use crate::folder::{Folder, Lock};
use crate::host::{Host, Random};
use crate::tools::Tools;

/// The Python code that runs before the memory is saved.
const CODE: [&str; 3] =
    [include_str!("guest/imports.py"), include_str!("guest/loop.py"), include_str!("guest/runner.py")];

/// The folder of the library while the interpreter is prepared. Sessions have no files at all.
const ROOT: &str = "python-stdlib";

/// Returns the name of the file for this version of everything that goes into it.
pub(crate) fn file_name() -> String {
    use eryx_runtime::linker::base_libraries as libraries;
    let mut hasher = blake3::Hasher::new();
    for part in [libraries::LIBPYTHON, libraries::LIBERYX_RUNTIME, archive::LIBRARY] {
        hasher.update(&(part.len() as u64).to_le_bytes()).update(part);
    }
    CODE.iter().for_each(|code| {
        hasher.update(code.as_bytes());
    });
    hasher.update(b"wasmtime 44.0.3");
    format!("python-3.14-{}.wasm", &hasher.finalize().to_hex()[..32])
}

/// Returns the component of a started interpreter. The lock on the folder is held alone.
pub(crate) async fn prepare(folder: &Folder, lock: &Lock) -> Result<Vec<u8>> {
    let library = folder.scratch(lock).context("cannot unpack the standard library")?;
    archive::unpack(library.path()).context("cannot unpack the standard library")?;
    let linked = eryx_runtime::linker::link_with_extensions(&[])
        .map_err(|error| format_err!("cannot link the interpreter: {error}"))?;
    let wizer = Wizer::new();
    let (context, instrumented) = wizer.instrument_component(&linked)?;

    let mut config = Config::new();
    config.wasm_component_model(true).wasm_component_model_async(true);
    config.max_wasm_stack(16 << 20).async_stack_size(17 << 20);
    let engine = Engine::new(&config)?;
    let component = Component::new(&engine, &instrumented)?;

    let mut wasi = WasiCtxBuilder::new();
    // The order of sets is part of the saved memory, so it is the same on every machine.
    wasi.env("PYTHONHASHSEED", "0").env("PYTHONDONTWRITEBYTECODE", "1");
    wasi.env("PYTHONHOME", "/python-stdlib").env("PYTHONPATH", "/python-stdlib");
    wasi.secure_random(Random(0)).insecure_random(Random(1)).insecure_random_seed(0);
    wasi.preopened_dir(library.path(), ROOT, DirPerms::READ, FilePerms::READ)?;
    let mut store = Store::new(&engine, Host::with(wasi, Tools::none(), 1 << 16));
    store.limiter(|host| host);
    let mut linker = Linker::<Host>::new(&engine);
    wasmtime_wasi::p2::add_to_linker_async(&mut linker)?;
    Guest::add_to_linker::<_, HasSelf<Host>>(&mut linker, |host| host)?;
    let instance = linker.instantiate_async(&mut store, &component).await?;
    let guest = Guest::new(&mut store, &instance)?;
    for code in CODE {
        let code = format!(
            "try:\n    exec(compile({}, '<dspy>', 'exec'))\nexcept BaseException:\n    import traceback\n    \
             result = traceback.format_exc()",
            serde_json::Value::from(code)
        );
        let ran = store.run_concurrent(async |access| guest.call_execute(access, code).await).await??;
        let problem = ran.map_or_else(|error| error, |output| output.result_json);
        if !problem.is_empty() {
            return Err(format_err!("the interpreter did not start: {problem}"));
        }
    }
    let finish = instance
        .get_typed_func::<(), ()>(&mut store, "finalize-preinit")
        .context("the runtime has no `finalize-preinit`")?;
    finish.call_async(&mut store, ()).await?;
    let saved = wizer
        .snapshot_component(context, &mut WasmtimeWizerComponent { store: &mut store, instance })
        .await?;
    Ok(saved)
}
