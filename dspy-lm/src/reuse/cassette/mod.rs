//! Cassettes: interactions with a model that are recorded once and then replayed, for tests.

mod diff;
mod error;
mod matching;
mod scrub;
mod shapes;
mod tape;
#[cfg(test)]
mod tests;

use std::fmt;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};

use serde_json::{Map, Value};

pub use error::CassetteError;
use matching::Asked;
pub use matching::Matching;
use scrub::Scrub;
use tape::{Interaction, Served, Tape};

use crate::environment::{Lookup, environment, variable};
use crate::secret::{hide_live, hide_live_in};
use crate::{
    Capabilities, Delta, DeltaSink, LanguageModel, Layer, Lm, LmError, LmErrorKind, LmFuture, Next, Request,
    Response,
};
use dspy_base::locks::MutexExt as _;

/// The environment variable that sets the mode of [`Cassette::auto`].
const VARIABLE: &str = "DSPY_CASSETTES";
/// The number of characters in a piece of a replayed stream.
const PIECE: usize = 16;

/// A file of requests and their answers, and the layer that records or replays them.
///
/// Replayed calls reach no model, need no key, and return the same answers, errors and usage as when they
/// were recorded. The file is meant to be read, reviewed and checked in: keys in it are replaced by `***`.
///
/// ```
/// use dspy_lm::{Cassette, Lm};
/// # let dir = std::env::temp_dir().join(format!("dspy-cassette-doc-{}", std::process::id()));
/// # let path = dir.join("capital.json");
/// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
/// // Once, with the real model:
/// let cassette = Cassette::record(&path);
/// let lm = cassette.lm_or("scripted", || Ok(Lm::scripted(["Paris"])))?;
/// lm.ask("Capital of France?").await?;
///
/// // From then on, without it:
/// let cassette = Cassette::replay(&path)?;
/// let lm = cassette.lm("scripted")?;
/// assert_eq!(lm.ask("Capital of France?").await?, "Paris");
/// cassette.verify()?; // everything that was recorded was asked for
/// # std::fs::remove_dir_all(dir)?;
/// # Ok::<(), Box<dyn std::error::Error>>(()) }).unwrap();
/// ```
#[derive(Clone)]
pub struct Cassette {
    shared: Arc<Shared>,
    matching: Matching,
    scrub: Scrub,
}

struct Shared {
    path: PathBuf,
    mode: Mode,
    tape: Mutex<Tape>,
    /// Whether the file was checked: it is a cassette or does not exist.
    checked: AtomicBool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mode {
    Record,
    Replay,
    /// Replay of recorded answers and recording of missing ones.
    Missing,
}

impl Cassette {
    /// Creates a cassette that calls the model and records everything anew. The file is written after each
    /// answer. A file that is not a cassette is not overwritten; the first request then fails before it is
    /// sent.
    pub fn record(path: impl Into<PathBuf>) -> Self {
        Self::new(path.into(), Mode::Record, Tape::default())
    }

    /// Opens a cassette that answers from the file and never calls a model.
    ///
    /// # Errors
    /// [`CassetteError`] if the file does not exist or is not a cassette.
    pub fn replay(path: impl Into<PathBuf>) -> Result<Self, CassetteError> {
        let path = path.into();
        let Some(tape) = Tape::load(&path)? else {
            return Err(CassetteError::Io { path, source: std::io::ErrorKind::NotFound.into() });
        };
        Ok(Self::new(path, Mode::Replay, tape))
    }

    /// Opens a cassette in the mode of the environment variable `DSPY_CASSETTES`: `record` everything anew,
    /// record what is `missing`, or `replay`, the default. Tests thus replay unless told otherwise, and a new
    /// test fails until it is recorded.
    ///
    /// # Errors
    /// [`CassetteError`] if the file is not a cassette. If the file does not exist, the first request fails.
    pub fn auto(path: impl Into<PathBuf>) -> Result<Self, CassetteError> {
        Self::by_variable(path.into(), &environment)
    }

    fn by_variable(path: PathBuf, lookup: Lookup<'_>) -> Result<Self, CassetteError> {
        let mode = match variable(lookup, VARIABLE).as_deref() {
            None | Some("replay") => Mode::Replay,
            Some("record") => return Ok(Self::record(path)),
            Some("missing") => Mode::Missing,
            Some(other) => {
                let message = format!("`{VARIABLE}` is `{other}`; it may be `record`, `missing` or `replay`");
                return Err(CassetteError::Malformed { path, message });
            }
        };
        let tape = Tape::load(&path)?.unwrap_or_default();
        Ok(Self::new(path, mode, tape))
    }

    fn new(path: PathBuf, mode: Mode, tape: Tape) -> Self {
        let shared = Arc::new(Shared { path, mode, tape: Mutex::new(tape), checked: AtomicBool::new(false) });
        Cassette { shared, matching: Matching::default(), scrub: Scrub::new() }
    }

    /// Sets the rule by which a request matches a recorded one.
    #[must_use]
    pub fn matching(mut self, matching: Matching) -> Self {
        self.matching = matching;
        self
    }

    /// Adds a regular expression whose matches are replaced by `***` in requests and answers, before anything
    /// is written or compared. Keys in the environment, strings that look like keys, and members such as
    /// `api_key` and `authorization` are always replaced.
    ///
    /// # Errors
    /// [`CassetteError::Pattern`] if the regular expression is invalid.
    pub fn scrub(mut self, pattern: &str) -> Result<Self, CassetteError> {
        self.scrub = self.scrub.and(pattern)?;
        Ok(self)
    }

    /// Returns a handle to the model of that [name](Lm::new) through this cassette. If no model may be
    /// called, the handle is to a stand-in that replays the cassette and needs no key.
    ///
    /// # Errors
    /// As [`Lm::new`] if the model may be called; [`Unrecorded`](LmErrorKind::Unrecorded) if no model may be
    /// called and the cassette has none of that name.
    pub fn lm(&self, name: &str) -> Result<Lm, LmError> {
        self.lm_or(name, || Lm::new(name))
    }

    /// Returns a handle to a custom model through this cassette; `name` is its [`id`](Lm::id). `make` is
    /// called if the model may be called, or if the cassette has a model of that name at several
    /// [endpoints](Lm::endpoint), to determine the right one.
    ///
    /// # Errors
    /// As `make` if the model may be called; [`Unrecorded`](LmErrorKind::Unrecorded) if no model may be
    /// called and the cassette has none of that name.
    pub fn lm_or(&self, name: &str, make: impl FnOnce() -> Result<Lm, LmError>) -> Result<Lm, LmError> {
        let is_clear = self.shared.mode == Mode::Replay && !self.shared.tape().has_several(name);
        let made = if is_clear { None } else { Some(make()) };
        let lm = match made {
            Some(Ok(lm)) => lm,
            Some(Err(error)) if self.shared.mode == Mode::Replay => {
                let why = format!(
                    "this model is recorded at several endpoints, and which one is meant is not known: {error}"
                );
                return Err(self.unrecorded(name, &why));
            }
            // Recorded answers can be replayed even if the handle cannot be made.
            made => match (self.stand_in(name), made) {
                (Some(stand_in), _) => stand_in,
                (None, Some(Err(error))) => return Err(error),
                (None, _) => {
                    let known: Vec<String> = self.shared.tape().models.keys().cloned().collect();
                    let why = match known.join("`, `") {
                        names if names.is_empty() => "no answer of any model is recorded".to_owned(),
                        names => format!("no answer of this model is recorded, only of `{names}`"),
                    };
                    return Err(self.unrecorded(name, &why));
                }
            },
        };
        Ok(lm.layer(self.clone()))
    }

    fn stand_in(&self, name: &str) -> Option<Lm> {
        let Served { endpoint, capabilities } = self.shared.tape().models.get(name)?.clone();
        Some(Lm::custom(StandIn { id: name.to_owned(), endpoint, capabilities }))
    }

    /// Checks that every recorded interaction was used.
    ///
    /// # Errors
    /// [`CassetteError::Unused`] if one was not.
    pub fn verify(&self) -> Result<(), CassetteError> {
        let tape = self.shared.tape();
        let mut unused = tape.interactions.iter().flatten().filter(|one| !one.used);
        let Some(first) = unused.next() else { return Ok(()) };
        let count = 1 + unused.count();
        let path = self.shared.path.clone();
        Err(CassetteError::Unused { path, count, first: first.summary() })
    }

    fn unrecorded(&self, model: &str, why: &str) -> LmError {
        let path = self.shared.path.display();
        let hint = match self.shared.mode {
            Mode::Replay => {
                format!("\n(with {VARIABLE}=missing, cassettes opened by `auto` record what is missing)")
            }
            Mode::Record | Mode::Missing => String::new(),
        };
        LmError::new(LmErrorKind::Unrecorded, model, format!("the cassette {path}: {why}{hint}"))
    }

    /// Checks before the first request that the file to be replaced is a cassette.
    fn check_file(&self, lm: &Lm) -> Result<(), LmError> {
        if self.shared.checked.load(Ordering::Acquire) {
            return Ok(());
        }
        if let Err(error) = Tape::check(&self.shared.path) {
            let message =
                format!("nothing was recorded, so as not to replace a file that is not a cassette: {error}");
            return Err(LmError::new(LmErrorKind::Configuration, lm.id(), message));
        }
        self.shared.checked.store(true, Ordering::Release);
        Ok(())
    }

    /// Returns the recorded outcome for this request and marks it as used.
    fn play(&self, lm: &Lm, request: &Map<String, Value>) -> Result<Result<Response, LmError>, String> {
        let mut tape = self.shared.tape();
        let at = self.matching.find(&tape, &Asked { model: lm.id(), endpoint: &lm.deployment(), request })?;
        let interaction = tape.interactions.get_mut(at).and_then(Option::as_mut);
        let interaction = interaction.ok_or_else(|| "nothing is recorded".to_owned())?;
        interaction.used = true;
        Ok(interaction.outcome.clone())
    }

    async fn answer(&self, lm: &Lm, request: &Request, next: Next<'_>) -> Result<Response, LmError> {
        let form = tape::written(super::form::request(request), &self.scrub);
        if self.shared.mode != Mode::Record {
            match self.play(lm, &form) {
                Ok(outcome) => {
                    if let (Some(sink), Ok(response)) = (next.sink, &outcome) {
                        stream(response, sink).await;
                    }
                    return outcome;
                }
                Err(why) if self.shared.mode == Mode::Replay => return Err(self.unrecorded(lm.id(), &why)),
                Err(_) => {}
            }
        }
        self.check_file(lm)?;
        // Placed by the time of the request, not of the answer, so that the file is the same each time.
        let at = {
            let mut tape = self.shared.tape();
            let served = Served { endpoint: lm.deployment().into_owned(), capabilities: lm.capabilities() };
            tape.note(lm.id(), served);
            tape.interactions.push(None);
            tape.interactions.len() - 1
        };
        let outcome = next.run(lm, request).await;
        if was_asked(&outcome) {
            let (model, endpoint) = (lm.id().to_owned(), lm.deployment().into_owned());
            let interaction =
                Interaction { model, endpoint, request: form, outcome: outcome.clone(), used: true };
            let mut tape = self.shared.tape();
            if let Some(place) = tape.interactions.get_mut(at) {
                *place = Some(interaction);
            }
            if let Err(error) = tape.save(&self.shared.path, &self.scrub) {
                let message =
                    format!("the cassette {} cannot be written: {error}", self.shared.path.display());
                return Err(LmError::new(LmErrorKind::Other, lm.id(), message));
            }
        }
        outcome
    }
}

impl Layer for Cassette {
    fn call<'a>(&'a self, lm: &'a Lm, request: &'a Request, next: Next<'a>) -> LmFuture<'a> {
        Box::pin(self.answer(lm, request, next))
    }
}

impl fmt::Debug for Cassette {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cassette")
            .field("path", &self.shared.path)
            .field("mode", &self.shared.mode)
            .field("matching", &self.matching)
            .finish_non_exhaustive()
    }
}

impl Shared {
    fn tape(&self) -> MutexGuard<'_, Tape> {
        self.tape.lock_any()
    }
}

impl Interaction {
    fn summary(&self) -> String {
        let last = self.request.get("messages").and_then(Value::as_array).and_then(|all| all.last());
        let text = match last.and_then(|message| message.get("text")) {
            Some(Value::String(text)) => text.as_str(),
            Some(Value::Array(lines)) => lines.first().and_then(Value::as_str).unwrap_or_default(),
            _ => "",
        };
        format!("{} was asked {:?}", self.model, text.chars().take(80).collect::<String>())
    }
}

/// Returns whether the outcome is the model's, rather than a refusal of a layer.
fn was_asked(outcome: &Result<Response, LmError>) -> bool {
    use LmErrorKind::{Budget, Denied, Unrecorded};
    !matches!(outcome, Err(error) if matches!(error.kind, Budget | Denied | Unrecorded))
}

/// Replaces strings that look like keys in the form of a request.
pub(crate) fn scrubbed(form: Map<String, Value>) -> Value {
    let mut form = Value::Object(form);
    Scrub::new().value(&mut form);
    hide_live_in(&mut form);
    form
}

/// Replaces everything in a string that looks like a key.
pub(crate) fn scrubbed_text(text: &str) -> String {
    Scrub::new().text(&hide_live(text))
}

/// Sends a reply in pieces, as a model would.
async fn stream(response: &Response, sink: &DeltaSink) {
    sink.begin().await;
    let Some(first) = response.completions.first() else { return };
    if let Some(reasoning) = &first.reasoning {
        sink.send(Delta::Reasoning(reasoning.clone())).await;
    }
    let mut rest = first.text.as_str();
    while !rest.is_empty() {
        let end = rest.char_indices().nth(PIECE).map_or(rest.len(), |(at, _)| at);
        let (piece, later) = rest.split_at(end);
        sink.send(Delta::Text(piece.to_owned())).await;
        rest = later;
    }
}

/// A stand-in for a model of which only the recorded answers are available.
struct StandIn {
    id: String,
    endpoint: String,
    capabilities: Capabilities,
}

impl LanguageModel for StandIn {
    fn id(&self) -> &str {
        &self.id
    }

    fn endpoint(&self) -> &str {
        &self.endpoint
    }

    fn capabilities(&self) -> Capabilities {
        self.capabilities
    }

    fn complete<'a>(&'a self, _: &'a Request) -> LmFuture<'a> {
        let message = "no model to call: the cassette replays, and a layer bypassed it";
        let error = LmError::new(LmErrorKind::Unrecorded, &self.id, message);
        Box::pin(std::future::ready(Err(error)))
    }
}
