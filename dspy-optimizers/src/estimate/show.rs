//! The `Display` form of an estimate.

use std::fmt;

use super::{Estimate, Span};

impl fmt::Display for Estimate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let counts = |span: Span<u64>| range(span.map(|count| count.to_string()));
        let known = |text: Option<String>| text.unwrap_or_else(|| "an unknown number of".into());
        write!(
            f,
            "{} calls of the program, {} of the proposer, {} tokens, {}",
            counts(self.program_calls),
            counts(self.proposer_calls),
            known(self.tokens.map(counts)),
            self.usd.map_or_else(
                || "at an unknown price".into(),
                |usd| range(Span {
                    least: format!("${:.4}", usd.least),
                    most: usd.most.map(|most| format!("${most:.4}"))
                })
            ),
        )?;
        self.warnings.iter().try_for_each(|warning| write!(f, "\nwarning: {warning}"))
    }
}

fn range(span: Span<String>) -> String {
    match span.most {
        Some(most) if most == span.least => most,
        Some(most) => format!("{} to {most}", span.least),
        None => format!("{} or more", span.least),
    }
}
