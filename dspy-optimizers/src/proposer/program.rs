//! The default proposer.

use std::collections::BTreeMap;

use dspy_core::Result;
use dspy_core::lm::BoxFuture;
use dspy_core::predict::DynPredict;
use dspy_core::program::{HasPredictors, Module as _, Settings, Visitor, VisitorMut};
use dspy_core::signature::Values;
use futures_util::future::join_all;
use serde_json::Value;

use super::effect::failed;
use super::playbook::{self, CurationRequest, Diagnosis, DiagnosisRequest};
use super::view::{self, Room, describe_signature};
use super::{AdviceRequest, Delta, Grounding, GroundingRequest, TextProposer, TextRequest, clean, prompts};
use crate::engine::AT_FIRST;
use crate::identity::program_identity;

/// The default [`TextProposer`], an LM program of eight predictors:
///
/// | path | what it does |
/// |---|---|
/// | `observe` | notes what a batch of rows shows about the data |
/// | `summarize` | summarizes the notes |
/// | `describe` | describes the program and each of its steps |
/// | `instruct` | writes an instruction from this material, from examples and from earlier attempts |
/// | `reflect` | rewrites text after calls with scores and feedback |
/// | `diagnose` | finds the cause and the lesson of a run, and the effects of items of a playbook |
/// | `curate` | proposes changes of a playbook |
/// | `advise` | sums up what runs of several candidates show |
///
/// Its model is the current one, unless [`with_lm`](Self::with_lm) binds another. Texts of more than
/// [`max_chars`](Self::max_chars) characters are no proposals, and what it shows to the model is bounded by
/// [`max_shown`](Self::max_shown).
///
/// Source of the material and its order: Opsahl-Ong et al., "Optimizing Instructions and Demonstrations for
/// Multi-Stage Language Model Programs" (2024); Agrawal et al., "GEPA" (2025), for `reflect`; Zhang et al., "Agentic
/// Context Engineering" (2025), for `diagnose` and `curate`.
#[derive(Debug, Clone)]
pub struct Proposer {
    observe: DynPredict,
    summarize: DynPredict,
    describe: DynPredict,
    instruct: DynPredict,
    reflect: DynPredict,
    diagnose: DynPredict,
    curate: DynPredict,
    advise: DynPredict,
    max_chars: usize,
    max_shown: usize,
}

/// The largest number of batches of rows to observe.
pub(super) const MOST_BATCHES: usize = 10;

/// The number of batches without a new observation after which there are no more.
pub(super) const ENOUGH_SKIPS: usize = 5;

/// The largest number of samples of a request in flight.
const AT_ONCE: usize = 32;

/// The distance between the numbers of the first samples of two requests.
const SAMPLES: u64 = 1_000;

impl Proposer {
    /// Creates a proposer that uses the current model.
    pub fn new() -> Self {
        Proposer {
            observe: DynPredict::new(prompts::observe()),
            summarize: DynPredict::new(prompts::summarize()),
            describe: DynPredict::new(prompts::describe()),
            instruct: DynPredict::new(prompts::instruct()),
            reflect: DynPredict::new(prompts::reflect()),
            diagnose: DynPredict::new(prompts::diagnose()),
            curate: DynPredict::new(prompts::curate()),
            advise: DynPredict::new(prompts::advise()),
            max_chars: 10_000,
            max_shown: 40_000,
        }
    }

    /// Binds a model to all predictors.
    #[must_use]
    pub fn with_lm(mut self, lm: dspy_core::lm::Lm /* `Lm::new("openai/gpt-4o-mini")?` */) -> Self {
        self.set_lm(lm);
        self
    }

    /// Sets the largest length of a proposed text, 10,000 characters by default.
    #[must_use]
    pub fn max_chars(mut self, chars: usize) -> Self {
        self.max_chars = chars;
        self
    }

    /// Sets how much of the rows, calls and earlier texts is shown in one prompt, 40,000 characters by default. A
    /// single value is cut at a twentieth of it.
    #[must_use]
    pub fn max_shown(mut self, chars: usize) -> Self {
        self.max_shown = chars;
        self
    }

    fn room(&self) -> Room {
        Room::of(self.max_shown)
    }

    /// Returns a summary of the rows; `None` if there is nothing to say. A batch of rows whose notes cannot be read is
    /// left out.
    async fn dataset(&self, request: &GroundingRequest, parts: &mut Parts) -> Result<Option<String>> {
        let (mut notes, mut skips) = (String::new(), 0);
        for batch in request.examples.chunks(request.batch.max(1)).take(MOST_BATCHES) {
            // The program is still described if the rows are not.
            if parts.is_hopeless() {
                break;
            }
            let mut inputs = Inputs::new();
            inputs.set("rows", view::rows(batch, &self.room()));
            inputs.set_some("earlier_notes", &view::cut(&notes, self.max_shown));
            let observed = text_of(&self.observe, inputs, "observations").await;
            let Some(observed) = parts.read(observed.map(Some), "notes on some rows")? else { continue };
            if adds_nothing(&observed) {
                skips += 1;
                if skips == ENOUGH_SKIPS {
                    break;
                }
            } else {
                let separator = if notes.is_empty() { "" } else { "\n" };
                notes = notes + separator + view::cut(observed.trim(), self.max_shown).as_str();
            }
        }
        if notes.is_empty() {
            return Ok(None);
        }
        let mut inputs = Inputs::new();
        inputs.set("observations", view::cut(&notes, self.max_shown));
        let summary = text_of(&self.summarize, inputs, "summary").await;
        parts.read(summary.map(|summary| clean(&summary, self.max_chars)), "summary of the data")
    }

    async fn description(
        &self,
        request: &GroundingRequest,
        program: &str,
        step: Option<&str>,
    ) -> Result<Option<String>> {
        let mut inputs = Inputs::new();
        inputs.set("program", program);
        inputs.set_some("source_code", request.source.as_deref().unwrap_or_default());
        inputs.set_some("step", step.unwrap_or_default());
        text_of(&self.describe, inputs, "description").await.map(|text| clean(&text, self.max_chars))
    }

    async fn grounding(&self, request: GroundingRequest) -> Result<Grounding> {
        let mut parts = Parts::default();
        let dataset = self.dataset(&request, &mut parts).await?;
        let mut grounding = Grounding { dataset, ..Grounding::default() };
        if let Some(program) = &request.program {
            let text = self.description(&request, program, None).await;
            grounding.program = parts.read(text, "description of the program")?;
            let mut modules = BTreeMap::new();
            for (path, signature) in &request.modules {
                if parts.is_hopeless() {
                    break;
                }
                let step = format!("Step `{path}`\n{signature}");
                let text = self.description(&request, program, Some(&step)).await;
                if let Some(text) = parts.read(text, &format!("description of `{path}`"))? {
                    modules.insert(path.clone(), text);
                }
            }
            grounding.modules = modules;
        }
        grounding.problems = parts.problems;
        Ok(grounding)
    }

    async fn advice(&self, request: AdviceRequest) -> Result<Option<String>> {
        if request.runs.is_empty() {
            return Ok(None);
        }
        let mut inputs = Inputs::new();
        inputs.set("program", view::cut(&request.program, self.max_shown));
        inputs.set_some("earlier_advice", request.earlier.as_deref().unwrap_or_default());
        inputs.set("runs", view::records(&request.runs, &self.room()));
        let call = text_of(&self.advise, inputs, "advice");
        let advice = Settings::new().rollout(request.sample).scope(call).await?;
        Ok(clean(&advice, self.max_chars))
    }

    async fn texts(&self, request: TextRequest) -> Result<Vec<String>> {
        let room = self.room();
        let mut inputs = Inputs::new();
        inputs.set("task", describe_signature(&request.signature));
        inputs.set_some("attempts", &view::history(&request.history, request.component.kind(), &room));
        let (predictor, output) = if request.records.is_empty() {
            let Grounding { dataset, program, modules, .. } = &request.grounding;
            let step = modules.get(request.component.predictor());
            inputs.set("current_instruction", request.current);
            inputs.set_some("dataset_summary", dataset.as_deref().unwrap_or_default());
            inputs.set_some("program_description", program.as_deref().unwrap_or_default());
            inputs.set_some("step_description", step.map(String::as_str).unwrap_or_default());
            inputs.set_some("examples", &view::labelled(&request.demos, &request.signature, &room));
            inputs.set_some("tip", request.tip.as_deref().unwrap_or_default());
            (&self.instruct, "instruction")
        } else {
            inputs.set("role_of_text", view::role(request.component.kind()));
            inputs.set("current_text", request.current);
            inputs.set("examples", view::records(&request.records, &room));
            inputs.set_some("advice", request.advice.as_deref().unwrap_or_default());
            (&self.reflect, "revised_text")
        };
        let mut predictor = predictor.clone();
        if request.temperature.is_some() {
            let mut params = predictor.predictor().params().clone();
            params.temperature = request.temperature;
            predictor.predictor_mut().set_params(params);
        }
        // Samples of their own instead of several completions of one: not every endpoint returns several.
        let count = request.count.max(1);
        let (predictor, inputs) = (&predictor, &inputs);
        let sample = |index: usize| async move {
            let call = text_of(predictor, inputs.clone(), output);
            Settings::new()
                .rollout(request.sample.wrapping_mul(SAMPLES).wrapping_add(index as u64))
                .scope(call)
                .await
        };
        let mut texts = Vec::new();
        let mut failed = None;
        let mut first = 0;
        while first < count {
            let most = if first == 0 { AT_FIRST } else { AT_ONCE };
            let samples = (first..first.saturating_add(most).min(count)).map(sample);
            first = first.saturating_add(most);
            for text in join_all(samples).await {
                match text {
                    Ok(text) => texts.extend(clean(&text, self.max_chars)),
                    Err(error) if error.is_outage() => return Err(error),
                    Err(error) => failed = failed.or(Some(error)),
                }
            }
            // The other samples of the same request would hardly be better.
            if failed.is_some() && texts.is_empty() {
                break;
            }
        }
        // One unreadable reply of several is one proposal less.
        failed.filter(|_| texts.is_empty()).map_or(Ok(texts), Err)
    }
}

impl Proposer {
    async fn diagnosis(&self, request: DiagnosisRequest) -> Result<Diagnosis> {
        let mut inputs = Inputs::new();
        inputs.set("task", describe_signature(&request.signature));
        inputs.set_some("playbook", &request.playbook.to_string());
        inputs.set("examples", view::records(&request.records, &self.room()));
        inputs.set_some("tried_lesson", request.tried.as_deref().unwrap_or_default());
        let call = self.diagnose.call(inputs.0);
        let said = Settings::new().rollout(request.sample).scope(call).await?;
        Ok(Diagnosis::read(&said["root_cause"], &said["key_insight"], &said["item_tags"]))
    }

    async fn changes(&self, request: CurationRequest) -> Result<Vec<Delta>> {
        let room = self.room();
        let mut inputs = Inputs::new();
        inputs.set("task", describe_signature(&request.signature));
        inputs.set_some("playbook", &playbook::with_counters(&request.playbook));
        inputs.set("examples", view::records(&request.records, &room));
        inputs.set_some("diagnoses", &request.shown_diagnoses(room.total));
        inputs.0.insert("max_characters".into(), request.max_chars.into());
        let call = self.curate.call(inputs.0);
        let said = Settings::new().rollout(request.sample).scope(call).await?;
        Ok(playbook::read_operations(&said["operations"]))
    }
}

impl Default for Proposer {
    fn default() -> Self {
        Proposer::new()
    }
}

impl TextProposer for Proposer {
    fn propose(&self, request: TextRequest) -> BoxFuture<'_, Result<Vec<String>>> {
        Box::pin(self.texts(request))
    }

    fn ground(&self, request: GroundingRequest) -> BoxFuture<'_, Result<Grounding>> {
        Box::pin(self.grounding(request))
    }

    fn diagnose(&self, request: DiagnosisRequest) -> BoxFuture<'_, Result<Diagnosis>> {
        Box::pin(self.diagnosis(request))
    }

    fn curate(&self, request: CurationRequest) -> BoxFuture<'_, Result<Vec<Delta>>> {
        Box::pin(self.changes(request))
    }

    fn advise(&self, request: AdviceRequest) -> BoxFuture<'_, Result<Option<String>>> {
        Box::pin(self.advice(request))
    }

    fn identity(&self) -> Value {
        serde_json::json!({
            "program": program_identity(self),
            "max_chars": self.max_chars,
            "max_shown": self.max_shown,
        })
    }
}

impl HasPredictors for Proposer {
    fn visit<'a>(&'a self, visitor: &mut Visitor<'a, '_>) {
        visitor.field("observe", &self.observe);
        visitor.field("summarize", &self.summarize);
        visitor.field("describe", &self.describe);
        visitor.field("instruct", &self.instruct);
        visitor.field("reflect", &self.reflect);
        visitor.field("diagnose", &self.diagnose);
        visitor.field("curate", &self.curate);
        visitor.field("advise", &self.advise);
    }

    fn visit_mut(&mut self, visitor: &mut VisitorMut<'_>) {
        visitor.field("observe", &mut self.observe);
        visitor.field("summarize", &mut self.summarize);
        visitor.field("describe", &mut self.describe);
        visitor.field("instruct", &mut self.instruct);
        visitor.field("reflect", &mut self.reflect);
        visitor.field("diagnose", &mut self.diagnose);
        visitor.field("curate", &mut self.curate);
        visitor.field("advise", &mut self.advise);
    }
}

/// The parts of a grounding that are missing because of replies that cannot be read.
#[derive(Default)]
struct Parts {
    problems: Vec<String>,
    /// The number of parts that could not be read since the last one that could.
    unread: usize,
}

impl Parts {
    /// Returns whether so many parts in a row could not be read that others of the kind are not asked for.
    fn is_hopeless(&self) -> bool {
        self.unread >= AT_FIRST / 2
    }

    /// Returns a part, or `None` if the reply cannot be read.
    ///
    /// # Errors
    /// If the other parts would have the same error.
    fn read(&mut self, part: Result<Option<String>>, name: &str) -> Result<Option<String>> {
        match part {
            Err(error) if !error.is_outage() && !error.is_configuration() => {
                self.unread += 1;
                let problem = format!("no {name}: {}", failed(&error));
                if !self.problems.contains(&problem) {
                    self.problems.push(problem);
                }
                Ok(None)
            }
            part => {
                self.unread = 0;
                part
            }
        }
    }
}

/// Returns whether a reply says that there are no new observations. One may begin with the same word.
fn adds_nothing(observed: &str) -> bool {
    let word = observed.trim_matches(|c: char| !c.is_alphanumeric());
    word.is_empty() || word.eq_ignore_ascii_case("complete") || word.starts_with("COMPLETE")
}

/// The inputs of a call. Optional ones that are empty are left out.
#[derive(Clone)]
struct Inputs(Values);

impl Inputs {
    fn new() -> Self {
        Inputs(Values::new())
    }

    fn set(&mut self, name: &str, value: impl Into<String>) {
        self.0.insert(name.to_owned(), value.into().into());
    }

    fn set_some(&mut self, name: &str, value: &str) {
        if !value.is_empty() {
            self.set(name, value);
        }
    }
}

async fn text_of(predictor: &DynPredict, inputs: Inputs, output: &str) -> Result<String> {
    let prediction = predictor.call(inputs.0).await?;
    Ok(prediction[output].as_str().unwrap_or_default().to_owned())
}
