//! Requests to a proposer, as data.

use std::collections::BTreeMap;
use std::sync::Arc;

use dspy_core::observe::TraceStep;
use dspy_core::program::HasPredictors;
use dspy_core::signature::{SignatureSpec, Values};
use serde::{Deserialize, Serialize};

use super::{describe_program, describe_signature};
use crate::Component;

/// A request for new texts of one component.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct TextRequest {
    /// The component that the text is for.
    pub component: Component,
    /// The signature of its predictor, with the current texts.
    pub signature: Arc<SignatureSpec>,
    /// The current text.
    pub current: String,
    /// The knowledge of the data and the program.
    pub grounding: Grounding,
    /// Input and output values of successful calls of the predictor.
    pub demos: Vec<Values>,
    /// Earlier texts with their scores, in ascending order of the scores.
    pub history: Vec<ScoredText>,
    /// Calls of the predictor with their scores and feedback.
    pub records: Vec<Record>,
    /// Findings from runs of many candidates, as by [`advise`](super::TextProposer::advise).
    pub advice: Option<String>,
    /// A hint at the style of the text.
    pub tip: Option<String>,
    /// The number of texts wanted, at least 1.
    pub count: usize,
    /// The number of the request among equal ones. Requests with different numbers are separate samples, which no
    /// cache answers with the same reply.
    pub sample: u64,
    /// The temperature of the calls; by default that of the proposer's model.
    pub temperature: Option<f64>,
}

/// An instruction, or other text, that was tried before.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ScoredText {
    /// The text.
    pub text: String,
    /// The mean score with it, usually from 0 to 1.
    pub score: f64,
}

/// A call of a predictor that a proposer can learn from.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Record {
    /// The input values of the call.
    pub inputs: Values,
    /// The output values; empty if the call failed.
    pub outputs: Values,
    /// The error, if the call failed, with the unreadable reply.
    pub error: Option<String>,
    /// The other steps of the run in short, if they are to be shown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub context: Option<String>,
    /// The labels of the example, where they are known.
    pub expected: Values,
    /// The score of the whole program on the example; `None` if there is none.
    pub score: Option<f64>,
    /// The feedback of the metric.
    pub feedback: Option<String>,
}

/// A request for advice that runs of several candidates on the same examples show.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct AdviceRequest {
    /// A rendering of the program's predictors, as by [`describe_program`](super::describe_program).
    pub program: String,
    /// The advice so far, which is to be revised.
    pub earlier: Option<String>,
    /// Runs of the whole program: for each example the best one and, if it is not as good, the worst one.
    pub runs: Vec<Record>,
    /// The number of the request among equal ones.
    pub sample: u64,
}

impl AdviceRequest {
    /// Creates a request.
    pub fn new(program: impl Into<String>, runs: Vec<Record>) -> Self {
        AdviceRequest { program: program.into(), earlier: None, runs, sample: 0 }
    }
}

/// A request for a description of data and program.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct GroundingRequest {
    /// Labelled rows, of which the data is described.
    pub examples: Vec<Values>,
    /// The number of rows to show at a time.
    pub batch: usize,
    /// A rendering of the program's predictors, as by [`describe_program`](super::describe_program); `None` if the
    /// program is not to be described.
    pub program: Option<String>,
    /// The source code of the program, if it is known.
    pub source: Option<String>,
    /// The predictors to describe: path and rendered signature.
    pub modules: Vec<(String, String)>,
}

/// The knowledge of a proposer of the data and the program.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Grounding {
    /// A summary of the data.
    pub dataset: Option<String>,
    /// A description of what the program does.
    pub program: Option<String>,
    /// A description of the role of each predictor, by path.
    pub modules: BTreeMap<String, String>,
    /// The parts that are missing because of replies that could not be read, for the
    /// [warnings](crate::Report::warnings) of the report.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub problems: Vec<String>,
}

impl TextRequest {
    /// Creates a request for one new text of a component.
    pub fn new(component: Component, signature: Arc<SignatureSpec>, current: impl Into<String>) -> Self {
        TextRequest {
            component,
            signature,
            current: current.into(),
            grounding: Grounding::default(),
            demos: Vec::new(),
            history: Vec::new(),
            records: Vec::new(),
            advice: None,
            tip: None,
            count: 1,
            sample: 0,
            temperature: None,
        }
    }
}

impl ScoredText {
    /// Returns the best texts, at most `most`, the best one last. Of equal scores, the later text is the better one.
    pub(crate) fn best_last(texts: impl Iterator<Item = ScoredText>, most: usize) -> Vec<ScoredText> {
        let mut texts: Vec<_> = texts.collect();
        texts.sort_by(|a, b| a.score.total_cmp(&b.score));
        texts.split_off(texts.len().saturating_sub(most))
    }
}

impl Record {
    /// Creates a record of a call in a trace.
    pub fn of(step: &TraceStep) -> Self {
        let error = step.error.as_ref().map(|error| match step.reply.trim() {
            "" => error.clone(),
            reply => format!("{error}\nThe reply was:\n{reply}"),
        });
        Record { inputs: step.inputs.clone(), outputs: step.outputs.clone(), error, ..Record::default() }
    }
}

impl GroundingRequest {
    /// Creates a request that asks for nothing.
    pub fn new() -> Self {
        GroundingRequest { batch: 10, ..GroundingRequest::default() }
    }

    /// Adds the program and its predictors.
    pub(crate) fn describing(mut self, program: &impl HasPredictors) -> Self {
        self.program = Some(describe_program(program));
        let predictors = program.named_predictors().into_iter();
        self.modules =
            predictors.map(|(path, predictor)| (path, describe_signature(predictor.spec()))).collect();
        self
    }
}
