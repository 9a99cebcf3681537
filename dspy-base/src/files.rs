//! File access: only regular files are opened, a file is written completely or not at all, and only its owner
//! may read it.
//!
//! Everything in the library that reads or writes a user's file uses this module.

use std::fs::{self, DirBuilder, File, Metadata, OpenOptions};
use std::hash::{BuildHasher as _, RandomState};
use std::io::{self, ErrorKind, Read as _, Write};
use std::path::{Path, PathBuf};
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU64, Ordering};

/// The largest file, in bytes, that is read into memory as a whole.
pub const LARGEST: u64 = 256 << 20;

/// Suffix of the name of an unfinished file.
const UNFINISHED: &str = ".tmp";
/// Prefix of the name of an unfinished file.
const PREFIX: &str = ".dspy-";
/// Number of names that are tried for an unfinished file.
const TRIES: usize = 16;

/// Opens a file for reading.
///
/// # Errors
/// The system's errors, and an error for anything but a regular file: a pipe or a device may block or never
/// end.
pub fn open(path: &Path) -> io::Result<File> {
    // Opening a pipe may block, so the type is checked before; the check of the open file is the decisive
    // one.
    only_regular(&fs::metadata(path)?)?;
    let file = File::open(path)?;
    only_regular(&file.metadata()?)?;
    Ok(file)
}

/// Reads a file of at most `limit` bytes.
///
/// # Errors
/// The errors of [`open`], and an error for a file that is larger.
pub fn read(path: &Path, limit: u64) -> io::Result<Vec<u8>> {
    let file = open(path)?;
    let length = file.metadata()?.len();
    let too_large =
        || io::Error::new(ErrorKind::FileTooLarge, format!("the file is larger than {limit} bytes"));
    if length > limit {
        return Err(too_large());
    }
    // The length is only a hint: virtual files of the kernel report a length of 0.
    let mut bytes = Vec::with_capacity(usize::try_from(length).unwrap_or_default().saturating_add(1));
    file.take(limit.saturating_add(1)).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > limit { Err(too_large()) } else { Ok(bytes) }
}

/// Reads a UTF-8 file of at most [`LARGEST`] bytes. A leading byte order mark, which some editors add, is
/// removed.
///
/// # Errors
/// The errors of [`read`], and an error for bytes that are not UTF-8.
pub fn read_text(path: &Path) -> io::Result<String> {
    let mut text = String::from_utf8(read(path, LARGEST)?)
        .map_err(|_| io::Error::new(ErrorKind::InvalidData, "the file is not UTF-8"))?;
    if text.starts_with('\u{feff}') {
        text.drain(..'\u{feff}'.len_utf8());
    }
    Ok(text)
}

/// Writes a file atomically: afterwards the path holds the old file or the new one, never a part.
///
/// # Errors
/// The errors of [`Draft::new`] and [`Draft::commit`].
pub fn write(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut draft = Draft::new(path)?;
    draft.write_all(bytes)?;
    draft.commit()
}

/// Opens a file for reading and writing, and creates it if it is absent. Only its owner may read a created
/// file.
///
/// # Errors
/// The system's errors, and an error for anything but a regular file, including a link to one: another user
/// who can place a link must not decide which file is written.
pub fn open_or_create(path: &Path) -> io::Result<File> {
    match private().read(true).open(path) {
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
        created => return created,
    }
    let found = fs::symlink_metadata(path)?;
    if found.is_symlink() {
        return Err(refused("it is a symbolic link"));
    }
    only_regular(&found)?;
    let file = OpenOptions::new().read(true).write(true).open(path)?;
    only_regular(&file.metadata()?)?;
    if is_same(path, &file)? { Ok(file) } else { Err(refused("it was replaced while it was opened")) }
}

/// Returns whether `path` still leads to this open file.
///
/// # Errors
/// The system's errors for the open file.
pub fn is_same(path: &Path, file: &File) -> io::Result<bool> {
    let opened = file.metadata()?;
    let Ok(found) = fs::symlink_metadata(path) else { return Ok(false) };
    #[cfg(unix)]
    {
        use std::os::unix::fs::MetadataExt as _;
        Ok((found.dev(), found.ino()) == (opened.dev(), opened.ino()))
    }
    #[cfg(not(unix))]
    Ok(found.is_file() == opened.is_file())
}

/// Creates a directory and its missing parents. Only their owner may enter them.
///
/// # Errors
/// The system's errors.
pub fn create_dirs(path: &Path) -> io::Result<()> {
    if path.as_os_str().is_empty() {
        return Ok(());
    }
    let mut builder = DirBuilder::new();
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.recursive(true).create(path)
}

/// Returns whether a file of this name was left by a process that was interrupted while writing.
pub fn is_unfinished(name: &str) -> bool {
    let stem = name.strip_suffix(UNFINISHED).map(|stem| stem.strip_prefix(PREFIX).unwrap_or(stem));
    stem.and_then(|stem| stem.split_once('-')).is_some_and(|(nonce, number)| {
        nonce.len() == 16 && u64::from_str_radix(nonce, 16).is_ok() && number.parse::<u64>().is_ok()
    })
}

/// A file that is being written beside the one that it will replace. Unless it is [committed](Self::commit),
/// it is removed.
#[derive(Debug)]
pub struct Draft {
    target: PathBuf,
    unfinished: PathBuf,
    file: File,
    committed: bool,
}

impl Draft {
    /// Creates a draft of the file at `target`, and missing directories. The new file has the permissions of
    /// the one that it replaces; if there is none, only its owner may read it.
    ///
    /// # Errors
    /// The system's errors, and an error for anything at `target` that is not a regular file.
    pub fn new(target: &Path) -> io::Result<Self> {
        if target.file_name().is_none() {
            return Err(io::Error::new(ErrorKind::InvalidInput, "the path names no file"));
        }
        let permissions = replaced(target)?;
        let (unfinished, file) = create_unfinished(target)?;
        let draft = Draft { target: target.to_owned(), unfinished, file, committed: false };
        if let Some(permissions) = permissions {
            draft.file.set_permissions(permissions)?;
        }
        Ok(draft)
    }

    /// Replaces the target by the draft.
    ///
    /// # Errors
    /// The system's errors. The target is then unchanged.
    pub fn commit(mut self) -> io::Result<()> {
        fs::rename(&self.unfinished, &self.target)?;
        self.committed = true;
        Ok(())
    }

    /// Commits like [`commit`](Self::commit), so that the file also survives a power failure.
    ///
    /// # Errors
    /// The errors of [`commit`](Self::commit).
    pub fn commit_durably(self) -> io::Result<()> {
        self.file.sync_all()?;
        self.commit()
    }
}

impl Write for Draft {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.file.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

impl Drop for Draft {
    fn drop(&mut self) {
        if !self.committed {
            let _ = fs::remove_file(&self.unfinished);
        }
    }
}

/// Returns the permissions of the regular file at `target`, if there is one. A link is itself replaced and
/// never followed.
fn replaced(target: &Path) -> io::Result<Option<fs::Permissions>> {
    let found = match fs::symlink_metadata(target) {
        Ok(found) => found,
        Err(error) if matches!(error.kind(), ErrorKind::NotFound) => return Ok(None),
        Err(error) => return Err(error),
    };
    if !found.is_symlink() {
        only_regular(&found)?;
        return Ok(Some(found.permissions()));
    }
    // A link to a device, such as `/dev/stdout`, must not be replaced by a file.
    if let Ok(led_to) = fs::metadata(target) {
        only_regular(&led_to)?;
    }
    Ok(None)
}

fn create_unfinished(target: &Path) -> io::Result<(PathBuf, File)> {
    static NONCE: LazyLock<u64> = LazyLock::new(|| RandomState::new().hash_one(std::process::id()));
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let mut tries = 0;
    loop {
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let unfinished = target.with_file_name(format!("{PREFIX}{:016x}-{number}{UNFINISHED}", *NONCE));
        tries += 1;
        match private().open(&unfinished) {
            Ok(file) => return Ok((unfinished, file)),
            Err(error) if error.kind() == ErrorKind::AlreadyExists && tries < TRIES => {}
            Err(error) if error.kind() == ErrorKind::NotFound && tries < TRIES => {
                create_dirs(target.parent().unwrap_or(Path::new("")))?;
                // Now that the directory exists, a second attempt has another result.
                tries = TRIES;
            }
            Err(error) => return Err(error),
        }
    }
}

/// Returns options that create a file that only its owner may read. The file must not exist yet: links are
/// not followed.
fn private() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options
}

fn only_regular(found: &Metadata) -> io::Result<()> {
    if found.is_file() {
        Ok(())
    } else if found.is_dir() {
        Err(io::Error::new(ErrorKind::IsADirectory, "it is a directory, not a file"))
    } else {
        Err(refused("it is not a regular file"))
    }
}

fn refused(why: &str) -> io::Error {
    io::Error::new(ErrorKind::InvalidInput, why)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unfinished_files_are_known_by_their_names() {
        let (unfinished, file) = create_unfinished(&std::env::temp_dir().join("x")).unwrap();
        drop(file);
        fs::remove_file(&unfinished).unwrap();
        let name = unfinished.file_name().unwrap().to_str().unwrap();
        for (name, known) in
            [(name, true), ("0123456789abcdef-7.tmp", true), ("notes.tmp", false), (".dspy-1-2.tmp", false)]
        {
            assert_eq!(is_unfinished(name), known, "{name}");
        }
    }

    #[test]
    fn a_path_that_names_no_file_is_refused() {
        for path in ["", "/", "..", "a/.."] {
            assert_eq!(Draft::new(Path::new(path)).unwrap_err().kind(), ErrorKind::InvalidInput, "{path}");
        }
    }
}
