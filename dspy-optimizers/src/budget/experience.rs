//! The usage of calls of earlier processes, from which accounts estimate later calls.

use std::collections::HashMap;

use dspy_core::lm::{BudgetScope, Response, Usage};

/// The largest number of replies whose usage is kept for each model, besides the longest.
const KEPT: usize = 8;

/// The usage of a few replies of each model.
#[derive(Debug, Clone, Default)]
pub(crate) struct Experience(HashMap<String, Kept>);

#[derive(Debug, Clone, Default)]
struct Kept {
    longest: Usage,
    others: Vec<Usage>,
}

impl Experience {
    pub(crate) fn learn(&mut self, model: &str, response: &Response) {
        let kept = self.0.entry(model.to_owned()).or_default();
        let usage = response.usage;
        if usage.completion_tokens > kept.longest.completion_tokens {
            kept.longest = usage;
        }
        if kept.others.len() < KEPT {
            kept.others.push(usage);
        }
    }

    /// Passes the usage to the account, as if it had paid for these calls.
    pub(crate) fn tell(&self, account: &BudgetScope) {
        for (model, Kept { longest, others }) in &self.0 {
            for usage in others.iter().chain([longest]) {
                account.learn(model, usage);
            }
        }
    }
}
