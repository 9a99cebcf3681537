//! The folder of prepared interpreters.

use std::ffi::OsString;
use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use dspy_strategies::InterpreterError;

/// A folder that belongs to the user and that only the user can write to: what is in it becomes code of this process.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Folder(PathBuf);

impl Folder {
    /// Opens the folder, and creates it if it does not exist. The default is `dspy/sandbox` in the cache folder of the
    /// user.
    pub(crate) fn open(path: Option<&Path>) -> Result<Self, InterpreterError> {
        let path = match path {
            Some(path) => path.to_owned(),
            None => default_folder().ok_or_else(|| {
                InterpreterError::new(
                    "there is no cache folder to keep Python in: set HOME or XDG_CACHE_HOME, or name a folder with \
                     `Sandbox::builder().folder(…)`",
                )
            })?,
        };
        let unusable = |problem: &dyn std::fmt::Display| {
            InterpreterError::new(format!(
                "cannot keep Python in {}: {problem}; make it a folder that only you can write to, or name another one \
                 with `Sandbox::builder().folder(…)`",
                path.display()
            ))
        };
        create(&path).map_err(|error| unusable(&error))?;
        let path = path.canonicalize().map_err(|error| unusable(&error))?;
        if let Some(problem) = unsafe_because(&path).map_err(|error| unusable(&error))? {
            return Err(unusable(&problem));
        }
        Ok(Folder(path))
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }

    /// Reads a file.
    pub(crate) fn read(&self, name: &str) -> Option<Vec<u8>> {
        fs::read(self.0.join(name)).ok()
    }

    /// Writes a file so that readers see all of it or nothing.
    pub(crate) fn write(&self, name: &str, contents: &[u8]) -> io::Result<()> {
        let temporary = self.0.join(format!(".{name}-{}", std::process::id()));
        let written = fs::File::create(&temporary)
            .and_then(|mut file| file.write_all(contents))
            .and_then(|()| fs::rename(&temporary, self.0.join(name)));
        if written.is_err() {
            let _ = fs::remove_file(&temporary);
        }
        written
    }

    /// Creates an empty folder inside, removed when the guard is dropped.
    pub(crate) fn scratch(&self) -> io::Result<Scratch> {
        let path = self.0.join(format!(".scratch-{}", std::process::id()));
        let _ = fs::remove_dir_all(&path);
        fs::create_dir(&path)?;
        Ok(Scratch(path))
    }
}

/// A folder for the time of its use.
#[derive(Debug)]
pub(crate) struct Scratch(PathBuf);

impl Scratch {
    pub(crate) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn default_folder() -> Option<PathBuf> {
    let variable = |name: &str| std::env::var_os(name).filter(|value: &OsString| !value.is_empty());
    let cache = if cfg!(windows) {
        PathBuf::from(variable("LOCALAPPDATA")?)
    } else if cfg!(target_os = "macos") {
        PathBuf::from(variable("HOME")?).join("Library/Caches")
    } else {
        match variable("XDG_CACHE_HOME").map(PathBuf::from).filter(|path| path.is_absolute()) {
            Some(path) => path,
            None => PathBuf::from(variable("HOME")?).join(".cache"),
        }
    };
    Some(cache.join("dspy").join("sandbox"))
}

#[cfg(unix)]
fn create(path: &Path) -> io::Result<()> {
    use std::os::unix::fs::DirBuilderExt as _;
    fs::DirBuilder::new().recursive(true).mode(0o700).create(path)
}

#[cfg(not(unix))]
fn create(path: &Path) -> io::Result<()> {
    fs::create_dir_all(path)
}

/// Returns why others could put code into the folder.
#[cfg(unix)]
fn unsafe_because(path: &Path) -> io::Result<Option<&'static str>> {
    use std::os::unix::fs::MetadataExt as _;
    static PROBES: std::sync::atomic::AtomicUsize = std::sync::atomic::AtomicUsize::new(0);
    let folder = fs::metadata(path)?;
    // A file that this process creates has its user.
    let number = PROBES.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
    let probe = path.join(format!(".probe-{}-{number}", std::process::id()));
    let _ = fs::remove_file(&probe);
    let user = fs::File::create_new(&probe).and_then(|file| file.metadata()).map(|file| file.uid());
    let _ = fs::remove_file(&probe);
    if folder.uid() != user? {
        return Ok(Some("it belongs to another user"));
    }
    Ok((folder.mode() & 0o022 != 0).then_some("others can write to it"))
}

#[cfg(not(unix))]
fn unsafe_because(_: &Path) -> io::Result<Option<&'static str>> {
    Ok(None)
}
