//! Token prices.

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize};

use crate::Usage;

/// The price of a model's tokens, in US dollars per million.
///
/// Rates must be finite and not negative. Other rates are refused: when a table is read, by
/// [`Endpoint::model`](crate::Endpoint::model), and for the price of a [handle](crate::Lm::price) or
/// [table](crate::PriceTable::insert) when the model is called, with the error
/// [`Configuration`](crate::LmErrorKind::Configuration) and before anything is sent.
///
/// ```
/// use dspy_lm::{Price, Usage};
/// let price = Price::per_million(2.0, 10.0).cache_read(0.2);
/// let usage = Usage::tokens(1_000_000, 100_000).prompt_cache(500_000, 0);
/// assert_eq!(price.cost(&usage), Some(1.0 + 0.1 + 1.0));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct Price {
    /// Rate for input tokens.
    #[serde(deserialize_with = "rate")]
    pub input: f64,
    /// Rate for output tokens, including reasoning.
    #[serde(deserialize_with = "rate")]
    pub output: f64,
    /// Rate for input tokens that the endpoint read from its prompt cache. `None` charges the rate of other
    /// input tokens, an estimate that is too high rather than too low.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "optional_rate")]
    pub cache_read: Option<f64>,
    /// Rate for input tokens that the endpoint wrote to its prompt cache. `None` charges the rate of other
    /// input tokens.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "optional_rate")]
    pub cache_write: Option<f64>,
    /// Rates for requests with long prompts, for models that have such rates.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub long: Option<LongPrompt>,
    /// The most tokens that the model generates for one completion, if known. Budgets use it as an upper
    /// bound.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_output: Option<u32>,
}

/// Rates that replace the normal ones for the whole request if its prompt is long.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LongPrompt {
    /// The prompt length in tokens above which these rates apply.
    above: u64,
    #[serde(deserialize_with = "rate")]
    input: f64,
    #[serde(deserialize_with = "rate")]
    output: f64,
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "optional_rate")]
    cache_read: Option<f64>,
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "optional_rate")]
    cache_write: Option<f64>,
}

#[derive(Clone, Copy)]
struct Rates {
    input: f64,
    output: f64,
    cache_read: f64,
    cache_write: f64,
}

impl Price {
    /// A price of zero for all tokens.
    pub const FREE: Price = Price::per_million(0.0, 0.0);

    /// Creates a price from the US dollars for a million input tokens and for a million output tokens.
    pub const fn per_million(input: f64, output: f64) -> Self {
        Price { input, output, cache_read: None, cache_write: None, long: None, max_output: None }
    }

    /// Sets the rate for tokens that the endpoint reads from its prompt cache, in US dollars per million.
    #[must_use]
    pub const fn cache_read(mut self, usd: f64) -> Self {
        self.cache_read = Some(usd);
        self
    }

    /// Sets the rate for tokens that the endpoint writes to its prompt cache, in US dollars per million.
    #[must_use]
    pub const fn cache_write(mut self, usd: f64) -> Self {
        self.cache_write = Some(usd);
        self
    }

    /// Sets the rates for requests whose prompts have more than `tokens` tokens to those of `price`.
    #[must_use]
    pub const fn above(mut self, tokens: u64, price: Price) -> Self {
        let Price { input, output, cache_read, cache_write, .. } = price;
        self.long = Some(LongPrompt { above: tokens, input, output, cache_read, cache_write });
        self
    }

    /// Sets the most tokens that the model generates for one completion.
    #[must_use]
    pub const fn max_output(mut self, tokens: u32) -> Self {
        self.max_output = Some(tokens);
        self
    }

    /// Returns the highest of each of the rates, for models that are composed of several; `None` if one of
    /// the prices is unknown.
    pub fn highest(prices: impl IntoIterator<Item = Option<Price>>) -> Option<Price> {
        let mut prices = prices.into_iter();
        let first = prices.next()??;
        prices.try_fold(first, |highest, price| {
            let (a, b) = (highest.dearest(), price?.dearest());
            let mut both = Price::per_million(a.input.max(b.input), a.output.max(b.output));
            both.cache_read = Some(a.cache_read.max(b.cache_read));
            both.cache_write = Some(a.cache_write.max(b.cache_write));
            both.max_output = highest.max_output.zip(price?.max_output).map(|(a, b)| a.max(b));
            Some(both)
        })
    }

    /// Returns the cost of `usage` in US dollars; `None` if `usage` has no token counts.
    pub fn cost(&self, usage: &Usage) -> Option<f64> {
        let free = self.dearest();
        if usage.total_tokens() == 0 && (free.input > 0.0 || free.output > 0.0) {
            return None;
        }
        let rates = match self.long {
            Some(long) if usage.prompt_tokens > long.above => long.rates(),
            _ => self.rates(),
        };
        let (read, written) = (usage.cache_read_tokens, usage.cache_write_tokens);
        let plain = usage.prompt_tokens.saturating_sub(read).saturating_sub(written);
        let millionths = plain as f64 * rates.input
            + read as f64 * rates.cache_read
            + written as f64 * rates.cache_write
            + usage.completion_tokens as f64 * rates.output;
        Some(millionths / 1e6)
    }

    /// Returns the highest rates of a prompt token and of a generated token in a request whose prompt has at most
    /// `prompt` tokens.
    pub(crate) fn highest_rates(&self, prompt: u64) -> (f64, f64) {
        let rates = match self.long {
            Some(long) if prompt > long.above => self.dearest(),
            _ => self.rates(),
        };
        (rates.input.max(rates.cache_read).max(rates.cache_write), rates.output)
    }

    /// Returns an error if a rate is negative or not finite.
    pub(crate) fn check(&self) -> Result<(), String> {
        let long = self.long.map(LongPrompt::rates);
        let all = [Some(self.rates()), long].into_iter().flatten();
        let wrong = all
            .flat_map(|rates| [rates.input, rates.output, rates.cache_read, rates.cache_write])
            .find(|rate| !is_rate(*rate));
        wrong.map_or(Ok(()), |rate| Err(not_a_rate(rate)))
    }

    fn rates(&self) -> Rates {
        rates(self.input, self.output, self.cache_read, self.cache_write)
    }

    /// Returns the higher of the rates for short and for long prompts.
    fn dearest(&self) -> Rates {
        let short = self.rates();
        let Some(long) = self.long.map(LongPrompt::rates) else { return short };
        Rates {
            input: short.input.max(long.input),
            output: short.output.max(long.output),
            cache_read: short.cache_read.max(long.cache_read),
            cache_write: short.cache_write.max(long.cache_write),
        }
    }
}

impl LongPrompt {
    fn rates(self) -> Rates {
        rates(self.input, self.output, self.cache_read, self.cache_write)
    }
}

fn is_rate(rate: f64) -> bool {
    rate.is_finite() && rate >= 0.0
}

fn not_a_rate(rate: f64) -> String {
    format!("{rate} US dollars per million tokens is no price: it must be a number from 0 on")
}

fn rate<'de, D: Deserializer<'de>>(deserializer: D) -> Result<f64, D::Error> {
    let rate = f64::deserialize(deserializer)?;
    if is_rate(rate) { Ok(rate) } else { Err(D::Error::custom(not_a_rate(rate))) }
}

fn optional_rate<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<f64>, D::Error> {
    match Option::<f64>::deserialize(deserializer)? {
        Some(rate) if !is_rate(rate) => Err(D::Error::custom(not_a_rate(rate))),
        rate => Ok(rate),
    }
}

fn rates(input: f64, output: f64, cache_read: Option<f64>, cache_write: Option<f64>) -> Rates {
    Rates {
        input,
        output,
        cache_read: cache_read.unwrap_or(input),
        cache_write: cache_write.unwrap_or(input),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_price_is_below_nothing() {
        let fine = Price::per_million(1.0, 2.0);
        assert_eq!(fine.check(), Ok(()));
        assert_eq!(Price::FREE.check(), Ok(()));
        for odd in [-1.0, f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
            for price in [
                Price::per_million(odd, 1.0),
                Price::per_million(1.0, odd),
                fine.cache_read(odd),
                fine.cache_write(odd),
                fine.above(1_000, Price::per_million(odd, 1.0)),
            ] {
                assert!(price.check().is_err(), "{price:?}");
            }
        }
        for text in [
            r#"{"input": -1, "output": 1}"#,
            r#"{"input": 1, "output": 1, "cache_read": -0.5}"#,
            r#"{"input": 1, "output": 1, "long": {"above": 9, "input": -1, "output": 1}}"#,
        ] {
            let error = serde_json::from_str::<Price>(text).unwrap_err();
            assert!(error.to_string().contains("is no price"), "{error}");
        }
        let price = fine.cache_read(0.5).above(9, fine.cache_write(3.0));
        let text = serde_json::to_string(&price).unwrap();
        assert_eq!(serde_json::from_str::<Price>(&text).unwrap(), price);
    }
}
