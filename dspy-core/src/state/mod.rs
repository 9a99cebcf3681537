//! Saved programs: the results of optimizers, by predictor path and field name.

mod format;
mod python;

use std::io::ErrorKind;
use std::path::Path;

pub use crate::error::StateError;
use crate::files;
use dspy_base::error::clipped;
pub(crate) use format::FORMAT;
pub use format::{FieldState, PredictorState, ProgramState};
pub use python::PythonNotice;

impl ProgramState {
    /// Parses the library's own format or the JSON that Python DSPy saves. A leading byte order mark is
    /// ignored.
    ///
    /// # Errors
    /// If the text is in neither format.
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

    /// Serializes to the library's own format.
    pub fn to_json(&self) -> String {
        format::write(self)
    }

    /// Serializes to the JSON that Python DSPy's `load` reads. Field names and types are lost, because that
    /// format stores fields by position. It has no place for the descriptions of choices and tools, so those that
    /// were changed are added to the descriptions of their fields. [`python_notices`](Self::python_notices) lists
    /// everything that it cannot contain.
    pub fn to_python_json(&self) -> String {
        python::write(self)
    }

    /// Returns the parts of the state that a file for Python DSPy cannot contain: bound models, and the selection of
    /// demonstrations for each call.
    ///
    /// ```
    /// use dspy_core::lm::Lm;
    /// use dspy_core::predict::DynPredict;
    /// use dspy_core::program::HasPredictors;
    /// use dspy_core::state::ProgramState;
    ///
    /// let mut program = DynPredict::new("question -> answer".parse()?);
    /// program.set_lm(Lm::builtin());
    /// for notice in ProgramState::of(&program).python_notices() {
    ///     println!("{notice}"); // `self` is bound to the model …
    /// }
    /// # assert_eq!(ProgramState::of(&program).python_notices().len(), 1);
    /// # Ok::<(), dspy_core::Error>(())
    /// ```
    pub fn python_notices(&self) -> Vec<PythonNotice> {
        python::notices(self)
    }

    /// Reads a file in either format.
    ///
    /// # Errors
    /// If the file cannot be read or is not a saved program.
    pub fn read(path: impl AsRef<Path>) -> Result<Self, StateError> {
        let path = path.as_ref();
        let text = files::read_text(path).map_err(|source| StateError::Io { path: path.into(), source })?;
        Self::from_json(&text).map_err(|error| match error {
            StateError::Format(message) => StateError::Format(format!("{}: {message}", path.display())),
            other => other,
        })
    }

    /// Writes a file in the library's own format. The file is replaced atomically: after a crash, or with
    /// several concurrent writers, it contains one complete version. On Unix, a new file is readable only by
    /// its owner, because demonstrations contain data; a replaced file keeps its permissions.
    ///
    /// # Errors
    /// If the file cannot be written, or the existing file is not a saved program; it is then not changed.
    pub fn write(&self, path: impl AsRef<Path>) -> Result<(), StateError> {
        write_whole(path.as_ref(), &self.to_json())
    }

    /// Writes a file for Python DSPy; see [`to_python_json`](Self::to_python_json).
    ///
    /// # Errors
    /// The same as for [`write`](Self::write).
    pub fn write_python(&self, path: impl AsRef<Path>) -> Result<(), StateError> {
        write_whole(path.as_ref(), &self.to_python_json())
    }
}

/// Replaces a saved program; refuses to replace any other file.
fn write_whole(path: &Path, text: &str) -> Result<(), StateError> {
    let io = |source| StateError::Io { path: path.into(), source };
    match files::read_text(path) {
        Ok(old) if old.trim().is_empty() => {}
        // A file in an older version of either format may be replaced, too.
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
