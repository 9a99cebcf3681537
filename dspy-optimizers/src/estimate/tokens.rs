//! The sizes of prompts and replies in tokens.

use dspy_core::lm::{Lm, Message, Price};
use dspy_core::predict::Predictor;
use dspy_core::program::HasPredictors;
use dspy_core::signature::{FieldSpec, Role, Values};
use serde_json::Value;

use crate::data::Rows;

/// The bytes of text per estimated token, as in the library's rate limiter.
const BYTES: usize = 4;

/// The largest number of rows whose prompts are rendered.
const SAMPLE: usize = 10;

/// The tokens of a value that is not known.
const UNKNOWN: u64 = 50;

/// The tokens that the proposers' own instructions take up.
const PROPOSER: u64 = 400;

/// The tokens of an instruction that a proposer writes.
const WRITTEN: u64 = 200;

/// The tokens of the calls of a run of a program, summed over its predictors.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Tokens {
    pub(super) prompt: f64,
    pub(super) reply: f64,
    /// A demonstration in the prompt of each predictor.
    pub(super) demo: f64,
    /// A row as a proposer sees it.
    row: f64,
    /// The instructions and fields of the program, for a proposer.
    task: f64,
}

impl Tokens {
    /// Measures the prompts of a program on some rows. They are rendered with the settings of the current task.
    pub(super) fn of<E>(program: &impl HasPredictors, rows: &Rows<'_, E>) -> Self {
        let sample: Vec<&Values> = rows.iter().take(SAMPLE).map(|row| row.values).collect();
        let count = sample.len().max(1) as f64;
        let mut all = Tokens::default();
        for values in &sample {
            all.row += text(values.values().map(length).sum::<usize>()) as f64 / count;
            for (_, predictor) in program.named_predictors() {
                let call = Self::of_call(predictor, values);
                all.prompt += call.prompt / count;
                all.reply += call.reply / count;
                all.demo += call.demo / count;
                all.task += call.task / count;
            }
        }
        all
    }

    fn of_call(predictor: &Predictor, row: &Values) -> Self {
        let spec = predictor.spec();
        let part = |role: Role| -> u64 {
            let fields = spec.fields().iter().filter(|field| field.role() == role);
            fields.map(|field| row.get(field.name()).map_or(UNKNOWN, |value| text(length(value)) + 8)).sum()
        };
        let (inputs, outputs) = (part(Role::Input), part(Role::Output));
        let describe = |field: &FieldSpec| field.name().len() + field.description().len();
        let task = text(spec.instruction().len() + spec.fields().iter().map(describe).sum::<usize>());
        // Without an input, such as that of a later step, the prompt is not rendered.
        let rendered = predictor.render(row).map(|messages| messages.iter().map(tokens).sum::<u64>());
        let shown: u64 =
            predictor.demos().iter().map(|demo| text(demo.values.values().map(length).sum())).sum();
        let prompt = rendered.unwrap_or(2 * task + shown + inputs + outputs);
        Tokens {
            prompt: prompt as f64,
            reply: outputs as f64,
            demo: (inputs + outputs) as f64,
            task: task as f64,
            row: 0.0,
        }
    }

    /// Returns the tokens of the prompt of a proposer that shows this many rows.
    pub(super) fn proposer_prompt(&self, rows: usize) -> f64 {
        PROPOSER as f64 + self.task + self.row * rows as f64
    }

    pub(super) fn proposer_reply() -> f64 {
        WRITTEN as f64
    }
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
