//! The folder of prepared interpreters: what is in it becomes code of this process.
//!
//! On Unix, everything from the folder down belongs to the user and no other user can write to it; no folder above it lets
//! others replace it. Files carry a digest, so that damage is noticed.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};

use dspy_strategies::InterpreterError;

/// The length of the digest at the start of a file.
const DIGEST: usize = blake3::OUT_LEN;

/// Numbers for temporary names.
static NAMES: AtomicUsize = AtomicUsize::new(0);

/// A folder that belongs to the user and that only the user can write to.
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
        let created = access::create(&path).and_then(|()| path.canonicalize());
        let path = created.map_err(|error| unusable(&error))?;
        let user = access::user();
        for (level, folder) in path.ancestors().enumerate() {
            let problem = fs::symlink_metadata(folder)
                .map(
                    |found| {
                        if level == 0 { access::problem(&found, user) } else { access::above(&found, user) }
                    },
                )
                .map_err(|error| unusable(&error))?;
            match problem {
                Some(problem) if level == 0 => return Err(unusable(&problem)),
                Some(problem) => {
                    return Err(unusable(&format_args!("{}, above it: {problem}", folder.display())));
                }
                None => {}
            }
        }
        Ok(Folder(path))
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }

    /// Reads a file, if no other user can write to it and its contents have the digest that it starts with.
    pub(crate) fn read(&self, name: &str) -> Option<Vec<u8>> {
        let path = self.0.join(name);
        let found = fs::symlink_metadata(&path).ok()?;
        let user = access::user();
        if !found.is_file() || access::problem(&found, user).is_some() {
            tracing::warn!(file = %path.display(), "others can write to the file, which is prepared anew");
            return None;
        }
        let mut contents = Vec::new();
        let mut file = File::open(&path).ok()?;
        // The file that was opened is the one that is judged.
        if access::problem(&file.metadata().ok()?, user).is_some() {
            return None;
        }
        file.read_to_end(&mut contents).ok()?;
        let sound = contents.split_first_chunk::<DIGEST>();
        if sound.is_none_or(|(digest, rest)| blake3::hash(rest).as_bytes() != digest) {
            tracing::warn!(file = %path.display(), "the file is damaged and is prepared anew");
            return None;
        }
        contents.drain(..DIGEST);
        Some(contents)
    }

    /// Writes a file that only the user can read, so that readers see all of it or nothing.
    pub(crate) fn write(&self, name: &str, contents: &[u8]) -> io::Result<()> {
        let temporary = self.0.join(temporary_name(name));
        let written = access::create_file(&temporary)
            .and_then(|mut file| {
                file.write_all(blake3::hash(contents).as_bytes())?;
                file.write_all(contents)?;
                file.sync_all()
            })
            .and_then(|()| fs::rename(&temporary, self.0.join(name)));
        if written.is_err() {
            let _ = fs::remove_file(&temporary);
        }
        written
    }

    /// Removes a file or a folder, if it exists.
    pub(crate) fn remove(&self, name: &str) -> io::Result<()> {
        let path = self.0.join(name);
        let removed = match fs::symlink_metadata(&path) {
            Ok(found) if found.is_dir() => fs::remove_dir_all(&path),
            Ok(_) => fs::remove_file(&path),
            Err(error) => Err(error),
        };
        removed.or_else(|error| if error.kind() == io::ErrorKind::NotFound { Ok(()) } else { Err(error) })
    }

    /// Creates a folder inside that only the user can enter, unless it exists.
    pub(crate) fn create(&self, name: &str) -> io::Result<PathBuf> {
        let path = self.0.join(name);
        access::create(&path)?;
        Ok(path)
    }

    /// Returns the digests and names of the files of a folder inside, in order. `None` if there are none, others can write
    /// to any of it, or there is anything but files and folders.
    ///
    /// Files with a dot in their names are not listed: the cache keeps no code in them.
    pub(crate) fn contents(&self, name: &str) -> Option<String> {
        let user = access::user();
        let mut text = String::new();
        let mut folders = vec![self.0.join(name)];
        while let Some(folder) = folders.pop() {
            let found = fs::symlink_metadata(&folder).ok()?;
            if !found.is_dir() || access::problem(&found, user).is_some() {
                return None;
            }
            let mut entries: Vec<_> = fs::read_dir(&folder).ok()?.collect::<io::Result<_>>().ok()?;
            entries.sort_by_key(fs::DirEntry::file_name);
            for entry in entries {
                let (path, found) = (entry.path(), entry.metadata().ok()?);
                if found.is_dir() {
                    folders.push(path);
                    continue;
                }
                if !found.is_file() {
                    return None;
                }
                if entry.file_name().as_encoded_bytes().contains(&b'.') {
                    continue;
                }
                if access::problem(&found, user).is_some() {
                    return None;
                }
                let shown = path.strip_prefix(&self.0).ok()?.to_str()?;
                text.push_str(&format!("{} {shown}\n", blake3::hash(&fs::read(&path).ok()?).to_hex()));
            }
        }
        (!text.is_empty()).then_some(text)
    }

    /// Makes a folder inside, with all that is in it, the user's alone.
    pub(crate) fn close_off(&self, name: &str) -> io::Result<()> {
        let mut folders = vec![self.0.join(name)];
        while let Some(folder) = folders.pop() {
            access::restrict(&folder, 0o700)?;
            for entry in fs::read_dir(&folder)? {
                let entry = entry?;
                let kind = entry.file_type()?;
                if kind.is_dir() {
                    folders.push(entry.path());
                } else if kind.is_file() {
                    match access::restrict(&entry.path(), 0o600) {
                        // Temporary files of others of the user's processes come and go.
                        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                        other => other?,
                    }
                }
            }
        }
        Ok(())
    }

    /// Checks that files can be created in the folder.
    pub(crate) fn check_writable(&self) -> io::Result<()> {
        let probe = self.0.join(temporary_name("probe"));
        access::create_file(&probe)?;
        fs::remove_file(&probe)
    }

    /// Locks the folder for a process that only reads it, together with others. Waits for the lock. A folder that cannot be
    /// written to, such as a part of an image, needs none.
    pub(crate) fn lock_shared(&self) -> io::Result<Option<Lock>> {
        match self.locked(File::lock_shared) {
            Err(_) if self.check_writable().is_err() => Ok(None),
            locked => locked.map(Some),
        }
    }

    /// Locks the folder alone. Waits for the lock.
    pub(crate) fn lock_alone(&self) -> io::Result<Lock> {
        self.locked(File::lock)
    }

    fn locked(&self, lock: fn(&File) -> io::Result<()>) -> io::Result<Lock> {
        let path = self.0.join("lock");
        let file = match access::create_file(&path) {
            Ok(file) => file,
            // It is there, or the folder cannot be written to.
            Err(error) => File::open(&path).map_err(|_| error)?,
        };
        match lock(&file) {
            // Without locks, processes that start at once may do the same work.
            Err(error) if error.kind() == io::ErrorKind::Unsupported => {}
            other => other?,
        }
        Ok(Lock(file))
    }

    /// Creates an empty folder inside, removed when the guard is dropped. The lock on the folder is held alone.
    pub(crate) fn scratch(&self, _: &Lock) -> io::Result<Scratch> {
        let path = self.0.join(".scratch");
        // A process that was killed has left it.
        self.remove(".scratch")?;
        access::create(&path)?;
        Ok(Scratch(path))
    }
}

/// A lock on a folder, until it is dropped or its process ends.
#[derive(Debug)]
pub(crate) struct Lock(File);

impl Drop for Lock {
    fn drop(&mut self) {
        let _ = self.0.unlock();
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

fn temporary_name(name: &str) -> String {
    format!(".{name}-{}-{}", std::process::id(), NAMES.fetch_add(1, Ordering::Relaxed))
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

/// Owners and modes, where files have them.
#[cfg(unix)]
mod access {
    use std::fs::{self, DirBuilder, File, Metadata, OpenOptions, Permissions};
    use std::io;
    use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _};
    use std::path::Path;

    pub(super) type User = u32;

    const OTHERS_WRITE: u32 = 0o022;
    const STICKY: u32 = 0o1000;

    /// Returns the number of the user of this process.
    pub(super) fn user() -> User {
        rustix::process::geteuid().as_raw()
    }

    /// Creates a folder and those above it, for the user alone.
    pub(super) fn create(path: &Path) -> io::Result<()> {
        DirBuilder::new().recursive(true).mode(0o700).create(path)
    }

    /// Creates a file that does not exist, for the user alone.
    pub(super) fn create_file(path: &Path) -> io::Result<File> {
        OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)
    }

    pub(super) fn restrict(path: &Path, mode: u32) -> io::Result<()> {
        fs::set_permissions(path, Permissions::from_mode(mode))
    }

    /// Returns why others could write to the file or folder.
    pub(super) fn problem(found: &Metadata, user: User) -> Option<&'static str> {
        if found.uid() != user {
            return Some("it belongs to another user");
        }
        (found.mode() & OTHERS_WRITE != 0).then_some("others can write to it")
    }

    /// Returns why others could replace what is in a folder.
    pub(super) fn above(found: &Metadata, user: User) -> Option<&'static str> {
        if found.uid() != user && found.uid() != 0 {
            return Some("it belongs to another user");
        }
        let open = found.mode() & OTHERS_WRITE != 0 && found.mode() & STICKY == 0;
        open.then_some("others can rename what is in it")
    }
}

/// Owners and modes: the folder of the user is not open to others there.
#[cfg(not(unix))]
mod access {
    use std::fs::{self, File, Metadata};
    use std::io;
    use std::path::Path;

    pub(super) type User = ();

    pub(super) fn user() -> User {}

    pub(super) fn create(path: &Path) -> io::Result<()> {
        fs::create_dir_all(path)
    }

    pub(super) fn create_file(path: &Path) -> io::Result<File> {
        File::create_new(path)
    }

    #[expect(clippy::unnecessary_wraps, reason = "as on Unix")]
    pub(super) fn restrict(_: &Path, _: u32) -> io::Result<()> {
        Ok(())
    }

    pub(super) fn problem(_: &Metadata, (): User) -> Option<&'static str> {
        None
    }

    pub(super) fn above(_: &Metadata, (): User) -> Option<&'static str> {
        None
    }
}
