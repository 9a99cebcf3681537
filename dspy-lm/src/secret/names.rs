//! Recognition of secrets by the names and shapes of values.

/// The kind of a header, by its name.
#[cfg(feature = "http")]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Header {
    /// A secret that authenticates the caller and does not affect the answer.
    Credential,
    /// A header that only accompanies the request: the client, tracing, content negotiation.
    Incidental,
    /// Any other header, such as the version of a model or the project that is billed. It may affect the answer.
    Telling,
}

#[cfg(feature = "http")]
pub(crate) fn header_kind(name: &str) -> Header {
    const WORDS: &[&str] = &[
        "authorization",
        "authentication",
        "cookie",
        "cookie2",
        "credential",
        "credentials",
        "csrf",
        "hmac",
        "passwd",
        "passphrase",
        "password",
        "session",
        "signature",
        "xsrf",
    ];
    const ENDS: &[&str] = &["auth", "bearer", "jwt", "key", "secret", "token"];
    const INCIDENTAL: &[&str] = &[
        "accept",
        "accept-charset",
        "accept-encoding",
        "accept-language",
        "baggage",
        "connection",
        "content-length",
        "content-type",
        "date",
        "host",
        "http-referer",
        "idempotency",
        "referer",
        "traceparent",
        "tracestate",
        "user-agent",
        "x-title",
    ];
    let name = name.to_ascii_lowercase();
    let tells = |word: &str| WORDS.contains(&word) || ENDS.iter().any(|end| word.ends_with(end));
    if name.starts_with("cf-access-") || name.split(['-', '_', '.']).any(tells) {
        return Header::Credential;
    }
    let traces =
        ["request-id", "correlation-id", "trace-id", "span-id"].iter().any(|end| name.ends_with(end));
    if traces || INCIDENTAL.contains(&name.as_str()) { Header::Incidental } else { Header::Telling }
}

/// Returns whether a path segment or a word may be a key: it is labelled as one, has the usual prefix, or is a long
/// run of letters and digits that is unlikely to be a name.
pub(crate) fn looks_like_a_key(word: &str) -> bool {
    const STARTS: &[&str] = &[
        "sk-", "sk_", "pk-", "pk_", "rk_", "gsk_", "xai-", "hf_", "ghp_", "gho_", "glpat-", "aiza", "akia",
        "eyj",
    ];
    const WORDS: &[&str] = &["secret", "token", "apikey", "api-key", "api_key", "passw", "credential"];
    const LONGEST_NAME: usize = 12;
    const LONGEST_WORD: usize = 28;
    let lower = word.to_ascii_lowercase();
    if STARTS.iter().any(|start| lower.len() > start.len() + 6 && lower.starts_with(start)) {
        return true;
    }
    if WORDS.iter().any(|known| lower.contains(known) && lower.len() >= known.len() + 4) {
        return true;
    }
    if is_uuid(&lower) {
        return true;
    }
    word.split(|c: char| !c.is_ascii_alphanumeric()).any(|run| {
        let digits = run.bytes().filter(u8::is_ascii_digit).count();
        run.len() >= LONGEST_NAME && digits > 0 && digits < run.len() || run.len() >= LONGEST_WORD
    })
}

/// Returns the segments of a path, and whether each [looks like a key](looks_like_a_key) or follows a label of one.
pub(crate) fn path_parts(path: &str) -> impl Iterator<Item = (&str, bool)> {
    const ANNOUNCING: &[&str] =
        &["key", "apikey", "api-key", "api_key", "token", "secret", "auth", "access_token"];
    let mut is_announced = false;
    path.split('/').map(move |part| {
        let is_key = looks_like_a_key(part) || is_announced && part.len() >= 6;
        is_announced = ANNOUNCING.iter().any(|word| part.eq_ignore_ascii_case(word));
        (part, is_key)
    })
}

fn is_uuid(text: &str) -> bool {
    let parts: Vec<&str> = text.split('-').collect();
    parts.iter().map(|part| part.len()).eq([8, 4, 4, 4, 12])
        && parts.iter().all(|part| part.bytes().all(|byte| byte.is_ascii_hexdigit()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_told_from_names() {
        for key in [
            "sk-abcdefgh",
            "550e8400-e29b-41d4-a716-446655440000",
            "my-secret-0001",
            "a1b2c3d4e5f6g7h8",
            "token=abcdef",
            "abcdefghijklmnopqrstuvwxyzabcdef",
        ] {
            assert!(looks_like_a_key(key), "{key}");
        }
        for name in [
            "v1",
            "openai",
            "chat",
            "compatible-mode",
            "gpt-4o-mini-2024-07-18-production",
            "anthropic.claude-3-5-sonnet-20240620-v1",
            "Meta-Llama-3.1-70B-Instruct",
            "deployments",
            "tokenize",
            "text-embedding-3-large",
        ] {
            assert!(!looks_like_a_key(name), "{name}");
        }
    }

    #[cfg(feature = "http")]
    #[test]
    fn headers_are_what_their_names_say() {
        for (name, kind) in [
            ("Authorization", Header::Credential),
            ("x-jwt", Header::Credential),
            ("cf-access-client-id", Header::Credential),
            ("api-key", Header::Credential),
            ("user-agent", Header::Incidental),
            ("X-Request-Id", Header::Incidental),
            ("anthropic-beta", Header::Telling),
            ("anthropic-version", Header::Telling),
            ("api-version", Header::Telling),
            ("OpenAI-Organization", Header::Telling),
            ("OpenAI-Project", Header::Telling),
            ("x-tenant", Header::Telling),
            ("x-max-tokens", Header::Telling),
            ("x-processor", Header::Telling),
        ] {
            assert_eq!(header_kind(name), kind, "{name}");
        }
    }
}
