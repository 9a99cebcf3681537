//! The current question, prepared for answering with the fitted demonstrations.

use super::features::Weighed;
use super::fitted::Fitted;
use super::input::{Input, readable};
use super::prompt::Question;
use super::propose::Proposal;
use super::words::{sentences, words};

/// The number of words above which an input counts as material instead of as a question.
const LONG: usize = 40;

/// The current question with its features and its nearest demonstrations.
#[derive(Debug)]
pub(super) struct Prepared<'a> {
    pub(super) fitted: &'a Fitted,
    pub(super) question: &'a Question,
    /// The inputs as plain text.
    pub(super) texts: Vec<Option<String>>,
    pub(super) input: Input,
    pub(super) weighed: Weighed,
    /// The 16 most similar demonstrations with their similarities, the most similar one first.
    pub(super) nearest: Vec<(usize, f64)>,
    /// The request for a proposal, if the question is one.
    pub(super) proposal: Option<Proposal>,
}

/// The inputs, divided into questions and the material that may contain the answer.
#[derive(Debug, Default)]
pub(super) struct Parted<'t> {
    pub(super) asked: Vec<&'t str>,
    pub(super) material: Vec<&'t str>,
}

impl<'a> Prepared<'a> {
    pub(super) fn new(fitted: &'a Fitted, question: &'a Question) -> Prepared<'a> {
        let texts: Vec<_> = question.inputs.iter().map(|text| text.as_deref().map(readable)).collect();
        let input = Input::of_fields(&fitted.brief.inputs, &texts);
        let weighed = fitted.weights.weigh(&input.bag);
        let nearest = fitted.nearest(&weighed, 16);
        let proposal = Proposal::read(&fitted.brief, question);
        Prepared { fitted, question, texts, input, weighed, nearest, proposal }
    }

    /// Returns all inputs, one per line.
    pub(super) fn text(&self) -> String {
        self.texts.iter().flatten().map(String::as_str).collect::<Vec<_>>().join("\n")
    }

    /// Divides the current inputs into questions and material.
    pub(super) fn parted(&self) -> Parted<'_> {
        part(&self.texts)
    }
}

/// Divides inputs into questions, the shorter ones, and material, the longer ones. A single input is material
/// except for the questions in it.
pub(super) fn part(texts: &[Option<String>]) -> Parted<'_> {
    let present: Vec<&str> =
        texts.iter().flatten().map(String::as_str).filter(|text| !text.is_empty()).collect();
    let mut parted = Parted::default();
    if let [only] = present[..] {
        let (asked, told): (Vec<_>, Vec<_>) =
            sentences(only).into_iter().partition(|sentence| sentence.ends_with('?'));
        if told.is_empty() || asked.is_empty() {
            parted.material.push(only);
        } else {
            parted.material = told;
        }
        parted.asked = asked;
        return parted;
    }
    let lengths: Vec<usize> = present.iter().map(|text| words(text).len()).collect();
    let longest = lengths.iter().copied().max().unwrap_or_default();
    for (text, length) in present.into_iter().zip(lengths) {
        let asks = text.trim_end().ends_with('?') && !text.contains('\n');
        let material = !asks && (length == longest || length > LONG);
        if material { parted.material.push(text) } else { parted.asked.push(text) }
    }
    if parted.material.is_empty() {
        parted.material.clone_from(&parted.asked);
    }
    parted
}
