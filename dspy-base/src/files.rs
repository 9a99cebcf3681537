//! Files that hold content: only regular ones are opened, each is written whole or not at all, and only its owner may
//! read it.
//!
//! Everything in the library that reads or writes a file of a user's goes through here.

use std::fs::{self, DirBuilder, File, Metadata, OpenOptions};
use std::hash::{BuildHasher as _, RandomState};
use std::io::{self, ErrorKind, Read as _, Write};
use std::path::{Path, PathBuf};
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU64, Ordering};

/// The largest file that is read into memory as a whole.
pub const LARGEST: u64 = 256 << 20;

/// The end of the name of a file that is not finished.
const UNFINISHED: &str = ".tmp";
/// The start of that name.
const PREFIX: &str = ".dspy-";
/// How many names are tried for one.
const TRIES: usize = 16;

/// Opens a file for reading.
///
/// # Errors
/// What the system reports, and anything that is not a regular file: a pipe or a device may block or never end.
pub fn open(path: &Path) -> io::Result<File> {
    // Opening a pipe may block already, so that is looked at before; what was opened is what counts.
    only_regular(&fs::metadata(path)?)?;
    let file = File::open(path)?;
    only_regular(&file.metadata()?)?;
    Ok(file)
}

/// Reads a file of at most `limit` bytes.
///
/// # Errors
/// As [`open`], and a file that is larger.
pub fn read(path: &Path, limit: u64) -> io::Result<Vec<u8>> {
    let file = open(path)?;
    let length = file.metadata()?.len();
    let too_large =
        || io::Error::new(ErrorKind::FileTooLarge, format!("the file is larger than {limit} bytes"));
    if length > limit {
        return Err(too_large());
    }
    // The length is a hint only: files of the kernel claim to be empty.
    let mut bytes = Vec::with_capacity(usize::try_from(length).unwrap_or_default().saturating_add(1));
    file.take(limit.saturating_add(1)).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > limit { Err(too_large()) } else { Ok(bytes) }
}

/// Reads a text file of at most [`LARGEST`] bytes, without the byte order mark that some editors put first.
///
/// # Errors
/// As [`read`], and bytes that are not UTF-8.
pub fn read_text(path: &Path) -> io::Result<String> {
    let mut text = String::from_utf8(read(path, LARGEST)?)
        .map_err(|_| io::Error::new(ErrorKind::InvalidData, "the file is not UTF-8"))?;
    if text.starts_with('\u{feff}') {
        text.drain(..'\u{feff}'.len_utf8());
    }
    Ok(text)
}

/// Writes a file: afterwards the old one is there or the new one, never a part.
///
/// # Errors
/// As [`Draft::new`] and [`Draft::commit`].
pub fn write(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut draft = Draft::new(path)?;
    draft.write_all(bytes)?;
    draft.commit()
}

/// Opens a file for reading and writing, and creates it if there is none. Only its owner may read what is created.
///
/// # Errors
/// What the system reports, and anything that is not a regular file, links to one included: whoever can place a link
/// must not choose what is written to.
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

/// Whether `path` still leads to this open file.
///
/// # Errors
/// What the system reports about the open file.
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

/// Creates a directory and those above it that are missing. Only their owner may enter them.
///
/// # Errors
/// What the system reports.
pub fn create_dirs(path: &Path) -> io::Result<()> {
    if path.as_os_str().is_empty() {
        return Ok(());
    }
    let mut builder = DirBuilder::new();
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.recursive(true).create(path)
}

/// Whether a file of this name was left by somebody who was interrupted while writing.
pub fn is_unfinished(name: &str) -> bool {
    let stem = name.strip_suffix(UNFINISHED).map(|stem| stem.strip_prefix(PREFIX).unwrap_or(stem));
    stem.and_then(|stem| stem.split_once('-')).is_some_and(|(nonce, number)| {
        nonce.len() == 16 && u64::from_str_radix(nonce, 16).is_ok() && number.parse::<u64>().is_ok()
    })
}

/// A file that is being written beside the one that it will replace. Unless it is [committed](Self::commit), nothing
/// is left of it.
#[derive(Debug)]
pub struct Draft {
    target: PathBuf,
    unfinished: PathBuf,
    file: File,
    committed: bool,
}

impl Draft {
    /// Begins to write the file at `target`; directories that are missing are created. The new file has the
    /// permissions of the one that it replaces; where there is none, only its owner may read it.
    ///
    /// # Errors
    /// What the system reports, and anything at `target` that is not a regular file.
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

    /// Puts what was written in the place of the target.
    ///
    /// # Errors
    /// What the system reports. The target is then unchanged.
    pub fn commit(mut self) -> io::Result<()> {
        fs::rename(&self.unfinished, &self.target)?;
        self.committed = true;
        Ok(())
    }

    /// As [`commit`](Self::commit), for what has to survive a power cut.
    ///
    /// # Errors
    /// As [`commit`](Self::commit).
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

/// The permissions of the regular file at `target`, if there is one. A link is replaced itself and never followed.
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
    // A link to a device, such as `/dev/stdout`, is not to be replaced by a file.
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
                // With the directory there, a second time says something else.
                tries = TRIES;
            }
            Err(error) => return Err(error),
        }
    }
}

/// To create a file that only its owner may read, and that is not there yet: no link is followed.
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
