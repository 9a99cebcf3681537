//! Estimates of the cost of later calls, from answered ones.

use std::collections::HashMap;

use super::bill::Bill;
use crate::{Price, Usage};

/// The most models with estimates. Further models have none.
const MOST_MODELS: usize = 1_000;

/// The observations of each model.
#[derive(Debug, Default)]
pub(super) struct Experience(HashMap<String, Learned>);

/// The observations of one model.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Learned {
    /// The number of answers.
    pub(super) answers: u64,
    /// The length of the longest reply in tokens.
    pub(super) longest: u64,
    /// The most tokens by which a prompt exceeded the bound of its request, because endpoints add to prompts.
    pub(super) excess: u64,
    /// Upper bounds of the US dollars for a million input and output tokens, from answers that report their
    /// cost.
    dollars: Option<(f64, f64)>,
    /// The highest ratio of a prompt's tokens to their upper bound.
    density: f64,
    /// Whether an answer reported no cost while no price is known.
    pub(super) unpriced: bool,
}

impl Experience {
    pub(super) fn of(&self, model: &str) -> Learned {
        self.0.get(model).copied().unwrap_or_default()
    }

    /// Returns the entry of a model; `None` if there are too many models.
    pub(super) fn at(&mut self, model: &str) -> Option<&mut Learned> {
        if !self.0.contains_key(model) {
            if self.0.len() >= MOST_MODELS {
                return None;
            }
            self.0.insert(model.to_owned(), Learned::default());
        }
        self.0.get_mut(model)
    }
}

impl Learned {
    /// Records the usage of an answer to a request with that number of completions and that upper bound of
    /// prompt tokens.
    pub(super) fn learn(&mut self, usage: &Usage, completions: u64, prompt: u64) {
        self.answers = self.answers.saturating_add(1);
        self.longest = self.longest.max(usage.completion_tokens.div_ceil(completions.max(1)));
        self.excess = self.excess.max(usage.prompt_tokens.saturating_sub(prompt));
        self.density = self.density.max(usage.prompt_tokens as f64 / prompt.max(1) as f64);
        let Some(usd) = usage.cost_usd else { return };
        // The whole cost divided by the tokens of one kind is at least the price of that kind.
        let per_million = |tokens: u64| if tokens == 0 { f64::INFINITY } else { usd * 1e6 / tokens as f64 };
        let plain = usage.prompt_tokens.saturating_sub(usage.cache_read_tokens);
        let (input, output) = (per_million(plain), per_million(usage.completion_tokens));
        let (known_input, known_output) = self.dollars.unwrap_or((f64::INFINITY, f64::INFINITY));
        self.dollars = Some((known_input.min(input), known_output.min(output)));
    }

    /// Returns the estimated cost of a call whose prompt has at most `prompt` tokens.
    pub(super) fn bill(&self, prompt: u64) -> Option<Bill> {
        let (input, output) = self.dollars?;
        // Twice the highest density so far is assumed to be an upper bound.
        let likely = (prompt as f64 * (2.0 * self.density).min(1.0)).ceil() as u64;
        let price = Price::per_million(input, output);
        (input.is_finite() && output.is_finite()).then(|| Bill::new(&price, likely))
    }
}
