//! The form of a stored state, and its files.

use std::io;
use std::path::{Path, PathBuf};

use dspy_base::digest::Digest;
use dspy_base::files::{self, Draft};
use serde::de::Error as _;
use serde::ser::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::Value;

use super::errors::ResumeError;
use super::state::{AgentState, VERSION, damaged};

/// The member with the digest of all others.
const DIGEST: &str = "digest";

/// The number of levels that a state may have: fewer than JSON readers accept.
const DEEPEST: usize = 120;

/// The length in bytes beyond which an id is shortened in the name of its file.
const LONGEST_NAME: usize = 160;

impl Serialize for AgentState {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut value = Self::serialize(self, serde_json::value::Serializer).map_err(S::Error::custom)?;
        let digest = digest_of(&value).ok_or_else(|| {
            S::Error::custom(format!("the inputs are nested too deep: a state has at most {DEEPEST} levels"))
        })?;
        if let Some(members) = value.as_object_mut() {
            members.insert(DIGEST.to_owned(), digest.into());
        }
        value.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for AgentState {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::read(Value::deserialize(deserializer)?).map_err(D::Error::custom)
    }
}

impl AgentState {
    /// Reads a state from JSON. The same as with `serde_json`, but with a typed error.
    ///
    /// ```
    /// use dspy_strategies::{AgentState, ResumeError};
    ///
    /// let error = AgentState::from_json(r#"{"version": 1}"#).unwrap_err();
    /// assert!(matches!(error, ResumeError::Version { found: 1, .. }));
    /// ```
    ///
    /// # Errors
    /// If the text is no state, or one that was changed ([`ResumeError::Damaged`]), or one of another version
    /// ([`ResumeError::Version`]).
    pub fn from_json(text: &str) -> Result<Self, ResumeError> {
        let value = serde_json::from_str(text).map_err(|error| damaged(error.to_string()))?;
        Self::read(value)
    }

    /// Writes the state to a file, as JSON. Whenever the process or the machine stops, the file has the state before or
    /// this one, as a whole. Only its owner may read it.
    ///
    /// The call returns once the disk has the state, which takes milliseconds: in asynchronous code, call it in
    /// `spawn_blocking`.
    ///
    /// ```no_run
    /// use dspy_strategies::AgentState;
    ///
    /// # fn example(state: AgentState) -> Result<(), Box<dyn std::error::Error>> {
    /// state.save("order-17.json")?;
    /// let state = AgentState::load("order-17.json")?;
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// The system's errors, with the path.
    pub fn save(&self, path: impl AsRef<Path>) -> io::Result<()> {
        let path = path.as_ref();
        self.write(path).map_err(|error| io::Error::new(error.kind(), format!("{}: {error}", path.display())))
    }

    /// Writes the state as [`save`](Self::save) does, to a file in `dir` that is named after the run, and returns its
    /// path. Each run has one such file, also a run inside a call of another one. A missing directory is created.
    ///
    /// # Errors
    /// The errors of [`save`](Self::save).
    pub fn save_in(&self, dir: impl AsRef<Path>) -> io::Result<PathBuf> {
        let path = dir.as_ref().join(file_name(self.run_id()));
        self.save(&path)?;
        Ok(path)
    }

    /// Reads a state that was [saved](Self::save).
    ///
    /// # Errors
    /// [`ResumeError::Unreadable`] if the file cannot be read, and the errors of [`from_json`](Self::from_json).
    pub fn load(path: impl AsRef<Path>) -> Result<Self, ResumeError> {
        let path = path.as_ref();
        let text = files::read_text(path)
            .map_err(|error| ResumeError::Unreadable { path: path.to_owned(), reason: error.to_string() })?;
        Self::from_json(&text)
    }

    fn write(&self, path: &Path) -> io::Result<()> {
        let mut draft = Draft::new(path)?;
        serde_json::to_writer(io::BufWriter::new(&mut draft), self)?;
        draft.commit_durably()
    }

    fn read(mut value: Value) -> Result<Self, ResumeError> {
        let found = value.get("version").and_then(Value::as_u64).and_then(|found| u32::try_from(found).ok());
        match found {
            None => return Err(damaged("it has no version")),
            Some(VERSION) => {}
            Some(found) => return Err(ResumeError::Version { found, known: VERSION }),
        }
        let digest = value.as_object_mut().and_then(|members| members.remove(DIGEST));
        let of_content = digest_of(&value).ok_or_else(|| damaged("it is nested too deep"))?;
        let state = Self::deserialize(value).map_err(|error| damaged(error.to_string()))?;
        // This says more of what is wrong.
        state.consistent()?;
        if digest.is_none_or(|digest| digest != of_content) {
            return Err(damaged("its content is not that of its digest"));
        }
        Ok(state)
    }
}

/// Returns a digest that does not depend on the order of members or on the notation of numbers, unless the value has too
/// many levels.
fn digest_of(value: &Value) -> Option<String> {
    (!is_deeper(value, DEEPEST)).then(|| Digest::new().add_value(&with_plain_numbers(value)).long())
}

/// Returns a value whose whole numbers are integers: databases write `1e16`, `1.0` and `-0.0` as they like.
fn with_plain_numbers(value: &Value) -> Value {
    /// All whole floats below are integers of 64 bits.
    const LARGEST: f64 = 9e18;
    match value {
        Value::Object(members) => {
            let members = members.iter().map(|(name, value)| (name.clone(), with_plain_numbers(value)));
            Value::Object(members.collect())
        }
        Value::Array(items) => Value::Array(items.iter().map(with_plain_numbers).collect()),
        Value::Number(number) => match number.as_f64().filter(|_| number.is_f64()) {
            Some(float) if float.fract() == 0.0 && float.abs() < LARGEST => (float as i64).into(),
            _ => value.clone(),
        },
        other => other.clone(),
    }
}

/// Returns whether a value has more than this number of levels.
pub(super) fn is_deeper(value: &Value, levels: usize) -> bool {
    let inner = |value| levels == 0 || is_deeper(value, levels - 1);
    match value {
        Value::Object(members) => levels == 0 || members.values().any(inner),
        Value::Array(items) => levels == 0 || items.iter().any(inner),
        _ => false,
    }
}

/// Returns the id of a run as the name of a file.
fn file_name(run: &str) -> String {
    let mut name = String::with_capacity(run.len() + 8);
    for byte in run.bytes() {
        match byte {
            // Some file systems do not distinguish the case of letters.
            b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' => name.push(char::from(byte)),
            byte => name.push_str(&format!("%{byte:02x}")),
        }
    }
    if name.len() > LONGEST_NAME {
        name.truncate(LONGEST_NAME);
        name.push('-');
        name.push_str(&Digest::new().add_text(run).long());
    }
    name + ".json"
}
