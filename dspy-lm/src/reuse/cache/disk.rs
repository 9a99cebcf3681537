//! A directory of answers: one file each, shared by any number of processes.
//!
//! A file is written under a temporary name and then renamed, so that no process reads half of it; files
//! damaged by a crash are detected by their digest. There are no locks: two processes that write the same
//! answer both write a complete file.

use std::fs::{self, File};
use std::io::{self, Read as _};
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use super::file;
use super::key::Key;
use super::stats::Counters;
use crate::Response;
use dspy_base::files;

/// The size limit of a file; longer files are ignored.
const LONGEST: u64 = 64 << 20;
/// The age after which an unfinished file is taken to be left by a crash.
const ABANDONED: Duration = Duration::from_hours(1);
const SUFFIX: &str = ".json";

pub(super) struct Disk {
    dir: PathBuf,
    limit: u64,
    ttl: Option<Duration>,
    counters: Arc<Counters>,
    /// The estimated size of the directory: the last count and the bytes written since.
    estimate: AtomicU64,
    sweeping: AtomicBool,
    /// Cleared permanently at the first sign that the directory is not writable.
    writable: AtomicBool,
}

/// An answer read from the directory.
pub(super) struct Found {
    pub(super) response: Response,
    pub(super) at: u64,
    /// The length of the file in bytes.
    pub(super) size: usize,
}

impl Disk {
    pub(super) fn new(
        dir: PathBuf,
        limit: u64,
        ttl: Option<Duration>,
        writable: bool,
        counters: Arc<Counters>,
    ) -> Self {
        Disk {
            dir,
            limit,
            ttl,
            counters,
            // Unknown, so that the first write triggers a count of the directory.
            estimate: AtomicU64::new(u64::MAX / 2),
            sweeping: AtomicBool::new(false),
            writable: AtomicBool::new(writable),
        }
    }

    pub(super) fn dir(&self) -> &Path {
        &self.dir
    }

    pub(super) fn is_writable(&self) -> bool {
        self.writable.load(Ordering::Relaxed)
    }

    fn path(&self, key: &Key) -> PathBuf {
        let name = key.to_string();
        let mut path = self.dir.join(&name[..2]);
        path.push(name + SUFFIX);
        path
    }

    /// Reads the answer for `key` if its date is in the range `good`. Only regular files are read; links are
    /// not followed.
    pub(super) fn read(&self, key: &Key, good: &RangeInclusive<u64>) -> Option<Found> {
        let path = self.path(key);
        let is_ours = fs::symlink_metadata(&path).ok()?.is_file();
        let mut file = is_ours.then(|| files::open(&path).ok()).flatten()?;
        let found = Self::read_file(&mut file, *key);
        if found.is_none() {
            self.counters.corrupt.add(1);
        }
        let found = found.filter(|found| good.contains(&found.at))?;
        if self.is_writable() {
            // The time of the last use, by which answers are evicted. A failure to set it does no harm.
            let _ = file.set_modified(SystemTime::now());
        }
        Some(found)
    }

    fn read_file(file: &mut File, key: Key) -> Option<Found> {
        let length = file.metadata().ok()?.len();
        if length > LONGEST {
            return None;
        }
        let mut bytes = Vec::with_capacity(length as usize + 1);
        file.take(LONGEST).read_to_end(&mut bytes).ok()?;
        let (response, at) = file::read(&bytes, key)?;
        Some(Found { response, at, size: bytes.len() })
    }

    /// Writes an answer. Returns whether the directory should be [swept](Self::sweep).
    pub(super) fn write(&self, key: &Key, bytes: &[u8]) -> bool {
        if !self.is_writable() || bytes.len() as u64 > LONGEST.min(self.limit) {
            return false;
        }
        if let Err(error) = files::write(&self.path(key), bytes) {
            if self.counters.write_errors.add(1) == 0 {
                tracing::warn!(dir = %self.dir.display(), %error, "answers cannot be written to the cache");
            }
            if matches!(error.kind(), io::ErrorKind::ReadOnlyFilesystem | io::ErrorKind::PermissionDenied) {
                self.writable.store(false, Ordering::Relaxed);
            }
            return false;
        }
        let added = bytes.len() as u64;
        self.estimate.fetch_add(added, Ordering::Relaxed) + added > self.limit
    }

    /// Makes room if the directory is too large. The least recently used answers are removed, and some more
    /// than necessary, so that sweeps are rare. Does nothing while another sweep is running.
    pub(super) fn sweep(&self) {
        if self.sweeping.swap(true, Ordering::Acquire) {
            return;
        }
        let mut files = Vec::new();
        let now = SystemTime::now();
        let age = |used: SystemTime| now.duration_since(used).unwrap_or_default();
        let mut total = 0;
        self.for_each(|file| match file.key {
            None if age(file.used) > ABANDONED => drop(fs::remove_file(&file.path)),
            None => {}
            Some(_) if self.ttl.is_some_and(|ttl| age(file.used) > ttl) => drop(fs::remove_file(&file.path)),
            Some(key) => {
                total += file.size;
                files.push((file.used, file.size, key));
            }
        });
        if total > self.limit {
            files.sort_unstable_by_key(|(used, ..)| *used);
            for (_, size, key) in files {
                if total <= self.limit - self.limit / 10 {
                    break;
                }
                // Another process may have removed the file already.
                if fs::remove_file(self.path(&key)).is_ok() {
                    self.counters.disk_evicted.add(1);
                }
                total -= size;
            }
        }
        self.estimate.store(total, Ordering::Relaxed);
        self.sweeping.store(false, Ordering::Release);
    }

    pub(super) fn remove(&self, key: &Key) -> io::Result<bool> {
        match fs::remove_file(self.path(key)) {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Removes all answers and no other files.
    pub(super) fn clear(&self) -> io::Result<()> {
        let mut result = Ok(());
        self.for_each(|file| match fs::remove_file(&file.path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => result = Err(error),
            _ => {}
        });
        self.estimate.store(0, Ordering::Relaxed);
        result
    }

    /// Calls `look` for each file of the cache.
    fn for_each(&self, mut look: impl FnMut(OurFile)) {
        for shard in 0..=u8::MAX {
            let shard = format!("{shard:02x}");
            let Ok(entries) = fs::read_dir(self.dir.join(&shard)) else { continue };
            for entry in entries.flatten() {
                let name = entry.file_name();
                let key = name.to_str().and_then(|name| Key::parse(name.strip_suffix(SUFFIX)?));
                let ours = match key {
                    Some(key) => key.to_string().starts_with(&shard),
                    None => name.to_str().is_some_and(files::is_unfinished),
                };
                // Files removed in the meantime are skipped.
                if ours
                    && let Ok(meta) = entry.metadata()
                    && meta.is_file()
                {
                    let used = meta.modified().unwrap_or(SystemTime::UNIX_EPOCH);
                    look(OurFile { path: entry.path(), key, used, size: meta.len() });
                }
            }
        }
    }
}

struct OurFile {
    path: PathBuf,
    /// The key; `None` for an unfinished file.
    key: Option<Key>,
    used: SystemTime,
    size: u64,
}
