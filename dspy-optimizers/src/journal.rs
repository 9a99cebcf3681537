//! The journal: what a run has paid for, line by line, so that a killed run goes on where it was.
//!
//! An optimizer is deterministic given its seed and the results of its paid effects: model calls, and rollouts of a
//! program on an example. Every such effect has a stable key and is written down before it counts. A run that starts
//! on an existing journal goes through the same steps again and finds the results of those it has paid for.

use std::collections::HashMap;
use std::fs::{File, OpenOptions};
use std::io::{Read as _, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use dspy_core::lm::{Response, Usage};
use dspy_core::program::TraceStep;
use serde::{Deserialize, Serialize};

use crate::OptimizeError;

/// What identifies a run: a journal of another one is refused.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Header {
    pub(crate) format: u32,
    pub(crate) optimizer: String,
    pub(crate) options: String,
    pub(crate) data: String,
    pub(crate) program: String,
    pub(crate) seed: u64,
}

impl Header {
    fn difference(&self, other: &Header) -> Option<String> {
        let differences = [
            ("format", self.format != other.format),
            ("optimizer", self.optimizer != other.optimizer),
            ("options", self.options != other.options),
            ("data", self.data != other.data),
            ("program", self.program != other.program),
            ("seed", self.seed != other.seed),
        ];
        let names: Vec<_> =
            differences.iter().filter(|(_, differs)| *differs).map(|(name, _)| *name).collect();
        (!names.is_empty()).then(|| format!("it differs in: {}", names.join(", ")))
    }
}

/// The result of running a program on an example.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub(crate) struct Rollout {
    /// The score; absent if the metric failed.
    pub(crate) score: Option<f64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) feedback: Option<String>,
    /// What failed, the program or the metric.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) error: Option<String>,
    /// What the program did, where that is wanted.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) steps: Vec<TraceStep>,
}

/// The key of a model call: where in the run, which request, the how-manieth of its kind there.
pub(crate) type CallKey = (String, String, u32);

#[derive(Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
enum Event {
    Run(Header),
    Call { scope: String, request: String, nth: u32, response: Response },
    Rollout { scope: String, rollout: Rollout },
}

#[derive(Debug, Default)]
struct Entries {
    calls: HashMap<CallKey, Response>,
    rollouts: HashMap<String, Rollout>,
    paid: Usage,
}

/// What has been paid for, in memory and perhaps in a file.
#[derive(Debug)]
pub(crate) struct Journal {
    entries: Mutex<Entries>,
    file: Option<(PathBuf, Mutex<File>)>,
}

impl Journal {
    /// A journal of this run: in `folder`, where an earlier attempt may have left one, or in memory only.
    pub(crate) fn open(folder: Option<&Path>, header: &Header) -> Result<Self, OptimizeError> {
        let Some(folder) = folder else {
            return Ok(Journal { entries: Mutex::default(), file: None });
        };
        let path = folder.join("journal.jsonl");
        let io = |source| OptimizeError::Io { path: path.clone(), source };
        std::fs::create_dir_all(folder).map_err(io)?;
        let mut file =
            OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&path).map_err(io)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(std::fs::TryLockError::WouldBlock) => return Err(OptimizeError::Locked(folder.into())),
            Err(std::fs::TryLockError::Error(source)) => return Err(io(source)),
        }
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes).map_err(io)?;
        let (entries, whole) = replay(&path, &bytes, header)?;
        if whole < bytes.len() {
            tracing::warn!(path = %path.display(), "dropped an unfinished line at the end of the journal");
            file.set_len(whole as u64).map_err(io)?;
        }
        file.seek(SeekFrom::Start(whole as u64)).map_err(io)?;
        let journal = Journal { entries: Mutex::new(entries), file: Some((path, Mutex::new(file))) };
        if whole == 0 {
            journal.append(&Event::Run(header.clone()))?;
        }
        Ok(journal)
    }

    /// Whether a later run could go on from here.
    pub(crate) fn is_durable(&self) -> bool {
        self.file.is_some()
    }

    /// What the calls in the journal have cost.
    pub(crate) fn paid(&self) -> Usage {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner).paid
    }

    pub(crate) fn call(&self, key: &CallKey) -> Option<Response> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner).calls.get(key).cloned()
    }

    /// Notes the answer to a call, before anybody sees it.
    pub(crate) fn add_call(&self, key: CallKey, response: &Response) -> Result<(), OptimizeError> {
        let (scope, request, nth) = key;
        // Without a file nobody will ask again, and answers are not worth their memory.
        if self.is_durable() {
            self.append(&Event::Call { scope, request, nth, response: response.clone() })?;
        }
        Ok(())
    }

    pub(crate) fn rollout(&self, scope: &str) -> Option<Rollout> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner).rollouts.get(scope).cloned()
    }

    /// Notes the result of a rollout, before it counts.
    pub(crate) fn add_rollout(&self, scope: &str, rollout: &Rollout) -> Result<(), OptimizeError> {
        if self.is_durable() {
            self.append(&Event::Rollout { scope: scope.to_owned(), rollout: rollout.clone() })?;
        }
        Ok(())
    }

    fn append(&self, event: &Event) -> Result<(), OptimizeError> {
        let Some((path, file)) = &self.file else { return Ok(()) };
        let io = |source| OptimizeError::Io { path: path.clone(), source };
        let mut line = serde_json::to_vec(event).map_err(|error| io(error.into()))?;
        line.push(b'\n');
        // One write for the whole line: a kill leaves it whole, missing, or cut at its end.
        file.lock().unwrap_or_else(PoisonError::into_inner).write_all(&line).map_err(io)
    }
}

/// Reads the whole lines of a journal. Returns how many bytes they take.
fn replay(path: &Path, bytes: &[u8], header: &Header) -> Result<(Entries, usize), OptimizeError> {
    let mut entries = Entries::default();
    let mut whole = 0;
    let lines: Vec<&[u8]> = bytes.split_inclusive(|byte| *byte == b'\n').collect();
    for (index, line) in lines.iter().enumerate() {
        let event = match serde_json::from_slice::<Event>(line) {
            Ok(event) if line.ends_with(b"\n") => event,
            _ if index + 1 == lines.len() => break,
            Ok(_) => break,
            Err(error) => {
                let (path, message) = (path.into(), error.to_string());
                return Err(OptimizeError::Corrupt { path, line: index + 1, message });
            }
        };
        match event {
            Event::Run(found) => {
                if let Some(difference) = found.difference(header) {
                    return Err(OptimizeError::OtherRun { path: path.into(), difference });
                }
            }
            Event::Call { scope, request, nth, mut response } => {
                let mut usage = response.usage;
                usage.requests = usage.requests.max(1);
                entries.paid += usage;
                response.cached = true;
                entries.calls.insert((scope, request, nth), response);
            }
            Event::Rollout { scope, rollout } => drop(entries.rollouts.insert(scope, rollout)),
        }
        whole += line.len();
    }
    Ok((entries, whole))
}
