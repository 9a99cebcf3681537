//! Prices by model.

use std::collections::HashMap;
use std::future::Future;
use std::sync::{Arc, LazyLock, RwLock};

use serde::Deserialize;
use thiserror::Error;

use super::Price;
use crate::current_scope;
use dspy_base::locks::RwLockExt as _;

/// The prices that come with the library, each with where it was found.
const BUILT_IN: &str = include_str!("table.json");

static DEFAULT: LazyLock<RwLock<Arc<PriceTable>>> = LazyLock::new(|| {
    // A test reads the data, so that it can be read.
    RwLock::new(Arc::new(PriceTable::from_json(BUILT_IN).unwrap_or_default()))
});

/// The table that holds where no scope has another.
pub(super) fn default() -> Arc<PriceTable> {
    DEFAULT.read_any().clone()
}

/// Prices by model, for calls whose endpoint does not tell what they cost.
///
/// A row is for a `provider/model`, as [`Lm::id`](crate::Lm::id) names it; the most specific one counts:
///
/// 1. the row of that very name;
/// 2. the row of the name without the date at its end (`gpt-4o` for `gpt-4o-2024-11-20`);
/// 3. the longest row that ends in `*` and fits up to there.
///
/// A model that has none has no price: its cost is `None`, never 0. That goes for models in this process and for
/// servers of one's own too.
///
/// The [built-in](Self::built_in) table knows widely used models of OpenAI, Anthropic, Gemini, DeepSeek, Mistral, Groq
/// and xAI at their makers' own addresses. Prices change: add what you know to it, or replace it.
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
    /// By name in lower case.
    exact: HashMap<String, Row>,
    /// What stands before the `*`, the longest first.
    starts: Vec<(String, Row)>,
}

#[derive(Debug, Clone, PartialEq)]
struct Row {
    price: Price,
    /// Where it holds; everywhere if there are none.
    hosts: Arc<[String]>,
}

/// A table of prices that cannot be read.
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
    /// For readers of the file.
    #[serde(default)]
    #[expect(dead_code, reason = "says where the prices come from")]
    source: String,
    models: HashMap<String, Price>,
}

impl PriceTable {
    /// A table without rows: no price is known.
    pub fn new() -> Self {
        Self::default()
    }

    /// The prices that come with the library.
    pub fn built_in() -> Self {
        Self::from_json(BUILT_IN).unwrap_or_default()
    }

    /// Reads a table: a date (`as_of`), and by vendor the `provider`, optionally the `hosts` at which the prices hold and
    /// the `source`, and the `models` with their prices in US dollars per million tokens ([`Price`]).
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

    /// The date of the prices, as the file says it.
    pub fn as_of(&self) -> &str {
        &self.as_of
    }

    /// Sets the price of a model, wherever it is served; a `*` at the end stands for any rest of the name.
    pub fn insert(&mut self, model: &str, price: Price) {
        self.put(model, Row { price, hosts: Arc::default() });
    }

    /// Adds the rows of `other`, which replace those of the same name.
    pub fn merge(&mut self, other: PriceTable) {
        if other.as_of > self.as_of {
            self.as_of = other.as_of;
        }
        self.exact.extend(other.exact);
        other.starts.into_iter().for_each(|(start, row)| self.put(&(start + "*"), row));
    }

    /// The price of a model at an endpoint, if the table has it.
    pub fn price(&self, model: &str, endpoint: &str) -> Option<Price> {
        let name = lower(model);
        let here = |row: &&Row| row.hosts.is_empty() || row.hosts.iter().any(|known| known == host(endpoint));
        let exact = |name: &str| self.exact.get(name).filter(here);
        let starting = || self.starts.iter().find(|(start, row)| name.starts_with(start) && here(&row));
        let row = exact(&name).or_else(|| exact(undated(&name)?)).or_else(|| starting().map(|(_, row)| row));
        row.map(|row| row.price)
    }

    /// Makes this the table that holds where no scope has another.
    pub fn set_default(self) {
        *DEFAULT.write_any() = Arc::new(self);
    }

    /// Runs `future` with these prices.
    pub async fn scope<F: Future>(self, future: F) -> F::Output {
        current_scope().priced(Arc::new(self)).enter(future).await
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

/// Names are mostly in lower case already.
fn lower(name: &str) -> std::borrow::Cow<'_, str> {
    if name.bytes().any(|byte| byte.is_ascii_uppercase()) {
        name.to_ascii_lowercase().into()
    } else {
        name.into()
    }
}

/// The name without a date at its end (`-2024-11-20`, `-20251001`), if it has one.
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

/// The host of a URL.
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
            assert!(long.is_none_or(|long| long.input > input), "{name}");
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
