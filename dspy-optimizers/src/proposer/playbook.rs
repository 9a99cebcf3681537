//! Requests about playbooks, as data: what a run teaches, and which items are to change.

use std::sync::Arc;

use dspy_core::signature::{Playbook, SignatureSpec};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{Record, clean};
use crate::Component;
use crate::playbook::{Delta, Effect};

/// The use of a playbook, for prompts.
pub(super) const ROLE: &str = "A playbook: lessons for the task, one on each line, as `- [id] lesson` below the name of \
                               its section. Lines that stay keep their ids; new ones have none.";

/// The largest length of a cause or a lesson, in characters.
const LONGEST: usize = 4_000;

/// A request for what a run teaches about a playbook.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct DiagnosisRequest {
    /// The playbook of the predictor.
    pub component: Component,
    /// The signature of the predictor.
    pub signature: Arc<SignatureSpec>,
    /// The items that the run has used.
    pub playbook: Playbook,
    /// The calls of the predictor in the run, with score and feedback.
    pub records: Vec<Record>,
    /// The lesson of an earlier diagnosis with which the run still failed.
    pub tried: Option<String>,
    /// The number of the request among equal ones.
    pub sample: u64,
}

/// The lesson of a run.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Diagnosis {
    /// The cause of the error; empty if there is none.
    pub cause: String,
    /// The lesson for similar inputs; empty if there is none.
    pub lesson: String,
    /// The effects of items, by id.
    pub effects: Vec<(String, Effect)>,
}

/// A request for changes of a playbook.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct CurationRequest {
    /// The playbook of the predictor.
    pub component: Component,
    /// The signature of the predictor.
    pub signature: Arc<SignatureSpec>,
    /// The playbook, with the counters of its items.
    pub playbook: Playbook,
    /// Calls of the predictor with scores and feedback.
    pub records: Vec<Record>,
    /// The diagnoses of the runs that they are from.
    pub diagnoses: Vec<Diagnosis>,
    /// The largest length of the playbook, in characters.
    pub max_chars: usize,
    /// The number of the request among equal ones.
    pub sample: u64,
}

impl DiagnosisRequest {
    /// Creates a request about calls of a predictor.
    pub fn new(
        component: Component,
        signature: Arc<SignatureSpec>,
        playbook: Playbook,
        records: Vec<Record>,
    ) -> Self {
        DiagnosisRequest { component, signature, playbook, records, tried: None, sample: 0 }
    }
}

impl CurationRequest {
    /// Creates a request about calls of a predictor, without diagnoses.
    pub fn new(
        component: Component,
        signature: Arc<SignatureSpec>,
        playbook: Playbook,
        records: Vec<Record>,
    ) -> Self {
        let (diagnoses, max_chars, sample) = (Vec::new(), 10_000, 0);
        CurationRequest { component, signature, playbook, records, diagnoses, max_chars, sample }
    }

    /// Returns the causes and lessons as text, at most `most` characters.
    pub(super) fn shown_diagnoses(&self, most: usize) -> String {
        let mut shown = String::new();
        for Diagnosis { cause, lesson, .. } in &self.diagnoses {
            let parts = [("Cause", cause), ("Lesson", lesson)];
            let lines = parts.iter().filter(|(_, text)| !text.is_empty());
            let entry: String = lines.map(|(name, text)| format!("{name}: {text}\n")).collect();
            if shown.chars().count() + entry.chars().count() > most {
                break;
            }
            shown += &entry;
        }
        shown.truncate(shown.trim_end().len());
        shown
    }
}

/// Returns the items of a playbook with their counters, one on each line.
pub(super) fn with_counters(playbook: &Playbook) -> String {
    let line = |item: &dspy_core::signature::PlaybookItem| {
        let (id, section, text) = (item.id(), item.section(), item.text());
        format!("[{id}] helpful={} harmful={} section={section} :: {text}\n", item.helpful(), item.harmful())
    };
    playbook.items().iter().map(line).collect::<String>().trim_end().to_owned()
}

impl Diagnosis {
    /// Reads the outputs of a reflector.
    pub(super) fn read(cause: &Value, insight: &Value, tags: &Value) -> Self {
        let text = |value: &Value| value.as_str().and_then(|text| clean(text, LONGEST)).unwrap_or_default();
        let effect = |tag: &Value| {
            let effect = match tag["tag"].as_str()? {
                "helpful" => Effect::Helpful,
                "harmful" => Effect::Harmful,
                _ => Effect::Neutral,
            };
            Some((tag["id"].as_str()?.trim_matches(['[', ']', ' ']).to_owned(), effect))
        };
        let mut effects: Vec<(String, Effect)> =
            tags.as_array().into_iter().flatten().filter_map(effect).collect();
        // An item has one effect on a run.
        let mut seen = std::collections::BTreeSet::new();
        effects.retain(|(id, _)| seen.insert(id.clone()));
        Diagnosis { cause: text(cause), lesson: text(insight), effects }
    }
}

/// Reads the operations of a curator. Those without what they need become changes that a merge drops with a note.
pub(super) fn read_operations(operations: &Value) -> Vec<Delta> {
    let read = |operation: &Value| {
        let text = |name: &str| operation[name].as_str().unwrap_or_default().to_owned();
        let id = text("id").trim_matches(['[', ']', ' ']).to_owned();
        match operation["type"].as_str().unwrap_or_default() {
            "UPDATE" => Delta::Update { id, text: text("content") },
            "REMOVE" => Delta::Remove { id },
            _ => Delta::Add { section: text("section"), text: text("content") },
        }
    };
    operations.as_array().into_iter().flatten().map(read).collect()
}

/// The schema of the effects of items.
pub(super) fn tags_schema() -> Value {
    json!({
        "type": "array",
        "items": {
            "type": "object",
            "properties": {
                "id": {"type": "string"},
                "tag": {"type": "string", "enum": ["helpful", "harmful", "neutral"]},
            },
            "required": ["id", "tag"],
        },
    })
}

/// The schema of operations.
pub(super) fn operations_schema() -> Value {
    json!({
        "type": "array",
        "items": {
            "type": "object",
            "properties": {
                "type": {"type": "string", "enum": ["ADD", "UPDATE", "REMOVE"]},
                "id": {"type": "string"},
                "section": {"type": "string"},
                "content": {"type": "string"},
            },
            "required": ["type"],
        },
    })
}
