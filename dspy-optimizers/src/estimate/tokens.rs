//! The sizes of prompts and replies in tokens.

use std::borrow::Cow;

use dspy_core::lm::{Lm, Message, Price};
use dspy_core::predict::Predictor;
use dspy_core::program::{HasPredictors, current_lm, selecting_predictors};
use dspy_core::signature::{Demo, FieldSpec, Values};
use serde_json::Value;

use crate::data::Rows;

/// The bytes of text per estimated token, as in the library's rate limiter.
const BYTES: usize = 4;

/// The largest number of rows whose prompts are rendered.
const SAMPLE: usize = 10;

/// The tokens of a value that is not known.
const UNKNOWN: u64 = 50;

/// The tokens of the name of a field around its value.
const MARKER: u64 = 10;

/// The tokens that the proposers' own instructions take up.
const PROPOSER: u64 = 400;

/// The tokens of an instruction that a proposer writes, and the most of a longer one.
const WRITTEN: u64 = 200;
pub(super) const MOST_WRITTEN: u64 = 500;

/// The number of earlier instructions that a prompt of a proposer shows, for the upper end.
const HISTORY: u64 = 5;

/// The tokens of the calls of a run of a program, summed over its predictors.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Tokens {
    /// The mean prompt.
    pub(super) prompt: f64,
    /// The shortest prompt.
    pub(super) shortest: f64,
    /// The shortest reply.
    pub(super) briefest: f64,
    /// A long reply.
    pub(super) reply: f64,
    /// A demonstration in the prompt of each predictor.
    pub(super) demo: f64,
    /// The largest prompt, reply and demonstration of a single call.
    pub(super) call: [f64; 3],
    /// A row as a proposer sees it.
    row: f64,
    /// The instructions and fields of the program, for a proposer.
    task: f64,
}

impl Tokens {
    /// Measures the prompts of a program on some rows. They are rendered with the settings of the current task. `lm`
    /// replaces the models of the predictors.
    pub(super) fn of<E>(program: &impl HasPredictors, lm: Option<&Lm>, rows: &Rows<'_, E>) -> Self {
        let predictors: Vec<_> = selecting_predictors(program)
            .into_iter()
            .map(|(_, predictor, shown)| match shown {
                Some(shown) => {
                    (Cow::Owned(most_shown(predictor, shown)), Some(least_shown(predictor, shown)))
                }
                None => (Cow::Borrowed(predictor), None),
            })
            .collect();
        let sample: Vec<&Values> = rows.iter().take(SAMPLE).map(|row| row.values).collect();
        let count = sample.len().max(1) as f64;
        let current = current_lm();
        let mut all = Tokens { shortest: f64::INFINITY, ..Tokens::default() };
        for values in &sample {
            all.row += text(values.values().map(length).sum::<usize>()) as f64 / count;
            let mut prompt = 0.0;
            let mut shortest = 0.0;
            all.briefest = 0.0;
            for (predictor, least) in &predictors {
                let lm = lm.or(predictor.lm()).or(current.as_ref());
                let call = Self::of_call(predictor, lm, values);
                shortest += match least {
                    Some(least) => Self::of_call(least, lm, values).shortest,
                    None => call.shortest,
                };
                let largest = [call.prompt, call.reply, call.demo];
                all.call.iter_mut().zip(largest).for_each(|(most, size)| *most = most.max(size));
                prompt += call.prompt;
                all.briefest += call.briefest;
                all.reply += call.reply / count;
                all.demo += call.demo / count;
                all.task += call.task / count;
            }
            all.prompt += prompt / count;
            all.shortest = all.shortest.min(shortest);
        }
        all.shortest = if sample.is_empty() { 0.0 } else { all.shortest };
        all
    }

    fn of_call(predictor: &Predictor, lm: Option<&Lm>, row: &Values) -> Self {
        let spec = predictor.spec();
        let known = |field: &FieldSpec| row.get(field.name()).map_or(UNKNOWN, |value| text(length(value)));
        let inputs: u64 = spec.inputs().map(|field| known(field) + MARKER).sum();
        let outputs: u64 = spec.outputs().map(|field| known(field) + MARKER).sum();
        // A model may write more than the label.
        let reply: u64 = spec.outputs().map(|field| known(field).max(UNKNOWN) + MARKER).sum();
        let reply = longest_reply(predictor, lm).map_or(reply, |most| reply.min(most));
        let describe = |field: &FieldSpec| field.name().len() + field.description().len();
        let task = text(spec.instruction().len() + spec.fields().iter().map(describe).sum::<usize>());
        let given = |field: &FieldSpec| {
            let unknown = || Value::String("x".repeat(UNKNOWN as usize * BYTES));
            (field.name().to_owned(), row.get(field.name()).cloned().unwrap_or_else(unknown))
        };
        let given: Values = spec.inputs().map(given).collect();
        let rendered = predictor.render(&given).map(|messages| messages.iter().map(tokens).sum::<u64>());
        let shown: u64 =
            predictor.demos().iter().map(|demo| text(demo.values.values().map(length).sum())).sum();
        let prompt = rendered.unwrap_or(2 * task + shown + inputs + outputs);
        Tokens {
            prompt: prompt as f64,
            shortest: prompt as f64,
            briefest: spec.outputs().count() as f64,
            reply: reply as f64,
            demo: (inputs + outputs) as f64,
            task: task as f64,
            call: [0.0; 3],
            row: 0.0,
        }
    }

    /// Returns the sizes of runs of either of two programs with the same predictors.
    pub(super) fn spanning(self, other: Self) -> Self {
        let [prompt, reply, demo] = self.call;
        let [other_prompt, other_reply, other_demo] = other.call;
        Tokens {
            prompt: self.prompt.max(other.prompt),
            shortest: self.shortest.min(other.shortest),
            briefest: self.briefest.min(other.briefest),
            reply: self.reply.max(other.reply),
            demo: self.demo.max(other.demo),
            call: [prompt.max(other_prompt), reply.max(other_reply), demo.max(other_demo)],
            ..self
        }
    }

    /// Returns the tokens of the longest prompt of a proposer that shows this many rows.
    pub(super) fn longest_proposer_prompt(&self, rows: usize) -> f64 {
        self.proposer_prompt(rows) + (HISTORY * WRITTEN) as f64 + self.reply * rows as f64
    }

    /// Returns the tokens of the prompt of a proposer that shows this many rows.
    pub(super) fn proposer_prompt(&self, rows: usize) -> f64 {
        PROPOSER as f64 + self.task + self.row * rows as f64
    }
}

/// Returns the tokens of the prompts of a run of a program, the mean of rows.
pub(crate) fn tokens_of_prompts<E>(program: &impl HasPredictors, rows: &Rows<'_, E>) -> f64 {
    Tokens::of(program, None, rows).prompt
}

/// Returns a predictor with only its longest demonstrations.
fn most_shown(predictor: &Predictor, shown: usize) -> Predictor {
    let mut demos = by_length(predictor);
    let longest = demos.split_off(demos.len().saturating_sub(shown));
    with_demos(predictor, longest)
}

/// Returns a predictor with only its shortest demonstrations.
fn least_shown(predictor: &Predictor, shown: usize) -> Predictor {
    let mut demos = by_length(predictor);
    demos.truncate(shown);
    with_demos(predictor, demos)
}

fn by_length(predictor: &Predictor) -> Vec<Demo> {
    let mut demos = predictor.demos().to_vec();
    demos.sort_by_cached_key(|demo| demo.values.values().map(length).sum::<usize>());
    demos
}

fn with_demos(predictor: &Predictor, demos: Vec<Demo>) -> Predictor {
    let mut predictor = predictor.clone();
    predictor.set_demos(demos);
    predictor
}

/// Returns the limit of a reply that the settings of a predictor or its model set.
fn longest_reply(predictor: &Predictor, lm: Option<&Lm>) -> Option<u64> {
    let of_model = || lm?.params().max_tokens;
    predictor.params().max_tokens.or_else(of_model).map(u64::from)
}

/// The lowest and the highest price of a set of models.
#[derive(Debug, Clone, Copy)]
pub(super) struct Prices(f64, f64, f64, f64);

impl Prices {
    /// Returns the prices of models; `None` if one of them is unknown.
    pub(super) fn of<'a>(models: impl IntoIterator<Item = Option<&'a Lm>>) -> Option<Self> {
        let mut all: Option<Prices> = None;
        for lm in models {
            let Price { input, output, .. } = lm?.unit_price()?;
            let Prices(a, b, c, d) = all.unwrap_or(Prices(input, input, output, output));
            all = Some(Prices(a.min(input), b.max(input), c.min(output), d.max(output)));
        }
        all
    }

    pub(super) fn least(self, prompt: f64, reply: f64) -> f64 {
        (prompt * self.0 + reply * self.2) / 1e6
    }

    pub(super) fn most(self, prompt: f64, reply: f64) -> f64 {
        (prompt * self.1 + reply * self.3) / 1e6
    }
}

fn tokens(message: &Message) -> u64 {
    text(message.text().len())
}

fn text(bytes: usize) -> u64 {
    bytes.div_ceil(BYTES) as u64
}

fn length(value: &Value) -> usize {
    value.as_str().map_or_else(|| value.to_string().len(), str::len)
}
