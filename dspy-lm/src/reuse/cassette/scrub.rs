//! Removal of secrets from cassettes.

use std::sync::Arc;

use regex_lite::Regex;
use serde_json::Value;

use super::CassetteError;
use super::shapes;
use crate::environment::environment;
use crate::providers::PROVIDERS;
use crate::secret::{HIDDEN, Secrets};

/// The minimum length of a secret in a variable; shorter values occur in ordinary text.
const SHORTEST: usize = 8;

/// A filter that replaces secrets before anything is written.
#[derive(Debug, Clone)]
pub(super) struct Scrub {
    /// The keys in this process's environment. `Debug` does not print them.
    keys: Arc<Secrets>,
    patterns: Arc<Vec<Regex>>,
}

impl Scrub {
    pub(super) fn new() -> Self {
        Self::with_variables(&environment)
    }

    fn with_variables(lookup: &dyn Fn(&str) -> Option<String>) -> Self {
        let mut keys = Secrets::default();
        let variables = PROVIDERS.iter().flat_map(|provider| provider.key_vars);
        for key in variables.filter_map(|name| lookup(name)).filter(|key| key.trim().len() >= SHORTEST) {
            keys.add(key);
        }
        Scrub { keys: Arc::new(keys), patterns: Arc::default() }
    }

    /// Adds a pattern of the user.
    pub(super) fn and(mut self, pattern: &str) -> Result<Self, CassetteError> {
        let regex = Regex::new(pattern).map_err(|error| CassetteError::Pattern {
            pattern: pattern.to_owned(),
            message: error.to_string(),
        })?;
        Arc::make_mut(&mut self.patterns).push(regex);
        Ok(self)
    }

    pub(super) fn text(&self, text: &str) -> String {
        let mut text = shapes::hide(self.keys.scrub(text));
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
                // An entry in a list of headers or variables: its name counts like the name of a member.
                let named = ["name", "key", "header"].iter().filter_map(|name| members.get(*name)?.as_str());
                let names_secret = named.into_iter().any(is_secret);
                for (name, value) in members {
                    match value {
                        Value::String(text) if is_secret(name) || names_secret && name == "value" => {
                            HIDDEN.clone_into(text);
                        }
                        Value::Array(items) if is_secret(name.strip_suffix('s').unwrap_or(name)) => {
                            items.iter_mut().for_each(|item| match item {
                                Value::String(text) => HIDDEN.clone_into(text),
                                other => self.value(other),
                            });
                        }
                        _ => self.value(value),
                    }
                }
            }
            Value::Null | Value::Bool(_) | Value::Number(_) => {}
        }
    }
}

/// Returns whether the string value of a member with that name is a secret.
fn is_secret(name: &str) -> bool {
    const WHOLE: [&str; 6] = ["auth", "cookie", "setcookie", "secret", "pwd", "xauth"];
    const ENDS: [&str; 24] = [
        "apikey",
        "apitoken",
        "accesstoken",
        "authtoken",
        "bearertoken",
        "bottoken",
        "refreshtoken",
        "securitytoken",
        "sessiontoken",
        "idtoken",
        "authorization",
        "clientsecret",
        "webhooksecret",
        "secretkey",
        "accesskey",
        "privatekey",
        "signingkey",
        "encryptionkey",
        "subscriptionkey",
        "accountkey",
        "connectionstring",
        "password",
        "passwd",
        "passphrase",
    ];
    let plain: String = name.chars().filter(|c| !matches!(c, '-' | '_' | ' ' | '.')).collect();
    let plain = plain.to_ascii_lowercase();
    WHOLE.contains(&plain.as_str()) || plain == "xgoogapikey" || ENDS.iter().any(|end| plain.ends_with(end))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn scrub() -> Scrub {
        Scrub::with_variables(&|name| (name == "OPENAI_API_KEY").then(|| "oddly-shaped key".to_owned()))
    }

    #[test]
    fn keys_of_the_environment_are_recognised_in_every_spelling() {
        for (text, scrubbed) in [
            ("my oddly-shaped key is", "my *** is"),
            ("?k=oddly-shaped%20key&x=1", "?k=***&x=1"),
            ("my b2RkbHktc2hhcGVkIGtleQ== is", "my ***== is"),
        ] {
            assert_eq!(scrub().text(text), scrubbed);
        }
        assert!(!format!("{:?}", scrub()).contains("oddly"));
    }

    #[test]
    fn members_are_recognised_by_name() {
        let mut value = json!({
            "X-Api-Key": "short", "deep": [{"password": "p", "n": 1}], "secret": {"type": "string"},
            "openaiApiKey": "k", "api_keys": ["a", "b"], "token": "Hello", "max_tokens": 3,
            "headers": [{"name": "Authorization", "value": "Token abc"}, {"name": "accept", "value": "x"}],
        });
        scrub().value(&mut value);
        let expected = json!({
            "X-Api-Key": "***", "deep": [{"password": "***", "n": 1}], "secret": {"type": "string"},
            "openaiApiKey": "***", "api_keys": ["***", "***"], "token": "Hello", "max_tokens": 3,
            "headers": [{"name": "Authorization", "value": "***"}, {"name": "accept", "value": "x"}],
        });
        assert_eq!(value, expected);
    }

    #[test]
    fn patterns_of_the_user() {
        let scrub = scrub().and(r"\b\d{3}-\d{4}\b").unwrap();
        assert_eq!(scrub.text("call 555-1234 now"), "call *** now");
        assert!(scrub.and("(").unwrap_err().to_string().contains("`(`"));
    }
}
