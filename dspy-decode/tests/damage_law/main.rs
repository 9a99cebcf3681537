//! The damage law: a valid JSON reply with one to three edits reads as the original value or is refused.
//!
//! An edit deletes, doubles, swaps or replaces a structural character or a quotation mark, or removes or repeats up to
//! 20 characters anywhere. A reply that is valid JSON of its type in spite of the damage is not counted: nobody can
//! tell that it was meant otherwise. For the same reason, where a removed or repeated piece or a swap leaves valid
//! JSON and another edit damages that, the value in between is as right as the first. Text of a string that an edit itself took
//! away or repeated is not counted. A piece that is taken out may leave the text of another value with one character
//! amiss (`[1, 2, 3]`, `[1 3]`), and nothing in it tells what happened; such readings are counted as *nearer*, and are few.
//! `DSPY_LONG=n` makes the test n times longer.
#![allow(
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test that cannot go on should stop"
)]

mod damage;
mod dice;
mod typed;

use std::collections::BTreeMap;

use damage::Edit;
use dice::Dice;
use dspy_decode::Plan;
use serde_json::Value;
use typed::Type;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verdict {
    Right,
    Refused,
    /// The damaged text is valid JSON of the type.
    Valid,
    /// The text is that of the value read, with one character amiss, and that of the original with more.
    Nearer,
    Lost,
    Wrong,
}

/// Whether the result lacks a row or a member of the original.
fn lacks(original: &Value, result: &Value) -> bool {
    match (original, result) {
        (Value::Array(a), Value::Array(b)) => b.len() < a.len() || a.iter().zip(b).any(|(a, b)| lacks(a, b)),
        (Value::Object(a), Value::Object(b)) => a.iter().any(|(k, a)| b.get(k).is_none_or(|b| lacks(a, b))),
        (Value::Array(a), _) => !a.is_empty(),
        (Value::Object(a), _) => !a.is_empty(),
        _ => false,
    }
}

/// Whether one text is the other with a piece taken out or put in.
fn cut_or_grown(a: &str, b: &str) -> bool {
    let (long, short) = if a.len() >= b.len() { (a, b) } else { (b, a) };
    let before = long.bytes().zip(short.bytes()).take_while(|(a, b)| a == b).count();
    let behind = long.bytes().rev().zip(short.bytes().rev()).take_while(|(a, b)| a == b).count();
    before + behind >= short.len()
}

/// Whether two values differ in nothing but text that a removed or repeated piece explains.
fn same_but_for_text(a: &Value, b: &Value, mut pieces: usize) -> bool {
    alike(a, b, &mut pieces)
}

fn alike(a: &Value, b: &Value, pieces: &mut usize) -> bool {
    let mut text = |a: &str, b: &str| {
        a == b || {
            let allowed = *pieces > 0 && cut_or_grown(a, b);
            *pieces = pieces.saturating_sub(1);
            allowed
        }
    };
    match (a, b) {
        (Value::String(a), Value::String(b)) => text(a, b),
        (Value::Array(a), Value::Array(b)) => {
            a.len() == b.len() && a.iter().zip(b).all(|(a, b)| alike(a, b, pieces))
        }
        (Value::Object(a), Value::Object(b)) => {
            a.len() == b.len()
                && a.iter().zip(b).all(|((ka, a), (kb, b))| {
                    let mut text = |a: &str, b: &str| {
                        a == b || {
                            let allowed = *pieces > 0 && cut_or_grown(a, b);
                            *pieces = pieces.saturating_sub(1);
                            allowed
                        }
                    };
                    text(ka, kb) && alike(a, b, pieces)
                })
        }
        _ => a == b,
    }
}

struct Case {
    schema: Value,
    value: Value,
    json: String,
    reply: String,
    edits: Vec<Edit>,
    verdict: Verdict,
    read: Option<Value>,
}

fn run(number: u64, single: bool) -> Case {
    let mut dice = Dice::new(number);
    let kind = Type::structure(&mut dice);
    let schema = kind.schema();
    let value = kind.filled(&mut dice);
    let plan = Plan::new(&schema).unwrap_or_else(|e| panic!("{schema}: {e}"));
    let whole = damage::render(&value, &mut dice);
    let mut json = whole.clone();
    let count = if single { 1 } else { 1 + dice.below(3) };
    let mut edits = Vec::new();
    let mut kinds: Vec<usize> = (0..count).map(|_| dice.below(6)).collect();
    // Pieces first, then swaps: what is left may be valid JSON, which is then what can be read at best.
    kinds.sort_unstable_by_key(|kind| match kind {
        5 => 0,
        4 => 1,
        2 => 2,
        _ => 3,
    });
    let mut meant = vec![value.clone()];
    for kind in kinds {
        if json.is_empty() {
            break;
        }
        let (next, edit) = damage::damage(&json, kind, &mut dice);
        json = next;
        edits.push(edit);
        meant.extend(plan.decode(&json).ok().filter(|read| read.report.is_clean()).map(|read| read.value));
    }
    let reply = damage::wrap(&json, &mut dice);
    let still_valid = json == whole || plan.decode(&json).is_ok_and(|read| read.report.is_clean());
    let decoded = plan.decode(&reply);
    let read = decoded.ok().map(|d| d.value);
    let pieces = edits.iter().filter(|e| e.is_chunk()).count();
    let verdict = match &read {
        Some(read) if *read == value => Verdict::Right,
        _ if still_valid => Verdict::Valid,
        Some(read) if meant.contains(read) => Verdict::Right,
        None => Verdict::Refused,
        Some(read) if meant.iter().any(|value| same_but_for_text(value, read, pieces)) => Verdict::Right,
        Some(read)
            if damage::one_character_from(read, &json)
                && !meant.iter().any(|value| damage::one_character_from(value, &json)) =>
        {
            Verdict::Nearer
        }
        Some(read) if meant.iter().all(|value| lacks(value, read)) => Verdict::Lost,
        Some(_) => Verdict::Wrong,
    };
    Case { schema, value, json, reply, edits, verdict, read }
}

/// How often each verdict fell.
#[derive(Debug, Default, Clone, Copy)]
struct Tally {
    right: usize,
    refused: usize,
    valid: usize,
    nearer: usize,
    lost: usize,
    wrong: usize,
}

impl Tally {
    fn add(&mut self, verdict: Verdict) {
        match verdict {
            Verdict::Right => self.right += 1,
            Verdict::Refused => self.refused += 1,
            Verdict::Valid => self.valid += 1,
            Verdict::Nearer => self.nearer += 1,
            Verdict::Lost => self.lost += 1,
            Verdict::Wrong => self.wrong += 1,
        }
    }

    fn counted(&self) -> usize {
        self.right + self.refused + self.nearer + self.lost + self.wrong
    }

    fn share(&self, part: usize) -> f64 {
        100.0 * part as f64 / self.counted().max(1) as f64
    }
}

impl std::fmt::Display for Tally {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "{:>7} counted: right {:.2} %, refused {:.2} %, nearer {}, lost {} ({:.3} %), wrong {} ({:.3} %)",
            self.counted(),
            self.share(self.right),
            self.share(self.refused),
            self.nearer,
            self.lost,
            self.share(self.lost),
            self.wrong,
            self.share(self.wrong)
        )
    }
}

fn times() -> u64 {
    std::env::var("DSPY_LONG").ok().and_then(|n| n.parse().ok()).unwrap_or(1)
}

#[test]
fn damaged_replies_read_as_the_original_or_are_refused() {
    let cases = 4_000 * times();
    let mut kinds: BTreeMap<&str, Tally> = BTreeMap::default();
    let (mut singles, mut all, mut shown) = (Tally::default(), Tally::default(), 0);
    let verbose: usize = std::env::var("DSPY_SHOW").ok().and_then(|n| n.parse().ok()).unwrap_or(20);
    for number in 0..cases {
        let single = number % 2 == 0;
        let case = run(number, single);
        all.add(case.verdict);
        if single {
            let kind = match &case.edits[..] {
                [Edit::Deleted(_)] => "deleted",
                [Edit::Doubled(_)] => "doubled",
                [Edit::Swapped(..)] => "swapped",
                [Edit::Replaced(..)] => "replaced",
                [Edit::Removed(_)] => "removed piece",
                _ => "repeated piece",
            };
            kinds.entry(kind).or_default().add(case.verdict);
            if !case.edits.iter().any(Edit::is_chunk) {
                singles.add(case.verdict);
            }
        } else {
            kinds.entry("one to three edits").or_default().add(case.verdict);
        }
        if matches!(case.verdict, Verdict::Lost | Verdict::Wrong) {
            shown += 1;
            if shown <= verbose {
                println!(
                    "{:?} #{number} {:?}\n  schema {}\n  value  {}\n  json   {}\n  reply  {:?}\n  read   {}",
                    case.verdict,
                    case.edits,
                    case.schema,
                    case.value,
                    case.json,
                    case.reply,
                    case.read.as_ref().map_or("-".to_owned(), ToString::to_string)
                );
            }
        }
    }
    for (kind, tally) in &kinds {
        println!("{kind:<18} {tally}");
    }
    println!("single characters  {singles}");
    println!("all                {all}");
    let silent = |tally: &Tally| tally.share(tally.lost + tally.wrong);
    assert!(singles.share(singles.right) >= 79.5, "too many single edits are refused: {singles}");
    assert!(silent(&singles) <= 0.2, "silently wrong: {singles}");
    let most = if times() >= 25 { 0.15 } else { 0.3 };
    assert!(silent(&all) <= most, "silently wrong: {all}");
    assert!(all.share(all.nearer) <= 0.25, "other values that are nearer: {all}");
}

/// Whether what was shown earlier still stands: texts may grow, lists and objects may gain.
fn grows(early: &Value, late: &Value) -> bool {
    match (early, late) {
        (Value::String(a), Value::String(b)) => b.starts_with(a.as_str()),
        (Value::Array(a), Value::Array(b)) => a.len() <= b.len() && a.iter().zip(b).all(|(a, b)| grows(a, b)),
        (Value::Object(a), Value::Object(b)) => a.iter().all(|(k, a)| b.get(k).is_some_and(|b| grows(a, b))),
        _ => early == late,
    }
}

#[test]
fn what_was_shown_of_a_damaged_reply_stays() {
    let (mut faults, mut shown) = (0, 0);
    let cases = 300 * times();
    for number in 0..cases {
        let case = run(number, true);
        let plan = Plan::new(&case.schema).unwrap();
        let mut last: Option<Value> = None;
        for end in (0..=case.reply.len()).filter(|end| case.reply.is_char_boundary(*end)) {
            let now = plan.decode_partial(&case.reply[..end]).value;
            let stays = match (&last, &now) {
                (Some(early), Some(late)) => grows(early, late),
                (Some(_), None) => false,
                (None, _) => true,
            };
            if !stays {
                faults += 1;
                if shown < 12 {
                    shown += 1;
                    println!(
                        "#{number} {:?}\n  {:?}\n  showed {last:?}\n  then   {now:?}",
                        case.edits,
                        &case.reply[..end]
                    );
                }
                break;
            }
            last = now;
        }
    }
    // Known: a fence in a string in a fence, and a union whose branch only damage decides.
    assert!(faults * 1_000 <= cases, "{faults} of {cases} replies took something back");
}
