//! The state of a fine-tuning run on disk.

use std::io::{ErrorKind, Write as _};
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::error::FineTuneError;
use super::job::Job;
use crate::error::clipped;
use crate::files::{self, Draft};

/// The state needed to resume a run. It holds ids, no keys and no training data.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct RunState {
    pub(super) version: u32,
    /// A digest of everything that the result depends on.
    pub(super) key: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) training_file: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) validation_file: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) job: Option<String>,
    /// The job, once it has succeeded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) done: Option<Job>,
    /// Whether a request to create the job may have been sent whose outcome is unknown.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(super) creating: bool,
}

const VERSION: u32 = 1;

impl RunState {
    /// Reads the state from the file, or creates a new one if there is no file.
    pub(super) fn open(path: &Path, key: &str) -> Result<Self, FineTuneError> {
        let Some(state) = Self::existing(path)? else {
            let state = RunState {
                version: VERSION,
                key: key.to_owned(),
                training_file: None,
                validation_file: None,
                job: None,
                done: None,
                creating: false,
            };
            // Checks that the state can be written, before anything is sent.
            state.save(path)?;
            return Ok(state);
        };
        if state.key != key {
            let message = "it belongs to a fine-tuning with other rows, settings or endpoint; choose another path, or \
                           delete the file to start again";
            return Err(FineTuneError::State { path: path.into(), message: message.into() });
        }
        Ok(state)
    }

    /// Reads the state from the file.
    pub(super) fn read(path: &Path) -> Result<Self, FineTuneError> {
        let none = || FineTuneError::State { path: path.into(), message: "there is no such file".into() };
        Self::existing(path)?.ok_or_else(none)
    }

    fn existing(path: &Path) -> Result<Option<Self>, FineTuneError> {
        let wrong = |message: String| FineTuneError::State { path: path.into(), message };
        let text = match files::read_text(path) {
            Ok(text) => text,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(wrong(error.to_string())),
        };
        let state: RunState = serde_json::from_str(&text)
            .map_err(|error| wrong(clipped(format!("not the state of a fine-tuning: {error}"))))?;
        if state.version != VERSION {
            return Err(wrong(format!("written by another version of the library ({})", state.version)));
        }
        Ok(Some(state))
    }

    /// Writes the state. A crash leaves the old file or the new one, never a partial file.
    pub(super) fn save(&self, path: &Path) -> Result<(), FineTuneError> {
        let write = || -> std::io::Result<()> {
            let mut draft = Draft::new(path)?;
            draft.write_all(serde_json::to_string_pretty(self)?.as_bytes())?;
            draft.commit_durably()
        };
        write().map_err(|error| FineTuneError::State { path: path.into(), message: error.to_string() })
    }
}
