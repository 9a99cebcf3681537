//! Recognition of keys in text by their form, by their name or by the words before them. Ordinary text about
//! keys is left alone.

use std::sync::LazyLock;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use regex_lite::{Captures, Regex};

use crate::secret::HIDDEN;

/// Whether the last group of a match is a secret.
type Judge = fn(&Captures<'_>, &str) -> bool;

/// A regular expression whose group `secret` is hidden if the check agrees.
struct Shape {
    regex: Regex,
    judge: Judge,
}

/// Names of secrets, also at the end of longer names: `FOO_API_KEY`, `x-api-key`, `dbPassword`.
const NAMES: &str = "api[-_]?key|api[-_]?token|access[-_]?token|auth[-_]?token|refresh[-_]?token|id[-_]?token\
    |session[-_]?token|security[-_]?token|bot[-_]?token|bearer[-_]?token|client[-_]?secret|webhook[-_]?secret\
    |secret[-_]?key|access[-_]?key|access[-_]?key[-_]?id|private[-_]?key|signing[-_]?key|encryption[-_]?key\
    |subscription[-_]?key|account[-_]?key|shared[-_]?access[-_]?key|password|passwd|passphrase|pwd|secret|token|credential";

const ALWAYS: Judge = |_, _| true;

/// The forms of keys, from the longest matches to the shortest.
static SHAPES: LazyLock<Vec<Shape>> = LazyLock::new(|| {
    let shapes: Vec<(String, Judge)> = vec![
        // A private key as in a file; up to the end of the text if its end is missing.
        (
            r"-----BEGIN [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----(?P<secret>[\s\S]*?)(?:-----END |$)".into(),
            ALWAYS,
        ),
        (r"\b(?P<secret>eyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}(?:\.[A-Za-z0-9_-]*)*)".into(), ALWAYS),
        (
            r"\b(?P<secret>(?:sk|pk|rk|gsk|xai|hf|gh[opsru]|github_pat|glpat|xox[a-z]|xapp|pplx|r8|fw|tgp|npm|nvapi|csk|jina|shpat|dop_v1|lin_api|sk_live|sk_test|rk_live|whsec)[-_][A-Za-z0-9_-]{16,})".into(),
            ALWAYS,
        ),
        (r"\b(?P<secret>AIza[A-Za-z0-9_-]{30,}|ya29\.[A-Za-z0-9._-]{20,})".into(), ALWAYS),
        (r"\b(?P<secret>(?:AKIA|ASIA|ABIA|ACCA)[A-Z0-9]{16})\b".into(), ALWAYS),
        (r"\b(?P<secret>SG\.[A-Za-z0-9_-]{16,}\.[A-Za-z0-9_-]{16,})".into(), ALWAYS),
        (r"\b(?P<secret>[0-9]{8,10}:[A-Za-z0-9_-]{34,36})\b".into(), ALWAYS),
        (r"hooks\.slack\.com/services/(?P<secret>[A-Za-z0-9/_-]{16,})".into(), ALWAYS),
        // A header, with or without the scheme.
        (
            r#"(?i)authorization\\*["']?\s*[:=]\s*\\*["']?(?:basic|bearer|token|digest|apikey|key|negotiate|aws4-hmac-sha256)\s+(?P<secret>[^\s"'\\][^"'\\\r\n]{3,})"#.into(),
            ALWAYS,
        ),
        (r#"(?i)authorization\\*["']?\s*[:=]\s*\\*["']?(?P<secret>[^\s"'\\]{8,})"#.into(), |found, _| {
            secret(found).is_some_and(looks_random)
        }),
        (r"\bB(?:earer|EARER)\s+(?P<secret>[A-Za-z0-9._~+/=-]{8,})".into(), ALWAYS),
        (r"\bbearer\s+(?P<secret>[A-Za-z0-9._~+/=-]{8,})".into(), |found, _| {
            secret(found).is_some_and(looks_random)
        }),
        (r"(?i)\bbasic\s+(?P<secret>[A-Za-z0-9+/_-]{8,}={0,2})".into(), |found, _| {
            secret(found).is_some_and(is_basic)
        }),
        (
            r#"(?i)\b(?:set-)?cookie\\*["']?\s*:\s*\\*["']?(?P<secret>[^\s"'\\=;]+=[^"'\\\r\n]+)"#.into(),
            ALWAYS,
        ),
        // A member or variable with its value in quotes, which may be escaped.
        (
            format!(
                r#"(?i)(?P<name>{NAMES})s?\\*["']?\s*(?:[:=]|=>)\s*\\*["'](?P<secret>(?:[^"'\\\r\n]|\\+[^"'\\\r\n])+)\\*["']"#
            ),
            quoted,
        ),
        // The same without quotes.
        (
            format!(r#"(?i)(?P<name>{NAMES})(?P<sign>\\*["']?\s*(?:[:=]|=>)\s*)(?P<secret>[^\s"'`,;&(){{}}\[\]<>|\\]{{4,}})"#),
            bare,
        ),
        (
            r"(?i)[?&;](?:key|sig|signature|code|auth|jwt|token|sas|x-amz-signature|x-amz-credential|x-amz-security-token)=(?P<secret>[^&\s#]{6,})"
                .replace(r"[^&\s#]", r#"[^&\s"'<>#\\]"#),
            ALWAYS,
        ),
        (r"(?i)\bsignature=(?P<secret>[0-9a-f]{32,})".into(), ALWAYS),
        // A command-line option.
        (
            r#"(?i)\s--?(?:[a-z]+-)*(?:key|token|secret|password)\s+["']?(?P<secret>[^\s"'-][^\s"']{5,})"#.into(),
            |found, _| secret(found).is_some_and(looks_random),
        ),
        (r#"\bcurl\b[^\n]*?\s(?:-u|--user)\s+["']?(?P<secret>[^\s"':]+:[^\s"']+)"#.into(), ALWAYS),
        // Users and passwords in URLs.
        (r#"://(?P<secret>[^/\s:@"']+:[^/\s@"']+)@"#.into(), ALWAYS),
        (r#"://(?P<secret>[^/\s:@"']{8,})@"#.into(), |found, _| secret(found).is_some_and(looks_random)),
    ];
    shapes
        .into_iter()
        .filter_map(|(shape, judge)| Some(Shape { regex: Regex::new(&shape).ok()?, judge }))
        .collect()
});

/// The number of shapes; a test checks that each is a valid regular expression.
#[cfg(test)]
const COUNT: usize = 22;

/// Replaces everything in `text` that looks like a key.
pub(super) fn hide(mut text: String) -> String {
    for Shape { regex, judge } in SHAPES.iter() {
        let mut out = String::new();
        let mut done = 0;
        for found in regex.captures_iter(&text) {
            if let Some(secret) = found.name("secret")
                && secret.as_str() != HIDDEN
                && judge(&found, &text)
            {
                out.push_str(&text[done..secret.start()]);
                out.push_str(HIDDEN);
                done = secret.end();
            }
        }
        if done > 0 {
            out.push_str(&text[done..]);
            text = out;
        }
    }
    text
}

fn secret<'t>(found: &Captures<'t>) -> Option<&'t str> {
    found.name("secret").map(|secret| secret.as_str())
}

/// Returns whether this is unlikely to be a word: it contains digits, signs, or mixed case.
fn looks_random(word: &str) -> bool {
    let word = word.trim_end_matches(['.', ',', ';', ':', '!', '?']);
    let rest = word.get(1..).unwrap_or_default();
    word.bytes().any(|byte| byte.is_ascii_digit())
        || word.bytes().any(|byte| b"._~+/=$%^*!#".contains(&byte))
        || rest.bytes().any(|byte| byte.is_ascii_uppercase())
            && rest.bytes().any(|byte| byte.is_ascii_lowercase())
}

/// Returns whether this is base64 of a user and a password.
fn is_basic(encoded: &str) -> bool {
    let bytes = STANDARD_NO_PAD.decode(encoded.trim_end_matches('='));
    let text = bytes.ok().and_then(|bytes| String::from_utf8(bytes).ok());
    text.is_some_and(|text| text.contains(':') && !text.chars().any(char::is_control))
}

/// Returns whether a value is a placeholder: the name of a variable or type, or a word for no value.
fn is_placeholder(name: &str, value: &str) -> bool {
    const NOTHING: [&str; 9] =
        ["none", "null", "true", "false", "nil", "undefined", "string", "required", "optional"];
    let plain = |text: &str| text.chars().filter(char::is_ascii_alphanumeric).collect::<String>();
    let (name, value) = (plain(name).to_ascii_lowercase(), value.to_ascii_lowercase());
    NOTHING.contains(&value.as_str()) || plain(&value).ends_with(&name) || value.starts_with(['$', '<', '{'])
}

/// Returns whether a value in quotes is a secret: always, except for placeholders; a token may also be
/// ordinary text.
fn quoted(found: &Captures<'_>, _: &str) -> bool {
    let (Some(name), Some(value)) = (found.name("name"), secret(found)) else { return false };
    let is_token =
        name.as_str().eq_ignore_ascii_case("token") || name.as_str().eq_ignore_ascii_case("credential");
    if is_token { value.len() >= 6 && looks_random(value) } else { !is_placeholder(name.as_str(), value) }
}

/// Returns whether a value without quotes is a secret, not a word of a sentence or a piece of code.
fn bare(found: &Captures<'_>, text: &str) -> bool {
    let (Some(name), Some(sign), Some(value)) =
        (found.name("name"), found.name("sign"), found.name("secret"))
    else {
        return false;
    };
    let is_code = text[value.end()..].starts_with(['(', '[', '{']);
    if is_code || is_placeholder(name.as_str(), value.as_str()) {
        return false;
    }
    let is_assigned = sign.as_str() == "=" && !name.as_str().eq_ignore_ascii_case("token");
    is_assigned || value.len() >= 6 && looks_random(value.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hidden(text: &str) -> String {
        hide(text.to_owned())
    }

    #[test]
    fn every_shape_is_an_expression() {
        assert_eq!(SHAPES.len(), COUNT);
    }

    #[test]
    fn keys_are_recognised() {
        for (text, expected) in [
            ("use sk-proj-abcdefghij0123456789_x please", "use *** please"),
            ("AKIAABCDEFGHIJKLMNOP.", "***."),
            ("Authorization: Bearer abc.def-ghi", "Authorization: Bearer ***"),
            ("Authorization: Basic dXNlcjpwYXNz", "Authorization: Basic ***"),
            ("curl -H 'authorization: token hunter2x'", "curl -H 'authorization: token ***'"),
            ("a Basic dXNlcjpwYXNzd29yZA== there", "a Basic *** there"),
            (r#"{"api_key": "0123456789"}"#, r#"{"api_key": "***"}"#),
            (
                r#"{"body": "{\"api_key\": \"swordfish\", \"n\": 1}"}"#,
                r#"{"body": "{\"api_key\": \"***\", \"n\": 1}"}"#,
            ),
            (r#"{\\\"password\\\": \\\"correct horse\\\"}"#, r#"{\\\"password\\\": \\\"***\\\"}"#),
            ("FOO_API_KEY=swordfish make", "FOO_API_KEY=*** make"),
            ("export DB_PASSWORD=hunter2", "export DB_PASSWORD=***"),
            ("aws_secret_access_key = wJalrXUtnFEMI/K7MDENG", "aws_secret_access_key = ***"),
            ("see eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.c2lnbmF0dXJl!", "see ***!"),
            (
                "-----BEGIN RSA PRIVATE KEY-----\nMIIE\nabc\n-----END RSA PRIVATE KEY-----\nrest",
                "-----BEGIN RSA PRIVATE KEY-----***-----END RSA PRIVATE KEY-----\nrest",
            ),
            (r"-----BEGIN PRIVATE KEY-----\nMIIE\n", "-----BEGIN PRIVATE KEY-----***"),
            ("postgres://me:hunter2@db/x", "postgres://***@db/x"),
            ("https://ghp0123456789@github.com/x", "https://***@github.com/x"),
            ("GET /v1?key=abcdef123&n=1", "GET /v1?key=***&n=1"),
            ("https://h/x?access_token=abcdef123#a", "https://h/x?access_token=***"),
            ("Cookie: session=abc; theme=dark\nAccept: x", "Cookie: ***\nAccept: x"),
            ("x-api-key: 12ab34cd", "x-api-key: ***"),
            ("AccountKey=abcd1234==;Endpoint=x", "AccountKey=***;Endpoint=x"),
            ("tool --api-key a1b2c3d4 run", "tool --api-key *** run"),
            ("curl -s -u me:hunter2 https://h", "curl -s -u *** https://h"),
            ("github_pat_11ABCDEFG0123456789_abcdef", "***"),
            ("password='it was'", "password='***'"),
        ] {
            assert_eq!(hidden(text), expected);
            assert_eq!(hidden(expected), expected, "hidden twice");
        }
    }

    #[test]
    fn ordinary_text_stays() {
        for text in [
            "the task-force asked a risk-averse bearer of bad news",
            "a bearer certificates scheme, Basic programming and basic knowledge",
            "What is an api key? password: yes",
            "password: required, token: the next word, secret: nobody knows",
            r#"{"token": "Hello", "logprob": -0.5}"#,
            "max_tokens=4096, prompt_tokens: 123456",
            r#"{"password": string, "api_key": null}"#,
            r#"api_key=os.environ["OPENAI_API_KEY"]"#,
            "client = Client(api_key=api_key, password=get_password())",
            "Authorization: you must ask first",
            "signature: question -> answer",
            "the key: sort by surname; key=value pairs",
            "mail me@example.org or see https://example.org/@someone/posts",
            "secretary: Ms Miller1",
            "[[ ## answer ## ]]\nParis",
            "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----",
        ] {
            assert_eq!(hidden(text), text);
        }
    }
}
