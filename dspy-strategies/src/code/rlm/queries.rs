//! The functions by which code asks models.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex};

use dspy_base::locks::MutexExt as _;
use dspy_core::error::BoxError;
use dspy_core::lm::{Lm, LmError, LmErrorKind, Message, Request};
use dspy_core::tools::{Tool, ToolSpec};
use futures_util::{StreamExt as _, stream};
use serde_json::{Value, json};

use super::budget::Budget;

/// The functions, as code calls them.
pub(super) const QUERY: &str = "llm_query";
pub(super) const BATCH: &str = "llm_query_batched";

/// The number of queries of a batch in flight.
const IN_FLIGHT: usize = 8;

/// The models that code can ask, and the answers so far.
#[derive(Debug)]
pub(super) struct Queries {
    pub(super) default: Lm,
    pub(super) named: BTreeMap<String, Lm>,
    pub(super) budget: Arc<Budget>,
    /// The answers by model and prompt, so that a repeated question costs nothing.
    known: Mutex<HashMap<(String, String), String>>,
}

impl Queries {
    pub(super) fn new(default: Lm, named: BTreeMap<String, Lm>, budget: Arc<Budget>) -> Arc<Self> {
        Arc::new(Queries { default, named, budget, known: Mutex::default() })
    }

    /// Returns the functions as tools.
    pub(super) fn tools(self: &Arc<Self>) -> [Tool; 2] {
        let mut model = json!({"type": "string", "description": "The model to ask, if not the usual one."});
        if !self.named.is_empty() {
            model["enum"] = self.named.keys().map(String::as_str).collect();
        }
        let parameters = |name: &str, schema: Value| {
            let mut properties = json!({ name: schema });
            if !self.named.is_empty() {
                properties["model"] = model.clone();
            }
            json!({"type": "object", "properties": properties, "required": [name]})
        };
        let one = parameters("prompt", json!({"type": "string"}));
        let one = ToolSpec::new(QUERY, "Asks a language model and returns its answer as text.", one);
        let many = parameters("prompts", json!({"type": "array", "items": {"type": "string"}}));
        let about = "Asks a language model several prompts at once and returns the answers in their order. If one fails, none \
                     is returned; asked again, those that were answered cost nothing.";
        let many = ToolSpec::new(BATCH, about, many);
        let (single, batch) = (self.clone(), self.clone());
        [
            Tool::from_spec(one, move |arguments: Value| {
                let queries = single.clone();
                async move {
                    let prompt = arguments["prompt"].as_str().unwrap_or_default().to_owned();
                    let answers = queries.ask(&arguments, vec![prompt]).await?;
                    Ok(answers.into_iter().next().map_or(Value::Null, Value::String))
                }
            })
            .without_replay(),
            Tool::from_spec(many, move |arguments: Value| {
                let queries = batch.clone();
                async move {
                    let prompts = arguments["prompts"].as_array().into_iter().flatten();
                    let prompts =
                        prompts.map(|prompt| prompt.as_str().unwrap_or_default().to_owned()).collect();
                    Ok(queries.ask(&arguments, prompts).await?.into())
                }
            })
            .without_replay(),
        ]
    }

    /// Asks all prompts, several at a time.
    async fn ask(&self, arguments: &Value, prompts: Vec<String>) -> Result<Vec<String>, BoxError> {
        let name = arguments["model"].as_str().unwrap_or_default();
        let lm = match self.named.get(name) {
            Some(lm) => lm,
            None if name.is_empty() => &self.default,
            None => return Err(format!("there is no model `{name}`").into()),
        };
        let key = |prompt: &String| (name.to_owned(), prompt.clone());
        let mut new: Vec<&String> = Vec::new();
        {
            let known = self.known.lock_any();
            for prompt in &prompts {
                if !known.contains_key(&key(prompt)) && !new.contains(&prompt) {
                    new.push(prompt);
                }
            }
        }
        self.budget.take(new.len() as u64)?;
        let asked: Vec<_> =
            new.into_iter().map(|prompt| async move { (prompt, self.one(lm, prompt).await) }).collect();
        let mut answered = stream::iter(asked).buffer_unordered(IN_FLIGHT);
        let mut failed: Option<(usize, String)> = None;
        while let Some((prompt, answer)) = answered.next().await {
            match answer {
                Ok(answer) => drop(self.known.lock_any().insert(key(prompt), answer)),
                Err(error) => {
                    let index = prompts.iter().position(|other| other == prompt).unwrap_or(0);
                    if failed.as_ref().is_none_or(|(first, _)| index < *first) {
                        failed = Some((index, error.to_string()));
                    }
                }
            }
        }
        if let Some((index, error)) = failed {
            return Err(if prompts.len() == 1 { error } else { format!("prompt {index}: {error}") }.into());
        }
        let known = self.known.lock_any();
        Ok(prompts.iter().map(|prompt| known.get(&key(prompt)).cloned().unwrap_or_default()).collect())
    }

    async fn one(&self, lm: &Lm, prompt: &str) -> Result<String, LmError> {
        // Others of the batch may have used up what was left.
        let checked = self.budget.check().map_err(|why| LmError::new(LmErrorKind::Budget, lm.id(), why));
        let asked = match checked {
            Ok(()) => lm.complete(Request::new(vec![Message::user(prompt)])).await,
            Err(error) => Err(error),
        };
        let response = asked.inspect_err(|_| self.budget.give_back())?;
        if let Some(refusal) = response.refusal(lm.id()) {
            return Err(refusal);
        }
        Ok(response.completions.into_iter().next().map(|completion| completion.text).unwrap_or_default())
    }
}
