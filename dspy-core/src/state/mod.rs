//! Saved programs: what optimizers have found, by predictor path and field name.

mod format;
mod python;

use std::io::ErrorKind;
use std::path::Path;

pub use crate::error::StateError;
use crate::files;
use dspy_base::error::clipped;
pub use format::{FieldState, PredictorState, ProgramState};

impl ProgramState {
    /// Reads our format or the JSON that Python DSPy saves. A byte order mark before it is passed over.
    ///
    /// # Errors
    /// If the text is neither.
    pub fn from_json(text: &str) -> Result<Self, StateError> {
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        let value: serde_json::Value =
            serde_json::from_str(text).map_err(|error| StateError::Format(error.to_string()))?;
        let read = if value.get("format").is_some() { format::read(value) } else { python::read(value) };
        read.map_err(|error| match error {
            StateError::Format(message) => StateError::Format(clipped(message)),
            other => other,
        })
    }

    /// Writes our format.
    pub fn to_json(&self) -> String {
        format::write(self)
    }

    /// Writes the JSON that Python DSPy's `load` reads. Field names and types are lost on the way: that format
    /// stores fields by position.
    pub fn to_python_json(&self) -> String {
        python::write(self)
    }

    /// Reads a file of either format.
    ///
    /// # Errors
    /// If the file cannot be read or is no saved program.
    pub fn read(path: impl AsRef<Path>) -> Result<Self, StateError> {
        let path = path.as_ref();
        let text = files::read_text(path).map_err(|source| StateError::Io { path: path.into(), source })?;
        Self::from_json(&text).map_err(|error| match error {
            StateError::Format(message) => StateError::Format(format!("{}: {message}", path.display())),
            other => other,
        })
    }

    /// Writes a file in our format. A crash leaves the old file or the new one, never a part, and so do any number of
    /// writers at once. On Unix, a new file can be read by its owner alone, because demonstrations hold data; one that is
    /// replaced keeps its permissions.
    ///
    /// # Errors
    /// If the file cannot be written, or there is one already that is not a saved program: it is left alone.
    pub fn write(&self, path: impl AsRef<Path>) -> Result<(), StateError> {
        write_whole(path.as_ref(), &self.to_json())
    }

    /// Writes a file for Python DSPy; see [`to_python_json`](Self::to_python_json).
    ///
    /// # Errors
    /// As [`write`](Self::write).
    pub fn write_python(&self, path: impl AsRef<Path>) -> Result<(), StateError> {
        write_whole(path.as_ref(), &self.to_python_json())
    }
}

/// Replaces a saved program, and nothing else.
fn write_whole(path: &Path, text: &str) -> Result<(), StateError> {
    let io = |source| StateError::Io { path: path.into(), source };
    match files::read_text(path) {
        Ok(old) if old.trim().is_empty() => {}
        // An older version of either format is one of ours, too.
        Ok(old) => {
            format::recognise(&old).map_err(|reason| StateError::Foreign { path: path.into(), reason })?;
        }
        Err(error) if error.kind() == ErrorKind::NotFound => {}
        Err(error) if error.kind() == ErrorKind::InvalidData => {
            return Err(StateError::Foreign { path: path.into(), reason: error.to_string() });
        }
        Err(error) => return Err(io(error)),
    }
    files::write(path, text.as_bytes()).map_err(io)
}
