//! Generation of strings that match a regular expression.

use std::iter::Peekable;
use std::str::Chars;

use dspy_base::seed::Rng;

/// The maximum length of a generated string, in bytes.
const LONGEST: usize = 10_000;
/// The maximum nesting depth of groups.
const DEEPEST: usize = 50;
/// The maximum number of additional repetitions of a part without an upper limit.
const SPARE: usize = 4;

/// A part of an expression.
#[derive(Debug)]
enum Part {
    /// One character from these ranges.
    One(Vec<(char, char)>),
    /// A sequence of parts.
    All(Vec<Part>),
    /// One of several parts.
    Either(Vec<Part>),
    /// A repeated part with its minimum and maximum; `None` is no upper limit.
    Repeat(Box<Part>, usize, Option<usize>),
}

/// Returns a string that usually matches the pattern, of at least `least` characters if parts without an
/// upper limit permit it. `None` if the expression has unsupported syntax.
pub(super) fn matching(pattern: &str, least: usize, rng: &mut Rng) -> Option<String> {
    let mut reader = Reader { rest: pattern.chars().peekable(), depth: 0 };
    let part = reader.either()?;
    if reader.rest.peek().is_some() {
        return None;
    }
    let mut out = String::new();
    write(&part, least.min(LONGEST), &mut out, rng)?;
    Some(out)
}

fn write(part: &Part, least: usize, out: &mut String, rng: &mut Rng) -> Option<()> {
    if out.len() > LONGEST {
        return None;
    }
    match part {
        Part::One(ranges) => {
            let (low, high) = ranges.get(rng.below(ranges.len()))?;
            // Surrogates in the middle of a range are not characters.
            out.push(char::from_u32(rng.between(*low as usize, *high as usize) as u32).unwrap_or(*low));
        }
        Part::All(parts) => parts.iter().try_for_each(|part| write(part, least, out, rng))?,
        Part::Either(parts) => write(parts.get(rng.below(parts.len()))?, least, out, rng)?,
        Part::Repeat(part, low, high) => {
            let mut most = high.unwrap_or(usize::MAX).min(low.saturating_add(SPARE));
            let mut count = rng.between(*low, most);
            if least > out.chars().count() {
                // A string with a minimum length grows where the pattern permits it.
                most =
                    high.unwrap_or(usize::MAX).min(low.saturating_add(least - out.chars().count() + SPARE));
                count = most.saturating_sub(rng.below(SPARE.min(most - low) + 1));
            }
            (0..count).try_for_each(|_| write(part, 0, out, rng))?;
        }
    }
    Some(())
}

/// The meaning of an escape.
enum Escape {
    /// One character from these ranges.
    One(Vec<(char, char)>),
    /// The boundary of a word or of the text.
    Place,
}

impl Escape {
    fn ranges(self) -> Option<Vec<(char, char)>> {
        match self {
            Escape::One(ranges) => Some(ranges),
            Escape::Place => None,
        }
    }
}

struct Reader<'p> {
    rest: Peekable<Chars<'p>>,
    depth: usize,
}

impl Reader<'_> {
    fn either(&mut self) -> Option<Part> {
        self.depth += 1;
        if self.depth > DEEPEST {
            return None;
        }
        let mut parts = vec![self.all()?];
        while self.rest.next_if_eq(&'|').is_some() {
            parts.push(self.all()?);
        }
        self.depth -= 1;
        Some(Part::Either(parts))
    }

    fn all(&mut self) -> Option<Part> {
        let mut parts = Vec::new();
        while let Some(c) = self.rest.next_if(|c| !matches!(c, '|' | ')')) {
            let part = match c {
                '^' | '$' => continue,
                '.' => Part::One(vec![('a', 'z'), ('0', '9')]),
                '[' => self.set()?,
                '(' => self.group()?,
                '\\' => match self.escape()? {
                    Escape::One(ranges) => Part::One(ranges),
                    Escape::Place => continue,
                },
                '*' | '+' | '?' | '{' => return None,
                c => Part::One(vec![(c, c)]),
            };
            parts.push(self.repeated(part)?);
        }
        Some(Part::All(parts))
    }

    fn group(&mut self) -> Option<Part> {
        if self.rest.next_if_eq(&'?').is_some() {
            // A name, flags, or nothing before the colon. Flags rarely change which strings match.
            let named = matches!(self.rest.peek(), Some('P' | '<'));
            loop {
                match self.rest.next()? {
                    '>' if named => break,
                    ':' if !named => break,
                    ')' => return Some(Part::All(Vec::new())),
                    c if c.is_alphanumeric() || matches!(c, '_' | '<' | '-') => {}
                    _ => return None,
                }
            }
        }
        let part = self.either()?;
        (self.rest.next()? == ')').then_some(part)
    }

    fn repeated(&mut self, part: Part) -> Option<Part> {
        let (low, high) = match self.rest.peek() {
            Some('*') => (0, None),
            Some('+') => (1, None),
            Some('?') => (0, Some(1)),
            Some('{') => {
                self.rest.next();
                let mut inner = String::new();
                while let Some(c) = self.rest.next_if(|c| *c != '}') {
                    inner.push(c);
                }
                match inner.split_once(',') {
                    None => inner.trim().parse().ok().map(|count| (count, Some(count)))?,
                    Some((low, "")) => (low.trim().parse().ok()?, None),
                    Some((low, high)) => (low.trim().parse().ok()?, Some(high.trim().parse().ok()?)),
                }
            }
            _ => return Some(part),
        };
        self.rest.next();
        self.rest.next_if_eq(&'?');
        Some(Part::Repeat(Box::new(part), low, high))
    }

    /// Reads the part of an escape after the backslash.
    fn escape(&mut self) -> Option<Escape> {
        let word = || vec![('a', 'z'), ('A', 'Z'), ('0', '9'), ('_', '_')];
        Some(Escape::One(match self.rest.next()? {
            'd' => vec![('0', '9')],
            'w' => word(),
            's' => vec![(' ', ' ')],
            'D' => without(&[('0', '9')]),
            'W' => without(&word()),
            'S' => without(&[(' ', ' ')]),
            'n' => vec![('\n', '\n')],
            't' => vec![('\t', '\t')],
            'r' => vec![('\r', '\r')],
            'b' | 'B' | 'A' | 'z' => return Some(Escape::Place),
            'x' | 'u' => {
                let c = self.code_point()?;
                vec![(c, c)]
            }
            c if c.is_alphanumeric() => return None,
            c => vec![(c, c)],
        }))
    }

    fn code_point(&mut self) -> Option<char> {
        let braced = self.rest.next_if_eq(&'{').is_some();
        let mut digits = String::new();
        while let Some(c) = self.rest.next_if(char::is_ascii_hexdigit) {
            digits.push(c);
            if !braced && digits.len() == 2 {
                break;
            }
        }
        if braced && self.rest.next()? != '}' {
            return None;
        }
        char::from_u32(u32::from_str_radix(&digits, 16).ok()?)
    }

    /// Reads a set in brackets after its opening bracket.
    fn set(&mut self) -> Option<Part> {
        let negated = self.rest.next_if_eq(&'^').is_some();
        let mut ranges: Vec<(char, char)> = Vec::new();
        let mut first = true;
        loop {
            let c = self.rest.next()?;
            let low = match c {
                ']' if !first => break,
                '[' if self.rest.peek() == Some(&':') => {
                    let name: String = std::iter::from_fn(|| self.rest.next_if(|c| *c != ']')).collect();
                    self.rest.next()?;
                    ranges.extend(match name.trim_matches(':') {
                        "alpha" => vec![('a', 'z'), ('A', 'Z')],
                        "digit" => vec![('0', '9')],
                        "alnum" => vec![('a', 'z'), ('A', 'Z'), ('0', '9')],
                        "lower" => vec![('a', 'z')],
                        "upper" => vec![('A', 'Z')],
                        "xdigit" => vec![('0', '9'), ('a', 'f')],
                        "space" => vec![(' ', ' ')],
                        _ => return None,
                    });
                    first = false;
                    continue;
                }
                '\\' => match self.escape()?.ranges()?.as_slice() {
                    [(low, high)] if low == high => *low,
                    several => {
                        ranges.extend(several);
                        first = false;
                        continue;
                    }
                },
                c => c,
            };
            first = false;
            let mut ahead = self.rest.clone();
            if ahead.next() == Some('-') && ahead.peek().is_some_and(|c| *c != ']') {
                self.rest.next();
                let high = match self.rest.next()? {
                    '\\' => self.escape()?.ranges()?.first()?.1,
                    c => c,
                };
                if high < low {
                    return None;
                }
                ranges.push((low, high));
            } else {
                ranges.push((low, low));
            }
        }
        let ranges = if negated { without(&ranges) } else { ranges };
        (!ranges.is_empty()).then_some(Part::One(ranges))
    }
}

/// Returns the printable ASCII characters outside of the ranges.
fn without(ranges: &[(char, char)]) -> Vec<(char, char)> {
    let left = ('!'..='~').filter(|c| !ranges.iter().any(|(low, high)| (low..=high).contains(&c)));
    left.map(|c| (c, c)).collect()
}

#[cfg(test)]
mod tests {
    use regex_lite::Regex;

    use super::*;
    use dspy_base::seed::Seed;

    #[test]
    fn texts_match_their_pattern() {
        for pattern in [
            "^a$",
            "^[A-Z][a-z]+ [A-Z][a-z]+$",
            r"^\d{3}-\d{2,4}$",
            r"^(?P<year>\d{4})/(?<month>0[1-9]|1[0-2])$",
            r"^[^\s@]+@[^\s@]+\.[a-z]{2,}$",
            "^(?:a|b(?:c|d)*)+?$",
            r"^\w+\.\W\S\D$",
            r"^[\w.-]+$",
            "^[]a-]+$",
            r"^\x41[\x42-\x44]\u{43}$",
            "^[[:alpha:]]+[[:digit:]]*$",
            "(?i)^yes|no$",
            r"\bword\b",
            "^$",
            ".*",
        ] {
            let regex = Regex::new(pattern).unwrap();
            for seed in 0..40 {
                let text = matching(pattern, 0, &mut Seed::new(seed).rng()).expect(pattern);
                assert!(regex.is_match(&text), "{text:?} for {pattern}");
            }
        }
    }

    #[test]
    fn long_texts_grow_where_they_can() {
        for least in [1, 9, 200] {
            let text = matching("^x[a-z]+$", least, &mut Seed::new(5).rng()).unwrap();
            assert!(text.len() >= least, "{text}");
        }
    }

    #[test]
    fn what_is_not_understood_is_left() {
        for pattern in [r"\p{Greek}", "a**", "(a", "[b-a]", "x{y}", &"(".repeat(99)] {
            assert_eq!(matching(pattern, 0, &mut Seed::new(1).rng()), None, "{pattern}");
        }
        // Strings above the maximum length are not generated.
        assert_eq!(matching("((a{999}){999}){999}", 0, &mut Seed::new(1).rng()), None);
    }
}
