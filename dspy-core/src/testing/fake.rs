//! A fake model that answers any signature.

use std::ops::Range;
use std::sync::{Mutex, MutexGuard};
use std::time::Duration;

use super::log::{FakeReply, Memory, Style};
use super::{calls, malformed, sloppy, values};
use crate::decode::Plan;
use crate::lm::{
    Capabilities, Completion, Delta, DeltaSink, FinishReason, LanguageModel, LmError, LmErrorKind, LmFuture,
    Request, RequestDigest, Response, ResponseFormat, ToolChoice, Usage,
};
use crate::locks::MutexExt as _;
use crate::predictor::Prepared;
use crate::signature::Values;
use dspy_base::{Rng, Seed};

type Edit = Box<dyn Fn(&str, &mut Values) + Send + Sync>;

/// The default number of replies that the log keeps.
const KEPT: usize = 1_024;
/// The maximum number of completions of one request.
const MOST_SAMPLES: u32 = 128;
/// The maximum number of characters in a piece of a streamed reply.
const LONGEST_PIECE: usize = 12;

/// A model with generated replies: for each output, random values that satisfy its type, in the format that
/// the adapter asks for. It needs no script, so that a test can run a whole program thousands of times.
///
/// By default every reply is valid. To test how a program handles other replies, set their shares:
/// [`sloppy`](Self::sloppy) replies have format errors that the decoder repairs,
/// [`malformed`](Self::malformed) ones cannot be decoded, [`truncated`](Self::truncated) ones end early, and
/// [`errors`](Self::errors) return no reply.
///
/// ```
/// use dspy_core::lm::{Lm, LmErrorKind};
/// use dspy_core::predict::DynPredict;
/// use dspy_core::program::{Module, Settings};
/// use dspy_core::signature::Values;
/// use dspy_core::testing::FakeLm;
/// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
/// let fake = FakeLm::new(7).sloppy(0.3).malformed(0.05).truncated(0.02).errors(0.01, LmErrorKind::RateLimit);
/// let triage = DynPredict::new("mail -> urgent: bool, topics: list[str], team: Literal['sales', 'support']".parse()?);
/// let mail = Values::from_iter([("mail".to_owned(), "The printer is on fire.".into())]);
/// let answer = Settings::new().lm(Lm::custom(fake)).scope(triage.call(mail)).await?;
/// assert!(answer["urgent"].is_boolean() && answer["topics"].is_array());
/// assert!(answer["team"] == "sales" || answer["team"] == "support");
/// # Ok::<(), dspy_core::Error>(()) }).unwrap();
/// ```
///
/// # Determinism
/// A reply depends on the seed and the request alone, whatever runs concurrently, and another sample of the
/// same request (its [`rollout`](Request::rollout)) is another reply. Only errors are transient: the same
/// request sent again after an error is drawn anew, so that retries can be tested. A request with feedback on
/// an unreadable reply is another request.
///
/// # Limitations
/// - Rules in code (`#[check]`) are not part of a schema. Set values that pass them with
///   [`edit`](Self::edit), or expect the program to re-prompt.
/// - Patterns with uncommon features of regular expressions, and limits that nearly contradict each other,
///   end in an error that names the field.
/// - Of an adapter that is not the library's, it uses only [`reply`](crate::adapter::Adapter::reply). Its
///   sloppy replies are surrounded by words, which the adapter may or may not ignore; its malformed ones are
///   empty.
/// - A two-step adapter gets prose that states the values and, if the same `FakeLm` reads it, the same values
///   again.
///
/// A request that was not made by a predictor gets a few words, or JSON by its schema if it asks for that.
pub struct FakeLm {
    seed: Seed,
    /// Styles with their shares; the remaining replies are valid.
    mix: Vec<(f64, Style)>,
    latency: Option<Range<Duration>>,
    capabilities: Capabilities,
    edit: Option<Edit>,
    kept: usize,
    memory: Mutex<Memory>,
}

impl FakeLm {
    /// Creates a model whose replies are all valid.
    pub fn new(seed: u64) -> Self {
        FakeLm {
            seed: Seed::new(seed),
            mix: Vec::new(),
            latency: None,
            capabilities: Capabilities::default(),
            edit: None,
            kept: KEPT,
            memory: Mutex::default(),
        }
    }

    /// Sets the share of sloppy replies, from 0 to 1: with words around, fences, bold markers, trailing
    /// commas, single quotes, other spellings. They decode to the intended values.
    #[must_use]
    pub fn sloppy(self, share: f64) -> Self {
        self.with(share, Style::Sloppy)
    }

    /// Sets the share of malformed replies, from 0 to 1: refusals, missing fields, contradictions, broken
    /// JSON.
    #[must_use]
    pub fn malformed(self, share: f64) -> Self {
        self.with(share, Style::Malformed)
    }

    /// Sets the share of truncated replies, from 0 to 1: they end at a random place, with
    /// [`FinishReason::Length`].
    #[must_use]
    pub fn truncated(self, share: f64) -> Self {
        self.with(share, Style::Truncated)
    }

    /// Sets the share of requests, from 0 to 1, that are answered by an error. Repeat the call for several
    /// kinds.
    #[must_use]
    pub fn errors(self, share: f64, kind: LmErrorKind) -> Self {
        self.with(share, Style::Error(kind))
    }

    fn with(mut self, share: f64, style: Style) -> Self {
        self.mix.push((share, style));
        self
    }

    /// Sets the range from which the latency of each reply is drawn, on tokio's clock.
    #[must_use]
    pub fn latency(mut self, range: Range<Duration>) -> Self {
        self.latency = Some(range);
        self
    }

    /// Sets the declared capabilities: native tool calls, reasoning, JSON.
    #[must_use]
    pub fn capabilities(mut self, capabilities: Capabilities) -> Self {
        self.capabilities = capabilities;
        self
    }

    /// Sets a function that changes the intended values before they are written. Its first argument is the
    /// name of the signature.
    ///
    /// ```
    /// use dspy_core::testing::FakeLm;
    /// let fake = FakeLm::new(1).edit(|signature, values| {
    ///     if signature == "Plan" {
    ///         values.insert("steps".into(), serde_json::json!(["measure", "cut"]));
    ///     }
    /// });
    /// # let _ = fake;
    /// ```
    #[must_use]
    pub fn edit(mut self, edit: impl Fn(&str, &mut Values) + Send + Sync + 'static) -> Self {
        self.edit = Some(Box::new(edit));
        self
    }

    /// Sets the number of replies that [`log`](Self::log) keeps; 1,024 by default.
    #[must_use]
    pub fn keep(mut self, replies: usize) -> Self {
        self.kept = replies;
        self
    }

    /// Returns the latest replies with their intended values, oldest first.
    pub fn log(&self) -> Vec<FakeReply> {
        self.memory().replies.iter().cloned().collect()
    }

    fn memory(&self) -> MutexGuard<'_, Memory> {
        self.memory.lock_any()
    }

    fn style(&self, rng: &mut Rng) -> Style {
        let mut at = rng.unit();
        for (share, style) in &self.mix {
            if at < *share {
                return *style;
            }
            at -= share;
        }
        Style::Valid
    }

    fn answer(&self, request: &Request, digest: RequestDigest) -> Result<Response, LmError> {
        let failures = self.memory().failures(digest);
        let seed = self.seed.branch(&digest.to_string()).index(failures);
        let mut completions = Vec::new();
        for index in 0..request.params.n.unwrap_or(1).clamp(1, MOST_SAMPLES) {
            let rng = &mut seed.branch("completion").index(index.into()).rng();
            let mut style = self.style(rng);
            if let Style::Error(kind) = style {
                if index == 0 {
                    let mut memory = self.memory();
                    memory.count_failure(digest);
                    let signature = request.signature().map(str::to_owned);
                    let reply = FakeReply { signature, style, intended: Values::new(), text: String::new() };
                    memory.keep(reply, self.kept);
                    return Err(failure(kind));
                }
                style = Style::Valid;
            }
            completions.push(match request.extensions.get::<Prepared>() {
                Some(prepared) => self.outputs(prepared, request, style, rng)?,
                None => self.words(request, style, rng)?,
            });
        }
        // A token is about four bytes of English.
        let tokens = |bytes: usize| bytes.div_ceil(4) as u64;
        let asked = request.messages.iter().map(|message| tokens(message.text().len())).sum();
        let written = |completion: &Completion| {
            let calls: usize =
                completion.tool_calls.iter().map(|call| call.arguments.to_string().len()).sum();
            tokens(completion.text.len() + calls + completion.reasoning.as_deref().unwrap_or_default().len())
        };
        let usage = Usage::tokens(asked, completions.iter().map(written).sum());
        let mut response = Response::default().with_usage(usage);
        response.model = "fake".into();
        response.completions = completions;
        Ok(response)
    }

    /// Returns a completion for a predictor.
    fn outputs(
        &self,
        prepared: &Prepared,
        request: &Request,
        style: Style,
        rng: &mut Rng,
    ) -> Result<Completion, LmError> {
        let (view, adapter) = (&prepared.view, &*prepared.adapter);
        let asked = request.messages.last().map(|message| message.text()).unwrap_or_default();
        let stated = self.memory().stated(&asked).cloned();
        let intended = values::outputs(prepared, request, stated.as_ref(), rng);
        let mut intended = intended.map_err(|message| LmError::new(LmErrorKind::Other, "fake", message))?;
        if let Some(edit) = &self.edit {
            edit(view.spec.name(), &mut intended);
        }
        let shown: Values =
            view.spec.outputs().filter_map(|f| intended.get_key_value(f.name())).map(own).collect();
        let mut completion = view.answer(adapter, &intended);
        calls::with_ids(&mut completion, rng);
        let has_calls = !completion.tool_calls.is_empty();
        match style {
            Style::Sloppy => {
                completion.text = if shown.is_empty() {
                    String::new()
                } else {
                    sloppy::reply(adapter, &view.spec, &shown, rng)
                };
                calls::sloppy(&mut completion.tool_calls, &request.tools, rng);
            }
            Style::Malformed if has_calls && (shown.is_empty() || rng.below(2) == 0) => {
                calls::malformed(&mut completion.tool_calls, rng);
            }
            Style::Malformed => completion.text = malformed::reply(adapter, &view.spec, &shown, rng),
            Style::Truncated if has_calls => calls::cut(&mut completion, rng),
            Style::Truncated => cut(&mut completion, rng),
            _ => {}
        }
        let mut memory = self.memory();
        let readable = matches!(style, Style::Valid | Style::Sloppy) && !completion.text.trim().is_empty();
        if prepared.second.is_some() && readable {
            memory.keep_prose(&completion.text, &intended);
        }
        let signature = Some(view.spec.name().to_owned());
        memory.keep(FakeReply { signature, style, intended, text: completion.text.clone() }, self.kept);
        Ok(completion)
    }

    /// Returns a completion for a request that was not made by a predictor.
    fn words(&self, request: &Request, style: Style, rng: &mut Rng) -> Result<Completion, LmError> {
        let fail = |message: String| LmError::new(LmErrorKind::Other, "fake", message);
        let mut completion = match &request.format {
            ResponseFormat::JsonSchema { schema, .. } => {
                let plan = Plan::new(schema).map_err(|error| fail(error.to_string()))?;
                let value =
                    plan.sample(rng).ok_or_else(|| fail("no value was found for the schema".into()))?;
                Completion::new(if style == Style::Sloppy {
                    plan.careless_json(&value, rng)
                } else {
                    value.to_string()
                })
            }
            ResponseFormat::JsonObject => Completion::new("{}"),
            _ => Completion::new(crate::decode::internal::words(rng)),
        };
        if !request.tools.is_empty()
            && matches!(request.tool_choice, ToolChoice::Required | ToolChoice::Named(_))
        {
            let named = |name: &str| match &request.tool_choice {
                ToolChoice::Named(wanted) => **wanted == *name,
                _ => true,
            };
            let tools: Vec<_> = request.tools.iter().filter(|tool| named(&tool.name)).cloned().collect();
            let made = calls::sample(&tools, 1, rng).map_err(fail)?;
            completion = completion.calling(serde_json::from_value::<Vec<_>>(made).unwrap_or_default());
            calls::with_ids(&mut completion, rng);
        }
        match style {
            Style::Malformed => completion.text.clear(),
            Style::Truncated if completion.tool_calls.is_empty() => cut(&mut completion, rng),
            Style::Truncated => calls::cut(&mut completion, rng),
            _ => {}
        }
        let reply = FakeReply {
            signature: None,
            style: Style::Words,
            intended: Values::new(),
            text: completion.text.clone(),
        };
        self.memory().keep(reply, self.kept);
        Ok(completion)
    }

    /// Returns the reply after the latency, with the random generator for the way it is delivered.
    async fn after_a_while(&self, request: &Request) -> (Result<Response, LmError>, Rng) {
        let digest = request.digest();
        let answer = self.answer(request, digest);
        let mut rng = self.seed.branch(&digest.to_string()).branch("way").rng();
        if let Some(range) = &self.latency {
            let spread = range.end.saturating_sub(range.start);
            tokio::time::sleep(range.start + spread.mul_f64(rng.unit())).await;
        }
        (answer, rng)
    }
}

fn own((name, value): (&String, &serde_json::Value)) -> (String, serde_json::Value) {
    (name.clone(), value.clone())
}

fn failure(kind: LmErrorKind) -> LmError {
    let mut error = LmError::new(kind, "fake", "an error that the test asked for");
    error.status = match kind {
        LmErrorKind::Auth => Some(401),
        LmErrorKind::Billing => Some(402),
        LmErrorKind::NotFound => Some(404),
        LmErrorKind::RateLimit => Some(429),
        LmErrorKind::ContextWindow | LmErrorKind::ContentFilter | LmErrorKind::InvalidRequest => Some(400),
        LmErrorKind::Server => Some(503),
        _ => None,
    };
    error
}

/// Truncates the text at a random place before its end.
fn cut(completion: &mut Completion, rng: &mut Rng) {
    completion.finish = FinishReason::Length;
    let end = rng.below(completion.text.chars().count());
    completion.text = completion.text.chars().take(end).collect();
}

impl LanguageModel for FakeLm {
    fn id(&self) -> &'static str {
        "fake"
    }

    fn capabilities(&self) -> Capabilities {
        self.capabilities
    }

    fn complete<'a>(&'a self, request: &'a Request) -> LmFuture<'a> {
        Box::pin(async move { self.after_a_while(request).await.0 })
    }

    fn stream<'a>(&'a self, request: &'a Request, sink: &'a DeltaSink) -> LmFuture<'a> {
        Box::pin(async move {
            let (answer, mut rng) = self.after_a_while(request).await;
            let response = answer?;
            let first = response.completions.first();
            if let Some(reasoning) = first.and_then(|first| first.reasoning.clone()) {
                sink.send(Delta::Reasoning(reasoning)).await;
            }
            let mut rest = first.map_or("", |first| first.text.as_str());
            while !rest.is_empty() {
                let length = rng.between(1, LONGEST_PIECE);
                let end = rest.char_indices().nth(length).map_or(rest.len(), |(at, _)| at);
                let (piece, later) = rest.split_at(end);
                sink.send(Delta::Text(piece.to_owned())).await;
                rest = later;
            }
            Ok(response)
        })
    }
}

impl std::fmt::Debug for FakeLm {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("FakeLm").field("seed", &self.seed).field("mix", &self.mix).finish_non_exhaustive()
    }
}
