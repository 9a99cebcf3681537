//! How far a fine-tuning is, on disk.

use std::fs;
use std::io::Write as _;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::error::FineTuneError;

/// What has to be known to go on. It holds ids, no keys and no data.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct RunState {
    pub(super) version: u32,
    /// A digest of all that the result depends on.
    pub(super) key: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) training_file: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) validation_file: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) job: Option<String>,
}

const VERSION: u32 = 1;

impl RunState {
    /// The state in the file, or a new one if there is no file.
    pub(super) fn open(path: &Path, key: &str) -> Result<Self, FineTuneError> {
        let wrong = |message: String| FineTuneError::State { path: path.into(), message };
        let text = match fs::read_to_string(path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                let state = RunState {
                    version: VERSION,
                    key: key.to_owned(),
                    training_file: None,
                    validation_file: None,
                    job: None,
                };
                // Before anything is sent it must be known that what comes of it can be written down.
                state.save(path)?;
                return Ok(state);
            }
            Err(error) => return Err(wrong(error.to_string())),
        };
        let state: RunState = serde_json::from_str(&text)
            .map_err(|error| wrong(format!("not the state of a fine-tuning: {error}")))?;
        if state.version != VERSION {
            return Err(wrong(format!("written by another version of the library ({})", state.version)));
        }
        if state.key != key {
            let message = "it belongs to a fine-tuning with other rows, settings or endpoint; choose another path, or \
                           delete the file to start anew";
            return Err(wrong(message.into()));
        }
        Ok(state)
    }

    /// Writes the state. A crash leaves the old file or the new one, never a part.
    pub(super) fn save(&self, path: &Path) -> Result<(), FineTuneError> {
        let write = || -> std::io::Result<()> {
            if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
                fs::create_dir_all(folder)?;
            }
            let mut name = path.file_name().unwrap_or_default().to_owned();
            name.push(format!(".{}.tmp", std::process::id()));
            let temporary = path.with_file_name(name);
            let mut file = fs::File::create(&temporary)?;
            file.write_all(serde_json::to_string_pretty(self)?.as_bytes())?;
            file.sync_all()?;
            fs::rename(&temporary, path)
        };
        write().map_err(|error| FineTuneError::State { path: path.into(), message: error.to_string() })
    }
}
