//! A classifier that chooses one of a closed set of values.
//!
//! It combines three sources of evidence: similar demonstrations, words that occur with a value in the
//! demonstrations, and the prompt's statements about the values. Each returns a log-score per choice. Their
//! weights are those that best predict held-out demonstrations from the others.

use std::collections::{BTreeMap, HashMap};

use serde_json::Value;

use super::choice_hints::ChoiceHints;
use super::features::{Weighed, Weights};
use super::input::Input;

/// The maximum number of demonstrations held out in turn to estimate the weights; it bounds the time for it.
const HELD_OUT: usize = 48;
/// The number of similar demonstrations that vote.
const NEIGHBOURS: usize = 12;
/// The vote that is shared among all choices, for chance overlap between any two inputs.
const CHANCE: f64 = 0.02;
/// The pseudo-count that smooths the word counts, so that a word seen once does not decide alone.
const CAUTION: f64 = 1.5;
/// Candidate weights of a source of evidence.
const TRUST: [f64; 5] = [0.0, 0.35, 0.7, 1.2, 2.0];
/// The weights without demonstrations: of similar demonstrations, words and the prompt.
const PRIOR_TRUST: [f64; 3] = [0.7, 0.7, 0.7];
/// The penalty for weights that differ from [`PRIOR_TRUST`], in nats per squared unit.
const PRIOR_STRENGTH: f64 = 1.5;

/// A classifier for the choices of one field.
#[derive(Debug)]
pub(super) struct Classifier {
    choices: Vec<Value>,
    hints: ChoiceHints,
    /// The index of each case's choice; `None` for a case without a label.
    labels: Vec<Option<usize>>,
    counts: Vec<f64>,
    /// The number of cases of each choice that contain a word, by word.
    word_counts: HashMap<u64, BTreeMap<usize, f64>>,
    trust: [f64; 3],
}

/// The scores of the choices, and the evidence for them.
#[derive(Debug, Default)]
pub(super) struct Verdict {
    /// Log-scores, comparable with each other.
    pub(super) scores: Vec<f64>,
    /// The most similar case and its similarity.
    pub(super) nearest: Option<(usize, f64)>,
    /// Words of the input that the prompt makes evidence for a choice, as (word, choice, weight).
    pub(super) words: Vec<(String, usize, f64)>,
}

impl Classifier {
    /// Creates a classifier from cases and their labels.
    pub(super) fn learn(
        choices: Vec<Value>,
        hints: ChoiceHints,
        cases: &[Input],
        weighed: &[Weighed],
        weights: &Weights,
        targets: &[Option<Value>],
    ) -> Classifier {
        let label =
            |target: &Option<Value>| choices.iter().position(|choice| Some(choice) == target.as_ref());
        let labels: Vec<_> = targets.iter().map(label).collect();
        let mut counts = vec![0.0; choices.len()];
        let mut word_counts: HashMap<u64, BTreeMap<usize, f64>> = HashMap::new();
        for (case, label) in cases.iter().zip(&labels) {
            let Some(label) = label else { continue };
            counts[*label] += 1.0;
            for (word, _) in &case.bag.words {
                *word_counts.entry(*word).or_default().entry(*label).or_default() += 1.0;
            }
        }
        let mut classifier = Classifier { choices, hints, labels, counts, word_counts, trust: PRIOR_TRUST };
        classifier.trust = classifier.earned_trust(cases, weighed, weights);
        classifier
    }

    pub(super) fn choices(&self) -> &[Value] {
        &self.choices
    }

    /// Returns the index of the choice of the case in [`Verdict::nearest`].
    pub(super) fn label_of(&self, nearest: Option<(usize, f64)>) -> Option<usize> {
        *self.labels.get(nearest?.0)?
    }

    /// Returns the weights under which the held-out cases are most likely, with a penalty for the distance to
    /// [`PRIOR_TRUST`].
    fn earned_trust(&self, cases: &[Input], weighed: &[Weighed], weights: &Weights) -> [f64; 3] {
        let labelled: Vec<_> = (0..cases.len()).filter(|case| self.labels[*case].is_some()).collect();
        let step = labelled.len().div_ceil(HELD_OUT).max(1);
        let held_out: Vec<_> = labelled
            .into_iter()
            .step_by(step)
            .filter_map(|case| {
                let label = self.labels[case]?;
                // A value with a single case cannot be predicted from the others, so the case is not used.
                (self.counts[label] > 1.0).then(|| {
                    (label, self.testimony(&cases[case], &weighed[case], weighed, weights, Some(case)).0)
                })
            })
            .collect();
        let mut best = (f64::NEG_INFINITY, PRIOR_TRUST);
        for a in TRUST {
            for b in TRUST {
                for c in TRUST {
                    let trust = [a, b, c];
                    let pull: f64 = trust.iter().zip(PRIOR_TRUST).map(|(t, prior)| (t - prior).powi(2)).sum();
                    let fit: f64 = held_out
                        .iter()
                        .map(|(label, testimony)| log_probability(&combine(testimony, trust), *label))
                        .sum();
                    let value = fit - PRIOR_STRENGTH * pull;
                    if value > best.0 {
                        best = (value, trust);
                    }
                }
            }
        }
        best.1
    }

    /// Returns the log-scores of the three sources and the prior for an input. The case `without` is not
    /// used.
    fn testimony(
        &self,
        input: &Input,
        input_weighed: &Weighed,
        cases: &[Weighed],
        weights: &Weights,
        without: Option<usize>,
    ) -> ([Vec<f64>; 4], Verdict) {
        let mut verdict = Verdict::default();
        let own = without.and_then(|case| self.labels[case]);
        let count = |choice: usize| self.counts[choice] - f64::from(u8::from(own == Some(choice)));
        let total: f64 = (0..self.choices.len()).map(count).sum();
        let share = |choice: usize| (count(choice) + 1.0) / (total + self.choices.len() as f64);
        let prior: Vec<f64> = (0..self.choices.len()).map(|choice| share(choice).ln() * 0.5).collect();

        let mut nearest: Vec<(f64, usize, usize)> = Vec::new();
        for (case, (label, other)) in self.labels.iter().zip(cases).enumerate() {
            if let (Some(label), true) = (label, without != Some(case)) {
                nearest.push((input_weighed.similarity(other), case, *label));
            }
        }
        let order =
            |a: &(f64, usize, usize), b: &(f64, usize, usize)| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1));
        if nearest.len() > NEIGHBOURS {
            nearest.select_nth_unstable_by(NEIGHBOURS, order);
            nearest.truncate(NEIGHBOURS);
        }
        nearest.sort_by(order);
        verdict.nearest = nearest.first().map(|(similarity, case, _)| (*case, *similarity));
        let mut votes: Vec<f64> = (0..self.choices.len()).map(|choice| CHANCE * share(choice)).collect();
        for (similarity, _, label) in &nearest {
            votes[*label] += similarity * similarity;
        }
        let sum: f64 = votes.iter().sum();
        let votes = votes.iter().map(|vote| (vote / sum).ln()).collect();

        let mut words = vec![0.0; self.choices.len()];
        for feature in &input.bag.words {
            let Some(seen) = self.word_counts.get(&feature.0) else { continue };
            let of = |choice: usize| {
                seen.get(&choice).copied().unwrap_or_default() - f64::from(u8::from(own == Some(choice)))
            };
            let all: f64 = (0..self.choices.len()).map(of).sum();
            if all <= 0.0 {
                continue;
            }
            let rate = all / total.max(1.0);
            let telling = feature.1.max(0.3);
            for (choice, score) in words.iter_mut().enumerate() {
                *score += telling * ((of(choice) + CAUTION * rate) / (count(choice) + CAUTION) / rate).ln();
            }
        }
        let damping = (input.bag.words.len().max(1) as f64).sqrt().recip() * 2.0;
        words.iter_mut().for_each(|score| *score *= damping.min(1.0));

        let mut hints = vec![0.0; self.choices.len()];
        for (word, choice, weight) in self.hints.evidence(&input.stems) {
            let weight = weight * weights.of_word((super::features::hash(word), 1.0)).min(1.0);
            hints[choice] += weight;
            verdict.words.push((word.to_owned(), choice, weight));
        }
        for (rule, choice, weight) in self.hints.rules(input) {
            hints[choice] += weight;
            if !rule.is_empty() {
                verdict.words.push((rule.to_owned(), choice, weight));
            }
        }
        ([votes, words, hints, prior], verdict)
    }

    /// Scores the choices for an input.
    pub(super) fn judge(
        &self,
        input: &Input,
        input_weighed: &Weighed,
        cases: &[Weighed],
        weights: &Weights,
    ) -> Verdict {
        let (testimony, mut verdict) = self.testimony(input, input_weighed, cases, weights, None);
        verdict.scores = combine(&testimony, self.trust);
        verdict
    }
}

fn combine(testimony: &[Vec<f64>; 4], trust: [f64; 3]) -> Vec<f64> {
    let [votes, words, hints, prior] = testimony;
    (0..prior.len())
        .map(|choice| {
            trust[0] * votes[choice] + trust[1] * words[choice] + trust[2] * hints[choice] + prior[choice]
        })
        .collect()
}

/// Returns the logarithm of a choice's softmax probability.
fn log_probability(scores: &[f64], choice: usize) -> f64 {
    let highest = scores.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let sum: f64 = scores.iter().map(|score| (score - highest).exp()).sum();
    scores[choice] - highest - sum.ln()
}
