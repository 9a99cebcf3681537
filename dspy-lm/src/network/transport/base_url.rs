//! Conversion of a user's base URL to the address of requests.

use reqwest::Url;

use crate::secret::{Header, header_kind, looks_like_a_key, path_parts, public_url};

/// Method paths that users paste although the base URL ends before them.
const PASTED: &[&str] =
    &["/chat/completions", "/completions", "/models", "/responses", "/messages", "/embeddings"];

/// A base URL in its normal form.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct BaseUrl {
    url: Url,
}

impl BaseUrl {
    /// Parses a base URL. `root` is the default path.
    pub(super) fn parse(text: &str, root: &str) -> Result<Self, String> {
        let shown = public_url(text.trim());
        let mut url = Url::parse(text.trim()).map_err(|error| {
            format!("`{shown}` is not a base URL ({error}); e.g. `http://localhost:8000/v1`")
        })?;
        if !matches!(url.scheme(), "http" | "https") || url.host_str().is_none() {
            return Err(format!("the base URL `{shown}` must start with `http://` or `https://`"));
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(format!(
                "the base URL of `{shown}` holds a user or password; pass them by `api_key` or `header`"
            ));
        }
        url.set_fragment(None);
        let path = url.path().trim_end_matches('/');
        // Gemini's methods follow the model's name.
        let method =
            path.rsplit_once('/').filter(|(_, last)| last.to_lowercase().ends_with("generatecontent"));
        let models = method.and_then(|(models, _)| models.rsplit_once('/'));
        let pasted = models.map(|(base, _)| base);
        let pasted = pasted.or_else(|| PASTED.iter().find_map(|ending| path.strip_suffix(ending)));
        let path = match pasted {
            Some(base) => base.trim_end_matches('/').to_owned(),
            None if path.is_empty() => root.to_owned(),
            None => path.to_owned(),
        };
        url.set_path(&path);
        Ok(BaseUrl { url })
    }

    /// Returns the URL in a form that may be shown: without the query, and without path segments that look like keys.
    pub(super) fn shown(&self) -> String {
        let mut url = self.url.clone();
        url.set_query(None);
        let shown = url.as_str().trim_end_matches('/');
        if self.keys_in_path().next().is_none() { shown.to_owned() } else { public_url(shown) }
    }

    /// Returns the URL if it contains anything that is not [shown](Self::shown) and can change the answer; otherwise
    /// empty.
    pub(super) fn hidden(&self) -> &str {
        if self.url.query().is_some() || self.keys_in_path().next().is_some() {
            self.url.as_str()
        } else {
            ""
        }
    }

    /// Returns the path segments that look like keys.
    pub(super) fn keys_in_path(&self) -> impl Iterator<Item = &str> {
        path_parts(self.url.path()).filter_map(|(part, is_key)| is_key.then_some(part))
    }

    /// Returns the address of `path` below the base URL. The path may have its own query.
    pub(super) fn join(&self, path: &str) -> Url {
        let mut url = self.url.clone();
        let (path, query) = path.split_once('?').unwrap_or((path, ""));
        if !query.is_empty() {
            let query = url.query().map_or_else(|| query.to_owned(), |own| format!("{own}&{query}"));
            url.set_query(Some(&query));
        }
        url.set_path(&format!("{}{path}", self.url.path().trim_end_matches('/')));
        url
    }

    /// Returns whether the server is on this machine.
    pub(super) fn is_local(&self) -> bool {
        let host = self.url.host_str().unwrap_or_default().trim_matches(['[', ']']);
        host == "localhost"
            || host.ends_with(".localhost")
            || host.parse().is_ok_and(|address: std::net::IpAddr| address.is_loopback())
    }

    /// Returns the values of the query, in which some gateways expect the key, and whether each is likely a key.
    /// Dated versions are not included.
    pub(super) fn query_values(&self) -> Vec<(String, bool)> {
        let dated = |value: &str| {
            value.len() >= 10
                && value.bytes().take(10).enumerate().all(|(at, byte)| match at {
                    4 | 7 => byte == b'-',
                    _ => byte.is_ascii_digit(),
                })
        };
        let pairs = self.url.query_pairs().filter(|(name, value)| name != "api-version" || !dated(value));
        let with_likelihood = pairs.map(|(name, value)| {
            let is_likely = header_kind(&name) == Header::Credential || looks_like_a_key(&value);
            (value.into_owned(), is_likely)
        });
        with_likelihood.collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_way_to_give_a_base_url() {
        for (given, shown, address) in [
            ("http://h:1/v1", "http://h:1/v1", "http://h:1/v1/chat/completions"),
            ("http://h:1/v1/", "http://h:1/v1", "http://h:1/v1/chat/completions"),
            (" http://h:1/v1// ", "http://h:1/v1", "http://h:1/v1/chat/completions"),
            ("http://h:1/v1/chat/completions", "http://h:1/v1", "http://h:1/v1/chat/completions"),
            ("http://h:1/v1/chat/completions/", "http://h:1/v1", "http://h:1/v1/chat/completions"),
            ("http://h:1/chat/completions", "http://h:1", "http://h:1/chat/completions"),
            ("http://h:1", "http://h:1/v1", "http://h:1/v1/chat/completions"),
            ("https://h/a/openai", "https://h/a/openai", "https://h/a/openai/chat/completions"),
            ("http://h:1/v1/messages", "http://h:1/v1", "http://h:1/v1/chat/completions"),
            (
                "http://h:1/v1beta/models/m:generateContent",
                "http://h:1/v1beta",
                "http://h:1/v1beta/chat/completions",
            ),
            (
                "https://r.openai.azure.com/openai/deployments/d/chat/completions?api-version=2024-10-21",
                "https://r.openai.azure.com/openai/deployments/d",
                "https://r.openai.azure.com/openai/deployments/d/chat/completions?api-version=2024-10-21",
            ),
            ("https://h/v1?version=2#x", "https://h/v1", "https://h/v1/chat/completions?version=2"),
        ] {
            let base = BaseUrl::parse(given, "/v1").unwrap();
            assert_eq!(
                (base.shown().as_str(), base.join("/chat/completions").as_str()),
                (shown, address),
                "{given}"
            );
        }
    }

    #[test]
    fn keys_in_the_path_are_not_shown() {
        let base = BaseUrl::parse("https://h/v1/a1b2c3d4e5f6a7b8c9/openai", "/v1").unwrap();
        assert_eq!(base.shown(), "https://h/v1/***/openai");
        assert_eq!(base.hidden(), "https://h/v1/a1b2c3d4e5f6a7b8c9/openai");
        assert_eq!(base.join("/x").as_str(), "https://h/v1/a1b2c3d4e5f6a7b8c9/openai/x");
        assert_eq!(BaseUrl::parse("https://h/v1", "/v1").unwrap().hidden(), "");
    }

    #[test]
    fn paths_may_bring_a_query() {
        let address =
            |base: &str| BaseUrl::parse(base, "/v1beta").unwrap().join("/models/m:go?alt=sse").to_string();
        assert_eq!(address("https://h"), "https://h/v1beta/models/m:go?alt=sse");
        assert_eq!(address("https://h/v1?k=v"), "https://h/v1/models/m:go?k=v&alt=sse");
    }

    #[test]
    fn what_is_no_base_url_is_refused_without_showing_secrets() {
        for given in [
            "",
            "localhost:8000/v1",
            "ftp://h/v1",
            "http://",
            "http://user:sesame@h/v1",
            "http://u:ses/sesame@h",
            "/v1?k=sesame",
        ] {
            let message = BaseUrl::parse(given, "/v1").unwrap_err();
            assert!(!message.contains("sesame"), "{message}");
        }
    }

    #[test]
    fn this_machine_has_many_names() {
        for local in ["http://localhost:1", "http://127.0.0.1", "http://127.8.8.8/", "http://[::1]:8/v1"] {
            assert!(BaseUrl::parse(local, "/v1").unwrap().is_local(), "{local}");
        }
        assert!(!BaseUrl::parse("http://localhost.example.org", "/v1").unwrap().is_local());
    }
}
