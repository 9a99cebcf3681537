//! Generation of strings: words, code, and values of formats and limits.

use super::super::plan::{Format, TextPlan};
use super::{REDRAWS, pattern};
use dspy_base::seed::Rng;

/// Words without particular meaning that are unlikely to be choices.
const WORDS: [&str; 32] = [
    "amber", "basin", "cedar", "delta", "ember", "fjord", "gable", "harbor", "inlet", "juniper", "kernel",
    "lantern", "meadow", "nectar", "orchard", "pebble", "quarry", "ripple", "saddle", "timber", "umbra",
    "velvet", "willow", "xylem", "yonder", "zephyr", "bramble", "copper", "drizzle", "fennel", "glacier",
    "hollow",
];

/// Text that is difficult to parse: quotes, markup, a second line, letters outside ASCII.
const SPICE: [&str; 8] =
    ["\"quoted\"", "it's", "a < b", "R&D", "caf\u{e9}", "one,\ntwo", "100%", "\u{201c}so\u{201d}"];

const CODE: [&str; 4] = [
    "fn main() {\n    println!(\"hello\");\n}",
    "def add(a, b):\n    return a + b",
    "SELECT name FROM users WHERE age > 30;",
    "for item in items:\n    print(f\"{item}\")\n",
];

/// Returns between `least` and `most` words, separated by spaces.
pub(super) fn words(rng: &mut Rng, least: usize, most: usize) -> String {
    let count = rng.between(least, most);
    let words: Vec<&str> = (0..count).map(|_| WORDS[rng.below(WORDS.len())]).collect();
    words.join(" ")
}

/// Returns words that occasionally include difficult text.
fn prose(rng: &mut Rng) -> String {
    let mut text = words(rng, 1, 10);
    if rng.below(5) == 0 {
        text.push(' ');
        text.push_str(SPICE[rng.below(SPICE.len())]);
        text.push(' ');
        text.push_str(&words(rng, 1, 2));
    }
    text
}

/// Returns a string within the limits.
pub(super) fn text(plan: &TextPlan, rng: &mut Rng) -> Option<String> {
    (0..REDRAWS).find_map(|_| {
        let text = draw(plan, rng)?;
        plan.accepts(&text).then_some(text)
    })
}

fn draw(plan: &TextPlan, rng: &mut Rng) -> Option<String> {
    let (least, most) = (plan.min.unwrap_or(0), plan.max.unwrap_or(usize::MAX));
    if let Some(pattern) = plan.patterns.first() {
        return pattern::matching(pattern.as_str(), least, rng);
    }
    if let Some(format) = plan.format {
        return Some(formatted(format, rng));
    }
    if let Some(text) = plan.other_format.as_deref().and_then(|format| other_format(format, rng)) {
        return Some(text);
    }
    let mut text = if plan.code { CODE[rng.below(CODE.len())].to_owned() } else { prose(rng) };
    while text.chars().count() < least {
        text.push(' ');
        text.push_str(&words(rng, 1, 3));
    }
    if text.chars().count() > most {
        // Truncation could leave a trailing space, so only letters and digits are kept.
        text = text.chars().filter(|c| c.is_alphanumeric()).take(most).collect();
    }
    Some(text)
}

fn formatted(format: Format, rng: &mut Rng) -> String {
    match format {
        Format::Date => date(rng),
        Format::Time | Format::PartialTime => time(rng),
        Format::DateTime => format!("{}T{}Z", date(rng), time(rng)),
        Format::PartialDateTime => format!("{}T{}", date(rng), time(rng)),
        Format::ZonedDateTime => format!("{}T{}+00:00[UTC]", date(rng), time(rng)),
        Format::Duration => format!("PT{}H{}M", rng.below(24), rng.below(60)),
        Format::Uuid => {
            let (high, low) = (rng.bits(), rng.bits());
            format!(
                "{:08x}-{:04x}-4{:03x}-{:04x}-{:012x}",
                high >> 32,
                (high >> 16) & 0xffff,
                high & 0xfff,
                0x8000 | (low >> 50),
                low & 0xffff_ffff_ffff
            )
        }
        Format::Email => format!("{}@{}.example", words(rng, 1, 1), words(rng, 1, 1)),
        Format::Uri => format!("https://{}.example/{}", words(rng, 1, 1), words(rng, 1, 1)),
    }
}

/// Returns a value of a format that the decoder does not enforce but that some types require when they are
/// deserialized.
fn other_format(format: &str, rng: &mut Rng) -> Option<String> {
    let mut byte = || rng.below(256);
    Some(match format {
        "ip" | "ipv4" => format!("{}.{}.{}.{}", byte(), byte(), byte(), byte()),
        "ipv6" => format!("2001:db8::{:x}:{:x}", byte(), byte()),
        "hostname" => format!("{}.example", words(rng, 1, 1)),
        "idn-email" => formatted(Format::Email, rng),
        "iri" | "uri-reference" | "iri-reference" => formatted(Format::Uri, rng),
        _ => return None,
    })
}

fn date(rng: &mut Rng) -> String {
    format!("{:04}-{:02}-{:02}", rng.between(1950, 2049), rng.between(1, 12), rng.between(1, 28))
}

fn time(rng: &mut Rng) -> String {
    format!("{:02}:{:02}:{:02}", rng.below(24), rng.below(60), rng.below(60))
}
