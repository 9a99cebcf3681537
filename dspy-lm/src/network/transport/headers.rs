//! The headers of requests: their values, which of them are secret, and which distinguish deployments.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};

use super::Route;
use crate::Secret;
use crate::network::server::Server;
use crate::secret::{Header, Secrets, header_kind};

/// The minimum length of a hidden value of a header that is not a credential; a shorter one may be an ordinary word.
const SHORTEST: usize = 8;
/// The minimum length of a hidden single word in a header that is not a credential; a shorter one may be a name.
const LONG_WORD: usize = 16;

/// Returns the headers of every request. Adds their values to the secrets.
pub(super) fn headers(server: &Server, route: &Route, secrets: &mut Secrets) -> Result<HeaderMap, String> {
    let value = |what: &str, text: &str| {
        let mut value = HeaderValue::from_str(text)
            .map_err(|_| format!("{what} holds characters that cannot be sent; was it copied whole?"))?;
        value.set_sensitive(true);
        Ok::<_, String>(value)
    };
    let mut headers = HeaderMap::new();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    for (name, text) in route.headers {
        headers.insert(HeaderName::from_static(name), HeaderValue::from_static(text));
    }
    if let Some(key) = &server.key {
        let what = server.key_var.map_or("the key".to_owned(), |var| format!("the key in {var}"));
        match route.key_header {
            Some(name) => headers.insert(HeaderName::from_static(name), value(&what, key.expose())?),
            None => headers.insert(AUTHORIZATION, value(&what, &format!("Bearer {}", key.expose()))?),
        };
        secrets.add_credential(key.clone());
    }
    for (name, secret) in &server.headers {
        let header = header_name(name)?;
        add_secrets(&header, secret, secrets);
        headers.insert(header, value(&format!("the header `{name}`"), secret.expose())?);
    }
    Ok(headers)
}

fn header_name(name: &str) -> Result<HeaderName, String> {
    HeaderName::try_from(name)
        .map_err(|_| format!("`{}` is not a header name", dspy_base::error::clipped(name)))
}

/// Returns the names and values of the headers that can change the answer, and the tenant, in a fixed order.
pub(super) fn varying(server: &Server, headers: &HeaderMap) -> Result<Vec<String>, String> {
    let mut names = Vec::new();
    for (name, _) in &server.headers {
        if header_kind(name) == Header::Telling {
            names.push(header_name(name)?);
        }
    }
    for name in &server.varying {
        let header = header_name(name)?;
        if !headers.contains_key(&header) {
            return Err(format!("answers are to vary by the header `{header}`, which is not sent"));
        }
        names.push(header);
    }
    names.sort_unstable_by(|a, b| a.as_str().cmp(b.as_str()));
    names.dedup();
    let mut parts = Vec::new();
    if let Some(tenant) = &server.tenant {
        parts.extend(["tenant".to_owned(), tenant.clone()]);
    }
    for name in names {
        let value = headers.get(&name).map(HeaderValue::as_bytes).unwrap_or_default();
        parts.extend([format!("header {name}"), String::from_utf8_lossy(value).into_owned()]);
    }
    Ok(parts)
}

/// Adds a header's value and its tokens to the secrets.
fn add_secrets(name: &HeaderName, value: &Secret, secrets: &mut Secrets) {
    let text = value.expose();
    match header_kind(name.as_str()) {
        // Values for content negotiation, and request ids, are meant to be seen.
        Header::Incidental => return,
        Header::Credential => {
            secrets.add_credential(value.clone());
            let mut words = text.split([' ', '\t', ';', ',']);
            if text.contains(' ') && !text.contains(';') {
                // The first word names the scheme.
                words.next();
            }
            for word in words.filter(|word| !word.is_empty()) {
                secrets.add_credential(word);
                // Members of a cookie or a digest.
                if let Some((_, member)) = word.split_once('=') {
                    secrets.add_credential(member.trim_matches('"'));
                }
            }
        }
        Header::Telling => {
            if text.len() >= SHORTEST {
                secrets.add(value.clone());
            }
            text.split_whitespace().filter(|word| word.len() >= LONG_WORD).for_each(|word| secrets.add(word));
        }
    }
    add_basic(text, secrets);
}

/// Adds the parts of `Basic` credentials to the secrets.
fn add_basic(text: &str, secrets: &mut Secrets) {
    let Some((scheme, encoded)) = text.split_once(' ') else { return };
    if !scheme.eq_ignore_ascii_case("basic") {
        return;
    }
    let decoded = STANDARD.decode(encoded.trim()).ok().and_then(|bytes| String::from_utf8(bytes).ok());
    let Some(decoded) = decoded else { return };
    secrets.add_credential(decoded.as_str());
    // Either may be the key: some services expect it as the user.
    if let Some((user, password)) = decoded.split_once(':') {
        secrets.add_credential(user);
        secrets.add_credential(password);
    }
}
