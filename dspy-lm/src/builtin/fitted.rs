//! The model fitted to the demonstrations of a prompt. Requests with the same demonstrations share it.

use serde_json::Value;

use super::choice_hints::ChoiceHints;
use super::classify::Classifier;
use super::features::{Weighed, Weights};
use super::input::{Input, readable};
use super::prompt::{Brief, Field};
use super::value_type::ValueType;

/// A [`Brief`] with the features of its demonstrations and the classifiers learned from them.
#[derive(Debug)]
pub(super) struct Fitted {
    pub(super) brief: Brief,
    /// The inputs of each demonstration as plain text.
    pub(super) texts: Vec<Vec<Option<String>>>,
    pub(super) cases: Vec<Input>,
    pub(super) weighed: Vec<Weighed>,
    pub(super) weights: Weights,
    /// The values of each output in the demonstrations.
    pub(super) targets: Vec<Vec<Option<Value>>>,
    /// A classifier for each output that is a choice.
    classifiers: Vec<Option<Classifier>>,
}

impl Fitted {
    pub(super) fn learn(brief: Brief) -> Fitted {
        let texts: Vec<Vec<Option<String>>> = brief
            .demos
            .iter()
            .map(|demo| demo.inputs.iter().map(|text| text.as_deref().map(readable)).collect())
            .collect();
        let cases: Vec<Input> = texts.iter().map(|texts| Input::of_fields(&brief.inputs, texts)).collect();
        let weights = Weights::estimate(cases.iter().map(|case| &case.bag));
        let weighed: Vec<Weighed> = cases.iter().map(|case| weights.weigh(&case.bag)).collect();
        let targets = (0..brief.outputs.len())
            .map(|output| brief.demos.iter().map(|demo| demo.outputs[output].clone()).collect())
            .collect();
        let mut fitted = Fitted { brief, texts, cases, weighed, weights, targets, classifiers: Vec::new() };
        let outputs = fitted.brief.outputs.iter().zip(&fitted.targets);
        fitted.classifiers = outputs
            .map(|(field, targets)| match &field.kind {
                ValueType::Choice(choices) => Some(fitted.classifier(field, choices, targets)),
                _ => None,
            })
            .collect();
        fitted
    }

    /// Creates a classifier of whole inputs.
    pub(super) fn classifier(
        &self,
        field: &Field,
        choices: &[Value],
        targets: &[Option<Value>],
    ) -> Classifier {
        let hints = ChoiceHints::read(field, choices, self.brief.prose());
        Classifier::learn(choices.to_vec(), hints, &self.cases, &self.weighed, &self.weights, targets)
    }

    /// Returns the classifier of an output of the signature, if the output is a choice.
    pub(super) fn ready_classifier(&self, field: &Field) -> Option<&Classifier> {
        let at = self.brief.outputs.iter().position(|output| std::ptr::eq(output, field))?;
        self.classifiers.get(at)?.as_ref()
    }

    /// Returns the `limit` most similar demonstrations with their similarities, the most similar one first.
    pub(super) fn nearest(&self, input: &Weighed, limit: usize) -> Vec<(usize, f64)> {
        let mut nearest: Vec<(usize, f64)> =
            self.weighed.iter().map(|case| input.similarity(case)).enumerate().collect();
        let order = |a: &(usize, f64), b: &(usize, f64)| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0));
        if nearest.len() > limit {
            nearest.select_nth_unstable_by(limit, order);
            nearest.truncate(limit);
        }
        nearest.sort_by(order);
        nearest
    }
}
