//! The built-in model: an in-context learner without weights, for work without a key, a server or a network.

mod answer;
mod choice_hints;
mod classify;
mod extract;
mod features;
mod fitted;
mod input;
mod number;
mod passages;
mod prepared;
mod prompt;
mod sampler;
mod sections;
mod spans;
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
    Capabilities, Completion, FinishReason, LanguageModel, LmFuture, Message, Price, Request, Response,
    ResponseFormat, Usage,
};
use dspy_base::locks::MutexExt as _;

/// Fits that are remembered; a running program has about one for each predictor.
const REMEMBERED: usize = 16;
/// Letters in a token, roughly, for the usage that is reported.
const TOKEN: usize = 4;
/// The most completions of one request.
const MOST_COMPLETIONS: u32 = 64;

/// A model in this process that learns from the prompt alone. It has no weights and knows no facts.
///
/// It reads the chat messages like any other model: the fields and their types, the instruction, the
/// demonstrations, the question. Values of a closed set are chosen by the demonstrations that resemble the question,
/// by the words that went with each value in them, and by what the instruction and the descriptions say about each
/// value; numbers come from the nearest demonstrations; free text is taken out of the inputs. Better
/// demonstrations and better instructions make it better, so that programs can be optimized offline and tests can
/// watch real learning. Of language it knows word endings, function words and the shape of names and numbers:
/// do not expect understanding.
///
/// It is deterministic. Requests marked as another [rollout](Request::rollout) with a temperature above zero are
/// answered with a sample, which depends on nothing but the request.
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
    /// What was learned from the first part of recent conversations, the latest one last.
    fits: Mutex<Vec<(blake3::Hash, Arc<Fitted>)>>,
}

impl BuiltinLm {
    /// The model.
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

    /// What there is to learn before the question; remembered, as most questions share it with others.
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
        // Learning happens outside the lock: two tasks may both do it once, but none waits for another.
        let fitted = Arc::new(Fitted::learn(Brief::read(request, asking)));
        let mut fits = lock();
        if fits.len() >= REMEMBERED {
            fits.remove(0);
        }
        fits.push((key, fitted.clone()));
        fitted
    }
}

/// Identifies what a [`Fitted`] is learned from: all but the question. Where the system message lists no fields,
/// the question is part of it, since the names of the fields are read there.
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

/// Writes a reply in the layout that was asked for.
fn reply(prepared: &Prepared<'_>, sampler: &mut Sampler) -> String {
    let brief = &prepared.fitted.brief;
    if brief.outputs.is_empty() {
        let text = extract::free_form(&prepared.question.text, &brief.instruction, sampler);
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

/// A completion that respects the token limit.
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

    /// It runs in this process.
    fn price(&self) -> Option<Price> {
        Some(Price::FREE)
    }

    fn complete<'a>(&'a self, request: &'a Request) -> LmFuture<'a> {
        Box::pin(async move { Ok(self.respond(request)) })
    }
}

impl fmt::Debug for BuiltinLm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BuiltinLm").finish_non_exhaustive()
    }
}
