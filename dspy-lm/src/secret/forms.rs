//! The encodings in which a secret may be returned: verbatim, percent-encoded, escaped for JSON or HTML, in base64,
//! and any combination.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};

/// The minimum length of a base64 form; shorter ones occur by chance.
const SHORTEST_BASE64: usize = 8;
/// The maximum depth of nested escapes: how often a backslash or a `%25` may be doubled.
const DEEPEST: usize = 16;

/// The kind of a match in the text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Found {
    /// The whole secret, up to this offset.
    Whole(usize),
    /// The start of the secret: the text ends within it.
    Beginning,
}

/// Returns the bytes to search for to find a secret in any encoding: its own, and those of its base64 forms.
pub(super) fn forms(secret: &str) -> Vec<Box<[u8]>> {
    let mut forms: Vec<Box<[u8]>> = vec![secret.as_bytes().into()];
    // The base64 digits depend on the alignment, so each of the three is included.
    for lead in 0..3 {
        let padded = [&[0; 2][..lead], secret.as_bytes()].concat();
        let (start, end) = ((lead * 8).div_ceil(6), padded.len() * 8 / 6);
        for text in [STANDARD_NO_PAD.encode(&padded), URL_SAFE_NO_PAD.encode(&padded)] {
            // The last digit also encodes a part of the next byte, unless the text ends there.
            for end in [end, text.len()] {
                let digits = text.as_bytes().get(start..end).unwrap_or_default();
                if digits.len() >= SHORTEST_BASE64 && !forms.iter().any(|form| **form == *digits) {
                    forms.push(digits.into());
                }
            }
        }
    }
    forms
}

/// Returns whether an encoding of something that begins with `first` may begin with this byte.
pub(super) fn may_begin(byte: u8, first: u8) -> bool {
    byte.eq_ignore_ascii_case(&first) || matches!(byte, b'\\' | b'%' | b'&') || byte == b'+' && first == b' '
}

/// Matches the start of `text` with the secret in any of its encodings.
pub(super) fn find(text: &[u8], secret: &[u8]) -> Option<Found> {
    let (mut longest, mut beginning) = (None, None);
    // Ambiguous encodings have several readings; all that match are followed.
    let mut open = vec![(0, 0)];
    let mut steps = 4 * secret.len() + 64;
    while let Some((at, known)) = open.pop() {
        if known == secret.len() {
            longest = longest.max(Some(at));
            continue;
        }
        if at >= text.len() {
            beginning = Some(Found::Beginning);
            continue;
        }
        if steps == 0 {
            break;
        }
        steps -= 1;
        for step in readings(&text[at..], &secret[known..]) {
            match step {
                Step::Match(read, meant) => open.push((at + read, known + meant)),
                Step::Cut => beginning = Some(Found::Beginning),
            }
        }
    }
    longest.map(Found::Whole).or(beginning)
}

enum Step {
    /// This many bytes of the text encode this many of the secret.
    Match(usize, usize),
    /// The text ends within an escape.
    Cut,
}

/// Returns the readings of the next bytes of the text as the next bytes of the secret. Neither is empty.
fn readings(text: &[u8], secret: &[u8]) -> Vec<Step> {
    let mut steps = Vec::new();
    if same(text[0], secret[0]) || text[0] == b'+' && secret[0] == b' ' {
        steps.push(Step::Match(1, 1));
    }
    match text[0] {
        b'\\' => backslashed(text, secret, &mut steps),
        b'%' => percent_encoded(text, secret, &mut steps),
        b'&' => steps.extend(entity(text, secret)),
        _ => {}
    }
    steps
}

fn same(a: u8, b: u8) -> bool {
    a.eq_ignore_ascii_case(&b)
}

/// Reads `\"`, `\/`, `\\`, `\u0041` and `\x41`, each with any number of backslashes.
fn backslashed(text: &[u8], secret: &[u8], steps: &mut Vec<Step>) {
    let leading = |bytes: &[u8]| bytes.iter().take(DEEPEST).take_while(|byte| **byte == b'\\').count();
    let (run, own) = (leading(text), leading(secret));
    for meant in 1..=own {
        steps.extend((meant.max(2)..=run).map(|read| Step::Match(read, meant)));
    }
    let rest = &text[run..];
    let Some(&kind) = rest.first() else { return steps.push(Step::Cut) };
    if same(kind, secret[0]) {
        // A needless escape.
        steps.push(Step::Match(run + 1, 1));
    }
    let digits = match kind {
        b'u' | b'U' => 4,
        b'x' | b'X' => 2,
        _ => return,
    };
    let Some(unit) = rest.get(1..=digits) else {
        if rest[1..].iter().all(u8::is_ascii_hexdigit) {
            steps.push(Step::Cut);
        }
        return;
    };
    let Some(unit) = hex(unit) else { return };
    let read = run + 1 + digits;
    if digits == 2 {
        if same(unit as u8, secret[0]) {
            steps.push(Step::Match(read, 1));
        }
        return;
    }
    steps.extend(match surrogates(unit, &text[read..]) {
        Pair::None => char::from_u32(unit).and_then(|meant| stands_for(meant, secret, read)),
        Pair::Whole(meant, more) => stands_for(meant, secret, read + more),
        Pair::Cut => Some(Step::Cut),
    });
}

/// The code unit after a UTF-16 code unit.
enum Pair {
    None,
    /// The second unit of a surrogate pair: the resulting character, and the bytes read.
    Whole(char, usize),
    Cut,
}

fn surrogates(high: u32, rest: &[u8]) -> Pair {
    if !(0xd800..0xdc00).contains(&high) {
        return Pair::None;
    }
    let run = rest.iter().take_while(|byte| **byte == b'\\').count();
    let Some(low) = rest.get(run + 1..run + 5) else { return Pair::Cut };
    let Some(low @ 0xdc00..0xe000) = hex(low) else { return Pair::None };
    let code = 0x10000 + ((high - 0xd800) << 10) + (low - 0xdc00);
    char::from_u32(code).map_or(Pair::None, |meant| Pair::Whole(meant, run + 5))
}

/// Reads `%2F`, or `%252F` if it was encoded twice.
fn percent_encoded(text: &[u8], secret: &[u8], steps: &mut Vec<Step>) {
    let doubled = text[1..].chunks(2).take(DEEPEST).take_while(|pair| **pair == *b"25").count();
    // The secret may contain a percent sign, so that each of the `25` may be the last one.
    for start in (0..=doubled).map(|pairs| 1 + 2 * pairs) {
        match text.get(start..start + 2).map(hex) {
            None => steps.push(Step::Cut),
            Some(Some(byte)) if same(byte as u8, secret[0]) => steps.push(Step::Match(start + 2, 1)),
            Some(_) => {}
        }
    }
}

/// Reads `&amp;`, `&#38;` and `&#x26;`.
fn entity(text: &[u8], secret: &[u8]) -> Option<Step> {
    const LONGEST: usize = 10;
    let Some(end) = text.iter().take(LONGEST).position(|byte| *byte == b';') else {
        return (text.len() < LONGEST).then_some(Step::Cut);
    };
    let name = std::str::from_utf8(&text[1..end]).ok()?;
    let meant = match name {
        "amp" => '&',
        "lt" => '<',
        "gt" => '>',
        "quot" => '"',
        "apos" => '\'',
        _ => {
            let number = name.strip_prefix('#')?;
            let code = match number.strip_prefix(['x', 'X']) {
                Some(digits) => u32::from_str_radix(digits, 16).ok()?,
                None => number.parse().ok()?,
            };
            char::from_u32(code)?
        }
    };
    stands_for(meant, secret, end + 1)
}

/// Returns the step over `read` bytes that encode one character.
fn stands_for(meant: char, secret: &[u8], read: usize) -> Option<Step> {
    let mut buffer = [0; 4];
    let bytes = meant.encode_utf8(&mut buffer).as_bytes();
    let start = secret.get(..bytes.len())?;
    start.eq_ignore_ascii_case(bytes).then_some(Step::Match(read, bytes.len()))
}

/// Parses hexadecimal digits.
fn hex(digits: &[u8]) -> Option<u32> {
    digits.iter().try_fold(0, |number, digit| Some(number << 4 | char::from(*digit).to_digit(16)?))
}
