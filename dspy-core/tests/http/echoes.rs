//! Servers that send back what they were sent: no error shows a secret, in whichever spelling it comes.

use dspy_core::lm::{Cassette, Endpoint, Lm, LmErrorKind, Params, Protocol};
use dspy_core::observe::LmHistory;

use crate::endpoint;
use dspy_test_server::{Act, Server, chat, chunks, reply};

const KEY: &str = r#"pk/"planted"\key+1=%"#;
const PASSWORD: &str = "planted-password";
const QUERY: &str = "planted query/1";

/// The ways in which a server may write what it was sent.
fn spellings(text: &str) -> Vec<String> {
    let percent = |upper: bool, space: &str| -> String {
        let encode = |byte: u8| match byte {
            b' ' if !space.is_empty() => space.to_owned(),
            byte if byte.is_ascii_alphanumeric() => char::from(byte).to_string(),
            byte if upper => format!("%{byte:02X}"),
            byte => format!("%{byte:02x}"),
        };
        text.bytes().map(encode).collect()
    };
    let json = serde_json::to_string(text).unwrap();
    let json = json.trim_matches('"').to_owned();
    let twice = serde_json::to_string(&json).unwrap();
    vec![
        text.to_owned(),
        percent(true, ""),
        percent(false, ""),
        percent(true, "+"),
        percent(true, "").replace('%', "%25"),
        json.replace('/', r"\/"),
        text.encode_utf16().map(|unit| format!("\\u{unit:04x}")).collect(),
        twice.trim_matches('"').to_owned(),
        text.replace('&', "&amp;").replace('"', "&quot;"),
        text.to_uppercase(),
        format!("{text:?}"),
        base64(text),
        base64(&format!("me:{text}")),
    ]
}

fn base64(text: &str) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let digit = |bits: u32| char::from(DIGITS[bits as usize & 63]);
    text.as_bytes()
        .chunks(3)
        .flat_map(|chunk| {
            let bits =
                chunk.iter().fold(0, |bits, byte| bits << 8 | u32::from(*byte)) << (8 * (3 - chunk.len()));
            let digits = [18, 12, 6, 0].map(|shift| digit(bits >> shift));
            digits.into_iter().enumerate().map(move |(at, c)| if at > chunk.len() { '=' } else { c })
        })
        .collect()
}

fn endpoints(url: &str) -> Vec<(&'static str, Endpoint)> {
    let basic = format!("Basic {}", base64(&format!("user:{PASSWORD}")));
    vec![
        (KEY, endpoint(url).api_key(KEY)),
        (KEY, endpoint(url).header("x-jwt", KEY)),
        (KEY, endpoint(url).header("cf-access-client-id", KEY)),
        (KEY, endpoint(url).header("x-whatever", KEY)),
        (PASSWORD, endpoint(url).header("authorization", basic)),
        (PASSWORD, endpoint(url).header("cookie", format!("theme=dark; session={PASSWORD}"))),
        (QUERY, endpoint(&format!("{url}?code=planted%20query%2F1"))),
        ("sk-planted-0001", endpoint(&format!("{url}/sk-planted-0001/x"))),
    ]
}

#[tokio::test]
async fn no_spelling_of_a_secret_is_in_an_error_a_history_or_a_cassette() {
    let dir = std::env::temp_dir().join(format!("dspy-echoes-{}", std::process::id()));
    let _ = std::fs::remove_dir_all(&dir);
    for (secret, endpoint) in endpoints("http://h/v1") {
        assert!(!format!("{endpoint:?}").contains("planted"));
        assert!(endpoint.model("m").is_ok(), "{secret}");
    }
    let secrets: Vec<_> = endpoints("http://h/v1").into_iter().map(|(secret, _)| secret).collect();
    for (number, secret) in secrets.into_iter().enumerate() {
        for (way, spelt) in spellings(secret).into_iter().enumerate() {
            let body = serde_json::json!({"error": {"message": format!("bad <{spelt}>")}}).to_string();
            let event = format!("data: {body}\n\n");
            let raw = format!("no JSON <{spelt}>");
            for act in [reply(400, &[], &body), reply(400, &[], &raw), chunks(&[event.as_bytes()], true)] {
                let server = Server::script(vec![act]).await;
                let (_, endpoint) = endpoints(&server.url()).swap_remove(number);
                let (history, path) = (LmHistory::new(1 << 20), dir.join("calls.json"));
                let _ = std::fs::remove_file(&path);
                let lm = endpoint.retries(0).model("m").unwrap();
                let lm = lm.layer(history.clone()).layer(Cassette::record(&path));
                let request = dspy_core::lm::Request::new(vec![dspy_core::lm::Message::user("?")]);
                let error = lm.stream(request).finish().await.unwrap_err();
                assert!(error.to_string().contains("***"), "{number} {way}: {error}");
                let file = std::fs::read_to_string(&path).unwrap();
                for text in [error.to_string(), format!("{error:?}"), history.inspect(1).to_string(), file] {
                    let lower = text.to_lowercase();
                    let core = spelt.trim_matches(['=', '"']).to_lowercase();
                    assert!(!lower.contains("planted") && !lower.contains(&core), "{number} {way}: {text}");
                }
            }
        }
    }
    std::fs::remove_dir_all(dir).unwrap();
}

#[tokio::test]
async fn an_answer_that_says_the_key_is_written_nowhere() {
    const KEY: &str = "odd/shape-planted+key";
    let dir = std::env::temp_dir().join(format!("dspy-echoed-{}", std::process::id()));
    let _ = std::fs::remove_dir_all(&dir);
    let server = Server::start(|_, seen| chat(&format!("you sent {}", seen.header("x-jwt").unwrap()))).await;
    let (history, path) = (LmHistory::new(1 << 20), dir.join("calls.json"));
    let cache = dspy_core::lm::Cache::at(dir.join("cache"));
    let lm = endpoint(&server.url()).header("x-jwt", KEY).model("m").unwrap();
    let lm = lm.layer(Cassette::record(&path)).layer(history.clone()).cache(&cache);
    for _ in 0..2 {
        // The program gets what was said; nothing is changed behind its back.
        assert_eq!(lm.ask(&*format!("is it {KEY}?")).await.unwrap(), format!("you sent {KEY}"));
    }
    assert_eq!((server.seen().len(), cache.stats().memory_hits), (1, 1));
    assert!(!dir.join("cache").exists(), "an answer with a key in it is kept in memory only");
    for text in [std::fs::read_to_string(&path).unwrap(), history.inspect(9).to_string()] {
        assert!(text.contains("you sent ***") && text.contains("is it ***?"), "{text}");
    }
    // With the handle at hand it is found again, and without it nothing else is given.
    let replayed = endpoint(&server.url()).header("x-jwt", KEY).model("m").unwrap();
    let replayed = replayed.layer(Cassette::replay(&path).unwrap());
    assert_eq!(replayed.ask(&*format!("is it {KEY}?")).await.unwrap(), "you sent ***");
    std::fs::remove_dir_all(dir).unwrap();
}

#[tokio::test]
async fn short_values_do_not_garble_messages() {
    let server = Server::script(vec![reply(400, &[], r#"{"error":{"message":"a bad team search"}}"#)]).await;
    let endpoint = endpoint(&server.url()).header("x-team", "search").header("x-a", "a").api_key("bad");
    let error = endpoint.model("m").unwrap().ask("?").await.unwrap_err();
    assert!(error.message.contains("a bad team search"), "{error}");
}

#[test]
fn extra_members_are_not_shown() {
    let mut params = Params::default();
    params.extra.insert("vendor_key".into(), "planted".into());
    let lm = Lm::scripted(["x"]).with_params(params);
    let mut request = dspy_core::lm::Request::new(Vec::new());
    request.params = lm.params().clone();
    for shown in [format!("{lm:?}"), format!("{request:?}"), format!("{:#?}", lm.params())] {
        assert!(shown.contains("vendor_key") && !shown.contains("planted"), "{shown}");
    }
}

/// A gzip file with this deflated content.
fn gzip(deflated: &[u8], crc: u32, length: usize) -> Vec<u8> {
    let mut file = vec![0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255];
    file.extend(deflated);
    file.extend(crc.to_le_bytes());
    file.extend((length as u32).to_le_bytes());
    file
}

fn crc(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| crc >> 1 ^ (0xedb8_8320 & 0u32.wrapping_sub(crc & 1)))
    })
}

/// Deflated without compression.
fn stored(bytes: &[u8]) -> Vec<u8> {
    let length = (bytes.len() as u16).to_le_bytes();
    let inverse = (!(bytes.len() as u16)).to_le_bytes();
    [&[1], &length[..], &inverse[..], bytes].concat()
}

fn compressed(status: u16, encoding: &str, body: &[u8]) -> Act {
    let head = format!(
        "HTTP/1.1 {status} Status\r\ncontent-encoding: {encoding}\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    Act::Send([head.as_bytes(), body].concat())
}

async fn failure(act: Act) -> dspy_core::lm::LmError {
    let server = Server::script(vec![act]).await;
    endpoint(&server.url()).retries(0).model("m").unwrap().ask("?").await.unwrap_err()
}

#[tokio::test]
async fn a_compressed_reason_is_read() {
    let reason = br#"{"error":{"message":"no such voice","code":"context_length_exceeded"}}"#;
    let deflated = stored(reason);
    let file = gzip(&deflated, crc(reason), reason.len());
    let zlib = [&[0x78, 0x01][..], &deflated, &[0; 4]].concat();
    for (encoding, body) in [("gzip", &file), ("x-gzip", &file), ("deflate", &zlib), ("deflate", &deflated)] {
        let error = failure(compressed(400, encoding, body)).await;
        assert_eq!(error.kind, LmErrorKind::ContextWindow, "{encoding}: {error}");
        assert!(error.message.contains("no such voice"), "{encoding}: {error}");
    }
    for (encoding, body) in
        [("br", &file[..]), ("gzip", &file[..20]), ("gzip", b"?"), ("gzip", b""), ("deflate", b"")]
    {
        let error = failure(compressed(503, encoding, body)).await;
        assert_eq!((error.kind, error.status), (LmErrorKind::Server, Some(503)));
        assert!(error.message.contains("compressed"), "{encoding}: {error}");
    }
}

/// So many times 258 spaces, deflated into 13 bits each.
fn bomb(copies: usize) -> Vec<u8> {
    let (mut bytes, mut bits, mut held) = (Vec::new(), 0u64, 0);
    let mut put = |value: u64, width: u32| {
        bits |= value << held;
        held += width;
        while held >= 8 {
            bytes.push(bits as u8);
            bits >>= 8;
            held -= 8;
        }
    };
    let reversed = |code: u64, width: u32| code.reverse_bits() >> (64 - width);
    put(0b011, 3);
    put(reversed(0x30 + u64::from(b' '), 8), 8);
    for _ in 0..copies {
        put(reversed(0b1100_0101, 8), 8);
        put(0, 5);
    }
    put(0, 7);
    put(0, 8);
    bytes
}

#[tokio::test]
async fn a_bomb_does_not_go_off() {
    let small = bomb(3);
    let spaces = " ".repeat(1 + 3 * 258);
    let error = failure(compressed(500, "gzip", &gzip(&small, crc(spaces.as_bytes()), spaces.len()))).await;
    assert_eq!(error.body.as_deref(), Some(spaces.as_str()), "the bomb is well-made");
    // A quarter of a gibibyte in half a mebibyte.
    for encoding in ["gzip", "deflate"] {
        let body = if encoding == "gzip" { gzip(&bomb(300_000), 0, 0) } else { bomb(300_000) };
        let error = failure(compressed(500, encoding, &body)).await;
        assert!(error.message.contains("compressed"), "{encoding}: {error}");
    }
    let error = failure(compressed(200, "gzip", &gzip(&bomb(300_000), 0, 0))).await;
    assert_eq!(error.kind, LmErrorKind::Decode);
}

#[tokio::test]
async fn protocols_hide_alike() {
    for protocol in [Protocol::Chat, Protocol::Responses, Protocol::Anthropic, Protocol::Gemini] {
        let body = r#"{"error":{"message":"bad pk\/\"planted\"\\key+1=%"}}"#;
        let server = Server::script(vec![reply(401, &[], body)]).await;
        let lm = endpoint(&server.url()).protocol(protocol).api_key(KEY).model("m").unwrap();
        let error = lm.ask("?").await.unwrap_err();
        assert!(!format!("{error:?}").contains("planted"), "{error:?}");
    }
}
