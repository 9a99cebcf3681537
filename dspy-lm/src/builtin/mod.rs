//! The built-in model: an in-context learner without weights, which needs no key, server or network.

mod answer;
mod choice_hints;
mod choice_names;
mod classify;
mod clauses;
mod conditions;
mod extract;
mod features;
mod fitted;
mod form_rules;
mod input;
mod number;
mod passages;
mod prepared;
mod prompt;
mod propose;
mod sampler;
mod sections;
mod spans;
mod text_form;
mod text_rules;
mod tokens;
mod value_type;
mod words;

use std::fmt;
use std::sync::{Arc, Mutex};

use serde_json::Value;

use self::fitted::Fitted;
use self::prepared::Prepared;
use self::prompt::{Brief, Layout};
use self::sampler::Sampler;
use crate::types::message::{Content, Part};
use crate::{
    Capabilities, Completion, FinishReason, LanguageModel, Lm, LmFuture, Message, Price, Request, Response,
    ResponseFormat, Usage,
};
use dspy_base::locks::MutexExt as _;

/// The number of fits that are cached; a program needs about one for each predictor.
const REMEMBERED: usize = 16;
/// The approximate number of bytes in a token, for the reported usage and the token limit.
const TOKEN: usize = 4;
/// The maximum number of completions of one request.
const MOST_COMPLETIONS: u32 = 64;

/// A model in this process that learns from the prompt alone. It has no weights and no knowledge of facts.
///
/// It reads the chat messages that other models get: the fields and their types, the instruction, the
/// demonstrations and the question. It chooses a value of a closed set by the demonstrations that resemble
/// the question, by the words that occur with each value in them, and by the statements about each value in
/// the instruction and the descriptions. It estimates numbers from the nearest demonstrations or copies them
/// from the input, and extracts free text from the inputs. Better demonstrations and instructions improve its
/// answers, so programs can be optimized offline and tests can observe real learning. Its knowledge of
/// language is limited to English word endings, function words and the form of names and numbers.
///
/// These statements in an instruction or a description are obeyed: words that go with a value ("refunds and
/// parcels go to returns", "when the text mentions a refund, answer \"returns\""), conditions on the inputs ("if
/// petal_length is at most 2.45 and colour is \"blue\", answer \"setosa\""), the value of all other cases
/// ("otherwise, answer \"sales\""), denials ("not billing"), the possible answers of a string ("answer with one of: a
/// or b"), and the form of a string ("answer in lower case", "with at most 3 words", "without punctuation", "end the answer
/// with \".\""), which may have a condition ("when the question mentions a year, answer with the number only"). "Usually"
/// and "sometimes" weaken a rule, "always" strengthens it.
///
/// Asked for an instruction, rules, advice or a playbook, with records in its prompt, it writes such statements. The
/// records may have any plain notation and any of labels, scores and feedback. It induces which words, values and
/// ranges go with which answer, and with which form of the answer that feedback asks for, carries over the rules in
/// the feedback, and keeps the sentences of shown instructions that do not contradict the records. It may overfit. Samples differ in the rows, the words and the
/// thresholds.
///
/// It is deterministic. A request marked as another [rollout](Request::rollout) with a temperature above zero
/// gets a sample, which depends only on the request.
///
/// ```
/// use dspy_lm::Lm;
/// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
/// let lm = Lm::builtin();
/// let reply = lm.ask("The ferry leaves at noon. Lunch is served on board. When does the ferry leave?").await?;
/// assert_eq!(reply, "The ferry leaves at noon.");
/// # Ok::<(), dspy_lm::LmError>(()) }).unwrap();
/// ```
#[derive(Default)]
pub struct BuiltinLm {
    /// The fits of recent prompts without their questions, the most recently used one last.
    fits: Mutex<Vec<(blake3::Hash, Arc<Fitted>)>>,
}

impl Lm {
    /// Creates a handle to the built-in model, which needs neither a key nor a network. See [`BuiltinLm`] for its
    /// abilities and limits.
    ///
    /// ```
    /// use dspy_lm::Lm;
    /// assert_eq!(Lm::builtin().id(), "builtin");
    /// ```
    pub fn builtin() -> Self {
        Self::custom(BuiltinLm::new())
    }
}

impl BuiltinLm {
    /// Creates the model.
    pub fn new() -> Self {
        Self::default()
    }

    fn respond(&self, request: &Request) -> Response {
        let asking = prompt::asking(&request.messages);
        let fitted = self.fitted(request, asking);
        let question = fitted.brief.question(&request.messages, asking);
        let prepared = Prepared::new(&fitted, &question);
        let count = request.params.n.unwrap_or(1).clamp(1, MOST_COMPLETIONS);
        let completions: Vec<Completion> = (0..count)
            .map(|index| {
                let text = reply(&prepared, &mut Sampler::new(request, index));
                cut(text, request.params.max_tokens)
            })
            .collect();
        let tokens = |length: usize| length.div_ceil(TOKEN) as u64;
        let sent = request.messages.iter().map(|message| tokens(message.text().len())).sum();
        let written = completions.iter().map(|completion| tokens(completion.text.len())).sum();
        Response { completions, model: self.id().into(), ..Response::default() }
            .with_usage(Usage::tokens(sent, written))
    }

    /// Returns the fit of everything before the question, from the cache if possible.
    fn fitted(&self, request: &Request, asking: usize) -> Arc<Fitted> {
        let key = lesson_key(request, asking);
        let find = |fits: &mut Vec<(blake3::Hash, Arc<Fitted>)>| {
            let at = fits.iter().position(|(known, _)| *known == key)?;
            let entry = fits.remove(at);
            let fitted = entry.1.clone();
            fits.push(entry);
            Some(fitted)
        };
        let lock = || self.fits.lock_any();
        if let Some(fitted) = find(&mut lock()) {
            return fitted;
        }
        // The lock is not held while learning: two tasks may do it at the same time, but none waits for the
        // other.
        let fitted = Arc::new(Fitted::learn(Brief::read(request, asking)));
        let mut fits = lock();
        if fits.len() >= REMEMBERED {
            fits.remove(0);
        }
        fits.push((key, fitted.clone()));
        fitted
    }
}

/// Returns the cache key of a [`Fitted`]: a hash of everything except the question. If the system message
/// lists no fields, the question is included, because the names of the fields are read from it.
fn lesson_key(request: &Request, asking: usize) -> blake3::Hash {
    let mut hash = blake3::Hasher::new();
    let mut put = |text: &str| {
        hash.update(&(text.len() as u64).to_le_bytes());
        hash.update(text.as_bytes());
    };
    let mut listed = false;
    for message in request.messages.iter().take(asking) {
        put(message.role.as_str());
        let mut of_text = |text: &str| {
            listed |= text.contains("nput fields") && text.contains("utput fields");
            put(text);
        };
        match &message.content {
            Content::Text(text) | Content::Calls { text, .. } | Content::ToolResult { text, .. } => {
                of_text(text);
            }
            Content::Parts(parts) => parts.iter().for_each(|part| match part {
                Part::Text(text) => of_text(text),
                Part::Media(_) => {}
            }),
        }
    }
    match &request.format {
        ResponseFormat::Text => put("text"),
        ResponseFormat::JsonObject => put("json"),
        ResponseFormat::JsonSchema { schema, .. } => put(&schema.to_string()),
    }
    let question = request.messages.get(asking).map(Message::text).unwrap_or_default();
    put(if question.contains("one JSON object") { "object" } else { "sections" });
    if !listed {
        put(&question);
        let system = request.messages.iter().skip(asking).filter(|m| m.role == crate::Role::System);
        system.for_each(|message| put(&message.text()));
    }
    hash.finalize()
}

/// Returns a reply in the requested layout.
fn reply(prepared: &Prepared<'_>, sampler: &mut Sampler) -> String {
    let brief = &prepared.fitted.brief;
    if brief.outputs.is_empty() {
        let text = match &prepared.proposal {
            Some(proposal) => proposal.prose(sampler),
            None => extract::free_form(&prepared.question.text, &brief.instruction, sampler),
        };
        return match brief.layout {
            Layout::Json => prompt::object([("answer".to_owned(), Value::from(text))]).to_string(),
            Layout::Sections | Layout::Free => text,
        };
    }
    let answers = answer::answer_all(prepared, sampler);
    let values = brief.outputs.iter().zip(answers).map(|(field, answer)| (field, answer.value));
    if brief.layout == Layout::Json {
        return prompt::object(values.map(|(field, value)| (field.name.clone(), value))).to_string();
    }
    let mut text = String::new();
    for (field, value) in values {
        sections::push(&mut text, &field.name, &value, field.kind == value_type::ValueType::Text);
    }
    sections::push_completed(&mut text);
    text
}

/// Creates a completion, truncated at the token limit.
fn cut(mut text: String, max_tokens: Option<u32>) -> Completion {
    let most = max_tokens.map_or(usize::MAX, |tokens| (tokens as usize).saturating_mul(TOKEN));
    if text.len() <= most {
        return Completion::new(text);
    }
    let end = (0..=most).rev().find(|end| text.is_char_boundary(*end)).unwrap_or_default();
    text.truncate(end);
    Completion::new(text).finished(FinishReason::Length)
}

impl LanguageModel for BuiltinLm {
    fn id(&self) -> &'static str {
        "builtin"
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities::NONE.json_object(true).json_schema(true)
    }

    /// Returns [`Price::FREE`], because the model runs in this process.
    fn price(&self) -> Option<Price> {
        Some(Price::FREE)
    }

    fn complete<'a>(&'a self, request: &'a Request) -> LmFuture<'a> {
        Box::pin(async move {
            // Other tasks of the thread, and timers, have their turn between calls.
            tokio::task::yield_now().await;
            Ok(self.respond(request))
        })
    }
}

impl fmt::Debug for BuiltinLm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BuiltinLm").finish_non_exhaustive()
    }
}
