//! What answered calls tell about the cost of those to come.

use std::collections::HashMap;

use dspy_core::lm::{Lm, Request, Response};

/// Characters of a prompt that make a token, roughly.
const CHARS_PER_TOKEN: u64 = 4;

/// What the calls so far have shown.
#[derive(Debug, Default)]
pub(crate) struct Experience {
    longest_reply: u64,
    /// The highest price of a token, by model.
    prices: HashMap<String, f64>,
}

impl Experience {
    pub(crate) fn learn(&mut self, model: &str, response: &Response) {
        let usage = response.usage;
        self.longest_reply = self.longest_reply.max(usage.completion_tokens);
        if let Some(usd) = usage.cost_usd {
            let price = usd / usage.total_tokens().max(1) as f64;
            let highest = self.prices.entry(model.to_owned()).or_default();
            *highest = highest.max(price);
        }
    }

    /// How many tokens a call may take.
    pub(crate) fn tokens(&self, request: &Request) -> u64 {
        let chars: usize = request.messages.iter().map(|message| message.text().len()).sum();
        let reply = request.params.max_tokens.map_or(self.longest_reply, u64::from);
        (chars as u64).div_ceil(CHARS_PER_TOKEN) + reply * u64::from(request.params.n.unwrap_or(1))
    }

    /// What a token of this model costs; `None` before its first answer.
    pub(crate) fn price(&self, lm: &Lm) -> Option<f64> {
        self.prices.get(lm.id()).copied()
    }
}
