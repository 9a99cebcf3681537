//! The file of a journal: one JSON object per line, locked while a run uses it.

use std::fs::{File, TryLockError};
use std::io::{BufRead, BufReader, ErrorKind, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use dspy_core::error::clipped;
use dspy_core::files;

use super::error::JournalError;
use super::event::Event;
use super::header::Header;
use super::seal::Seal;

/// The interval of flushes to disk while lines are written, which bounds the loss in a power failure.
const SYNC_EVERY: Duration = Duration::from_secs(1);
/// The largest header in bytes; a longer first line is not that of a journal.
const LONGEST_HEADER: u64 = 16 << 20;
/// The largest line in bytes; a longer one is not of a journal, as replies are limited to 32 MiB.
const LONGEST: u64 = 512 << 20;

/// The open, locked file. The operating system releases the lock when the process ends, even if it is killed.
pub(super) struct JournalFile {
    path: PathBuf,
    file: File,
    /// The checksum of the last line.
    seal: Seal,
    synced: Instant,
    /// Whether there were writes since then.
    unsynced: bool,
    /// Whether a write has failed. The file may then end in a partial line, so all further writes are
    /// refused.
    broken: bool,
}

impl JournalFile {
    /// Opens or creates `journal.jsonl`, checks that it belongs to this run and passes each event with its
    /// line number to `each`. A file that is not a journal is not modified.
    pub(super) fn open(
        folder: &Path,
        header: &Header,
        each: impl FnMut(usize, Event),
    ) -> Result<Self, JournalError> {
        let path = folder.join("journal.jsonl");
        let io = |source| JournalError::Io { path: path.clone(), source };
        if folder.as_os_str().is_empty() {
            let empty = "the run_dir is an empty path; use `.` for the current directory";
            return Err(io(std::io::Error::new(ErrorKind::InvalidInput, empty)));
        }
        if let Some(file) = folder.ancestors().find(|path| path.is_file()) {
            return Err(JournalError::NoFolder { run_dir: folder.to_owned(), file: file.to_owned() });
        }
        let not_writable = |source| JournalError::NotWritable { run_dir: folder.to_owned(), source };
        files::create_dirs(folder).map_err(not_writable)?;
        let file = files::open_or_create(&path).map_err(|error| match error.kind() {
            ErrorKind::InvalidInput | ErrorKind::IsADirectory => {
                JournalError::Foreign { path: path.clone(), reason: error.to_string() }
            }
            ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem | ErrorKind::NotFound => {
                not_writable(error)
            }
            _ => io(error),
        })?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(JournalError::InUse { path }),
            Err(TryLockError::Error(error)) if error.kind() == ErrorKind::Unsupported => {
                tracing::warn!(path = %path.display(), "the file system does not support locks; do not start a second run in this folder");
            }
            Err(TryLockError::Error(error)) => return Err(io(error)),
        }
        let new = header.line()?;
        let recovered = Recovered::read(&path, &file, header, each)?;
        let seal = recovered.seal.unwrap_or_else(|| Seal::of_header(new.as_bytes()));
        let (synced, length) = (Instant::now(), recovered.length);
        let mut journal = JournalFile { path, file, seal, synced, unsynced: false, broken: false };
        let place = journal.file.set_len(length).and_then(|()| journal.file.seek(SeekFrom::Start(length)));
        place.map_err(|source| journal.io(source))?;
        if recovered.lines == 0 {
            journal.write(&new)?;
            journal.sync()?;
        } else if !recovered.closed {
            journal.write("\n")?;
        }
        Ok(journal)
    }

    /// Appends a JSON object as a line with its checksum. When this returns, the operating system has it, so it
    /// survives if the process is killed.
    pub(super) fn append(&mut self, object: String) -> Result<(), JournalError> {
        let (line, seal) = self.seal.line(object);
        self.write(&line)?;
        self.seal = seal;
        Ok(())
    }

    fn write(&mut self, line: &str) -> Result<(), JournalError> {
        if self.broken {
            return Err(self.io(std::io::Error::other(
                "an earlier line could not be written, so the file may end in a partial one",
            )));
        }
        if let Err(error) = self.file.write_all(line.as_bytes()) {
            self.broken = true;
            return Err(self.io(error));
        }
        self.unsynced = true;
        if self.synced.elapsed() >= SYNC_EVERY { self.sync() } else { Ok(()) }
    }

    pub(super) fn sync(&mut self) -> Result<(), JournalError> {
        self.synced = Instant::now();
        if !std::mem::take(&mut self.unsynced) {
            return Ok(());
        }
        self.file.sync_data().map_err(|source| self.io(source))
    }

    /// Returns whether the path still refers to the open file.
    pub(super) fn is_there(&self) -> bool {
        files::is_same(&self.path, &self.file).unwrap_or(true)
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    fn io(&self, source: std::io::Error) -> JournalError {
        JournalError::of_io(self.path.clone(), source)
    }
}

impl Drop for JournalFile {
    /// Releases the lock, which closing the file does not do while a process that starts has a copy of it.
    fn drop(&mut self) {
        let _ = self.file.unlock();
    }
}

/// The valid part of a file.
struct Recovered {
    lines: usize,
    /// The length of these lines in bytes.
    length: u64,
    /// Whether the last one ends with a line break.
    closed: bool,
    /// The checksum of the last one; `None` without lines.
    seal: Option<Seal>,
}

impl Recovered {
    fn read(
        path: &Path,
        file: &File,
        header: &Header,
        mut each: impl FnMut(usize, Event),
    ) -> Result<Self, JournalError> {
        let io = |source| JournalError::Io { path: path.to_owned(), source };
        let mut reader = BufReader::new(file);
        let mut recovered = Recovered { lines: 0, length: 0, closed: true, seal: None };
        let mut bytes = Vec::new();
        let longest = |lines| if lines == 0 { LONGEST_HEADER } else { LONGEST };
        while reader.by_ref().take(longest(recovered.lines)).read_until(b'\n', &mut bytes).map_err(io)? > 0 {
            let line = recovered.lines + 1;
            let is_whole = bytes.ends_with(b"\n");
            let foreign = |reason: String| JournalError::Foreign { path: path.to_owned(), reason };
            let (read, seal) = match &recovered.seal {
                None => {
                    let read = serde_json::from_slice(&bytes).map(Line::Header);
                    (read.map_err(|error| problem_of(&error)), Some(Seal::of_header(&bytes)))
                }
                Some(last) => match last.next(&bytes) {
                    Some(seal) => {
                        let read = serde_json::from_slice(&bytes).map(Line::Event);
                        (read.map_err(|error| problem_of(&error)), Some(seal))
                    }
                    None if bytes.trim_ascii().is_empty() => (Err("it is blank".to_owned()), None),
                    None => (Err(OUT_OF_PLACE.to_owned()), None),
                },
            };
            match read {
                Ok(Line::Header(value)) => {
                    if !Header::is_one(&value) {
                        return Err(foreign("its first line is not the header of one".into()));
                    }
                    if let Some((found, expected)) = Header::other_version(&value) {
                        return Err(JournalError::OtherVersion { path: path.to_owned(), found, expected });
                    }
                    let differences = header.differences(&value);
                    if !differences.is_empty() {
                        return Err(JournalError::OtherRun { path: path.to_owned(), differences });
                    }
                }
                Ok(Line::Event(event)) => each(line, event),
                Err(error) if line == 1 && (is_whole || !header.is_torn(&bytes)) => {
                    return Err(foreign(clipped(format!("its first line cannot be read: {error}"))));
                }
                // Only the last line may be incomplete: without a line break, or with null bytes after a
                // power failure.
                Err(error)
                    if (!is_whole || bytes.contains(&0)) && reader.fill_buf().map_err(io)?.is_empty() =>
                {
                    let path = path.display();
                    tracing::warn!(%path, line, %error, "dropped the last line of the journal, it is incomplete");
                    break;
                }
                Err(error) => {
                    let problem = clipped(error);
                    return Err(JournalError::Corrupt { path: path.to_owned(), line, problem });
                }
            }
            recovered.lines = line;
            recovered.length += bytes.len() as u64;
            recovered.closed = is_whole;
            recovered.seal = seal;
            bytes.clear();
        }
        Ok(recovered)
    }
}

/// The problem of a line whose checksum is not the one that is due.
const OUT_OF_PLACE: &str = "its checksum does not follow from its content and the line before it, so a part of it has \
                            changed, or lines before it were removed, repeated or reordered";

/// Returns an error of a line without the number of the line, which the parser counts from the beginning of its text.
fn problem_of(error: &serde_json::Error) -> String {
    let message = error.to_string();
    let place = format!(" at line {} column {}", error.line(), error.column());
    message.strip_suffix(&place).unwrap_or(&message).to_owned()
}

#[expect(clippy::large_enum_variant, reason = "one is made at a time")]
enum Line {
    Header(serde_json::Value),
    Event(Event),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_written_behind_a_line_that_could_not_be() {
        let folder = std::env::temp_dir().join(format!("dspy-journal-broken-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let path = folder.join("journal.jsonl");
        std::fs::write(&path, "").unwrap();
        // The file is open for reading only, so the write fails.
        let file = File::open(&path).unwrap();
        let (seal, synced) = (Seal::of_header(b"{}"), Instant::now());
        let mut journal =
            JournalFile { path: path.clone(), file, seal, synced, unsynced: false, broken: false };
        journal.append("{\"at\":1}".into()).unwrap_err();
        journal.file = File::options().append(true).open(&path).unwrap();
        journal.append("{\"at\":2}".into()).unwrap_err();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "");
        std::fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn the_lock_is_released_although_another_process_has_a_copy_of_the_file() {
        let folder = std::env::temp_dir().join(format!("dspy-journal-lock-{}", std::process::id()));
        let header = Header::new("Test", 0, serde_json::json!({}));
        let open = || JournalFile::open(&folder, &header, |_, _| {});
        let journal = open().unwrap();
        assert!(matches!(open(), Err(JournalError::InUse { .. })));
        // A process that starts has such a copy until it runs its program.
        let copy = journal.file.try_clone().unwrap();
        drop(journal);
        assert!(open().is_ok());
        drop(copy);
        std::fs::remove_dir_all(folder).unwrap();
    }
}
