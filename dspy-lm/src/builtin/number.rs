//! Numbers: estimated from similar demonstrations, copied from the input, or the middle of the allowed range.

use serde_json::Value;

use super::features::number;
use super::words::words;

/// The number of demonstrations from which a number is estimated.
pub(super) const NEIGHBOURS: usize = 5;
/// The share of demonstrations that must copy a number from their input before copying is inferred.
const COPIES: f64 = 0.6;

/// The numbers that a field allows.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Limits {
    low: Option<f64>,
    high: Option<f64>,
    step: Option<f64>,
}

impl Limits {
    /// Parses phrases such as `from 0 to 10; a multiple of 5`. Exclusive bounds are moved inwards: by 1 for
    /// whole numbers, by a millionth for others.
    pub(super) fn read(text: &str, whole: bool) -> Limits {
        let mut limits = Limits { low: None, high: None, step: whole.then_some(1.0) };
        let inward = |scale: f64| if whole { 1.0 } else { scale.abs().max(1.0) * 1e-6 };
        for phrase in text.split("; ") {
            let value = |prefix: &str| phrase.strip_prefix(prefix)?.trim().parse::<f64>().ok();
            if let Some((low, high)) = phrase.strip_prefix("from ").and_then(|range| range.split_once(" to "))
            {
                limits.low = low.trim().parse().ok();
                limits.high = high.trim().parse().ok();
            } else if let Some(low) = value("at least ") {
                limits.low = Some(low);
            } else if let Some(high) = value("at most ") {
                limits.high = Some(high);
            } else if let Some(low) = value("greater than ") {
                limits.low = Some(low + inward(low));
            } else if let Some(high) = value("less than ") {
                limits.high = Some(high - inward(high));
            } else if let Some(step) = value("a multiple of ").filter(|step| *step > 0.0) {
                limits.step = Some(step);
            }
        }
        limits
    }

    /// Returns the nearest number that is allowed.
    pub(super) fn fit(self, number: f64) -> f64 {
        let low = self.low.unwrap_or(f64::NEG_INFINITY);
        let high = self.high.unwrap_or(f64::INFINITY);
        let clamped = number.max(low).min(high);
        let Some(step) = self.step else { return clamped };
        let stepped = (clamped / step).round() * step;
        if stepped < low {
            (low / step).ceil() * step
        } else if stepped > high {
            (high / step).floor() * step
        } else {
            stepped
        }
    }

    fn admits(self, number: f64) -> bool {
        (self.fit(number) - number).abs() < 1e-9
    }

    fn middle(self) -> f64 {
        match (self.low, self.high) {
            (Some(low), Some(high)) => f64::midpoint(low, high),
            (Some(bound), None) | (None, Some(bound)) => bound,
            (None, None) => 0.0,
        }
    }
}

/// The rule that selects the number to copy from an input.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Pattern {
    First,
    Last,
    Largest,
    Smallest,
}

impl Pattern {
    /// Returns the word for it in prose.
    pub(super) fn name(self) -> &'static str {
        match self {
            Pattern::First => "first",
            Pattern::Last => "last",
            Pattern::Largest => "largest",
            Pattern::Smallest => "smallest",
        }
    }

    /// Finds a statement such as "the last number" in an instruction.
    pub(super) fn stated(instruction: &str) -> Option<Pattern> {
        let lower = instruction.to_lowercase();
        Pattern::ALL.into_iter().find(|pattern| lower.contains(&format!("the {} number", pattern.name())))
    }

    pub(super) const ALL: [Pattern; 4] = [Pattern::First, Pattern::Last, Pattern::Largest, Pattern::Smallest];

    /// Returns the number that is copied.
    pub(super) fn apply(self, numbers: &[f64]) -> Option<f64> {
        match self {
            Pattern::First => numbers.first().copied(),
            Pattern::Last => numbers.last().copied(),
            Pattern::Largest => numbers.iter().copied().reduce(f64::max),
            Pattern::Smallest => numbers.iter().copied().reduce(f64::min),
        }
    }
}

/// Returns the numbers in `text`, in order.
pub(super) fn numbers_in(text: &str) -> Vec<f64> {
    words(text)
        .iter()
        .filter_map(|word| {
            let negative = text[..word.start].ends_with('-')
                && !text[..word.start - 1].ends_with(|c: char| c.is_alphanumeric());
            let value = number(word.written(text))?;
            Some(if negative { -value } else { value })
        })
        .collect()
}

/// A demonstration of a number: its input, the similarity to the current input, and the number.
#[derive(Debug, Clone, Copy)]
pub(super) struct Example<'a> {
    pub(super) text: &'a str,
    pub(super) similarity: f64,
    pub(super) target: f64,
}

/// Returns a number for the input `text`, and the reason for it. `examples` are sorted by similarity, the
/// highest first.
pub(super) fn estimate(
    text: &str,
    examples: &[Example<'_>],
    limits: Limits,
    stated: Option<Pattern>,
) -> (f64, String) {
    let here = numbers_in(text);
    if let Some(pattern) = stated
        && let Some(number) = pattern.apply(&here)
    {
        let why = format!("The instruction asks for the {} number, which is {number}.", pattern.name());
        return (limits.fit(number), why);
    }
    if let Some(pattern) = copying(examples)
        && let Some(number) = pattern.apply(&here)
    {
        return (
            limits.fit(number),
            format!("In the examples the number stands in the input; here it is {number}."),
        );
    }
    if examples.is_empty() {
        return match here.iter().find(|number| limits.admits(**number)) {
            Some(number) => (*number, format!("The input names the number {number}.")),
            None => {
                let middle = limits.fit(limits.middle());
                (middle, format!("Nothing points to a number, so {middle} is a guess."))
            }
        };
    }
    let near = &examples[..examples.len().min(NEIGHBOURS)];
    let (mut sum, mut total) = (0.0, 0.0);
    for example in near {
        let weight = example.similarity.powi(4) + 1e-6;
        sum += weight * example.target;
        total += weight;
    }
    let estimate = limits.fit(sum / total);
    (estimate, format!("The {} most similar examples point to {estimate}.", near.len()))
}

/// Returns the rule by which the demonstrations copy numbers from their inputs, if more than [`COPIES`] of
/// them do.
fn copying(examples: &[Example<'_>]) -> Option<Pattern> {
    let numbers: Vec<Vec<f64>> = examples.iter().map(|example| numbers_in(example.text)).collect();
    let share = |pattern: Pattern| {
        let hits =
            numbers.iter().zip(examples).filter(|(n, example)| pattern.apply(n) == Some(example.target));
        hits.count() as f64 / examples.len().max(1) as f64
    };
    let mut best = (COPIES, None);
    for pattern in Pattern::ALL {
        let share = share(pattern);
        if share > best.0 {
            best = (share, Some(pattern));
        }
    }
    best.1
}

/// Converts a number to JSON: whole numbers without a fraction, others rounded to four decimal places.
pub(super) fn to_value(number: f64, whole: bool) -> Value {
    if whole || (number.fract() == 0.0 && number.abs() < 1e15) {
        return Value::from(number as i64);
    }
    // More digits would suggest a precision that an estimate does not have.
    let rounded = (number * 1e4).round() / 1e4;
    serde_json::Number::from_f64(rounded).map_or_else(|| Value::from(0), Value::Number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_are_kept() {
        for (text, whole, number, expected) in [
            ("from 1 to 5", true, 7.2, 5.0),
            ("from 1 to 5", false, 2.5, 2.5),
            ("at least 3", true, 0.0, 3.0),
            ("greater than 0", true, -4.0, 1.0),
            ("from 0 to 99; a multiple of 10", true, 97.0, 90.0),
            ("", true, 2.6, 3.0),
        ] {
            assert_eq!(Limits::read(text, whole).fit(number), expected, "{text} {number}");
        }
    }

    #[test]
    fn numbers_are_estimated_or_copied() {
        let open = Limits::read("", false);
        let example = |text, similarity, target| Example { text, similarity, target };
        assert_eq!(estimate("it costs 12 or -3", &[], open, None).0, 12.0);
        assert_eq!(estimate("nothing", &[], Limits::read("from 0 to 10", true), None).0, 5.0);
        let near = [example("a", 0.9, 10.0), example("b", 0.8, 12.0), example("c", 0.01, 500.0)];
        let (number, _) = estimate("a b", &near, open, None);
        assert!((10.0..12.0).contains(&number), "{number}");
        let copies = [example("2 of 9", 0.5, 9.0), example("8 or 7", 0.5, 8.0), example("1 and 3", 0.4, 3.0)];
        assert_eq!(estimate("5 against 4", &copies, open, None).0, 5.0);
    }
}
