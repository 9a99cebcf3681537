//! What answered calls tell about those to come.

use std::collections::HashMap;

use crate::money::price::Bill;
use crate::{Price, Usage};

/// Models that are told apart. Of those beyond it nothing is learned.
const MOST_MODELS: usize = 1_000;

/// What the calls of each model have shown.
#[derive(Debug, Default)]
pub(super) struct Experience(HashMap<String, Learned>);

/// What the calls of one model have shown.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Learned {
    /// How many there were.
    pub(super) answers: u64,
    /// Tokens of the longest reply.
    pub(super) longest: u64,
    /// By how many tokens prompts were longer than they can be by what is sent: endpoints add to them.
    pub(super) excess: u64,
    /// Upper bounds of what a million tokens cost, of answers that tell their cost.
    dollars: Option<(f64, f64)>,
    /// The highest share of tokens that a prompt had of those that it may have had.
    density: f64,
    /// An answer has told no cost, and no price is known.
    pub(super) unpriced: bool,
}

impl Experience {
    pub(super) fn of(&self, model: &str) -> Learned {
        self.0.get(model).copied().unwrap_or_default()
    }

    /// The place to learn about a model, unless there are too many.
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
    /// Learns of an answer to a request for so many completions, whose prompt may have had so many tokens.
    pub(super) fn learn(&mut self, usage: &Usage, completions: u64, prompt: u64) {
        self.answers = self.answers.saturating_add(1);
        self.longest = self.longest.max(usage.completion_tokens.div_ceil(completions.max(1)));
        self.excess = self.excess.max(usage.prompt_tokens.saturating_sub(prompt));
        self.density = self.density.max(usage.prompt_tokens as f64 / prompt.max(1) as f64);
        let Some(usd) = usage.cost_usd else { return };
        // The whole cost spread over one kind of tokens is at least what these cost.
        let per_million = |tokens: u64| if tokens == 0 { f64::INFINITY } else { usd * 1e6 / tokens as f64 };
        let plain = usage.prompt_tokens.saturating_sub(usage.cache_read_tokens);
        let (input, output) = (per_million(plain), per_million(usage.completion_tokens));
        let (known_input, known_output) = self.dollars.unwrap_or((f64::INFINITY, f64::INFINITY));
        self.dollars = Some((known_input.min(input), known_output.min(output)));
    }

    /// What a call costs by what was learned, if its prompt may have so many tokens.
    pub(super) fn bill(&self, prompt: u64) -> Option<Bill> {
        let (input, output) = self.dollars?;
        // Twice as dense as any so far is dense enough.
        let likely = (prompt as f64 * (2.0 * self.density).min(1.0)).ceil() as u64;
        let price = Price::per_million(input, output);
        (input.is_finite() && output.is_finite()).then(|| price.bill(likely))
    }
}
