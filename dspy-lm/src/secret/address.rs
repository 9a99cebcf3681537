//! Addresses in a form that may be shown and stored.

use std::borrow::Cow;

use super::{HIDDEN, path_parts};

/// Returns `url` without user, password, query and fragment, any of which may hold a secret, and without path
/// segments that look like keys. It need not be well-formed: everything before an `@` is treated as a password.
pub fn public_url(url: &str) -> String {
    let url = url.split(['?', '#']).next().unwrap_or_default();
    let (scheme, rest) = url.split_once("://").map_or((None, url), |(scheme, rest)| (Some(scheme), rest));
    let rest = rest.rsplit('@').next().unwrap_or_default();
    // The host is never hidden.
    let (host, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    let path: Vec<&str> = path_parts(path).map(|(part, is_key)| if is_key { HIDDEN } else { part }).collect();
    let path = path.join("/");
    scheme.map_or_else(|| format!("{host}{path}"), |scheme| format!("{scheme}://{host}{path}"))
}

/// Returns an identifier of an endpoint without secrets: the [public URL](public_url) and, if that is not the whole
/// endpoint, a digest of the whole.
pub(crate) fn deployment(endpoint: &str) -> Cow<'_, str> {
    let is_digest = |text: &str| text.len() == 16 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    let (url, marks) = endpoint.split_once('#').unwrap_or((endpoint, ""));
    if (marks.is_empty() || marks.split('#').all(is_digest)) && public_url(url) == url {
        return endpoint.into();
    }
    format!("{}#{}", public_url(url), mark([endpoint])).into()
}

/// Returns a short digest of these parts.
pub(crate) fn mark<'a>(parts: impl IntoIterator<Item = &'a str>) -> String {
    let mut hash = blake3::Hasher::new();
    for part in parts {
        hash.update(&(part.len() as u64).to_le_bytes()).update(part.as_bytes());
    }
    hash.finalize().to_hex()[..16].to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn deployments_are_told_apart_unseen() {
        for plain in [
            "",
            "http://h:1/v1",
            "http://h/v1#0123456789abcdef",
            "http://h/v1#0123456789abcdef#0123456789abcdef",
        ] {
            assert_eq!(deployment(plain), plain);
        }
        let secret = ["http://h/v1?d=red", "http://h/v1?d=blue", "http://u:red@h/v1", "http://h/v1#red"];
        let mut marked: Vec<_> = secret.map(|url| deployment(url).into_owned()).into();
        assert!(
            marked.iter().all(|url| url.starts_with("http://h/v1#") && !url.contains("red")),
            "{marked:?}"
        );
        assert!(marked.iter().all(|url| deployment(url) == *url));
        marked.dedup();
        assert_eq!(marked.len(), secret.len());
    }
}
