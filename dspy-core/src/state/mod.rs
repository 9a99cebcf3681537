//! Saved programs: what optimizers have found, by predictor path and field name.

mod format;
mod python;

use std::path::{Path, PathBuf};

pub use format::{FieldState, PredictorState, ProgramState};
use thiserror::Error;

use crate::program::HasPredictors;

/// A saved program that cannot be read, written or applied.
#[derive(Error)]
#[non_exhaustive]
pub enum StateError {
    /// The file cannot be read or written.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The text is not a saved program.
    #[error("not a saved program: {0}")]
    Format(String),
    /// The saved program has another shape than this one. Nothing was changed.
    #[error("the saved state does not fit this program: {}", .0.join("; "))]
    Mismatch(Vec<String>),
}

crate::error::readable_debug!(StateError);

impl ProgramState {
    /// The state of a program.
    pub fn of(program: &(impl HasPredictors + ?Sized)) -> Self {
        let predictors = program.named_predictors();
        let predictors =
            predictors.into_iter().map(|(path, predictor)| (path, PredictorState::of(predictor)));
        ProgramState { predictors: predictors.collect(), metadata: serde_json::Map::new() }
    }

    /// Applies the state to a program of the same shape: each predictor gets its instruction, descriptions and
    /// demonstrations.
    ///
    /// # Errors
    /// If predictors are missing on either side, or a signature has other fields or types than when it was saved.
    /// The program is then unchanged, and the error names every difference.
    pub fn apply(&self, program: &mut impl HasPredictors) -> Result<(), StateError> {
        let mut problems = Vec::new();
        let mut present = Vec::new();
        for (path, predictor) in program.named_predictors() {
            match self.predictors.get(&path) {
                Some(state) => {
                    problems.extend(state.problems(predictor).map(|problem| format!("`{path}`: {problem}")));
                }
                None => problems.push(format!("`{path}` is not in the saved state")),
            }
            present.push(path);
        }
        let unknown = self.predictors.keys().filter(|path| !present.contains(path));
        problems.extend(unknown.map(|path| format!("`{path}` is not in the program")));
        if !problems.is_empty() {
            return Err(StateError::Mismatch(problems));
        }
        program.for_each_predictor(|path, predictor| {
            if let Some(state) = self.predictors.get(path) {
                state.apply(predictor);
            }
        });
        Ok(())
    }

    /// Reads our format or the JSON that Python DSPy saves.
    ///
    /// # Errors
    /// If the text is neither.
    pub fn from_json(text: &str) -> Result<Self, StateError> {
        let value: serde_json::Value =
            serde_json::from_str(text).map_err(|error| StateError::Format(error.to_string()))?;
        if value.get("format").is_some() { format::read(value) } else { python::read(value) }
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
        let text =
            std::fs::read_to_string(path).map_err(|source| StateError::Io { path: path.into(), source })?;
        Self::from_json(&text).map_err(|error| match error {
            StateError::Format(message) => StateError::Format(format!("{}: {message}", path.display())),
            other => other,
        })
    }

    /// Writes a file in our format. A crash leaves the old file or the new one, never a part.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub fn write(&self, path: impl AsRef<Path>) -> Result<(), StateError> {
        write_whole(path.as_ref(), &self.to_json())
    }

    /// Writes a file for Python DSPy; see [`to_python_json`](Self::to_python_json).
    ///
    /// # Errors
    /// If the file cannot be written.
    pub fn write_python(&self, path: impl AsRef<Path>) -> Result<(), StateError> {
        write_whole(path.as_ref(), &self.to_python_json())
    }
}

/// Writes by way of a temporary file beside the target.
fn write_whole(path: &Path, text: &str) -> Result<(), StateError> {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(format!(".{}.tmp", std::process::id()));
    let temporary = path.with_file_name(name);
    let write = || {
        if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
            std::fs::create_dir_all(folder)?;
        }
        std::fs::write(&temporary, text)?;
        std::fs::rename(&temporary, path)
    };
    write().map_err(|source| StateError::Io { path: path.into(), source })
}
