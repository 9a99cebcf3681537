//! A table of prices by model.

use std::collections::HashMap;
use std::sync::{Arc, LazyLock, RwLock};

use serde::Deserialize;
use thiserror::Error;

use crate::Price;
use dspy_base::locks::RwLockExt as _;

/// The prices that come with the library, each with its source.
const BUILT_IN: &str = include_str!("price_table.json");

static DEFAULT: LazyLock<RwLock<Arc<PriceTable>>> = LazyLock::new(|| {
    // A test checks that the embedded data parses.
    RwLock::new(Arc::new(PriceTable::from_json(BUILT_IN).unwrap_or_default()))
});

/// Returns the table that applies outside of any [`scope`](PriceTable::scope).
pub(crate) fn default() -> Arc<PriceTable> {
    DEFAULT.read_any().clone()
}

/// A table of prices by model, for calls whose endpoint does not report their cost.
///
/// A row is for a `provider/model`, as named by [`Lm::id`](crate::Lm::id). The most specific row applies:
///
/// 1. the row with exactly that name;
/// 2. the row with that name without the date at its end (`gpt-4o` for `gpt-4o-2024-11-20`);
/// 3. the row with the longest matching prefix, of the rows that end in `*`.
///
/// A model without a row has no price: its cost is `None`, never 0. That includes models in this process and
/// self-hosted servers.
///
/// The [built-in](Self::built_in) table has the prices of widely used models of OpenAI, Anthropic, Gemini,
/// DeepSeek, Mistral, Groq and xAI at their vendors' own addresses. Prices change: extend the table with
/// current prices, or replace it.
///
/// ```
/// use dspy_lm::{Price, PriceTable};
/// let mut table = PriceTable::built_in();
/// table.merge(PriceTable::from_json(
///     r#"{"as_of": "2026-11-25", "vendors": [
///         {"provider": "together", "models": {"openai/gpt-oss-20b": {"input": 0.05, "output": 0.2}}}
///     ]}"#,
/// )?);
/// table.insert("ollama/*", Price::FREE);
/// let known = table.price("together/openai/gpt-oss-20b", "https://api.together.xyz/v1");
/// assert_eq!(known, Some(Price::per_million(0.05, 0.2)));
/// assert_eq!(table.price("ollama/llama3.2", "http://localhost:11434/v1"), Some(Price::FREE));
/// assert_eq!(table.price("openai/gpt-99", "https://api.openai.com/v1"), None);
/// table.set_default(); // for the process; `scope` is for a task
/// # Ok::<(), dspy_lm::PriceTableError>(())
/// ```
#[derive(Debug, Clone, Default, PartialEq)]
pub struct PriceTable {
    as_of: String,
    /// Rows by name in lower case.
    exact: HashMap<String, Row>,
    /// The prefixes before the `*` with their rows, the longest first.
    starts: Vec<(String, Row)>,
}

#[derive(Debug, Clone, PartialEq)]
struct Row {
    price: Price,
    /// The hosts at which the price applies; empty for any host.
    hosts: Arc<[String]>,
}

/// The error of a price table that cannot be parsed.
#[derive(Debug, Error)]
#[error("the table of prices cannot be read: {0}")]
pub struct PriceTableError(#[from] serde_json::Error);

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    as_of: String,
    vendors: Vec<Vendor>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Vendor {
    provider: String,
    #[serde(default)]
    hosts: Vec<String>,
    /// The source of the prices, for readers of the file.
    #[serde(default)]
    #[expect(dead_code, reason = "says where the prices come from")]
    source: String,
    models: HashMap<String, Price>,
}

impl PriceTable {
    /// Creates a table without rows, in which no model has a price.
    pub fn new() -> Self {
        Self::default()
    }

    /// Returns the table that comes with the library.
    pub fn built_in() -> Self {
        Self::from_json(BUILT_IN).unwrap_or_default()
    }

    /// Parses a table: a date (`as_of`), and by vendor the `provider`, optionally the `hosts` at which the
    /// prices apply and the `source`, and the `models` with their prices in US dollars per million tokens
    /// ([`Price`]).
    ///
    /// # Errors
    /// If the text is not JSON of that form, or a price is negative or not finite.
    pub fn from_json(text: &str) -> Result<Self, PriceTableError> {
        let File { as_of, vendors } = serde_json::from_str(text)?;
        let mut table = PriceTable { as_of, ..PriceTable::default() };
        for Vendor { provider, hosts, models, .. } in vendors {
            let hosts: Arc<[String]> = hosts.into();
            for (model, price) in models {
                table.put(&format!("{provider}/{model}"), Row { price, hosts: hosts.clone() });
            }
        }
        Ok(table)
    }

    /// Returns the date of the prices (`as_of` of the file).
    pub fn as_of(&self) -> &str {
        &self.as_of
    }

    /// Sets the price of a model at any host; a `*` at the end of the name matches any rest.
    pub fn insert(&mut self, model: &str, price: Price) {
        self.put(model, Row { price, hosts: Arc::default() });
    }

    /// Adds the rows of `other`; they replace rows of the same name.
    pub fn merge(&mut self, other: PriceTable) {
        if other.as_of > self.as_of {
            self.as_of = other.as_of;
        }
        self.exact.extend(other.exact);
        other.starts.into_iter().for_each(|(start, row)| self.put(&(start + "*"), row));
    }

    /// Returns the price of a model at an endpoint; `None` if the table has none.
    pub fn price(&self, model: &str, endpoint: &str) -> Option<Price> {
        let name = lower(model);
        let here = |row: &&Row| row.hosts.is_empty() || row.hosts.iter().any(|known| known == host(endpoint));
        let exact = |name: &str| self.exact.get(name).filter(here);
        let starting = || self.starts.iter().find(|(start, row)| name.starts_with(start) && here(&row));
        let row = exact(&name).or_else(|| exact(undated(&name)?)).or_else(|| starting().map(|(_, row)| row));
        row.map(|row| row.price)
    }

    /// Sets this as the table of the process, used outside of any [`scope`](Self::scope).
    pub fn set_default(self) {
        *DEFAULT.write_any() = Arc::new(self);
    }

    fn put(&mut self, name: &str, row: Row) {
        let name = name.to_ascii_lowercase();
        let Some(start) = name.strip_suffix('*') else {
            self.exact.insert(name, row);
            return;
        };
        self.starts.retain(|(known, _)| known != start);
        let at = self.starts.partition_point(|(known, _)| known.len() >= start.len());
        self.starts.insert(at, (start.to_owned(), row));
    }
}

/// Converts a name to lower case; most names are already.
fn lower(name: &str) -> std::borrow::Cow<'_, str> {
    if name.bytes().any(|byte| byte.is_ascii_uppercase()) {
        name.to_ascii_lowercase().into()
    } else {
        name.into()
    }
}

/// Returns the name without a date at its end (`-2024-11-20`, `-20251001`), if it has one.
fn undated(name: &str) -> Option<&str> {
    let start = name.trim_end_matches(|c: char| c.is_ascii_digit() || c == '-');
    let date = &name[start.len()..];
    let digits = |text: &str| text.len() == 8 && text.bytes().all(|byte| byte.is_ascii_digit());
    let cut = [9, 11].into_iter().find(|length| {
        let Some(tail) = date.len().checked_sub(*length).map(|at| &date[at..]) else { return false };
        let Some(rest) = tail.strip_prefix('-') else { return false };
        match length {
            9 => digits(rest),
            _ => {
                let parts: Vec<_> = rest.split('-').collect();
                matches!(parts[..], [year, month, day] if digits(&format!("{year}{month}{day}")))
            }
        }
    })?;
    Some(&name[..name.len() - cut])
}

/// Returns the host of a URL.
fn host(url: &str) -> &str {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    rest.split(['/', ':', '?', '#']).next().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    const OPENAI: &str = "https://api.openai.com/v1";

    #[test]
    fn the_built_in_data_can_be_read() {
        let table = PriceTable::from_json(BUILT_IN).unwrap();
        assert_eq!(table.as_of(), "2026-11-25");
        assert!(table.exact.len() > 40);
        for (name, row) in &table.exact {
            let Price { input, output, cache_read, long, .. } = row.price;
            assert!(0.0 < input && input < output && output < 200.0, "{name}");
            assert!(cache_read.is_none_or(|read| read < input), "{name}");
            let dearest = row.price.highest_rates(u64::MAX).0;
            assert!(long.is_none() || dearest > input, "{name}");
            assert!(!row.hosts.is_empty(), "{name}");
        }
    }

    #[test]
    fn the_most_specific_row_counts() {
        let mut table = PriceTable::built_in();
        let input = |table: &PriceTable, name: &str| table.price(name, OPENAI).map(|price| price.input);
        assert_eq!(input(&table, "openai/gpt-4o"), Some(2.5));
        assert_eq!(input(&table, "OpenAI/GPT-4o-2024-11-20"), Some(2.5));
        assert_eq!(input(&table, "openai/gpt-4o-2024-05-13"), Some(5.0));
        assert_eq!(input(&table, "openai/gpt-4o-mini"), Some(0.15));
        assert_eq!(input(&table, "openai/gpt-4o-audio-preview"), None);
        assert_eq!(
            table.price("anthropic/claude-haiku-4-5-20251001", "https://api.anthropic.com").unwrap().input,
            1.0
        );
        table.insert("openai/gpt-*", Price::per_million(7.0, 8.0));
        table.insert("openai/*", Price::per_million(9.0, 10.0));
        assert_eq!(input(&table, "openai/gpt-4o-mini"), Some(0.15));
        assert_eq!(input(&table, "openai/gpt-99"), Some(7.0));
        assert_eq!(input(&table, "openai/other"), Some(9.0));
    }

    #[test]
    fn prices_hold_where_their_maker_serves_the_model() {
        let table = PriceTable::built_in();
        for elsewhere in ["", "http://localhost:8000/v1", "https://api.openai.com.example.org/v1"] {
            assert_eq!(table.price("openai/gpt-4o", elsewhere), None, "{elsewhere}");
        }
        for local in ["builtin", "scripted", "ollama/llama3.2", "gpt-4o"] {
            assert_eq!(table.price(local, OPENAI), None, "{local}");
        }
    }

    #[test]
    fn what_is_merged_replaces() {
        let mut table = PriceTable::built_in();
        let mut own = PriceTable::new();
        own.insert("openai/gpt-4o", Price::FREE);
        own.insert("openai/ft:*", Price::per_million(1.0, 2.0));
        table.merge(own);
        assert_eq!(table.price("openai/gpt-4o", ""), Some(Price::FREE));
        assert_eq!(table.price("openai/ft:gpt-4o:me", OPENAI), Some(Price::per_million(1.0, 2.0)));
        assert!(PriceTable::from_json("{\"as_of\": 1}").is_err());
    }

    #[test]
    fn dates_are_told_from_versions() {
        for (name, start) in [
            ("gpt-4o-2024-11-20", Some("gpt-4o")),
            ("claude-haiku-4-5-20251001", Some("claude-haiku-4-5")),
            ("claude-haiku-4-5", None),
            ("mistral-small-2603", None),
            ("gpt-5", None),
            ("20251001", None),
        ] {
            assert_eq!(undated(name), start, "{name}");
        }
    }
}
