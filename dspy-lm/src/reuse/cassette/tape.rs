//! The contents of a cassette and its file.
//!
//! Readable JSON: multi-line strings are lists of lines, so that a changed prompt is a short diff.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::CassetteError;
use super::scrub::Scrub;
use crate::secret::{hide_live, hide_live_in};
use crate::{Capabilities, LmError, LmErrorKind, Response};
use dspy_base::error::clipped;
use dspy_base::files;

const VERSION: u32 = 1;

/// Interactions in the order in which they began.
#[derive(Debug, Default)]
pub(super) struct Tape {
    pub(super) models: BTreeMap<String, Served>,
    /// The interactions; `None` until the answer arrives, and if the call was cancelled.
    pub(super) interactions: Vec<Option<Interaction>>,
}

/// The properties of a model on which prompts depend: adapters write other prompts for models that enforce
/// schemas.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Served {
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub(super) endpoint: String,
    #[serde(serialize_with = "what_is_special")]
    pub(super) capabilities: Capabilities,
}

/// Serializes only the capabilities that differ from the default.
fn what_is_special<S: serde::Serializer>(can: &Capabilities, to: S) -> Result<S::Ok, S::Error> {
    let value = |can: Capabilities| serde_json::to_value(can).map_err(serde::ser::Error::custom);
    let (mut can, usual) = (value(*can)?, value(Capabilities::default())?);
    if let Value::Object(can) = &mut can {
        can.retain(|name, able| usual.get(name) != Some(able));
    }
    can.serialize(to)
}

#[derive(Debug, Clone)]
pub(super) struct Interaction {
    pub(super) model: String,
    /// The endpoint of the model, [without](crate::Lm::deployment) secrets.
    pub(super) endpoint: String,
    /// The [form](crate::form) of the request, as written to the file.
    pub(super) request: Map<String, Value>,
    pub(super) outcome: Result<Response, LmError>,
    /// Whether it was returned as an answer, or was recorded just now.
    pub(super) used: bool,
}

#[derive(Serialize, Deserialize)]
struct File {
    cassette: u32,
    models: BTreeMap<String, Served>,
    interactions: Vec<Entry>,
}

#[derive(Serialize, Deserialize)]
struct Entry {
    model: String,
    /// The endpoint, if it is not the one in `models`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    endpoint: Option<String>,
    request: Map<String, Value>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    response: Option<Value>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    error: Option<Failure>,
}

#[derive(Serialize, Deserialize)]
struct Failure {
    kind: LmErrorKind,
    message: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    status: Option<u16>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    request_id: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    retry_after_ms: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    body: Option<String>,
}

impl Tape {
    /// Loads the tape from a file; `None` if there is no file.
    pub(super) fn load(path: &Path) -> Result<Option<Self>, CassetteError> {
        let text = match files::read_text(path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(source) => return Err(CassetteError::Io { path: path.to_owned(), source }),
        };
        Self::read(&text)
            .map(Some)
            .map_err(|message| CassetteError::Malformed { path: path.to_owned(), message: clipped(message) })
    }

    /// Checks that the file at `path` may be replaced: it does not exist, is empty, or is a cassette of any
    /// version.
    pub(super) fn check(path: &Path) -> Result<(), CassetteError> {
        #[derive(Deserialize)]
        struct Old {
            #[serde(rename = "cassette")]
            _version: u64,
        }
        let text = match files::read_text(path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(source) => return Err(CassetteError::Io { path: path.to_owned(), source }),
        };
        if text.trim().is_empty() {
            return Ok(());
        }
        serde_json::from_str::<Old>(&text).map(drop).map_err(|error| {
            let message = clipped(error.to_string());
            CassetteError::Malformed { path: path.to_owned(), message }
        })
    }

    /// Records the endpoint and capabilities of a model. The first entry of a name is the one in the file.
    pub(super) fn note(&mut self, model: &str, served: Served) {
        match self.models.get_mut(model) {
            Some(known) if known.endpoint != served.endpoint => {}
            Some(known) => *known = served,
            None => drop(self.models.insert(model.to_owned(), served)),
        }
    }

    /// Returns whether a model of that name was called at several endpoints.
    pub(super) fn has_several(&self, model: &str) -> bool {
        let of_model = self.interactions.iter().flatten().filter(|one| one.model == model);
        let mut places = of_model.map(|one| one.endpoint.as_str());
        let first = places.next();
        places.any(|place| Some(place) != first)
    }

    fn read(text: &str) -> Result<Self, String> {
        #[derive(Deserialize)]
        struct Version {
            cassette: u32,
        }
        let malformed = |error: serde_json::Error| error.to_string();
        let Version { cassette } = serde_json::from_str(text).map_err(malformed)?;
        if cassette != VERSION {
            return Err(format!("it has version {cassette}, and this is version {VERSION}"));
        }
        let file: File = serde_json::from_str(text).map_err(malformed)?;
        let models = &file.models;
        let interactions = file.interactions.into_iter().enumerate().map(|(number, entry)| {
            let read = entry.read(models).map_err(|message| format!("interaction {}: {message}", number + 1));
            read.map(Some)
        });
        let interactions = interactions.collect::<Result<_, _>>()?;
        Ok(Tape { models: file.models, interactions })
    }

    pub(super) fn save(&self, path: &Path, scrub: &Scrub) -> io::Result<()> {
        let interactions =
            self.interactions.iter().flatten().map(|interaction| Entry::of(interaction, &self.models, scrub));
        let file = File {
            cassette: VERSION,
            models: self.models.clone(),
            interactions: interactions.collect::<serde_json::Result<_>>()?,
        };
        let mut text = serde_json::to_vec_pretty(&file)?;
        text.push(b'\n');
        // An interrupted test leaves the old file or the new one.
        files::write(path, &text)
    }
}

impl Entry {
    fn of(
        interaction: &Interaction,
        models: &BTreeMap<String, Served>,
        scrub: &Scrub,
    ) -> serde_json::Result<Self> {
        let (mut response, mut error) = (None, None);
        match &interaction.outcome {
            Ok(answer) => {
                let mut value = serde_json::to_value(answer)?;
                // Whether the recorder had a cache does not matter for replay.
                value.as_object_mut().map(|response| response.remove("cached"));
                without_zeros(&mut value);
                scrub.value(&mut value);
                hide_live_in(&mut value);
                for_texts_of_completions(&mut value, split);
                response = Some(value);
            }
            Err(failure) => {
                error = Some(Failure {
                    kind: failure.kind,
                    message: scrub.text(&hide_live(&failure.message)),
                    status: failure.status,
                    request_id: failure.request_id.clone(),
                    retry_after_ms: failure.retry_after.and_then(|wait| u64::try_from(wait.as_millis()).ok()),
                    body: failure.body.as_deref().map(|body| scrub.text(&hide_live(body))),
                });
            }
        }
        let (model, request) = (interaction.model.clone(), interaction.request.clone());
        let usual = models.get(&model).map(|served| &served.endpoint);
        let endpoint = (usual != Some(&interaction.endpoint)).then(|| interaction.endpoint.clone());
        Ok(Entry { model, endpoint, request, response, error })
    }

    fn read(self, models: &BTreeMap<String, Served>) -> Result<Interaction, String> {
        let Entry { model, endpoint, request, response, error } = self;
        let usual = || models.get(&model).map(|served| served.endpoint.clone());
        let endpoint = endpoint.or_else(usual).unwrap_or_default();
        let outcome = match (response, error) {
            (Some(mut response), None) => {
                for_texts_of_completions(&mut response, join);
                Ok(serde_json::from_value(response).map_err(|error| format!("in its response: {error}"))?)
            }
            (None, Some(failure)) => {
                let mut error = LmError::new(failure.kind, &model, failure.message);
                error.status = failure.status;
                error.request_id = failure.request_id;
                error.retry_after = failure.retry_after_ms.map(Duration::from_millis);
                error.body = failure.body;
                Err(error)
            }
            _ => return Err("it needs either a `response` or an `error`".into()),
        };
        Ok(Interaction { model, endpoint, request, outcome, used: false })
    }
}

/// Removes counts that are zero, other than the first three.
fn without_zeros(response: &mut Value) {
    if let Some(Value::Object(usage)) = response.get_mut("usage") {
        let always = ["requests", "prompt_tokens", "completion_tokens"];
        usage.retain(|name, count| {
            always.contains(&name.as_str()) || (!count.is_null() && count.as_u64() != Some(0))
        });
    }
}

/// Returns the form of a request as it is written: without secrets, strings as lists of lines.
pub(super) fn written(form: Map<String, Value>, scrub: &Scrub) -> Map<String, Value> {
    let mut form = Value::Object(form);
    scrub.value(&mut form);
    hide_live_in(&mut form);
    let Value::Object(mut form) = form else { return Map::new() };
    for message in form.get_mut("messages").and_then(Value::as_array_mut).into_iter().flatten() {
        for_text(message, "text", split);
        for part in message.get_mut("parts").and_then(Value::as_array_mut).into_iter().flatten() {
            for_text(part, "text", split);
        }
    }
    form
}

fn for_texts_of_completions(response: &mut Value, change: impl Fn(&mut Value)) {
    let completions = response.get_mut("completions").and_then(Value::as_array_mut);
    for completion in completions.into_iter().flatten() {
        for_text(completion, "text", &change);
        for_text(completion, "reasoning", &change);
    }
}

fn for_text(of: &mut Value, name: &str, change: impl Fn(&mut Value)) {
    of.get_mut(name).into_iter().for_each(change);
}

fn split(text: &mut Value) {
    if let Value::String(whole) = text
        && whole.contains('\n')
    {
        *text = whole.split('\n').collect();
    }
}

fn join(text: &mut Value) {
    if let Value::Array(lines) = text {
        let lines: Option<Vec<&str>> = lines.iter().map(Value::as_str).collect();
        if let Some(lines) = lines {
            *text = lines.join("\n").into();
        }
    }
}
