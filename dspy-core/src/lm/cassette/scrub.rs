//! What must not be written down.

use std::sync::{Arc, LazyLock};

use regex_lite::Regex;
use serde_json::Value;

use super::super::catalog::PROVIDERS;
use super::super::environment;
use super::CassetteError;

/// What stands in the place of a secret.
const HIDDEN: &str = "***";
/// Shorter values occur in ordinary text.
const SHORTEST: usize = 8;

/// Members whose text is a secret, in lower case and with `_` for `-`.
const NAMES: [&str; 14] = [
    "api_key",
    "apikey",
    "x_api_key",
    "x_goog_api_key",
    "api_token",
    "access_token",
    "auth_token",
    "authorization",
    "proxy_authorization",
    "client_secret",
    "secret",
    "password",
    "cookie",
    "set_cookie",
];

/// What keys look like, and what to put in their place.
const SHAPES: [(&str, &str); 6] = [
    (
        r"\b(?:sk|pk|rk|gsk|xai|hf|ghp|gho|github_pat|glpat|xox[abp]|pplx|r8|fw|tgp)[-_][A-Za-z0-9_-]{16,}",
        HIDDEN,
    ),
    (r"\bAIza[A-Za-z0-9_-]{30,}", HIDDEN),
    (r"\bAKIA[A-Z0-9]{16}\b", HIDDEN),
    (r"(?i)\b(bearer\s+)[A-Za-z0-9._~+/=-]{8,}", "${1}***"),
    (
        r#"(?i)\b((?:api[-_]?key|access[-_]?token|auth[-_]?token|client[-_]?secret|password)["']?\s*[:=]\s*["']?)[^\s"',;]{6,}"#,
        "${1}***",
    ),
    (r"(://)[^/\s:@]+:[^/\s@]+@", "${1}***@"),
];

static KNOWN: LazyLock<Vec<(Regex, &str)>> = LazyLock::new(|| {
    SHAPES.iter().filter_map(|(shape, with)| Some((Regex::new(shape).ok()?, *with))).collect()
});

/// Replaces secrets in what is to be written.
#[derive(Debug, Clone)]
pub(super) struct Scrub {
    /// The keys of this process's environment. `Debug` does not print them.
    keys: Arc<Keys>,
    patterns: Arc<Vec<Regex>>,
}

struct Keys(Vec<String>);

impl std::fmt::Debug for Keys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(HIDDEN)
    }
}

impl Scrub {
    pub(super) fn new() -> Self {
        Self::with_variables(&environment)
    }

    fn with_variables(lookup: &dyn Fn(&str) -> Option<String>) -> Self {
        let variables = PROVIDERS.iter().flat_map(|provider| provider.key_vars);
        let mut keys: Vec<String> = variables
            .filter_map(|name| lookup(name))
            .map(|key| key.trim().to_owned())
            .filter(|key| key.len() >= SHORTEST)
            .collect();
        // One that contains another has to be replaced first.
        keys.sort_by_key(|key| std::cmp::Reverse(key.len()));
        keys.dedup();
        Scrub { keys: Arc::new(Keys(keys)), patterns: Arc::default() }
    }

    /// The same, with what matches a pattern of the user's.
    pub(super) fn and(mut self, pattern: &str) -> Result<Self, CassetteError> {
        let regex = Regex::new(pattern).map_err(|error| CassetteError::Pattern {
            pattern: pattern.to_owned(),
            message: error.to_string(),
        })?;
        Arc::make_mut(&mut self.patterns).push(regex);
        Ok(self)
    }

    pub(super) fn text(&self, text: &str) -> String {
        let mut text = self.keys.0.iter().fold(text.to_owned(), |text, key| text.replace(key, HIDDEN));
        for (shape, with) in KNOWN.iter() {
            if shape.is_match(&text) {
                text = shape.replace_all(&text, *with).into_owned();
            }
        }
        for pattern in self.patterns.iter() {
            text = pattern.replace_all(&text, regex_lite::NoExpand(HIDDEN)).into_owned();
        }
        text
    }

    pub(super) fn value(&self, value: &mut Value) {
        match value {
            Value::String(text) => *text = self.text(text),
            Value::Array(items) => items.iter_mut().for_each(|item| self.value(item)),
            Value::Object(members) => {
                for (name, value) in members {
                    match value {
                        Value::String(text) if is_secret(name) => HIDDEN.clone_into(text),
                        _ => self.value(value),
                    }
                }
            }
            Value::Null | Value::Bool(_) | Value::Number(_) => {}
        }
    }
}

fn is_secret(name: &str) -> bool {
    NAMES.contains(&name.to_ascii_lowercase().replace('-', "_").as_str())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn scrub() -> Scrub {
        Scrub::with_variables(&|name| (name == "OPENAI_API_KEY").then(|| "oddly-shaped key".to_owned()))
    }

    #[test]
    fn keys_are_recognised_by_shape_and_by_the_environment() {
        assert_eq!(KNOWN.len(), SHAPES.len());
        for (text, scrubbed) in [
            ("use sk-proj-abcdefghij0123456789_x please", "use *** please"),
            ("AKIAABCDEFGHIJKLMNOP.", "***."),
            ("Authorization: Bearer abc.def-ghi", "Authorization: Bearer ***"),
            (r#"{"api_key": "0123456789"}"#, r#"{"api_key": "***"}"#),
            ("postgres://me:hunter2@db/x", "postgres://***@db/x"),
            ("my oddly-shaped key is", "my *** is"),
            (
                "the task-force asked a risk-averse bearer of bad news",
                "the task-force asked a risk-averse bearer of bad news",
            ),
            ("What is an api key? password: yes", "What is an api key? password: yes"),
        ] {
            assert_eq!(scrub().text(text), scrubbed);
        }
        assert!(!format!("{:?}", scrub()).contains("oddly"));
    }

    #[test]
    fn members_are_recognised_by_name() {
        let mut value =
            json!({"X-Api-Key": "short", "deep": [{"password": "p", "n": 1}], "secret": {"type": "string"}});
        scrub().value(&mut value);
        let expected =
            json!({"X-Api-Key": "***", "deep": [{"password": "***", "n": 1}], "secret": {"type": "string"}});
        assert_eq!(value, expected);
    }

    #[test]
    fn patterns_of_the_user() {
        let scrub = scrub().and(r"\b\d{3}-\d{4}\b").unwrap();
        assert_eq!(scrub.text("call 555-1234 now"), "call *** now");
        assert!(scrub.and("(").unwrap_err().to_string().contains("`(`"));
    }
}
